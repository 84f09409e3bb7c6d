"""Copies with new B-factors: nothing else may change, in any format."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import gemmi
import msgpack
import numpy as np
import pytest

from debye.errors import FormatError, StructureError
from debye.structure.formats.mmcif import MmcifFile
from debye.structure.formats.new_text import Edited
from debye.structure.formats.pdb import PdbFile
from debye.structure.read import read_structure
from debye.structure.write import pdb_text, write_with_b

NAN = float("nan")
PDB = (
    b"HEADER    TEST                                    01-JAN-00   1ABC              \n"
    b"ATOM      1  N   ALA A   1      11.104   6.134  -6.504  1.00 20.00           N  \n"
    b"ANISOU    1  N   ALA A   1     2406   1892   1614    198    519   -328       N  \n"
    b"SIGUIJ    1  N   ALA A   1        2      1      1      1      1      1       N  \n"
    b"ATOM      2  CA  ALA A   1      11.639   6.071  -5.147  1.00 30.00           C1+\n"
    b"ANISOU    2  CA  ALA A   1     2406   1892   1614    198    519   -328       C  \n"
    b"TER       3      ALA A   1                                                      \n"
    b"HETATM    4 ZN    ZN A 101       1.639   6.071  -5.147  1.00 40.00          ZN  \n"
    b"END                                                                             \n"
)
CIF = b"""\
# a comment with _atom_site.fake and loop_
data_1ABC
_entry.id   1ABC
_struct.title
;A title
loop_
_atom_site.id
1
# and this
_is only text here
;
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.label_atom_id
_atom_site.B_iso_or_equiv
_atom_site.occupancy
ATOM   1 N     20.00  1.00
ATOM   2 "O5'" 30.00  0.50
HETATM 3 ZN    40.00  1.00
#
loop_
_atom_site_anisotrop.id
_atom_site_anisotrop.U[1][1]
1 0.2406
2 0.1892
#
_cell.length_a 50.0   # after the atoms
"""


def replace_b_pdb(data: bytes, b: np.ndarray, source: str) -> Edited:
    return PdbFile(data, source).annotated(b)


def replace_b_mmcif(data: bytes, b: np.ndarray, source: str) -> Edited:
    return MmcifFile(data, source).annotated(b)


def b_lines(data: bytes) -> list[bytes]:
    return [line[60:66] for line in data.splitlines() if line[:4] in (b"ATOM", b"HETA")]


# --- PDB ------------------------------------------------------------------------------------------


def test_pdb_changes_only_the_b_columns() -> None:
    edited = replace_b_pdb(PDB, np.array([NAN, 1.006, 123.456]), "test")
    expected = PDB.replace(b" 30.00 ", b"  1.01 ").replace(b" 40.00 ", b"123.46 ")
    anisou = [line for line in PDB.splitlines(keepends=True) if line.startswith(b"ANISOU    2")]
    assert edited.data == expected.replace(anisou[0], b"")
    assert (edited.replaced, edited.kept, edited.dropped_anisotropic) == (2, 1, 1)


def test_pdb_drops_both_anisotropic_records_of_an_atom() -> None:
    edited = replace_b_pdb(PDB, np.array([5.0, NAN, NAN]), "test")
    assert edited.dropped_anisotropic == 2
    assert b"SIGUIJ" not in edited.data
    assert edited.data.count(b"ANISOU") == 1


def test_pdb_anisou_records_collected_elsewhere_find_their_atom() -> None:
    lines = PDB.splitlines(keepends=True)
    anisou = [line for line in lines if line.startswith((b"ANISOU", b"SIGUIJ"))]
    others = [line for line in lines if line not in anisou]
    edited = replace_b_pdb(b"".join(others[:-1] + anisou + others[-1:]), np.array([5, NAN, 6]), "t")
    assert edited.dropped_anisotropic == 2
    assert b"ANISOU    2" in edited.data


def test_pdb_keeps_windows_line_ends_and_a_missing_last_newline() -> None:
    data = PDB.replace(b"\n", b"\r\n").rstrip()
    edited = replace_b_pdb(data, np.array([NAN, NAN, 7.0]), "test")
    assert edited.data == data.replace(b" 40.00 ", b"  7.00 ")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("length", [54, 60, 63, 66])
def test_pdb_lines_that_stop_early_are_padded(length: int, end: bytes) -> None:
    line = PDB.splitlines()[1][:length]
    edited = replace_b_pdb(line + end, np.array([7.5]), "test")
    assert edited.data == line[:60].ljust(60) + b"  7.50" + end


def test_pdb_values_beyond_six_columns_are_clipped_and_counted() -> None:
    edited = replace_b_pdb(PDB, np.array([1e5, -1e5, 999.996]), "test")
    assert b_lines(edited.data) == [b"999.99", b"-99.99", b"999.99"]
    assert edited.clipped == 3
    limits = replace_b_pdb(PDB, np.array([999.99, -99.99, -0.001]), "test")
    assert b_lines(limits.data) == [b"999.99", b"-99.99", b"  0.00"]
    assert limits.clipped == 0


def test_pdb_serial_numbers_that_reach_the_record_name() -> None:
    data = PDB.replace(b"ATOM      2", b"ATOM 100000").replace(b"HETATM    4", b"HETATMA0000")
    edited = replace_b_pdb(data, np.array([NAN, 8.0, 9.0]), "test")
    assert b_lines(edited.data) == [b" 20.00", b"  8.00", b"  9.00"]


def test_pdb_atoms_after_end_count_as_in_the_reader() -> None:
    data = PDB + PDB.splitlines(keepends=True)[1]
    edited = replace_b_pdb(data, np.array([1.0, 2.0, 3.0, 4.0]), "test")
    assert b_lines(edited.data) == [b"  1.00", b"  2.00", b"  3.00", b"  4.00"]


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
@pytest.mark.parametrize(
    ("before", "between", "behind"),
    [(b"", b"END\n", b"END\n"), (b"", b"END\r\n", b""), (b"", b"ENDMDL\nEND   \n", b"ENDMDL\nEND\n"),
     (b"MODEL        1\n", b"ENDMDL\nEND\nMODEL        2\n", b"ENDMDL\nEND\n"),
     (b"MODEL        1\n", b"END\n", b"")],
)  # fmt: skip
def test_pdb_frames_between_end_records(tmp_path, suffix, before, between, behind) -> None:
    lines = PDB.splitlines(keepends=True)
    frame = lines[1] + lines[4]
    if before and b"MODEL" not in between:
        between += lines[7]
    source, target = tmp_path / "a.pdb", tmp_path / f"b{suffix}"
    source.write_bytes(before + frame + between + frame.replace(b" A   1 ", b" A   2 ") + behind)
    read = read_structure(source)
    new = np.arange(1.0, len(read) + 1)
    assert write_with_b(source, target, new).replaced == len(read)
    written = read_structure(target)
    assert written.b_iso.tolist() == new.tolist()
    assert written.model.tolist() == read.model.tolist()
    assert written.residue_number.tolist() == read.residue_number.tolist()


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
def test_pdb_lines_that_end_with_a_carriage_return_alone(tmp_path, suffix) -> None:
    data = PDB.replace(b"\n", b"\r")
    source, target = tmp_path / "a.pdb", tmp_path / f"b{suffix}"
    source.write_bytes(data)
    write_with_b(source, target, np.array([NAN, NAN, 7.0]))
    assert [round(float(b), 2) for b in read_structure(target).b_iso] == [20.0, 30.0, 7.0]
    if suffix == ".pdb":
        assert target.read_bytes() == data.replace(b" 40.00 ", b"  7.00 ")
    edited = replace_b_pdb(data, np.array([7.0, NAN, NAN]), "test")
    assert edited.data.count(b"\r") == data.count(b"\r") - 2  # the lines of ANISOU and SIGUIJ


def test_pdb_blank_lines_behind_a_dropped_anisou_stay() -> None:
    data = b"".join(PDB.splitlines(keepends=True)[1:3])
    assert replace_b_pdb(data + b"\n\n", np.array([7.0]), "test").data.endswith(b"N  \n\n\n")


def test_pdb_endmdl_is_no_end() -> None:
    atom = PDB.splitlines(keepends=True)[1]
    data = b"MODEL        1\n" + atom + b"ENDMDL\nMODEL        2\n" + atom + b"ENDMDL\nEND\n"
    edited = replace_b_pdb(data, np.array([1.0, 2.0]), "test")
    assert b_lines(edited.data) == [b"  1.00", b"  2.00"]


# --- mmCIF ----------------------------------------------------------------------------------------


def test_mmcif_changes_only_the_tokens() -> None:
    edited = replace_b_mmcif(CIF, np.array([NAN, 1.006, 1234.5]), "test")
    expected = CIF.replace(b"30.00", b"1.01").replace(b"40.00", b"1234.50")
    assert edited.data == expected.replace(b"2 0.1892\n", b"")
    assert (edited.replaced, edited.kept, edited.dropped_anisotropic) == (2, 1, 1)


def test_mmcif_drops_the_whole_anisotropic_table_when_no_row_is_left() -> None:
    edited = replace_b_mmcif(CIF, np.array([1.0, 2.0, NAN]), "test")
    assert b"anisotrop" not in edited.data
    assert gemmi.cif.read_string(edited.data)[0].find_value("_cell.length_a") == "50.0"
    assert edited.dropped_anisotropic == 2


def test_mmcif_windows_line_ends_survive() -> None:
    data = CIF.replace(b"\n", b"\r\n")
    edited = replace_b_mmcif(data, np.array([NAN, NAN, 1.0]), "test")
    assert edited.data == data.replace(b"40.00", b"1.00")


UNUSUAL = {
    "tags on one line": (CIF.replace(b"_atom_site.id\n_atom_site.label", b"_atom_site.id _atom_site.label"), 3),
    "rows over several lines": (CIF.replace(b"ATOM   2 ", b"ATOM\n2\n\n"), 3),
    "comment between rows": (CIF.replace(b"HETATM 3", b"# 30.00 'x\nHETATM 3"), 3),
    "comment after a value": (CIF.replace(b"20.00  1.00", b"20.00  1.00 # x ' 1"), 3),
    "comment between tags": (CIF.replace(b"_atom_site.occ", b"# x\n_atom_site.occ"), 3),
    "quoted value with a blank": (CIF.replace(b"ZN ", b"'Z N' "), 3),
    "quotes inside quotes": (CIF.replace(b"ZN ", b"'a'b \" c' "), 3),
    "text field in a row": (CIF.replace(b"ZN ", b"\n;two\nwords 1\n;\n"), 3),
    "reserved word in a value": (CIF.replace(b"ZN ", b"xdata_1 "), 3),
    "upper-case keywords": (CIF.replace(b"loop_\n_atom", b"LOOP_\n_ATOM").replace(b"_atom_site.B_iso", b"_ATOM_SITE.b_ISO"), 3),
    "ends with the last value": (CIF[: CIF.index(b"1.00\n#\nloop_") + 4], 3),
    "next table on the same line": (CIF.replace(b"1.00\n#\nloop_", b"1.00 loop_"), 3),
    "next item on the same line": (CIF.replace(b"1.00\n#\nloop_", b"1.00 _x.y 1 loop_"), 3),
    "single items": (
        b"data_x\n_atom_site.id 1\n_atom_site.B_iso_or_equiv\n40.00\n_atom_site.occupancy 1\n", 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_mmcif_unusual_layouts(name: str) -> None:
    data, rows = UNUSUAL[name]
    assert data.count(b"40.00") == 1, "the test itself"
    edited = replace_b_mmcif(data, np.array([NAN] * (rows - 1) + [1.0]), "test")
    assert edited.data == data.replace(b"40.00", b"1.00")
    column = gemmi.cif.read_string(edited.data)[0].find_values("_atom_site.B_iso_or_equiv")
    assert list(column)[-1] == "1.00"


@pytest.mark.parametrize("name", UNUSUAL)
def test_mmcif_large_and_small_tables_are_cut_alike(name: str, monkeypatch) -> None:
    data, rows = UNUSUAL[name]
    b = np.array([5.0] * rows)
    one_by_one = replace_b_mmcif(data, b, "test").data
    monkeypatch.setattr("debye.structure.formats.cif_tokens._SMALL", 0)
    assert replace_b_mmcif(data, b, "test").data == one_by_one


@pytest.mark.parametrize("as_loop", [True, False])
def test_mmcif_without_a_b_column_gets_one(as_loop: bool) -> None:
    loop = b"data_x\nloop_\n_atom_site.id\n_atom_site.occupancy\n1 1.00\n2 0.50\n"
    items = b"data_x\n_atom_site.id 1\n_atom_site.occupancy 1.00\n"
    data, b = (loop, [NAN, 12.5]) if as_loop else (items, [12.5])
    block = gemmi.cif.read_string(replace_b_mmcif(data, np.array(b), "test").data)[0]
    column = list(block.find_values("_atom_site.B_iso_or_equiv"))
    assert column == (["?", "12.50"] if as_loop else ["12.50"])
    assert list(block.find_values("_atom_site.occupancy")) == ["1.00", "0.50"][: len(b)]


def test_mmcif_contradicting_columns_of_the_atom_table_become_unknown() -> None:
    data = (
        b"data_x\nloop_\n_atom_site.id\n_atom_site.B_iso_or_equiv\n_atom_site.U_iso_or_equiv\n"
        b"1 20.00 0.25\n2 30.00 0.38\n"
    )
    edited = replace_b_mmcif(data, np.array([5.0, NAN]), "test")
    assert edited.data == data.replace(b"20.00 0.25", b"5.00 ?")


def test_mmcif_only_the_block_with_atoms_is_touched() -> None:
    other = b"data_other\nloop_\n_atom_site_anisotrop.id\n_atom_site_anisotrop.U[1][1]\n1 0.1\n"
    plain = CIF[: CIF.index(b"loop_\n_atom_site_anisotrop")]
    for data in (other + plain, plain + other):
        edited = replace_b_mmcif(data, np.array([NAN, NAN, 3.0]), "test")
        assert edited.data == data.replace(b"40.00", b"3.00")
        assert edited.dropped_anisotropic == 0


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"data_x\n_cell.length_a 1\n", "there are no atoms"),
        (CIF.replace(b"HETATM 3 ZN    40.00  1.00", b"HETATM 3 ZN"), "incomplete rows"),
        (CIF.replace(b"_atom_site_anisotrop.id", b"_atom_site_anisotrop.nr"), "column named id"),
    ],
)
def test_mmcif_damaged_tables_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(StructureError, match=problem):
        replace_b_mmcif(data, np.array([1.0, 2.0, 3.0]), "test")


@pytest.mark.parametrize(("replace", "data"), [(replace_b_pdb, PDB), (replace_b_mmcif, CIF)])
def test_number_of_values_must_fit(replace, data: bytes) -> None:
    with pytest.raises(StructureError, match=r"test: the file has 3 .* 2 B-factors were given"):
        replace(data, np.array([1.0, 2.0]), "test")


# --- files ----------------------------------------------------------------------------------------


def test_gzip_in_and_out_and_the_same_bytes_twice(tmp_path: Path) -> None:
    source = tmp_path / "a.pdb.gz"
    source.write_bytes(gzip.compress(PDB))
    b = np.array([1.0, 2.0, NAN])
    for name in ("b.ent.gz", "c.ent.gz"):
        report = write_with_b(source, tmp_path / name, b)
    assert b_lines(gzip.decompress((tmp_path / "b.ent.gz").read_bytes())) == [
        b"  1.00", b"  2.00", b" 40.00",
    ]  # fmt: skip
    assert (tmp_path / "b.ent.gz").read_bytes() == (tmp_path / "c.ent.gz").read_bytes()
    assert (report.atoms, report.replaced, report.kept) == (3, 2, 1)
    assert str(report).endswith(
        "2 B-factors replaced, 1 atoms keep their value, 3 anisotropic records dropped"
    )


def test_format_is_known_by_content(tmp_path: Path) -> None:
    source = tmp_path / "mistaken.pdb"
    cif = CIF.replace(
        b"_atom_site.occupancy", b"_atom_site.Cartn_x\n_atom_site.Cartn_y\n_atom_site.Cartn_z"
    )
    cif = cif.replace(b"  1.00\n", b"  1.00 2 3\n").replace(b"  0.50\n", b"  0.50 2 3\n")
    source.write_bytes(cif)
    write_with_b(source, tmp_path / "out.cif", np.array([1.0, 2.0, 3.0]))
    assert b"ATOM   1 N     1.00  1.00" in (tmp_path / "out.cif").read_bytes()


def test_refuses_what_it_cannot_or_must_not_write(tmp_path: Path) -> None:
    source = tmp_path / "a.pdb"
    source.write_bytes(PDB)
    b = np.array([1.0, 2.0, 3.0])
    with pytest.raises(StructureError, match=r"does not write files that end in '\.bcif'"):
        write_with_b(source, tmp_path / "a.bcif", b)
    with pytest.raises(StructureError, match="would replace the input"):
        write_with_b(source, tmp_path / ".." / tmp_path.name / "a.pdb", b)
    with pytest.raises(StructureError, match="1 of 3 new B-factors are infinite"):
        write_with_b(source, tmp_path / "b.pdb", np.array([1.0, np.inf, 3.0]))
    with pytest.raises(StructureError, match="cannot be written"):
        write_with_b(source, source / "b.pdb", b)
    (tmp_path / "cut.pdb.gz").write_bytes(gzip.compress(PDB)[:-9])
    with pytest.raises(FormatError, match="gzip"):
        write_with_b(tmp_path / "cut.pdb.gz", tmp_path / "b.pdb", b)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdb", "cut.pdb.gz"]
    assert source.read_bytes() == PDB


@pytest.mark.slow
def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    source, target = tmp_path / "a.pdb", tmp_path / "b.pdb"
    source.write_bytes(PDB * 1)
    target.write_bytes(b"old")
    code = f"""
