from __future__ import annotations

import gzip
import pickle

import msgpack
import numpy as np
import pytest

from debye.errors import FormatError, StructureError
from debye.structure.read import file_format, read_structure, source_from_bytes
from debye.structure.select import select_atoms
from debye.structure.structure import BKind, EntityKind, Structure
from debye.targets.b_factor import BReason, assess_b

ATOM = "ATOM      1  N   GLY A   1       1.000  -2.500   3.000  0.75 12.34           N\n"
TAGS = (
    "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id",
    "label_asym_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z",
    "occupancy", "B_iso_or_equiv", "auth_seq_id", "auth_asym_id", "pdbx_PDB_model_num",
)  # fmt: skip
ROW = "ATOM 1 N N . GLY A 1 ? 1.0 -2.500 3.000 0.75 12.34 7 X 1"
SECOND = "HETATM 2 C CA B GLY A 1 ? 2.0 -2.500 3.000 0.25 9.5 7 X 1"


def read(text: str | bytes, source: str = "test") -> Structure:
    return source_from_bytes(text.encode() if isinstance(text, str) else text, source).structure


def cif(*rows: str, tags=TAGS, rest: str = "") -> str:
    head = "".join(f"_atom_site.{tag}\n" for tag in tags)
    return f"data_x\n#\n{rest}loop_\n{head}" + "".join(f"{row}\n" for row in rows) + "#\n"


def bcif(**categories: dict[str, list[str]]) -> bytes:
    """BinaryCIF of one block in which every column holds texts."""

    def column(name: str, values: list[str]) -> dict:
        integers = [{"kind": "ByteArray", "type": 3}]
        offsets = np.cumsum([0, *map(len, values)]).astype("<i4").tobytes()
        encoding = {"kind": "StringArray", "dataEncoding": integers, "stringData": "".join(values),
                    "offsetEncoding": integers, "offsets": offsets}  # fmt: skip
        data = np.arange(len(values)).astype("<i4").tobytes()
        return {"name": name, "data": {"data": data, "encoding": [encoding]}, "mask": None}

    block = {
        "header": "x",
        "categories": [
            {"name": name, "columns": [column(*item) for item in columns.items()]}
            for name, columns in categories.items()
        ],
    }
    return msgpack.packb({"version": "0.3.0", "encoder": "test", "dataBlocks": [block]})


def same_atoms(first: Structure, second: Structure) -> None:
    for name in ("model", "chain", "residue_number", "insertion_code", "residue_name", "atom_name",
                 "altloc", "element", "position", "occupancy", "b_iso", "is_hetero", "entity_kind",
                 "residue_index", "record"):  # fmt: skip
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


