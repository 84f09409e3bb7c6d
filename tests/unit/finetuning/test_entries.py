"""The use of each new entry."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from debye.dataset.store.store import StoreEntry
from debye.errors import ConfigError

pytest.importorskip("lightning")

from debye.finetuning.entries import NewSplits, divide_entries
from debye.targets.target import Labels


def fake_store(**splits: str) -> Any:
    """Stand-in for a store of entries ``id:cluster``; an id that ends in ' is a copy of the one without."""
    records = {
        split: tuple(
            StoreEntry(
                id=word.split(":")[0],
                split=split,
                cluster=word.partition(":")[2],
                n_usable=0 if word.startswith("bad") else 100,
            )
            for word in words.split()
        )
        for split, words in splits.items()
    }

    def numbers(split: str, row: int, *shape: int) -> np.ndarray:
        """Numbers that depend on the id alone, except for its last '."""
        name = records[split][row].id.rstrip("'")
        return np.random.default_rng([*name.encode(), *shape]).normal(size=shape)

    return SimpleNamespace(
        entries=records.__getitem__,
        values=lambda split, row, column: numbers(split, row, 5, 3),
        labels=lambda split, row, target: Labels.where_finite(numbers(split, row, 5)),
        usable_counts=lambda split, target: np.array([row.n_usable for row in records[split]]),
    )


@pytest.fixture
def run(make_run):
    return make_run(Path("out"))


MANY = " ".join(f"e{number}:c{number // 2}" for number in range(20))


def test_clusters_are_held_out_and_bad_entries_are_not_used(run):
    _, parts = divide_entries(run, fake_store(train=f"{MANY} bad:c99"), NewSplits())
    uses = [set(part[1]) for part in (parts.train, parts.choose, parts.report)]
    clusters = [{int(name[1:]) // 2 for name in use} for use in uses]
    assert [len(found) for found in clusters] == [6, 2, 2]
    assert len(set.union(*uses)) == sum(map(len, uses)) == 20
    assert len(set.union(*clusters)) == 10
    assert parts.notes == ()


def test_a_named_split_is_halved(run):
    store = fake_store(train=MANY, val="a:x a2:x b:y c:z")
    _, parts = divide_entries(run, store, NewSplits(val="val"))
    assert len(parts.train[1]) == 20
    assert parts.choose[0] == parts.report[0] == "val"
    assert {"a", "a2"} <= set(parts.choose[1]) or {"a", "a2"} <= set(parts.report[1])
    assert sorted(parts.choose[1] + parts.report[1]) == ["a", "a2", "b", "c"]


def test_copies_of_held_out_entries_are_not_trained_on_nor_do_they_choose(run):
    store = fake_store(train="a b' c'", val="b c' d", test="c")
    _, parts = divide_entries(run, store, NewSplits(val="val", report="test"))
    assert parts.report == ("test", ("c",))
    assert parts.choose == ("val", ("b", "d"))
    assert parts.train == ("train", ("a",))
    assert "2 entries were left out of the training" in parts.notes[0]


def test_a_report_split_leaves_all_that_is_held_out_to_choose(run):
    store = fake_store(train=MANY, test="x y")
    _, parts = divide_entries(run, store, NewSplits(report="test"))
    assert parts.report == ("test", ("x", "y"))
    assert len(parts.choose[1]) == 8


def test_shared_clusters_are_noted(run):
    store = fake_store(train="a:k b:l", val="c:m d:n", test="e:k f:o")
    _, parts = divide_entries(run, store, NewSplits(val="val", report="test"))
    assert parts.notes[0].startswith("1 of the 2 reported entries share a sequence cluster")


def test_nothing_left_to_train_on_is_explained(run):
    store = fake_store(train="a'", val="b c", test="a")
    with pytest.raises(ConfigError, match="0 entries for training, 2 to choose the epoch, 1 for"):
        divide_entries(run, store, NewSplits(val="val", report="test"))