import resource, signal, numpy as np
from debye.errors import StructureError
from debye.structure.read import read_structure
from debye.structure.write import write_with_b
from debye.structure.formats.new_text import Edited
from debye.structure.formats.mmcif import MmcifFile
from debye.structure.formats.pdb import PdbFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    write_with_b({str(source)!r}, {str(target)!r}, np.array([1.0, 2.0, 3.0]))
except StructureError as error:
    raise SystemExit(str(error))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "cannot be written (File too large)" in run.stderr
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdb", "b.pdb"]


# --- conversion -----------------------------------------------------------------------------------


def atoms_of(structure: gemmi.Structure) -> dict[tuple, gemmi.Atom]:
    return {
        (model.num, chain.name, str(residue.seqid), residue.name, atom.name, atom.altloc): atom
        for model in structure
        for chain in model
        for residue in chain
        for atom in residue
    }


def test_pdb_to_mmcif_and_back(tmp_path: Path) -> None:
    source = tmp_path / "a.pdb"
    source.write_bytes(PDB)
    report = write_with_b(source, tmp_path / "b.cif", np.array([1.5, NAN, 3.5]))
    assert (report.replaced, report.dropped_anisotropic) == (2, 1)
    found = atoms_of(gemmi.read_structure(str(tmp_path / "b.cif")))
    assert [round(atom.b_iso, 2) for atom in found.values()] == [1.5, 30.0, 3.5]
    assert [atom.aniso.nonzero() for atom in found.values()] == [False, True, False]
    write_with_b(tmp_path / "b.cif", tmp_path / "c.pdb", np.array([4000.0, NAN, 5.0]))
    assert b_lines((tmp_path / "c.pdb").read_bytes()) == [b"999.99", b" 30.00", b"  5.00"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("auth_asym_id", "AB"), "chain name 'AB' has more than one letter"),
        (("auth_comp_id", "A1ABC"), "residue name 'A1ABC' has more than three letters"),
        (("auth_seq_id", "10000"), "residue number 10000"),
        (("Cartn_x", "12345.0"), "outside the eight columns"),
    ],
)
def test_mmcif_that_does_not_fit_a_pdb_file_is_refused(tmp_path, change, problem) -> None:
    values = {
        "group_PDB": "ATOM", "id": "1", "type_symbol": "C", "label_atom_id": "CA", "label_alt_id": ".",
        "label_comp_id": "ALA", "label_asym_id": "A", "label_entity_id": "1", "label_seq_id": "1",
        "Cartn_x": "1.0", "Cartn_y": "2.0", "Cartn_z": "3.0", "occupancy": "1.00",
        "B_iso_or_equiv": "20.00", "auth_seq_id": "1", "auth_asym_id": "A", "auth_comp_id": "ALA",
    }  # fmt: skip
    values[change[0]] = change[1]
    source = tmp_path / "a.cif"
    source.write_text("data_x\n" + "".join(f"_atom_site.{k} {v}\n" for k, v in values.items()))
    with pytest.raises(StructureError, match=rf"{problem}.*--format cif"):
        write_with_b(source, tmp_path / "b.pdb", np.array([1.0]))
    assert not (tmp_path / "b.pdb").exists()


