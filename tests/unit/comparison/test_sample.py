"""Samples: equal, seeded, and whole clusters for training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from debye.comparison.config import CompareConfig
from debye.comparison.sample import draw_samples
from debye.data.store import StoreEntry
from debye.errors import ConfigError


@dataclass
class FakeStore:
    """Entries without arrays."""

    counts: dict[str, int]
    path: Path = Path("store")

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.counts)

    def entries(self, split: str) -> tuple[StoreEntry, ...]:
        return tuple(
            StoreEntry(id=f"{split}{row:03d}", split=split, cluster=f"{split}-{row // 3}")
            for row in range(self.counts[split])
        )


STORE = FakeStore({"train": 60, "val": 12, "test": 20, "other": 5})


def draw(**settings):
    return draw_samples(STORE, CompareConfig(**settings), "train", "val")  # type: ignore[arg-type]


def test_a_subset_is_made_of_whole_clusters_and_depends_on_the_seed():
    samples = draw(subset=21)
    assert samples.is_subset
    assert len(samples.train) == 21
    clusters = Counter(int(name.removeprefix("train")) // 3 for name in samples.train)
    assert set(clusters.values()) == {3}
    assert draw(subset=21) == samples
    assert draw(subset=21, draw_seed=1).train != samples.train
    assert set(samples.train) < set(draw(subset=30).train)


def test_what_is_scored_is_limited_and_training_entries_come_from_the_subset():
    samples = draw(subset=21, limit=6, train_sample=5, val_sample=4)
    assert {name: len(ids) for name, ids in samples.scored.items()} == {
        "train": 5,
        "val": 6,
        "test": 6,
    }
    assert set(samples.scored["train"]) <= set(samples.train)
    assert len(samples.val) == 4
    assert draw().scored["test"] == tuple(entry.id for entry in STORE.entries("test"))
    assert not draw().is_subset
    assert not draw(subset=1000).is_subset


def test_splits_are_those_that_are_named_or_there():
    assert list(draw(splits=("other",)).scored) == ["train", "other"]
    bare = FakeStore({"train": 5})
    with pytest.raises(ConfigError, match="none of the splits val, test, kinase"):
        draw_samples(bare, CompareConfig(), "train", "train")  # type: ignore[arg-type]