class TestBadInput:
    @pytest.mark.parametrize("content", [b"", b"\n \n", gzip.compress(b"", mtime=0)])
    def test_an_empty_file(self, content):
        with pytest.raises(FormatError, match=r"x\.pdb: the file is empty\. Give a structure"):
            read(content, "x.pdb")

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"<!DOCTYPE html><html><body>404 ATOM  </body></html>", "HTML"),
            (b"\n <html>\nREMARK\n", "HTML"),
            (b"<?xml version='1.0'?><PDBx:datablock>", "XML"),
            (b'{"error": "not found"}', "JSON"),
            (b"PK\x03\x04abc", "ZIP"),
            (b"BZh91AY", "bzip2"),
            (b"\xff\xfed\x00a\x00", "UTF-16"),
            (b"Dear all,\nno structure here\n", "unknown content"),
            (b"\x82\xa1a\x01\xa1b\x02", "MessagePack"),
            (b">1ABC\nMKVLA\n", "unknown content"),
        ],
    )
    def test_what_is_no_structure_is_called_by_its_name(self, content, what):
        with pytest.raises(FormatError, match=what) as error:
            read(content, "1abc.cif")
        assert str(error.value).startswith("1abc.cif: ")
        assert "mmCIF, BinaryCIF or PDB" in str(error.value)

    @pytest.mark.parametrize("keep", [12, 40, -4])
    def test_truncated_gzip(self, keep):
        content = gzip.compress(cif(ROW, SECOND).encode())[:keep]
        with pytest.raises(FormatError, match="truncated or damaged gzip data"):
            read(content)

    def test_damaged_gzip(self):
        content = bytearray(gzip.compress(cif(ROW, SECOND).encode() * 20))
        content[30] ^= 0xFF
        with pytest.raises(FormatError, match="truncated or damaged gzip data"):
            read(bytes(content))

    @pytest.mark.parametrize(
        "content",
        [
            "HEADER    TEST\nREMARK   1\nEND\n",
            "data_r1abcsf\nloop_\n_refln.index_h\n1\n",
            "data_x\n_cell.length_a 5\n",
            cif(),
        ],
    )
    def test_no_atoms(self, content):
        with pytest.raises(StructureError, match=r"no atoms in the file|damaged mmCIF"):
            read(content)

    def test_no_atom_has_coordinates(self):
        text = ATOM[:30] + " " * 24 + ATOM[54:]
        with pytest.raises(StructureError, match="none of the 2 atoms has coordinates"):
            read(text * 2)

    @pytest.mark.parametrize("junk", ["     nan", "        ", "********", "  1.0x00", "-       "])
    def test_some_coordinates_are_missing(self, junk):
        text = ATOM + ATOM[:30] + junk + ATOM[38:]
        structure = read(text)
        assert np.isnan(structure.position[1, 0])
        assert np.isfinite(structure.position[1, 1:]).all()
        chosen, selection = select_atoms(structure)
        assert len(chosen) == selection.no_coordinates == 1

    @pytest.mark.parametrize("junk", ["nan", "?", ".", "abc"])
    def test_some_coordinates_are_missing_in_mmcif(self, junk):
        structure = read(cif(ROW, SECOND.replace("2.0", junk)))
        assert np.isnan(structure.position).tolist() == [[False] * 3, [True, False, False]]

    def test_fractional_coordinates_only(self):
        tags = [tag.replace("Cartn", "fract") for tag in TAGS]
        with pytest.raises(StructureError, match="no Cartn_x, Cartn_y, Cartn_z"):
            read(cif(ROW, tags=tags))

    def test_a_short_atom_record_is_named_by_its_line(self):
        with pytest.raises(FormatError, match="line 2 is an atom record of 44 characters"):
            read(ATOM + ATOM[:44] + "\n")

    def test_a_residue_number_that_is_none(self):
        with pytest.raises(FormatError, match="residue number '1-3'"):
            read(ATOM.replace("A   1 ", "A 1-3 "))

    @pytest.mark.parametrize("row", ["ATOM 1 N", ROW + " 5", ROW.replace(" N N", " 'N N")])
    def test_a_damaged_row_of_mmcif(self, row):
        with pytest.raises(FormatError, match="damaged mmCIF text"):
            read(cif(ROW, row))

    def test_errors_cross_process_borders(self):
        with pytest.raises(FormatError) as error:
            read(b"", "x.pdb")
        assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_structure(tmp_path / "missing.pdb")

    def test_proteins_are_not_required(self):
        water = "HETATM    1  O   HOH A   1       1.000   2.000   3.000  1.00 12.34           O\n"
        assert read(water).entity_kind.tolist() == [EntityKind.WATER]

    @pytest.mark.slow
    def test_a_million_atoms(self):
        atoms = 1_000_000
        number = np.arange(atoms)
        lines = np.frombuffer(ATOM.encode() * atoms, np.uint8).reshape(atoms, -1).copy()
        for column, divisor in ((22, 1000), (23, 100), (24, 10), (25, 1)):
            lines[:, column] = ord("0") + number // 10 // divisor % 10
        lines[:, 21] = ord("A") + number // 100_000
        for column, divisor in (
            (31, 100_000),
            (32, 10_000),
            (33, 1000),
            (35, 100),
            (36, 10),
            (37, 1),
        ):
            lines[:, column] = ord("0") + number // divisor % 10
        names = np.frombuffer(b" N   CA  C   O   CB  CG  CD  CE  NZ  OXT", np.uint8).reshape(10, 4)
        lines[:, 12:16] = names[number % 10]
        structure = read(lines.tobytes())
        assert len(structure) == atoms
        assert structure.n_residues == atoms // 10
        np.testing.assert_allclose(structure.position[:, 0], number % 1_000_000 / 1000, atol=1e-4)
        chosen, selection = select_atoms(structure)
        assert len(chosen) == atoms
        assert selection.total == 0


