"""Files appear whole or not at all."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from debye.errors import ConfigError
from debye.files import is_same_file, replacing, write_bytes, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_has_the_content_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Å\n")
    write_bytes(tmp_path / "b.bin", b"\r\n")
    write_json(tmp_path / "c.json", {"b": [1, None]})
    assert (tmp_path / "a.txt").read_bytes() == "Å\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\r\n"
    assert json.loads((tmp_path / "c.json").read_text()) == {"b": [1, None]}
    assert names(tmp_path) == ["a.txt", "b.bin", "c.json"]


def test_the_temporary_file_is_a_neighbor_with_the_same_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "x.cif.gz") as partial:
        partial.write_text("new")
        assert partial.parent == tmp_path
        assert partial.suffix == ".gz"
        assert partial.name.startswith(".")
        assert not (tmp_path / "x.cif.gz").exists()
    assert names(tmp_path) == ["x.cif.gz"]


def test_a_failure_keeps_the_old_file_and_removes_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_writers_of_one_file_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_text(path, str(number) * 1000), range(8)))
    assert len(set(path.read_text())) == 1
    assert names(tmp_path) == ["x.txt"]


def test_a_missing_folder_is_an_error_unless_a_kind_of_failure_is_given(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "absent" / "x.txt", "")
    write_text(tmp_path / "made" / "x.txt", "text", ConfigError)
    assert (tmp_path / "made" / "x.txt").read_text() == "text"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"x\.txt: cannot be written \(.*Check the folder's"):
        write_text(tmp_path / "file" / "x.txt", "", ConfigError)


def test_two_paths_of_one_file_are_the_same(tmp_path: Path) -> None:
    file, other, link = tmp_path / "file", tmp_path / "other", tmp_path / "link"
    file.touch()
    other.touch()
    link.symlink_to(file)
    assert is_same_file(file, link)
    assert is_same_file(tmp_path / ".." / tmp_path.name / "file", file)
    assert not is_same_file(file, other)
    assert not is_same_file(file, tmp_path / "absent")
    assert not is_same_file(None, file)
