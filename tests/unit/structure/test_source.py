"""A file is read once, whatever its header holds, and written from what was read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debye.errors import StructureError
from debye.structure.formats.pdb import PdbFile
from debye.structure.read import read_source, read_structure, source_from_bytes
from debye.structure.structure import Crystal, EntityKind, Structure
from debye.structure.write import cif_text, pdb_text, write_structure, write_with_b
from debye.testing.peptide import combine, from_atoms


@pytest.mark.parametrize("suffix", [".cif", ".pdb", ".cif.gz"])
@pytest.mark.parametrize("copy", [".cif", ".pdb"])
def test_copies_need_no_second_reading(peptide, tmp_path: Path, suffix: str, copy: str) -> None:
    path = write_structure(peptide, tmp_path / f"in{suffix}")
    source = read_source(path)
    path.unlink()
    b = np.linspace(1, 90, len(peptide))
    write_with_b(source, tmp_path / f"out{copy}", b)
    np.testing.assert_allclose(read_structure(tmp_path / f"out{copy}").b_iso, b, atol=0.0051)


def test_a_source_is_never_replaced(peptide, tmp_path: Path) -> None:
    path = write_structure(peptide, tmp_path / "in.cif")
    source = read_source(path)
    with pytest.raises(StructureError, match="would replace the input"):
        write_with_b(source, tmp_path / ".." / tmp_path.name / "in.cif", np.zeros(len(peptide)))
    in_memory = source_from_bytes(path.read_bytes(), "in.cif")
    assert in_memory.path is None
    assert write_with_b(in_memory, path, np.zeros(len(peptide))).replaced == len(peptide)


HEADERS = (
    b"_struct.title 'H\xe9moglobine'\n_software.name J\xf6rg\n",
    b"_refine.ls_number_reflns_obs 12345.0\n_refine.ls_d_res_high 1.8\n",
    b"_struct_ref_seq.align_id 1\n",
    b"_struct_conn.id 1\n_struct_conn.ptnr1_label_seq_id x\n_struct_conn.ptnr2_label_seq_id 2\n",
    b"_cell.length_a wide\n_struct_ncs_oper.id 1\n_struct_ncs_oper.matrix[1][1] ?\n",
    b"loop_\n_software.name\n_software.version\nREFMAC\n",
    b"_exptl.method 'X-RAY DIFFRACTION\n",
)


@pytest.mark.parametrize("header", HEADERS)
def test_odd_facts_do_not_stop_the_reading_of_mmcif(peptide, header: bytes) -> None:
    text = cif_text(peptide).encode()
    first, rest = text.split(b"\n", 1)
    source = source_from_bytes(first + b"\n" + header + rest, "x.cif")
    assert len(source.structure) == len(peptide)
    assert header in source.content.annotated(np.ones(len(peptide))).data


@pytest.mark.parametrize(
    "header",
    [b"TITLE     H\xe9moglobine\n", b"REMARK   3   PROGRAM     : PH\xc9NIX 1.0\n",
     b"AUTHOR    J\xf6rg\n", b"CRYST1   wide\n", b"MTRIX1   1  1.0\n", b"SSBOND\nLINK\n"],
)  # fmt: skip
def test_odd_facts_do_not_stop_the_reading_of_pdb(peptide, header: bytes) -> None:
    source = source_from_bytes(header + pdb_text(peptide).encode(), "x.pdb")
    assert len(source.structure) == len(peptide)
    assert header in source.content.annotated(np.ones(len(peptide))).data


def test_one_record_that_gemmi_refuses_costs_no_other_fact(peptide, monkeypatch) -> None:
    import gemmi

    read = gemmi.read_pdb_string

    def refusing(text: bytes) -> gemmi.Structure:
        if b"SEQADV" in text:
            raise RuntimeError("bad SEQADV")
        return read(text)

    monkeypatch.setattr(gemmi, "read_pdb_string", refusing)
    header = b"SEQADV\nEXPDTA    X-RAY DIFFRACTION\nTITLE     FOUND\n"
    entry = PdbFile(header + pdb_text(peptide).encode(), "x.pdb").records().header
    assert (entry.method, entry.title) == ("X-RAY DIFFRACTION", "FOUND")


@pytest.fixture
def crystal_with_everything(peptide: Structure) -> Structure:
    """Two chains linked by sulfur and an ion, in two altlocs, with tensors and a missing copy."""
    second = replace(
        peptide, chain=np.full(len(peptide), "B"), chain_label=np.full(len(peptide), "B")
    )
    ion = from_atoms(
        [("ZN", "ZN", (20.0, -1.5, 3.25))], residue_name="ZN", residue_number=101,
        chain_label="C", kind=EntityKind.ION,
    )  # fmt: skip
    operator = np.array([[[0, -1, 0, 12.5], [1, 0, 0, -3.25], [0, 0, 1, 0.5]]], float)
    crystal = Crystal(
        cell=(40.0, 50.5, 60.25, 90.0, 90.0, 90.0), space_group="P 21 21 21", ncs_operators=operator
    )
    whole = combine([peptide, second, ion], crystal=crystal)
    tensors = np.full((len(whole), 6), np.nan, np.float32)
    tensors[2] = (0.1, 0.2, 0.3, 0.01, -0.02, 0.03)
    links = np.array([[5, len(whole) - 1]], np.int32)
    return replace(whole, u_aniso=tensors, links=links, b_iso=np.full(len(whole), 20, np.float32))


@pytest.mark.parametrize("suffix", [".cif", ".pdb"])
def test_new_files_hold_all_that_a_structure_holds(
    crystal_with_everything, tmp_path: Path, suffix: str
) -> None:
    written = crystal_with_everything
    read = read_structure(write_structure(written, tmp_path / f"x{suffix}"))
    assert read.links.tolist() == written.links.tolist()
    assert read.u_aniso is not None
    np.testing.assert_allclose(read.u_aniso[2], written.u_aniso[2], atol=1e-4)
    assert np.isnan(np.delete(read.u_aniso, 2, axis=0)).all()
    assert read.crystal is not None
    np.testing.assert_allclose(read.crystal.ncs_operators, written.crystal.ncs_operators, atol=1e-5)
    np.testing.assert_array_equal(read.entity_kind, written.entity_kind)


def test_pdb_files_end_chains_with_ter(crystal_with_everything) -> None:
    lines = pdb_text(crystal_with_everything).splitlines()
    ends = [line[17:26] for line in lines if line.startswith("TER")]
    assert [end[4] for end in ends] == ["A", "B"]
    serials = [int(line[6:11]) for line in lines if line.startswith(("ATOM", "HETATM", "TER"))]
    assert serials == list(range(1, len(crystal_with_everything) + 3))


def test_a_cell_whose_frame_is_unknown_is_not_written(crystal_with_everything) -> None:
    crystal = replace(crystal_with_everything.crystal, nonstandard_frame=True)
    structure = replace(crystal_with_everything, crystal=crystal)
    assert "CRYST1" not in pdb_text(structure)
    assert "_cell." not in cif_text(structure)


def test_unknown_values_stay_unknown_in_the_other_format(peptide, tmp_path: Path) -> None:
    position, b = peptide.position.copy(), np.full(len(peptide), np.nan, np.float32)
    position[3] = np.nan
    structure = replace(peptide, position=position, b_iso=b, chain=np.full(len(peptide), ""))
    for suffix in (".cif", ".pdb"):
        read = read_structure(write_structure(structure, tmp_path / f"x{suffix}"))
        assert np.isnan(read.b_iso).all()
        assert np.isnan(read.position[3]).all()
        assert np.isfinite(np.delete(read.position, 3, axis=0)).all()
        if suffix == ".pdb":
            assert set(read.chain.tolist()) == {""}
