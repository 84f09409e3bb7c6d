"""Our readers against Biotite and gemmi: every value of every atom.

Nothing is rounded here: coordinates, B and occupancy are the nearest float32 of the same decimal in all programs.
ANISOU is a product of float32 in gemmi and of float64 here, so the last digit may differ.
"""

from __future__ import annotations

import gzip
import io

import gemmi
import numpy as np
import pytest

from debye.structure.formats.bcif import BcifFile
from debye.structure.read import read_structure
from debye.structure.structure import Structure

pdbx = pytest.importorskip("biotite.structure.io.pdbx")

TEXT_FILES = (
    "1a34.pdb", "1hpg.pdb", "1l2y.pdb", "1lmq.pdb", "1r0f.pdb", "1tal.pdb", "1ts8.pdb", "2gzv.pdb.gz", "3a02.pdb",
    "3pcj.pdb", "5fwo_noheader.pdb", "1pga.cif", "200l.cif", "3uln.cif.gz", "8u4l.cif.gz",
)  # fmt: skip


def content(path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def binary_files(folder) -> list:
    paths = sorted((folder / "structures").glob("*/*.bcif.gz"))
    return [*sorted((folder / "formats").glob("*.bcif*")), *paths[:: len(paths) // 12]]


def test_every_column_is_decoded_as_biotite_does(benchmark_data):
    columns = 0
    for path in binary_files(benchmark_data):
        raw = content(path)
        block = pdbx.BinaryCIFFile.read(io.BytesIO(raw)).block
        file = BcifFile(raw, path.name)
        assert all(file.has_category(name.lower()) for name in block)
        for category in block:
            expected_of = {name.lower(): column for name, column in block[category].items()}
            for name, column in file.category(category.lower()).items():
                data, mask = expected_of[name].data.array, expected_of[name].mask
                given = np.ones(len(data), bool) if mask is None else np.asarray(mask.array) == 0
                found = column.texts() if data.dtype.kind == "U" else column.numbers()
                absent = "" if data.dtype.kind == "U" else np.nan
                if data.dtype.kind == "U":  # some writers store the marks as text
                    given &= (data != ".") & (data != "?")
                expected = np.where(given, data, absent)
                np.testing.assert_array_equal(found, expected, err_msg=f"{path.name} {name}")
                columns += 1
    assert columns > 2000


# Biotite says which column it takes where the author's is missing; so do we, without a word.
@pytest.mark.filterwarnings("ignore:Attribute .* not found:UserWarning")
def test_atoms_of_binary_cif_are_those_of_biotite(benchmark_data):
    for path in binary_files(benchmark_data)[1::2]:
        file = pdbx.BinaryCIFFile.read(io.BytesIO(content(path)))
        expected = pdbx.get_structure(
            file, model=1, altloc="all", extra_fields=["b_factor", "occupancy"]
        )
        ours = read_structure(path)
        ours = ours.take(ours.model == 1)
        assert len(expected) == len(ours)
        np.testing.assert_array_equal(ours.position, expected.coord)
        np.testing.assert_array_equal(ours.b_iso, expected.b_factor.astype(np.float32))
        np.testing.assert_array_equal(ours.occupancy, expected.occupancy.astype(np.float32))
        np.testing.assert_array_equal(ours.chain, expected.chain_id)
        np.testing.assert_array_equal(ours.residue_number, expected.res_id)
        np.testing.assert_array_equal(ours.insertion_code, expected.ins_code)
        np.testing.assert_array_equal(ours.residue_name, expected.res_name)
        np.testing.assert_array_equal(ours.atom_name, expected.atom_name)
        np.testing.assert_array_equal(ours.element, np.char.upper(expected.element))
        np.testing.assert_array_equal(ours.is_hetero, expected.hetero)
        altloc = np.char.replace(np.char.replace(expected.altloc_id, ".", ""), "?", "")
        np.testing.assert_array_equal(ours.altloc, altloc)


def strings(codes: np.ndarray) -> np.ndarray:
    return np.array([bytes(row.view(np.uint8)).rstrip(b"\0").decode() for row in codes])


def characters(codes: np.ndarray) -> np.ndarray:
    return np.array([chr(code).strip("\0 ") for code in codes])


def assert_equal_to_gemmi(ours: Structure, structure: gemmi.Structure) -> None:
    flat = gemmi.FlatStructure(structure)
    np.testing.assert_array_equal(ours.position, flat.pos.astype(np.float32))
    np.testing.assert_array_equal(ours.b_iso, flat.b_iso)
    np.testing.assert_array_equal(ours.occupancy, flat.occ)
    np.testing.assert_array_equal(ours.model, flat.model_num)
    np.testing.assert_array_equal(ours.chain, strings(flat.chain_ids))
    np.testing.assert_array_equal(ours.residue_number, flat.resnums)
    np.testing.assert_array_equal(ours.insertion_code, characters(flat.icodes))
    np.testing.assert_array_equal(ours.residue_name, strings(flat.residue_names))
    np.testing.assert_array_equal(ours.atom_name, strings(flat.atom_names))
    np.testing.assert_array_equal(ours.altloc, characters(flat.altlocs))
    np.testing.assert_array_equal(ours.is_hetero, flat.het_flags == ord("H"))
    symbols = [symbol.decode().upper() for symbol in flat.element_names]
    np.testing.assert_array_equal(ours.element, symbols)


@pytest.mark.parametrize("name", TEXT_FILES)
def test_atoms_of_text_files_are_those_of_gemmi(benchmark_data, name):
    path = benchmark_data / "formats" / name
    structure = gemmi.read_structure(str(path), merge_chain_parts=False)
    ours = read_structure(path)
    assert_equal_to_gemmi(ours, structure)
    if ours.u_aniso is not None:
        tensors = [site.atom.aniso.elements_pdb() for model in structure for site in model.all()]
        np.testing.assert_allclose(np.nan_to_num(ours.u_aniso), tensors, atol=1e-7)


def test_predicted_models_are_those_of_gemmi(benchmark_data):
    for path in sorted((benchmark_data / "af_models").glob("*.gz"))[::8]:
        # gemmi's check refuses the duplicate tags of these files.
        block = gemmi.cif.read_string(content(path), 0)[0]
        assert_equal_to_gemmi(read_structure(path), gemmi.make_structure_from_block(block))


def test_pdb_of_gemmi_gives_the_entry_of_its_mmcif(benchmark_data):
    """One entry in both formats, written by another program, gives equal atoms, kinds and residues."""
    path = benchmark_data / "formats" / "8u4l.cif.gz"
    structure = gemmi.read_structure(str(path), merge_chain_parts=False)
    text = structure.make_pdb_string(gemmi.PdbWriteOptions(ter_records=False))
    from debye.structure.read import source_from_bytes

    ours, again = read_structure(path), source_from_bytes(text.encode(), "again").structure
    for name in ("chain", "residue_number", "residue_name", "atom_name", "element", "position", "b_iso",
                 "entity_kind", "residue_index", "links"):  # fmt: skip
        np.testing.assert_array_equal(getattr(ours, name), getattr(again, name), err_msg=name)
