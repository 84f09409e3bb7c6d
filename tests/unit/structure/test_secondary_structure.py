"""Helices and strands of ideal geometry, and of real proteins beside biotite."""

from __future__ import annotations

from dataclasses import replace

import biotite.structure as bs
import numpy as np
import pytest

from debye.structure.read import read_structure
from debye.structure.secondary_structure import SecondaryStructure, secondary_structure
from debye.structure.select import select_atoms
from debye.structure.structure import EntityKind, Structure
from debye.testing.peptide import build_peptide

SEQUENCE = "MKALEWHEDFRKLYCITAQN"


def of_residues(structure: Structure) -> list[str]:
    codes = secondary_structure(structure)
    _, first = np.unique(structure.residue_index, return_index=True)
    return [SecondaryStructure(code).name for code in codes[first]]


@pytest.mark.parametrize(
    ("torsions", "expected"),
    [((-57.8, -47.0), "HELIX"), ((-120.0, 130.0), "STRAND"), ((60.0, -140.0), "COIL")],
)
def test_ideal_geometry(torsions, expected):
    found = of_residues(build_peptide(SEQUENCE, *torsions))
    # What a residue is, its neighbors on both sides tell: ends are coil.
    assert set(found[3:-4]) == {expected}
    assert {found[0], found[-1]} == {"COIL"}


def test_a_gap_or_another_chain_ends_a_helix():
    helix = build_peptide(SEQUENCE)
    assert of_residues(helix)[5:15] == ["HELIX"] * 10
    late = helix.residue_index >= 10
    apart = replace(helix, position=helix.position + np.float32(30) * late[:, None])
    chains = replace(helix, chain=np.where(late, "B", "A"))
    trace = np.flatnonzero(helix.atom_name == "CA")
    position = helix.position.copy()
    position[trace[10]] = position[trace[9]]
    same_place = replace(helix, position=position)
    for broken in (apart, chains, same_place):
        assert of_residues(broken)[9:11] == ["COIL", "COIL"]
        assert of_residues(broken)[4:7] == ["HELIX"] * 3
    assert set(of_residues(helix.take(helix.residue_index < 4))) == {"COIL"}


def test_what_is_no_protein_has_none():
    helix = build_peptide(SEQUENCE)
    kind = np.where(helix.residue_index == 19, EntityKind.LIGAND, EntityKind.PROTEIN)
    no_trace = helix.take(~((helix.residue_index == 0) & (helix.atom_name == "CA")))
    assert of_residues(replace(helix, entity_kind=kind.astype(np.int8)))[-1] == "NONE"
    assert of_residues(no_trace)[0] == "NONE"
    assert set(of_residues(helix.take(helix.atom_name != "CA"))) == {"NONE"}


def test_real_proteins_as_biotite_has_them(benchmark_data):
    """Short strands without contacts are coil there and strand here; all else is the same."""
    same = other = strands = 0
    for path in sorted((benchmark_data / "structures").rglob("*.bcif.gz"))[::150]:
        structure, _ = select_atoms(read_structure(path))
        structure = structure.take(structure.entity_kind == EntityKind.PROTEIN)
        atoms = bs.AtomArray(len(structure))
        atoms.coord = structure.position
        atoms.atom_name, atoms.res_name = structure.atom_name, structure.residue_name
        atoms.chain_id, atoms.res_id = structure.chain, structure.residue_number
        atoms.ins_code = structure.insertion_code
        theirs = bs.annotate_sse(atoms)
        mine = secondary_structure(structure)[bs.get_residue_starts(atoms)]
        expected = np.array([{"": 0, "c": 1, "a": 2, "b": 3}[letter] for letter in theirs])
        short = (mine == SecondaryStructure.STRAND) & (expected == SecondaryStructure.COIL)
        same += int((mine == expected).sum())
        strands += int(short.sum())
        other += int(((mine != expected) & ~short).sum())
    assert same > 5000
    assert strands < 0.06 * same
    assert other < 0.003 * same
