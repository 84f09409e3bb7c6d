from __future__ import annotations

from pathlib import Path

import pytest

from debye.errors import StructureError
from debye.prediction.inputs import Input, cache_folder, expand_inputs, find_file, unique_stems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b/1abc.cif.gz",
        "a/1ABC.pdb",
        "a/deep/er/2xyz.BCIF",
        "a/notes.txt",
        "a/.1abc.cif.part",
        "c/pdb1abc.ent.gz",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


def test_folder_is_searched_and_stems_stay_distinct(folder: Path):
    inputs, failures = expand_inputs([folder])
    assert failures == []
    assert [item.stem for item in inputs] == ["1ABC", "2xyz", "1abc_2", "pdb1abc"]
    assert all(item.path is not None and item.path.is_file() for item in inputs)


def test_the_same_file_counts_once_however_it_is_named(folder: Path, monkeypatch):
    monkeypatch.chdir(folder / "a")
    inputs, _ = expand_inputs(["1ABC.pdb", folder / "a" / "1ABC.pdb", ".", "../a/./1ABC.pdb"])
    assert [item.stem for item in inputs] == ["1ABC", "2xyz"]


def test_outputs_never_become_inputs(folder: Path):
    inputs, _ = expand_inputs([folder], exclude=folder / "a")
    assert [item.stem for item in inputs] == ["1abc", "pdb1abc"]
    own, _ = expand_inputs([folder / "a"], exclude=folder / "a")
    assert len(own) == 2, "an input folder is searched"


def test_any_suffix_is_taken_when_the_file_is_named(folder: Path):
    inputs, failures = expand_inputs([folder / "a" / "notes.txt"])
    assert failures == []
    assert inputs[0].stem == "notes.txt"


def test_identifiers(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs, failures = expand_inputs(["4HHB", "4hhb", "pdb_00004hhb", "p69905", "AF-P69905-F1"])
    assert failures == []
    assert [(item.name, item.path, item.stem) for item in inputs] == [
        ("4hhb", None, "4hhb"),
        ("AF-P69905-F1", None, "AF-P69905-F1"),
    ]


def test_a_file_goes_before_an_identifier_of_its_name(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("4hhb").write_text("x")
    assert expand_inputs(["4hhb"])[0][0].path == Path("4hhb")


def test_bad_inputs_do_not_hide_good_ones(folder: Path):
    (folder / "empty").mkdir()
    inputs, failures = expand_inputs([folder / "nope.cif", folder / "empty", folder / "c"])
    assert [item.stem for item in inputs] == ["pdb1abc"]
    assert "no such file" in str(failures[0])
    assert "nope.cif" in str(failures[0])
    assert "no structure files" in str(failures[1])


def test_stems_never_collide():
    stems = unique_stems(["x", "x_2", "x", "X", "x_3"])
    assert len({stem.lower() for stem in stems}) == 5
    assert stems[:2] == ["x", "x_2"]


def test_mirror_serves_identifiers(benchmark_data: Path):
    mirror = benchmark_data / "structures"
    entry = sorted(mirror.glob("*/*.bcif.gz"))[0]
    item = Input(name=entry.name.removesuffix(".bcif.gz"), path=None, stem="x")
    assert item.local_file(mirror) == entry
    assert find_file(item.name, mirror) == entry


def test_cache_folder_can_be_chosen(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("DEBYE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("DEBYE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "debye"


def test_one_file_is_found_and_a_folder_of_several_is_not_one(folder: Path):
    assert find_file(folder / "c") == folder / "c" / "pdb1abc.ent.gz"
    with pytest.raises(StructureError, match="a folder with 2 structures"):
        find_file(folder / "a")
    with pytest.raises(StructureError, match="not an identifier either"):
        find_file(folder / "nope.cif")


def test_expected_sizes(peptide_pdb: Path, peptide, benchmark_data: Path):
    def plan(path: Path) -> int:
        return Input(name="x", path=path, stem="x").expected_atoms()

    assert 0.3 < plan(peptide_pdb) / len(peptide) < 3
    assert 0.3 < plan(benchmark_data / "formats" / "1acj.bcif.gz") / 4192 < 3
    assert Input(name="4hhb", path=None, stem="4hhb").expected_atoms() == 5000