def test_more_than_99999_atoms_are_refused_as_pdb_but_kept_in_a_pdb_copy(peptide) -> None:
    atoms = np.arange(100_000) % len(peptide)
    with pytest.raises(FormatError, match="100001 atom and TER records"):
        pdb_text(peptide.take(atoms))
    lines = PDB.splitlines(keepends=True)[1] * 100_001
    edited = replace_b_pdb(lines, np.full(100_001, 5.0), "test")
    assert b_lines(edited.data) == [b"  5.00"] * 100_001


def test_binary_cif_becomes_text_with_every_category(tmp_path: Path) -> None:
    def column(name: str, values: list[str], mask: list[int] | None = None) -> dict:
        text, offsets = "".join(values), np.cumsum([0, *map(len, values)]).astype("<i4").tobytes()
        integers = [{"kind": "ByteArray", "type": 3}]
        encoding = {
            "kind": "StringArray", "dataEncoding": integers, "stringData": text,
            "offsetEncoding": integers, "offsets": offsets,
        }  # fmt: skip
        data = np.arange(len(values)).astype("<i4").tobytes()
        masked = mask and {"data": bytes(mask), "encoding": [{"kind": "ByteArray", "type": 4}]}
        return {"name": name, "data": {"data": data, "encoding": [encoding]}, "mask": masked}

    hard = [
        "it's",
        "a b",
        "x' y\" z",
        "?",
        "",
        "two\nlines\n;and a semicolon",
        "_tag",
        "loop_",
        "#",
    ]
    document = {
        "version": "0.3.0", "encoder": "test", "dataBlocks": [
            {"header": "EMPTY", "categories": []},
            {"header": "1ABC", "categories": [
                {"name": "_hard", "rowCount": len(hard) + 2, "columns": [
                    column("value", [*hard, "", ""], [0] * len(hard) + [1, 2])]},
                {"name": "_struct", "rowCount": 1, "columns": [
                    column("title", ["A long\ntitle"]), column("id", ["x"])]},
                {"name": "_atom_site", "rowCount": 2, "columns": [
                    column("id", ["1", "2"]), column("B_iso_or_equiv", ["20.0", "30.0"]),
                    *(column(f"Cartn_{axis}", ["1.0", "2.0"]) for axis in "xyz")]},
            ]},
        ],
    }  # fmt: skip
    source = tmp_path / "a.bcif"
    source.write_bytes(msgpack.packb(document))
    write_with_b(source, tmp_path / "b.cif", np.array([NAN, 5.0]))
    block = gemmi.cif.read(str(tmp_path / "b.cif")).sole_block()
    found = list(block.find_values("_hard.value"))
    hard[5] = hard[5].replace("\n;", "\n ;")  # cannot be said in CIF 1.1 otherwise
    assert [gemmi.cif.as_string(value) for value in found[:-2]] == hard
    assert found[-2:] == [".", "?"]
    assert gemmi.cif.as_string(block.find_value("_struct.title")) == "A long\ntitle"
    assert block.find_value("_struct.id") == "x"
    assert list(block.find_values("_atom_site.B_iso_or_equiv")) == ["20.0", "5.00"]


