"""Identifiers, and lists of them."""

from __future__ import annotations

import pytest

from debye.archives.catalog import find_identifier, parse_identifier, read_ids
from debye.errors import ConfigError, DownloadError


@pytest.mark.parametrize(
    ("text", "archive", "name"),
    [
        ("1abc", "pdb", "1abc"),
        (" 4HHB ", "pdb", "4hhb"),
        ("PDB_00004HHB", "pdb", "4hhb"),
        ("P00533", "alphafold", "AF-P00533-F1"),
        ("a0a024r1r8", "alphafold", "AF-A0A024R1R8-F1"),
        ("AF-Q9Y6K9-F3", "alphafold", "AF-Q9Y6K9-F3"),
        ("AF-P00533-F1-model_v6", "alphafold", "AF-P00533-F1"),
        ("AF-P00533-2-F1", "alphafold", "AF-P00533-2-F1"),
    ],
)
def test_identifiers_are_recognized(text: str, archive: str, name: str) -> None:
    found = parse_identifier(text)
    assert (found.archive.name, found.name) == (archive, name)


@pytest.mark.parametrize(
    "text",
    ["", "abcd", "1ab", "1abcd", "protein.pdb", "P0053", "pdb_10001abc", "../1abc", "1abc\n2"],
)
def test_other_text_is_refused_with_the_choices(text: str) -> None:
    assert find_identifier(text) is None
    with pytest.raises(DownloadError, match="UniProt accession"):
        parse_identifier(text)


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
def test_other_files_are_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"needs a column id|cannot be read"):
        list(read_ids(path))
