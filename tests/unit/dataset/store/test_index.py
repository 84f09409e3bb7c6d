from __future__ import annotations

from pathlib import Path

import pytest

from debye.dataset.store.index import find_file, read_index
from debye.errors import StoreError, StructureError


def test_rows_come_by_split_then_id(data_folder: Path) -> None:
    rows = read_index(data_folder / "index.csv")
    assert [row.id for row in rows] == ["1aaa", "1aab", "1aac", "1aad", "2bbb", "2bbc", "9zzz"]
    assert [row.id for row in read_index(data_folder / "index.csv", ["val"])] == [
        "2bbb",
        "2bbc",
        "9zzz",
    ]


def test_an_absent_answer_is_no_answer(data_folder: Path) -> None:
    rows = {row.id: row for row in read_index(data_folder / "index.csv")}
    assert rows["1aad"].says_no("has_crystal")
    assert not rows["9zzz"].says_no("has_crystal")
    assert not rows["1aad"].says_no("no_such_column")


def test_nested_files_come_before_flat_ones(tmp_path: Path) -> None:
    flat = tmp_path / "1abc.pdb"
    flat.touch()
    assert find_file(tmp_path, "1abc") == flat
    nested = tmp_path / "ab" / "1abc.cif.gz"
    nested.parent.mkdir()
    nested.touch()
    assert find_file(tmp_path, "1abc") == nested


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no rows"),
        ("name,split\na,b\n", "found name, split"),
        ("id,split\n1abc,train\n1ABC,train\n", "comes twice"),
        ("id,split\n,train\n", "empty id"),
    ],
)
def test_an_index_that_cannot_be_used(tmp_path: Path, text: str, problem: str) -> None:
    index = tmp_path / "index.csv"
    index.write_text(text)
    with pytest.raises(StoreError, match=problem):
        read_index(index)


def test_unknown_split_names_those_there(data_folder: Path) -> None:
    with pytest.raises(StoreError, match="Choose from train, val"):
        read_index(data_folder / "index.csv", ["tset"])


def test_missing_file_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(StructureError, match=r"ab/1abc\.bcif\.gz"):
        find_file(tmp_path, "1abc")