# --- the benchmark files --------------------------------------------------------------------------


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def test_every_text_file_changes_nowhere_else(benchmark_data: Path, tmp_path: Path) -> None:
    folders = benchmark_data / "formats", benchmark_data / "af_models"
    files = [*sorted(folders[0].glob("*.*")), *sorted(folders[1].glob("*.*"))[::4]]
    texts = [path for path in files if ".pdb" in path.name or ".cif" in path.name]
    assert len(texts) > 30
    generator = np.random.default_rng(1)
    for source in texts:
        original = content(source)
        is_pdb = ".pdb" in source.name
        b = generator.uniform(2, 200, count_records(original, is_pdb)).round(2)
        b[::7] = np.nan
        target = tmp_path / f"copy{'.pdb' if is_pdb else '.cif'}"
        report = write_with_b(source, target, b)
        assert report.replaced == np.isfinite(b).sum()
        (check_pdb if is_pdb else check_cif)(original, target.read_bytes(), b)
        target.unlink()


def count_records(data: bytes, is_pdb: bool) -> int:
    if is_pdb:
        return sum(m.count_atom_sites() for m in gemmi.read_pdb_string(data))
    return len(gemmi.cif.read_string(data, check_level=0)[0].find_loop("_atom_site.id"))


def check_pdb(old: bytes, new: bytes, b: np.ndarray) -> None:
    """Line by line, without the code under test: only columns 61-66 and ANISOU differ."""
    position, replaced, copy = 0, False, iter(new.splitlines(keepends=True))
    for line in old.splitlines(keepends=True):
        if line.startswith((b"ATOM", b"HETATM")):
            replaced = bool(np.isfinite(b[position]))
            expected = b"%6.2f" % b[position] if replaced else line[60:66]
            position += 1
            line = line[:60] + expected + line[66:]
        elif line.startswith(b"ANISOU") and replaced:
            continue
        assert next(copy) == line
    assert next(copy, None) is None


