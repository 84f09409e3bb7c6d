"""Metadata of the files of a folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.dataset.search.folder import folder_metadata, structure_metadata
from debye.dataset.search.rcsb import EntryMetadata
from debye.errors import ConfigError
from debye.structure.structure import EntityKind
from debye.structure.write import write_structure


def test_a_folder_gives_the_metadata_of_its_files(tmp_path, peptide):
    (tmp_path / "sub").mkdir()
    write_structure(peptide, tmp_path / "sub" / "b.cif")
    write_structure(peptide, tmp_path / "a.pdb.gz")
    (tmp_path / ".fetch" / "rejected").mkdir(parents=True)
    (tmp_path / ".fetch" / "rejected" / "a.cif").write_text("nothing")
    (tmp_path / "c.cif").write_text("nothing")
    (tmp_path / "notes.txt").write_text("nothing")
    found = list(folder_metadata(tmp_path))
    metadata = [each for each in found if isinstance(each, EntryMetadata)]
    assert [each.id for each in metadata] == ["a", "b"]
    assert [each[0] for each in found if isinstance(each, tuple)] == ["c"]
    assert metadata[0].proteins[0].length == 13
    assert metadata[1].polymers == "Protein (only)"
    with pytest.raises(ConfigError, match="is not a folder"):
        list(folder_metadata(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({}, "Protein (only)"),
        ({3: EntityKind.SUGAR, 4: EntityKind.SUGAR}, "Protein/Oligosaccharide"),
        ({3: EntityKind.SUGAR, 6: EntityKind.SUGAR}, "Protein (only)"),
        ({3: EntityKind.NUCLEIC}, "Protein/NA"),
        (dict.fromkeys(range(13), EntityKind.NUCLEIC), "Nucleic acid (only)"),
        (dict.fromkeys(range(13), EntityKind.SUGAR), "Oligosaccharide (only)"),
        (dict.fromkeys(range(13), EntityKind.LIGAND), "Other"),
    ],
)
def test_polymers_are_named_as_the_server_names_them(peptide, kinds, expected):
    kind = peptide.entity_kind.copy()
    for residue, each in kinds.items():
        kind[peptide.residue_index == residue] = each
    assert structure_metadata(replace(peptide, entity_kind=kind), "x").polymers == expected


def test_components_count_heavy_atoms_of_the_most_complete_copy(peptide):
    kind = peptide.entity_kind.copy()
    names = peptide.residue_name.copy()
    for residue in (0, 1):
        rows = peptide.residue_index == residue
        kind[rows], names[rows] = EntityKind.LIGAND, "LIG"
    metadata = structure_metadata(replace(peptide, entity_kind=kind, residue_name=names), "x")
    sizes = np.bincount(peptide.residue_index[peptide.element != "H"])
    assert [(each.id, each.heavy_atoms) for each in metadata.components] == [
        ("LIG", max(sizes[:2]))
    ]
    assert metadata.proteins[0].length == 11
