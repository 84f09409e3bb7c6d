"""The journal, the lists, and the check of what was downloaded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from servers.entry_files import entry_bcif, entry_cif, zipped

from debye.archives.entry_check import entry_problem
from debye.archives.id_list import read_ids
from debye.archives.journal import Journal, Record
from debye.dataset.search.folder import facts_of_folder, facts_of_structure
from debye.dataset.search.rcsb import EntryFacts
from debye.errors import ConfigError, DownloadError
from debye.structure.export import write_structure
from debye.structure.structure import EntityKind


def test_the_journal_keeps_the_last_record_of_each(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal.put(Record(id="1abc", status="failed", problem="x"))
        journal.put(Record(id="1abc", status="stored", file="ab/1abc.bcif.gz", bytes=3))
        journal.put(Record(id="2abc", status="absent"))
    with Journal(path) as journal:
        assert journal.get("1abc") == Record(
            id="1abc", status="stored", file="ab/1abc.bcif.gz", bytes=3
        )
        assert journal.get("3abc") is None
        assert [record.id for record in journal.stored()] == ["1abc"]


def test_a_damaged_journal_says_what_to_do(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(DownloadError, match="may be deleted"):
        Journal(path)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "1abc\n\n# 2abc\n3abc, 4abc 5abc # why\n", ["1abc", "3abc", "4abc", "5abc"]),
        ("a.csv", "\ufeffid,split\n1abc,train\n , \n2abc,val\n", ["1abc", "2abc"]),
        ("a.csv", 'split,id\ntrain,"1abc"\n', ["1abc"]),
    ],
)
def test_lists_are_read(tmp_path, name, text, expected):
    path = tmp_path / name
    path.write_text(text)
    assert [row["id"] for row in read_ids(path)] == expected


@pytest.mark.parametrize(("name", "content"), [("a.csv", b"pdb\n1abc\n"), ("a.txt", b"\xff\xfe")])
def test_what_is_no_list_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"needs a column id|cannot be read"):
        list(read_ids(path))


def test_the_right_entry_is_recognized(tmp_path, peptide):
    bcif, cif = entry_bcif(peptide, "1abc"), entry_cif(peptide, "1abc")
    empty = peptide.take([])
    cases = [
        ("1abc.bcif", bcif, None),
        ("1abc.bcif.gz", zipped(bcif), None),
        ("1abc.cif", cif, None),
        ("1abc.cif.gz", zipped(cif), None),
        ("1abc.cif.gz", zipped(cif)[:-9], "truncated or damaged gzip"),
        ("1abc.bcif", bcif.replace(b"1ABC", b"2ABC"), "holds entry '2ABC', not '1abc'"),
        ("1abc.cif", cif.replace(b"1ABC", b"2ABC"), "holds entry '2ABC', not '1abc'"),
        ("1abc.cif", cif.replace(b"_atom_site.Cartn_y\n", b""), "damaged mmCIF"),
        ("1abc.bcif", bcif.replace(b"StringArray", b"StrungArray"), "encoding 'StrungArray'"),
        ("1abc.bcif", entry_bcif(empty, "1abc"), "has no atoms"),
    ]
    for name, content, expected in cases:
        path = tmp_path / name
        path.write_bytes(content)
        problem = entry_problem(path, name, "1abc")
        assert problem is None if expected is None else expected in (problem or ""), name


def test_a_folder_gives_the_facts_of_its_files(tmp_path, peptide):
    (tmp_path / "sub").mkdir()
    write_structure(peptide, tmp_path / "sub" / "b.cif")
    write_structure(peptide, tmp_path / "a.pdb.gz")
    (tmp_path / ".fetch" / "rejected").mkdir(parents=True)
    (tmp_path / ".fetch" / "rejected" / "a.cif").write_text("nothing")
    (tmp_path / "c.cif").write_text("nothing")
    (tmp_path / "notes.txt").write_text("nothing")
    found = list(facts_of_folder(tmp_path))
    facts = [each for each in found if isinstance(each, EntryFacts)]
    assert [each.id for each in facts] == ["a", "b"]
    assert [each[0] for each in found if isinstance(each, tuple)] == ["c"]
    assert facts[0].proteins[0].length == 13
    assert facts[1].polymers == "Protein (only)"
    with pytest.raises(ConfigError, match="is no folder"):
        list(facts_of_folder(tmp_path / "absent"))


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
    assert facts_of_structure(replace(peptide, entity_kind=kind), "x").polymers == expected


def test_components_count_heavy_atoms_of_the_most_complete_copy(peptide):
    kind = peptide.entity_kind.copy()
    names = peptide.residue_name.copy()
    for residue in (0, 1):
        rows = peptide.residue_index == residue
        kind[rows], names[rows] = EntityKind.LIGAND, "LIG"
    facts = facts_of_structure(replace(peptide, entity_kind=kind, residue_name=names), "x")
    sizes = np.bincount(peptide.residue_index[peptide.element != "H"])
    assert [(each.id, each.heavy_atoms) for each in facts.components] == [("LIG", max(sizes[:2]))]
    assert facts.proteins[0].length == 11