def check_cif(old: bytes, new: bytes, b: np.ndarray) -> None:
    """By gemmi: every item of every category is equal but B; and the blanks between are."""
    blocks = [gemmi.cif.read_string(data, check_level=0)[0] for data in (old, new)]
    before, after = (block.find_loop("_atom_site.B_iso_or_equiv") for block in blocks)
    for value, (first, second) in zip(b, zip(list(before), list(after), strict=True), strict=True):
        assert second == (first if np.isnan(value) else f"{value:.2f}")
    for row in range(len(after)):
        after[row] = before[row]
    assert blocks[0].as_string() == blocks[1].as_string()
    assert len(old.splitlines()) == len(new.splitlines())


def test_every_binary_file_keeps_every_category(benchmark_data: Path, tmp_path: Path) -> None:
    import biotite.structure.io.pdbx as pdbx

    formats = benchmark_data / "formats"
    sample = sorted((benchmark_data / "structures").rglob("*.bcif.gz"))[::1100]
    for source in [formats / "1acj.bcif.gz", formats / "200l.bcif", formats / "1l2y.bcif", *sample]:
        raw = tmp_path / "raw.bcif"
        raw.write_bytes(content(source))
        expected = pdbx.BinaryCIFFile.read(raw).block
        atoms = expected["atom_site"].row_count
        b = np.arange(atoms, dtype=float) % 97
        target = tmp_path / "copy.cif"
        write_with_b(source, target, b)
        block = gemmi.cif.read(str(target)).sole_block()
        assert sorted(block.get_mmcif_category_names()) == sorted(f"_{name}." for name in expected)
        for name, category in expected.items():
            for item, column in category.items():
                tag = f"_{name}.{item}"
                values = list(block.find_values(tag))
                if tag == "_atom_site.B_iso_or_equiv":
                    assert values == [f"{value:.2f}" for value in b]
                else:
                    compare_column(tag, values, column)


