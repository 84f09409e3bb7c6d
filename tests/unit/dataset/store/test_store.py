from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from debye.dataset.store.store import Store, decode_crystal, encode_crystal
from debye.errors import StoreError
from debye.structure.structure import Crystal
from debye.targets.b_factor import B_FACTOR


def test_a_pickled_store_reads_the_same(store: Store) -> None:
    store.structure("train", 1)
    copy = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(
        copy.structure("val", 1).position, store.structure("val", 1).position
    )


def test_what_is_returned_may_be_changed(store: Store) -> None:
    before = store.structure("train", 0).position.copy()
    store.structure("train", 0).position[:] = 0
    store.labels("train", 0, B_FACTOR).usable[:] = False
    np.testing.assert_array_equal(store.structure("train", 0).position, before)
    assert store.labels("train", 0, B_FACTOR).usable.any()


def test_entries_are_found_by_id(store: Store) -> None:
    assert store.entries("train")[store.row("train", "1aac")].id == "1aac"
    with pytest.raises(StoreError, match="no entry '2bbb'"):
        store.row("train", "2bbb")


def test_unknown_split_names_those_there(store: Store) -> None:
    with pytest.raises(StoreError, match="Choose from train, val"):
        store.entries("test")


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no finished data store"):
        Store.open(tmp_path / "nowhere")


def test_other_format_and_damage_are_told_apart(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    shutil.copytree(store.path, folder)
    (folder / "manifest.json").write_text(json.dumps({**store.manifest, "format": 99}))
    with pytest.raises(StoreError, match="store format 99"):
        Store.open(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        Store.open(folder)


def test_crystal_survives_json() -> None:
    crystal = Crystal(
        cell=(10.5, 20.25, 30.125, 90.0, 101.5, 90.0),
        space_group="C 1 2 1",
        ncs_operators=np.random.default_rng(0).normal(size=(2, 3, 4)),
        nonstandard_frame=True,
    )
    copy = decode_crystal(json.loads(json.dumps(encode_crystal(crystal))))
    assert copy is not None
    assert (copy.cell, copy.space_group) == (crystal.cell, crystal.space_group)
    np.testing.assert_array_equal(copy.ncs_operators, crystal.ncs_operators)
    assert copy.nonstandard_frame
    assert decode_crystal(encode_crystal(None)) is None