class TestFormats:
    @pytest.mark.parametrize("name", ["x.cif", "x.pdb.gz", "x.txt", "x"])
    def test_content_decides_and_not_the_name(self, tmp_path, name):
        for content in (ATOM.encode(), cif(ROW).encode(), gzip.compress(ATOM.encode())):
            path = tmp_path / name
            path.write_bytes(content)
            structure = read_structure(path)
            assert structure.source == str(path)
            assert structure.position.tolist() == [[1.0, -2.5, 3.0]]

    def test_recognition(self):
        assert file_format(b"# a comment\n\ndata_x\n", "") == "mmcif"
        assert file_format(b"HEADER    \n", "") == "pdb"
        assert file_format(b"\n\nREMARK 1\nATOM  \n", "") == "pdb"
        assert file_format(b"\x83\xa7encoder\xaadataBlocks", "") == "bcif"

    def test_byte_order_mark(self):
        assert len(read(b"\xef\xbb\xbf" + cif(ROW).encode())) == 1

    def test_mmcif_and_pdb_of_one_built_entry_are_equal(self, peptide_cif, peptide_pdb):
        first, second = read_structure(peptide_cif), read_structure(peptide_pdb)
        same_atoms(first, second)
        assert np.isnan(first.b_iso).all()
        assert np.isnan(second.b_iso).all()
        assert set(first.entity_kind) == {EntityKind.PROTEIN}

    @pytest.mark.parametrize("stem", ["200l", "1l2y"])
    def test_text_and_binary_of_one_entry_are_equal(self, benchmark_data, stem):
        folder = benchmark_data / "formats"
        text = "200l.cif" if stem == "200l" else "1l2y.pdb"
        first, second = read_structure(folder / f"{stem}.bcif"), read_structure(folder / text)
        same_atoms(first, second)
        assert first.entry.method == second.entry.method
        assert first.entry.resolution == second.entry.resolution
        assert first.entry.b_kind == second.entry.b_kind
        assert (first.crystal is None) == (second.crystal is None)
        if first.crystal and second.crystal:
            assert first.crystal.cell == second.crystal.cell
            assert first.crystal.space_group == second.crystal.space_group
        same_atoms(select_atoms(first)[0], select_atoms(second)[0])

    def test_all_format_files_are_read_without_a_warning(self, benchmark_data):
        for path in sorted((benchmark_data / "formats").glob("*.*")):
            if path.suffix == ".md":
                continue
            chosen, selection = select_atoms(read_structure(path))
            assert len(chosen) > 100, path.name
            assert selection.no_coordinates == selection.unknown_elements == 0, path.name

    def test_a_sample_of_the_benchmark_entries(self, benchmark_data):
        paths = sorted((benchmark_data / "structures").glob("*/*.bcif.gz"))
        for path in paths[:: len(paths) // 40]:
            structure = read_structure(path)
            chosen, selection = select_atoms(structure)
            assert len(chosen) + selection.total == len(structure)
            assert (chosen.entity_kind == EntityKind.PROTEIN).sum() > 200


class TestPdb:
    def test_every_field(self):
        text = "HETATM12345 1HB AMSE B-123B   -999.999   0.001 123.456  0.50999.99          SE1-\n"
        structure = read(text)
        assert structure.chain.tolist() == ["B"]
        assert structure.residue_number.tolist() == [-123]
        assert structure.insertion_code.tolist() == ["B"]
        assert structure.residue_name.tolist() == ["MSE"]
        assert structure.atom_name.tolist() == ["1HB"]
        assert structure.altloc.tolist() == ["A"]
        assert structure.element.tolist() == ["SE"]
        assert structure.is_hetero.tolist() == [True]
        np.testing.assert_allclose(structure.position, [[-999.999, 0.001, 123.456]], rtol=1e-6)
        assert structure.occupancy.tolist() == [0.5]
        np.testing.assert_allclose(structure.b_iso, [999.99], rtol=1e-6)
        assert structure.chain_label.tolist() == [""]

    @pytest.mark.parametrize(
        ("field", "b"),
        [(" 12.34", 12.34), ("      ", np.nan), ("******", np.nan), (" -1.50", -1.5), ("123.4 ", 123.4),
         ("1e2   ", 100), ("  7   ", 7), ("1000.0", 1000), ("0.0000", 0)],
    )  # fmt: skip
    def test_b_in_usual_and_unusual_notation(self, field, b):
        np.testing.assert_allclose(read(ATOM[:60] + field + ATOM[66:]).b_iso, [b], rtol=1e-6)

    def test_a_record_that_ends_behind_the_coordinates(self):
        structure = read(ATOM[:54] + "\n" + ATOM)
        np.testing.assert_allclose(structure.b_iso, [np.nan, 12.34], rtol=1e-6)
        assert structure.occupancy.tolist() == [1.0, 0.75]
        assert structure.element.tolist() == ["N", "N"]

    @pytest.mark.parametrize("end", ["\r\n", "\n", " \n"])
    def test_line_ends(self, end):
        text = ATOM.strip("\n") + end + "TER\n" + ATOM.strip("\n")
        structure = read(text.replace("\n", end) if end == "\r\n" else text)
        assert structure.element.tolist() == ["N", "N"]
        assert structure.record.tolist() == [0, 1]

    def test_carriage_returns_alone_end_lines(self):
        text = f"EXPDTA    X-RAY DIFFRACTION\n{ATOM}TER\n{ATOM}END\n{ATOM}"
        for odd in (text.replace("\n", "\r"), text.replace("\n", "\r", 2), "\r" + text):
            same_atoms(read(odd), read(text))
            assert read(odd).entry.method == "X-RAY DIFFRACTION"
        assert len(read("LOCAL\r" + ATOM.replace("\n", "\r") * 5)) == 5

    def test_hybrid_36_residue_numbers(self):
        texts = [
            ATOM.replace("A   1 ", f"A{number} ") for number in ("9999", "A000", "A00Z", "  -5")
        ]
        assert read("".join(texts)).residue_number.tolist() == [9999, 10000, 10035, -5]

    @pytest.mark.parametrize(
        ("name", "element"),
        [(" CA ", "C"), ("CA  ", "CA"), ("FE  ", "FE"), ("HG11", "H"), ("1HB ", "H"), (" OXT", "O"), ("ZN  ", "ZN"),
         ("C210", "C"), (" D  ", "D")],
    )  # fmt: skip
    def test_elements_of_old_files_come_from_the_aligned_name(self, name, element):
        assert read(f"{ATOM[:12]}{name} LIG{ATOM[20:66]}\n").element.tolist() == [element]

    @pytest.mark.parametrize(
        ("name", "residue", "element"),
        [("CA  ", "ALA", "C"), ("CD  ", "GLU", "C"), ("NE  ", "ARG", "N"), ("HG  ", "SER", "H"), ("SD  ", "MET", "S"),
         ("CA  ", " CA", "CA"), ("CD  ", " CD", "CD"), (" CA ", "GLY", "C"), ("HE21", "GLN", "H"),
         (" D  ", "GLY", "D")],
    )  # fmt: skip
    def test_amino_acids_tell_the_elements_of_names_aligned_to_the_left(
        self, name, residue, element
    ):
        text = f"{ATOM[:12]}{name}A{residue}{ATOM[20:66]}\n"
        assert read(text).element.tolist() == [element]

    def test_models(self):
        with_records = f"MODEL        4\n{ATOM}ENDMDL\nMODEL        2\n{ATOM}{ATOM}ENDMDL\n"
        assert read(with_records).model.tolist() == [4, 2, 2]
        assert read(f"{ATOM}ENDMDL\n{ATOM}ENDMDL\n").model.tolist() == [1, 2]
        assert read(f"{ATOM}END\n{ATOM}END\n").model.tolist() == [1, 2]
        assert read(f"MODEL        1\n{ATOM}MODEL        1\n{ATOM}").model.tolist() == [1, 2]
        assert read(f"{ATOM}TER\n{ATOM}END\n").model.tolist() == [1, 1]
        huge = f"MODEL  3000000000\n{ATOM}ENDMDL\nMODEL  4000000000\n{ATOM}ENDMDL\n"
        assert read(huge).model.tolist() == [1, 2]

    def test_rows_are_in_the_order_of_the_file(self):
        lines = [
            f"{ATOM[:7]}{serial:4}  {atom:4}{ATOM[17:25]}{residue}{ATOM[26:30]}{x:8.3f}{ATOM[38:]}"
            for x, (serial, atom, residue) in enumerate(
                [(5, "N", 1), (1, "N", 2), (5, "CA", 1), (0, "CA", 2), (0, "C", 1)]
            )
        ]
        structure = read("".join(lines))
        assert structure.position[:, 0].tolist() == [0, 1, 2, 3, 4]
        assert structure.record.tolist() == [0, 1, 2, 3, 4]
        assert structure.residue_index.tolist() == [0, 1, 0, 1, 0]

    def test_anisotropic_tensors_follow_their_atoms(self):
        aniso = "ANISOU" + ATOM[6:27] + "    100    200    -30      4      5      6       N\n"
        other = aniso.replace("GLY A   1", "GLY A   9")
        structure = read(ATOM + aniso + ATOM + other + ATOM)
        assert structure.u_aniso is not None
        expected = np.array([0.01, 0.02, -0.003, 0.0004, 0.0005, 0.0006])
        np.testing.assert_allclose(structure.u_aniso[0], expected, rtol=1e-5)
        assert np.isnan(structure.u_aniso[1:]).all()  # the second record names another residue

    def test_links_within_the_asymmetric_unit(self, benchmark_data):
        structure = read_structure(benchmark_data / "formats" / "1fh5.pdb")
        assert set(structure.atom_name[structure.links].ravel().tolist()) == {"SG"}
        distance = np.diff(structure.position[structure.links], axis=1)[:, 0]
        assert np.linalg.norm(distance, axis=1).max() < 2.4
        assert len(structure.links) == 4

    def test_disulfide_with_altlocs_links_equal_labels(self):
        def sulfur(altloc: str, number: int, x: float) -> str:
            return f"ATOM      1  SG {altloc}CYS A{number:4}    {x:8.3f}{ATOM[38:76]} S\n"

        bond = "SSBOND   1 CYS A    1    CYS A    2                          1555   1555  2.03\n"
        atoms = sulfur("A", 1, 0) + sulfur("B", 1, 0.5) + sulfur("A", 2, 2) + sulfur("B", 2, 2.5)
        assert read(bond + atoms).links.tolist() == [[0, 2], [1, 3]]
        assert read(bond + sulfur("A", 1, 0) + sulfur(" ", 2, 2)).links.tolist() == [[0, 1]]
        mate = bond.replace("1555   1555", "1555   2655")
        assert read(mate + atoms).links.tolist() == []


class TestMmcif:
    def test_every_field(self):
        structure = read(cif(ROW, SECOND))
        assert structure.chain.tolist() == ["X", "X"]
        assert structure.chain_label.tolist() == ["A", "A"]
        assert structure.residue_number.tolist() == [7, 7]
        assert structure.altloc.tolist() == ["", "B"]
        assert structure.insertion_code.tolist() == ["", ""]
        assert structure.is_hetero.tolist() == [False, True]
        np.testing.assert_allclose(structure.b_iso, [12.34, 9.5], rtol=1e-6)
        np.testing.assert_allclose(structure.occupancy, [0.75, 0.25])

    @pytest.mark.parametrize("without", ["auth_seq_id", "auth_asym_id", "label_alt_id", "id", "type_symbol",
                                         "occupancy", "B_iso_or_equiv", "pdbx_PDB_model_num",
                                         "label_asym_id", "group_PDB"])  # fmt: skip
    def test_a_missing_column_is_made_up_for(self, without):
        column = TAGS.index(without)
        rows = [" ".join(row.split()[:column] + row.split()[column + 1 :]) for row in (ROW, SECOND)]
        structure = read(cif(*rows, tags=[tag for tag in TAGS if tag != without]))
        assert structure.position[:, 0].tolist() == [1, 2]
        assert structure.element.tolist() == ["N", "C"]
        assert structure.chain.tolist() == (["A", "A"] if without == "auth_asym_id" else ["X", "X"])
        assert structure.residue_number.tolist() == ([1, 1] if without == "auth_seq_id" else [7, 7])
        if without == "B_iso_or_equiv":
            assert np.isnan(structure.b_iso).all()
        if without == "occupancy":
            assert structure.occupancy.tolist() == [1, 1]
        if without == "pdbx_PDB_model_num":
            assert structure.model.tolist() == [1, 1]

    def test_absent_values(self):
        row = "ATOM 1 ? N . GLY A 5 ? 1 2 3 ? ? ? ? ?"
        structure = read(cif(row))
        assert structure.residue_number.tolist() == [5]
        assert structure.chain.tolist() == ["A"]
        assert structure.element.tolist() == ["N"]
        assert structure.occupancy.tolist() == [1.0]
        assert structure.model.tolist() == [1]
        assert np.isnan(structure.b_iso).all()

    @pytest.mark.parametrize("number", ["12A", "7.5", "3000000000", "nan", "1e99"])
    def test_residue_numbers_that_are_no_integers(self, number):
        message = rf"test: auth_seq_id of row 2 is '{number}', no integer"
        for text in (cif(ROW, SECOND.replace("7 X", f"{number} X")), ""):
            text = text or cif(
                ROW, SECOND.replace("7 X", f"'{number}' X").replace(" CA ", " 'C A' ")
            )
            with pytest.raises(FormatError, match=message):
                read(text)
        with pytest.raises(FormatError, match=r"pdbx_PDB_model_num of row 1 is '1B'"):
            read(cif(ROW[:-1] + "1B"))

    def test_tags_in_any_case(self):
        plain = read(cif(ROW, SECOND))
        for changed in (str.lower, str.upper):
            text = cif(ROW, SECOND, tags=[changed(tag) for tag in TAGS])
            same_atoms(read(text), plain)
            same_atoms(read(text.replace("_atom_site.", "_ATOM_SITE.")), plain)
        pairs = "".join(
            f"_atom_site.{t.lower()} {v}\n" for t, v in zip(TAGS, ROW.split(), strict=True)
        )
        same_atoms(read(f"data_x\n{pairs}"), read(cif(ROW)))

    def test_a_b_of_twenty_is_no_absent_value(self):
        assert read(cif(ROW.replace("12.34", "20.0"))).b_iso.tolist() == [20.0]

    @pytest.mark.parametrize(
        ("token", "name"),
        [('"O5\'"', "O5'"), ("O5'", "O5'"), ("'O5\"'", 'O5"'), ('"C 1\'"', "C 1'")],
    )
    def test_quoted_names(self, token, name):
        rows = [ROW, ROW.replace(" N N ", f" O {token} "), SECOND]
        assert read(cif(*rows)).atom_name.tolist() == ["N", name, "CA"]

    def test_general_cif_gives_the_same_as_plain_rows(self):
        plain = read(cif(ROW, SECOND))
        pieces = SECOND.split()
        broken = "\n".join([" ".join(pieces[:9]), "# a comment", " ".join(pieces[9:])])
        same_atoms(read(cif(ROW, broken)), plain)
        same_atoms(read(cif(ROW, SECOND).replace("\n", "\r\n")), plain)
        same_atoms(read(cif(ROW, SECOND).replace("loop_", "LOOP_")), plain)
        text_field = "\n;A\n;\n".join([" ".join(pieces[:6]), " ".join(pieces[7:])])
        same_atoms(read(cif(ROW, text_field)), plain)

    def test_a_single_atom_without_a_loop(self):
        pairs = "".join(f"_atom_site.{t} {v}\n" for t, v in zip(TAGS, ROW.split(), strict=True))
        same_atoms(read(f"data_x\n{pairs}"), read(cif(ROW)))

    def test_the_first_block_with_atoms_counts(self):
        restraints = "data_restraints\n_cell.length_a 5\n"
        same_atoms(read(restraints + cif(ROW) + cif(SECOND, SECOND)), read(cif(ROW)))
        same_atoms(read(cif(ROW) + restraints), read(cif(ROW)))

    def test_what_follows_the_atoms_is_read(self):
        text = cif(ROW) + "_exptl.method 'X-RAY DIFFRACTION'\n_refine.ls_d_res_high 1.8\n"
        assert read(text).entry.resolution == 1.8
        assert read(text.replace("#\n_exptl", "_exptl")).entry.resolution == 1.8

    def test_duplicate_tags_are_tolerated(self):
        twice = "_struct.title first\n_struct.title second\n"
        assert read(cif(ROW, rest=twice)).entry.title == "first"
        tags = ["B_iso_or_equiv" if tag == "occupancy" else tag for tag in TAGS]
        np.testing.assert_allclose(read(cif(ROW, tags=tags)).b_iso, [0.75])

    def test_rows_are_in_the_order_of_the_file(self):
        rows = [SECOND.replace("2 C CA B", f"{i} C {name} .").replace(" 7 X", f" {n} X").replace("2.0", str(x))
                for x, (i, name, n) in enumerate([(9, "N", 1), (9, "N", 2), (3, "CA", 1), (1, "CA", 2)])]  # fmt: skip
        structure = read(cif(*rows))
        assert structure.position[:, 0].tolist() == [0, 1, 2, 3]
        assert structure.residue_index.tolist() == [0, 1, 0, 1]

    def test_long_names(self):
        row = ROW.replace("GLY A", "A1BCDEF9X ABCDEFGHIJK")
        structure = read(cif(row))
        assert structure.residue_name.tolist() == ["A1BCDEF9X"]
        assert structure.chain_label.tolist() == ["ABCDEFGHIJK"]

    def test_anisotropic_tensors_are_joined_by_identifier(self):
        names = ("id", "U[1][1]", "U[2][2]", "U[3][3]", "U[1][2]", "U[1][3]", "U[2][3]")
        loop = "loop_\n" + "".join(f"_atom_site_anisotrop.{name}\n" for name in names)
        structure = read(cif(ROW, SECOND) + loop + "2 0.1 0.2 0.3 0.01 0.02 0.03\n8 1 1 1 0 0 0\n")
        assert structure.u_aniso is not None
        assert np.isnan(structure.u_aniso[0]).all()
        np.testing.assert_allclose(
            structure.u_aniso[1], [0.1, 0.2, 0.3, 0.01, 0.02, 0.03], rtol=1e-6
        )

    def test_alphafold_models_with_duplicate_tags(self, benchmark_data):
        paths = sorted((benchmark_data / "af_models").glob("*.cif.gz"))
        assert len(paths) == 40
        for path in paths[::5]:
            structure = read_structure(path)
            assert structure.entry.is_predicted
            assert structure.entry.b_kind == BKind.NOT_CRYSTALLOGRAPHIC
            assert structure.crystal is None
            assert set(structure.entity_kind) == {EntityKind.PROTEIN}


class TestFacts:
    @pytest.mark.parametrize(
        ("name", "b_kind", "has_tls", "r_free", "program"),
        [
            ("2fcf.pdb", BKind.RESIDUAL, True, 0.244, "REFMAC 5.2.0019"),
            ("2gts.pdb", BKind.RESIDUAL, True, 0.297, "REFMAC 5.2.0019"),
            ("1r0f.pdb", BKind.UNKNOWN, True, 0.205, "REFMAC 5.1.24"),
            ("3b8a.pdb", BKind.UNKNOWN, False, 0.244, "PHENIX"),
            ("1l2y.bcif", BKind.NOT_CRYSTALLOGRAPHIC, False, None, ""),
            ("8u4l.cif.gz", BKind.NOT_CRYSTALLOGRAPHIC, False, None, ""),
        ],
    )
    def test_refinement(self, benchmark_data, name, b_kind, has_tls, r_free, program):
        entry = read_structure(benchmark_data / "formats" / name).entry
        assert (entry.b_kind, entry.has_tls, entry.program) == (b_kind, has_tls, program)
        assert entry.r_free == (pytest.approx(r_free) if r_free else None)
        assert not entry.is_predicted
        assert entry.id == name[:4]

    @pytest.mark.parametrize(
        ("name", "operators"), [("1fh5.pdb", 1), ("1a34.pdb", 14), ("3pcj.pdb", 0), ("1r0f.pdb", 0)]
    )
    def test_only_operators_of_missing_copies_are_kept(self, benchmark_data, name, operators):
        crystal = read_structure(benchmark_data / "formats" / name).crystal
        assert crystal is not None
        assert crystal.ncs_operators.shape == (operators, 3, 4)
        rotation = crystal.ncs_operators[:, :, :3]
        identity = np.broadcast_to(np.eye(3), rotation.shape)
        np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), identity, atol=1e-4)

    @pytest.mark.parametrize(
        ("name", "nonstandard"),
        [
            ("1lmq.pdb", True),
            ("3pcj.pdb", True),
            ("1fh5.pdb", False),
            ("1hpg.pdb", False),
            ("1rpe.pdb", False),
        ],
    )
    def test_frames(self, benchmark_data, name, nonstandard):
        crystal = read_structure(benchmark_data / "formats" / name).crystal
        assert crystal is not None
        assert crystal.nonstandard_frame == nonstandard

    def test_index_of_the_benchmark_names_the_same_frames(self, benchmark_data):
        for entry in ("1bab", "1gdj", "1gof", "1tml", "3pcj"):
            path = benchmark_data / "structures" / entry[1:3] / f"{entry}.bcif.gz"
            crystal = read_structure(path).crystal
            assert crystal is not None
            assert crystal.nonstandard_frame, entry

    @pytest.mark.parametrize("name", ["1l2y.pdb", "1l2y.bcif", "5fwo_noheader.pdb", "8u4l.cif.gz"])
    def test_dummy_and_missing_cells_are_no_crystals(self, benchmark_data, name):
        assert read_structure(benchmark_data / "formats" / name).crystal is None

    @pytest.mark.parametrize(
        ("cell", "is_crystal"),
        [
            ("1 1 1 90 90 90", False),
            ("0 0 0 0 0 0", False),
            ("? ? ? ? ? ?", False),
            ("50 60 70 90 90 90", True),
        ],
    )
    def test_cells_of_mmcif(self, cell, is_crystal):
        names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
        rest = "".join(f"_cell.{n} {v}\n" for n, v in zip(names, cell.split(), strict=True))
        rest += "_symmetry.space_group_name_H-M 'P 21 21 21'\n"
        crystal = read(cif(ROW, rest=rest)).crystal
        assert (crystal is not None) == is_crystal
        if crystal:
            assert crystal.space_group == "P 21 21 21"
            assert crystal.cell == (50, 60, 70, 90, 90, 90)

    @pytest.mark.parametrize(
        ("flag", "kind"),
        [
            ("'LIKELY RESIDUAL'", BKind.RESIDUAL),
            ("UNVERIFIED", BKind.UNKNOWN),
            ("?", BKind.UNKNOWN),
        ],
    )
    def test_b_kind_of_mmcif(self, flag, kind):
        rest = f"_exptl.method 'X-RAY DIFFRACTION'\n_refine.pdbx_TLS_residual_ADP_flag {flag}\n"
        assert read(cif(ROW, rest=rest)).entry.b_kind == kind

    @pytest.mark.parametrize(
        ("header", "is_predicted"),
        [
            ("TITLE     ALPHAFOLD MONOMER V2.0 PREDICTION FOR P31749\n", True),
            ("TITLE     ESMFOLD V1 PREDICTION FOR INPUT\n", True),
            ("EXPDTA    THEORETICAL MODEL\n", True),
            ("EXPDTA    X-RAY DIFFRACTION\nREMARK   3  STARTING MODEL: ALPHAFOLD\n", False),
            ("HEADER    TRANSFERASE\n", False),
            ("TITLE     BOLTZMANN-WEIGHTED MD FRAME\n", False),
            ("TITLE     MODEL OF ALPHAFOLD2_PTM\n", True),
        ],
    )
    def test_predictions_in_pdb_format(self, header, is_predicted):
        entry = read(header + ATOM).entry
        assert entry.is_predicted == is_predicted
        assert (entry.b_kind == BKind.NOT_CRYSTALLOGRAPHIC) == is_predicted

    @pytest.mark.parametrize(
        ("rest", "is_predicted"),
        [
            ("_ma_qa_metric.id 1\n", True),
            ("_entry.id AF-P31749-F1\n", True),
            ("_software.name 'Boltz-2'\n", True),
            ("_software.name boltz1x\n", True),
            ("_struct.title 'Boltzmann-weighted MD frame'\n", False),
            ("_exptl.method 'X-RAY DIFFRACTION'\n_software.name AlphaFold\n", False),
            ("_entry.id 1ABC\n", False),
        ],
    )
    def test_predictions_in_mmcif(self, rest, is_predicted):
        assert read(cif(ROW, rest=rest)).entry.is_predicted == is_predicted

    @pytest.mark.parametrize(
        ("methods", "is_crystal", "is_xray"),
        [(["X-RAY DIFFRACTION"], True, True),
         (["X-RAY DIFFRACTION", "SOLUTION SCATTERING"], True, True),
         (["SOLUTION SCATTERING", "X-RAY DIFFRACTION"], True, True),
         (["X-RAY DIFFRACTION", "NEUTRON DIFFRACTION"], True, True),
         (["NEUTRON DIFFRACTION", "X-RAY DIFFRACTION"], True, False),
         (["SOLUTION NMR", "SOLUTION SCATTERING"], False, False)],
    )  # fmt: skip
    def test_joint_methods_are_judged_alike_in_all_formats(self, methods, is_crystal, is_xray):
        cell = {"length_a": 50.0, "length_b": 60.0, "length_c": 70.0,
                "angle_alpha": 90.0, "angle_beta": 90.0, "angle_gamma": 90.0}  # fmt: skip
        rest = "".join(f"_cell.{name} {value}\n" for name, value in cell.items())
        rest += "_space_group.name_H-M_alt 'P 21 21 21'\nloop_\n_exptl.method\n"
        rest += "".join(f"'{method}'\n" for method in methods)
        pdb = f"EXPDTA    {'; '.join(methods)}\nCRYST1   50.000   60.000   70.000"
        binary = bcif(
            _atom_site={tag: [value] for tag, value in zip(TAGS, ROW.split(), strict=True)},
            _cell={name: [str(value)] for name, value in cell.items()},
            _space_group={"name_H-M_alt": ["P 21 21 21"]},
            _exptl={"method": methods},
        )
        for content in (
            cif(ROW, rest=rest),
            f"{pdb}  90.00  90.00  90.00 P 21 21 21    4\n{ATOM}",
            binary,
        ):
            structure = read(content)
            assert structure.entry.method == "; ".join(methods)
            assert (structure.crystal is not None) == is_crystal
            if structure.crystal:
                assert structure.crystal.space_group == "P 21 21 21"
            assert (BReason.NOT_XRAY not in assess_b(structure).reasons) == is_xray

    def test_residue_numbers_of_binary_cif_that_are_no_integers(self):
        site = {tag: [value, value] for tag, value in zip(TAGS, ROW.split(), strict=True)}
        assert read(bcif(_atom_site=site)).residue_number.tolist() == [7, 7]
        site["auth_seq_id"] = ["7", "12A"]
        with pytest.raises(FormatError, match="auth_seq_id of row 2 is '12A'"):
            read(bcif(_atom_site=site))

    def test_one_b_a_residue_without_any_header_is_a_confidence(self):
        def atoms(b) -> str:
            return "".join(
                f"{ATOM[:13]}{name:3}{ATOM[16:22]}{number:4}{ATOM[26:60]}{b(number, atom):6.2f}{ATOM[66:]}"
                for number in range(1, 21)
                for atom, name in enumerate(("N", "CA", "C", "O"))
            )

        confidence = atoms(lambda number, atom: 50 + number)
        assert read(confidence).entry.is_predicted
        assert not read(atoms(lambda number, atom: 50 + number + atom)).entry.is_predicted
        assert not read(atoms(lambda number, atom: 50)).entry.is_predicted
        assert not read("EXPDTA    X-RAY DIFFRACTION\n" + confidence).entry.is_predicted
        cell = "CRYST1   50.000   60.000   70.000  90.00  90.00  90.00 P 21 21 21    4\n"
        assert not read(cell + confidence).entry.is_predicted
