"""Written files hold what the structure holds; gemmi, which wrote none of the values, reads them."""

from __future__ import annotations

import gzip
from dataclasses import replace

import gemmi
import numpy as np
import pytest

from debye.errors import FormatError
from debye.structure.structure import Crystal, EntityKind, Entry, Structure
from debye.structure.write import cif_text, pdb_text, write_structure
from debye.testing.peptide import combine, from_atoms


@pytest.fixture
def complex_(peptide: Structure) -> Structure:
    """Peptide, a calcium ion whose name could be a carbon's, and a water, in a crystal."""
    calcium = from_atoms(
        [("CA", "CA", (20.0, -1.5, 3.25))], residue_name="CA", residue_number=101,
        chain_label="B", kind=EntityKind.ION,
    )  # fmt: skip
    water = from_atoms(
        [("O", "O", (22.0, -1.5, 3.25))], residue_name="HOH", residue_number=201,
        chain_label="C", kind=EntityKind.WATER,
    )  # fmt: skip
    whole = combine(
        [peptide, calcium, water],
        crystal=Crystal(cell=(40.0, 50.5, 60.25, 90.0, 90.0, 90.0), space_group="P 21 21 21"),
        entry=Entry(id="0abc", title='It\'s a "test"', resolution=1.85),
    )
    b_iso = np.linspace(5, 999.99, len(whole), dtype=np.float32)
    b_iso[3] = np.nan
    links = np.array([[len(peptide), len(peptide) + 1]], np.int32)
    return replace(whole, b_iso=b_iso, links=links)


def atoms_of(model: gemmi.Model) -> list[gemmi.CRA]:
    return list(model.all())


@pytest.mark.parametrize("suffix", [".cif", ".pdb", ".ent", ".cif.gz", ".pdb.gz"])
def test_gemmi_reads_back_what_was_written(complex_, tmp_path, suffix):
    path = write_structure(complex_, tmp_path / f"complex{suffix}")
    read = gemmi.read_structure(str(path))
    atoms = atoms_of(read[0])
    assert [one.atom.name for one in atoms] == complex_.atom_name.tolist()
    assert [one.atom.element.name.upper() for one in atoms] == complex_.element.tolist()
    assert [one.residue.name for one in atoms] == complex_.residue_name.tolist()
    assert [one.residue.seqid.num for one in atoms] == complex_.residue_number.tolist()
    assert [one.residue.het_flag == "H" for one in atoms] == complex_.is_hetero.tolist()
    assert np.array([one.atom.pos.tolist() for one in atoms]) == pytest.approx(
        complex_.position, abs=5.1e-4
    )
    known = ~np.isnan(complex_.b_iso)
    found = np.array([one.atom.b_iso for one in atoms])
    assert found[known] == pytest.approx(complex_.b_iso[known], abs=5.1e-3)
    assert read.cell.parameters == pytest.approx(complex_.crystal.cell)
    assert read.spacegroup_hm == "P 21 21 21"
    assert read.resolution == pytest.approx(1.85)


def test_mmcif_keeps_links_entities_and_missing_b(complex_):
    block = gemmi.cif.read_string(cif_text(complex_)).sole_block()
    assert block.find_value("_struct.title").strip("'\"") != "?"
    assert gemmi.cif.as_string(block.find_value("_struct.title")) == 'It\'s a "test"'
    assert list(block.find_values("_entity.type")) == ["polymer", "non-polymer", "water"]
    assert list(block.find_values("_atom_site.B_iso_or_equiv"))[3] == "?"
    (link,) = block.find(
        "_struct_conn.", ["conn_type_id", "ptnr1_label_atom_id", "pdbx_dist_value"]
    )
    assert list(link) == ["metalc", "CA", "2.000"]
    assert list(block.find_values("_atom_site.label_seq_id"))[-3:] == ["13", ".", "."]


def test_pdb_columns_of_an_ion_and_of_a_missing_b(complex_):
    lines = pdb_text(complex_).splitlines()
    (ion,) = (line for line in lines if line.startswith("HETATM") and line[17:20] == " CA")
    assert ion[12:16] == "CA  "
    assert ion[76:78] == "CA"
    alpha = next(line for line in lines if line[17:20] == "MET" and line[13:15] == "CA")
    assert alpha[12:16] == " CA "
    oxygen = [line for line in lines if line.startswith("ATOM")][3]
    assert oxygen[60:66] == "      "
    assert {len(line) for line in lines} == {80}


def test_models_are_written_as_models(peptide):
    both = combine([peptide, replace(peptide, model=peptide.model + 1)])
    for text, read in (
        (pdb_text(both), gemmi.read_pdb_string),
        (cif_text(both), lambda t: gemmi.make_structure_from_block(gemmi.cif.read_string(t)[0])),
    ):
        assert [len(atoms_of(model)) for model in read(text)] == [len(peptide)] * 2


def test_the_same_structure_gives_the_same_bytes(peptide, tmp_path):
    first = write_structure(peptide, tmp_path / "one.cif.gz").read_bytes()
    assert first == write_structure(peptide, tmp_path / "two.cif.gz").read_bytes()
    assert gzip.decompress(first).decode() == cif_text(peptide)


@pytest.mark.parametrize(
    ("column", "value"),
    [("chain", "AA"), ("residue_name", "LIG10"), ("residue_number", 10_000), ("b_iso", 1000.0)],
)
def test_what_the_pdb_format_cannot_hold_is_refused(peptide, column, value):
    values = np.full(len(peptide), value)
    with pytest.raises(FormatError, match="Write mmCIF"):
        pdb_text(replace(peptide, **{column: values}))


def test_unknown_suffixes_are_refused(peptide, tmp_path):
    with pytest.raises(FormatError, match=r"\.xyz"):
        write_structure(peptide, tmp_path / "peptide.xyz")
    assert list(tmp_path.iterdir()) == []
