from __future__ import annotations

import pytest

from debye.errors import StoreError

pytest.importorskip("lightning")

from debye.finetuning.division import find_copies, fingerprint, group_copies
from debye.finetuning.family import SPLIT, gather_members

GOOD = ("apo", "holo-1", "holo-2", "renamed", "third")


@pytest.fixture(scope="module")
def members(make_run, family_folder, tmp_path_factory):
    return gather_members(make_run(tmp_path_factory.mktemp("run")), family_folder)


def test_good_files_are_members_whatever_their_format_and_name(members):
    assert members.ids == GOOD
    assert members.split == SPLIT


def test_others_are_refused_with_their_reason(members):
    assert members.refused.keys() == {"broken", "flat", "nmr"}
    assert "broken.cif" in members.refused["broken"]
    assert members.refused["flat"].startswith("0 of ")
    assert "share" in members.refused["flat"] or "one value" in members.refused["flat"]
    assert "X-ray" in members.refused["nmr"]


def test_copies_are_found_by_content(members):
    prints = [fingerprint(members.store, SPLIT, members.store.row(SPLIT, name)) for name in GOOD]
    groups = group_copies(GOOD, prints)
    assert groups == [["apo", "renamed"], ["holo-1"], ["holo-2"], ["third"]]
    assert find_copies(prints[:1], members.store, SPLIT) == ("apo", "renamed")
    assert find_copies([], members.store, SPLIT, ids=["third"]) == ("third",)


def test_a_chain_of_copies_is_one_group():
    prints = [frozenset(pair) for pair in ("x1", "y2", "y1", "z3")]
    assert group_copies(["a", "b", "c", "d"], prints) == [["a", "b", "c"], ["d"]]


def test_entries_of_a_store_are_chosen_by_id(make_run, members, tmp_path):
    run, path = make_run(tmp_path), members.store.path
    found = gather_members(run, path, split=SPLIT, ids=["APO", "flat", "9zzz"])
    assert found.ids == ("apo",)
    assert found.refused.keys() == {"flat", "9zzz"}
    assert "not found" in found.refused["9zzz"]
    assert not list(tmp_path.iterdir())


def test_files_of_a_folder_are_chosen_by_name(make_run, family_folder, tmp_path):
    found = gather_members(make_run(tmp_path), family_folder, ids=["Apo", "holo-1"])
    assert found.ids == ("apo", "holo-1")
    assert not found.refused


@pytest.mark.parametrize("data", ["nowhere", "notes.txt"])
def test_what_is_no_folder_is_explained(make_run, family_folder, tmp_path, data):
    with pytest.raises(StoreError, match="neither a data store nor a folder"):
        gather_members(make_run(tmp_path), family_folder / data)


def test_a_folder_without_the_wanted_files_is_explained(make_run, family_folder, tmp_path):
    with pytest.raises(StoreError, match="no file is called nothing"):
        gather_members(make_run(tmp_path), family_folder, ids=["nothing"])