def compare_column(tag: str, values: list[str], column) -> None:
    """Text, numbers and masks as Biotite decodes them."""
    mask = np.zeros(len(values), int) if column.mask is None else column.mask.array
    data = column.data.array
    for value, expected, masked in zip(values, data.tolist(), mask.tolist(), strict=True):
        if masked or expected in (".", "?"):
            assert value == ({1: ".", 2: "?"}[masked] if masked else expected), tag
        elif data.dtype.kind == "f":
            # Biotite decodes some columns as float32; 1e-6 is its relative rounding.
            assert float(value) == pytest.approx(expected, rel=1e-6), tag
        elif data.dtype.kind in "iu":
            assert int(value) == expected, tag
        else:
            assert gemmi.cif.as_string(value) == expected.replace("\n;", "\n ;"), tag


@pytest.mark.parametrize("suffix", [".cif", ".pdb"])
def test_conversion_keeps_every_atom(benchmark_data: Path, tmp_path: Path, suffix: str) -> None:
    other = {".cif": ".pdb", ".pdb": ".cif"}[suffix]
    for source in sorted((benchmark_data / "formats").glob(f"*{other}*")):
        original = atoms_of(gemmi.read_structure(str(source)))
        records = count_records(content(source), other == ".pdb")
        write_with_b(source, tmp_path / f"copy{suffix}", np.full(records, 7.25))
        converted = atoms_of(gemmi.read_structure(str(tmp_path / f"copy{suffix}")))
        assert converted.keys() == original.keys(), source.name
        for key, atom in converted.items():
            assert atom.b_iso == 7.25
            assert atom.pos.dist(original[key].pos) < 1e-3
            assert abs(atom.occ - original[key].occ) < 0.005


def test_records_of_the_reader_are_the_rows_of_the_writer(
    benchmark_data: Path, tmp_path: Path
) -> None:
    for source in sorted((benchmark_data / "formats").glob("[0-9]*")):
        structure = read_structure(source)
        b = np.full(len(structure), NAN)
        b[structure.record] = np.arange(len(structure)) % 90_000 / 100 + 1
        b[structure.record[::5]] = NAN
        for suffix in (".cif", ".pdb"):
            if not (suffix in source.name or (".bcif" in source.name and suffix == ".cif")):
                continue
            write_with_b(source, tmp_path / f"copy{suffix}", b)
            copy = read_structure(tmp_path / f"copy{suffix}")
            expected = np.where(np.isnan(b), structure.b_iso, b)[structure.record]
            np.testing.assert_allclose(copy.b_iso, expected.astype(np.float32), atol=1e-4)
            for field in ("record", "chain", "atom_name", "position", "occupancy", "residue_index"):
                np.testing.assert_array_equal(getattr(copy, field), getattr(structure, field))
            assert copy.entry == structure.entry
