"""Samples: equal, seeded, and whole clusters for training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fake_store import FakeStore

from debye.benchmark.comparison.plan import CompareConfig, draw_pairs, draw_samples
from debye.benchmark.crystal_pairs import pair_table, read_pairs
from debye.dataset.batches.loader import LoaderConfig, choose_rows
from debye.dataset.store.store import StoreEntry
from debye.errors import ConfigError
from debye.targets.b_factor import B_FACTOR


def store_of(counts: dict[str, int]) -> FakeStore:
    """Return a store whose entries grow by 100 atoms, three to a cluster."""
    return FakeStore(
        {
            split: [
                StoreEntry(
                    id=f"{split}{row:03d}",
                    split=split,
                    cluster=f"{split}-{row // 3}",
                    n_atoms=100 * row,
                    n_usable=100 * row,
                )
                for row in range(count)
            ]
            for split, count in counts.items()
        }
    )


STORE = store_of({"train": 60, "val": 12, "test": 20, "other": 5})


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


def test_pairs_are_those_of_the_last_split_within_the_limit(tmp_path: Path):
    path = tmp_path / "pairs.csv"
    lines = ["id1,chain1,id2,chain2,same_space_group,pair_group"]
    lines += [f"test{n:03d},A,test{n + 10:03d},B,{n % 2},p{n}" for n in range(9)]
    lines += ["train001,A,train002,A,0,p10", "test001,A,gone,A,0,p11"]
    path.write_text("\n".join(lines) + "\n")

    def chosen(**settings):
        config = CompareConfig(**settings)
        return draw_pairs(STORE, path, draw(**settings), config)  # type: ignore[arg-type]

    assert len(chosen()) == 9
    assert len(chosen(limit=6)) == 3
    assert chosen(limit=6) == chosen(limit=6)
    copy = tmp_path / "copy.csv"
    pair_table(chosen()).to_csv(copy, index=False)
    assert read_pairs(copy) == chosen()
    with pytest.raises(ConfigError, match="none of 11 pairs"):
        chosen(splits=("other",))


def test_splits_are_those_that_are_named_or_there():
    assert list(draw(splits=("other",)).scored) == ["train", "other"]
    bare = store_of({"train": 5})
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        draw_samples(bare, CompareConfig(), "train", "train")  # type: ignore[arg-type]


def test_nobody_trains_on_what_a_recipe_leaves_out():
    loaders = [LoaderConfig(max_atoms=3_000), LoaderConfig(min_usable=1_000)]
    for subset in (None, 9):
        samples = draw_samples(STORE, CompareConfig(subset=subset), "train", "val", loaders)  # type: ignore[arg-type]
        sizes = [100 * int(name.removeprefix("train")) for name in samples.train]
        assert len(sizes) == subset or (min(sizes) == 1_000 and max(sizes) == 3_000)
        assert samples.is_subset
        assert samples.left_out == 60 - 21
        for loader in loaders:
            chosen = loader.model_copy(update={"only": samples.train})
            assert len(choose_rows(STORE, "train", (B_FACTOR,), chosen)[0]) == len(sizes)


def test_recipes_with_nothing_in_common_are_refused():
    loaders = [LoaderConfig(max_atoms=1_000), LoaderConfig(min_usable=2_000)]
    with pytest.raises(ConfigError, match="in common"):
        draw_samples(STORE, CompareConfig(), "train", "val", loaders)  # type: ignore[arg-type]


def test_entries_that_choose_are_not_scored():
    samples = draw(val_sample=4)
    assert len(samples.scored["val"]) == 8
    assert not set(samples.val) & set(samples.scored["val"])
    assert draw(val_sample=12).scored["val"] == draw(val_sample=12).val


def test_the_training_split_alone_is_no_evaluation():
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        draw(splits=("train",))
