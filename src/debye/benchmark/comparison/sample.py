"""Equal samples for all models: which entries are trained on, validated on and scored."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from debye.benchmark.comparison.config import USUAL_SPLITS, CompareConfig
from debye.benchmark.crystal_pairs import COLUMNS, CrystalPair, locate_entries, read_pairs
from debye.dataset.batches.loader import LoaderConfig, choose_rows
from debye.dataset.curate.splits import draw
from debye.dataset.store.store import Store
from debye.errors import ConfigError
from debye.targets.b_factor import B_FACTOR

TRAIN_SAMPLE = "train"
"""Name of the column of figures on what was trained on."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Entries by id, the same for every model."""

    train_split: str
    train: tuple[str, ...]
    """Trained on; all of the split where the comparison names no subset."""
    is_subset: bool
    """These are fewer than a recipe would train on by itself."""
    left_out: int
    """Entries of the training split that some recipe cannot train on: nobody does."""
    val_split: str
    val: tuple[str, ...]
    """Epochs are chosen, and searches scored, on these."""
    scored: dict[str, tuple[str, ...]]
    """Of each split, in the order of the report, the training split first."""


def draw_samples(
    store: Store,
    config: CompareConfig,
    train: str,
    val: str,
    loaders: Sequence[LoaderConfig] = (),
) -> Samples:
    """Draw the samples of a comparison: by a hash of seed and name, so that each entry's draw is its own.

    For training whole sequence clusters are drawn, one after the other until there are enough entries;
    the last one may be cut. Nobody trains on an entry that one of the recipes leaves out. Entries of the
    validation split that choose epochs and settings are not scored, where there are others.

    Args:
        store: The data store.
        config: Sizes and seed.
        train: Split that is trained on.
        val: Split that is validated on.
        loaders: Of the recipes that are trained.

    Raises:
        ConfigError: the store has no split to evaluate, or no entry that all recipes can train on.
        StoreError: a split that the store does not have.
    """
    splits = config.splits or tuple(name for name in USUAL_SPLITS if name in store.splits)
    if not set(splits) - {train}:
        raise ConfigError(
            str(store.path),
            problem="has nothing to evaluate but what is trained on",
            remedy="Name the splits to evaluate with --splits",
        )
    entries = store.entries(train)
    kept = [set(choose_rows(store, train, (B_FACTOR,), loader)[0]) for loader in loaders]
    usable = set(range(len(entries))).intersection(*kept)
    if not usable:
        raise ConfigError(
            str(store.path),
            problem=f"the recipes have no entry of {train} in common that all can train on",
            remedy="Give them the same filters (data.loader)",
        )
    by_cluster = sorted(
        (entries[row] for row in usable),
        key=lambda entry: (draw(config.draw_seed, entry.cluster or entry.id), entry.id),
    )
    trained = sorted(entry.id for entry in by_cluster[: config.subset])
    validated = _drawn(
        [entry.id for entry in store.entries(val)], config.val_sample, config.draw_seed
    )
    scored = {TRAIN_SAMPLE: tuple(_drawn(trained, config.train_sample, config.draw_seed))}
    for split in splits:
        if split != train:
            ids = [entry.id for entry in store.entries(split)]
            others = sorted(set(ids).difference(validated))
            scored[split] = tuple(_drawn(others or ids, config.limit, config.draw_seed))
    return Samples(
        train_split=train,
        train=tuple(trained),
        is_subset=len(trained) < max((len(rows) for rows in kept), default=len(entries)),
        left_out=len(entries) - len(usable),
        val_split=val,
        val=tuple(validated),
        scored=scored,
    )


def draw_pairs(
    store: Store, path: Path, samples: Samples, config: CompareConfig
) -> list[CrystalPair]:
    """Return the pairs of crystals with an entry in the last scored split.

    With a limit, pairs are drawn until they have as many entries as a split is allowed to have.

    Args:
        store: The data store.
        path: Table of pairs.
        samples: What is scored.
        config: Limit and seed.

    Raises:
        ConfigError: the table cannot be read, or has no such pair.
    """
    split, place = next(reversed(samples.scored)), locate_entries(store)
    pairs = read_pairs(path)
    usable = [
        pair
        for pair in pairs
        if all(name in place for name in pair.ids)
        and any(place[name][0] == split for name in pair.ids)
    ]
    if not usable:
        raise ConfigError(
            str(path),
            problem=f"none of {len(pairs)} pairs has both entries in the store and one in {split}",
            remedy="Give pairs of that split, or another split last in --splits",
        )
    chosen: list[CrystalPair] = []
    entries: set[str] = set()
    for pair in sorted(usable, key=lambda pair: draw(config.draw_seed, "-".join(pair.ids))):
        if config.limit is None or not chosen or len(entries | {*pair.ids}) <= config.limit:
            chosen.append(pair)
            entries |= {*pair.ids}
    return sorted(chosen, key=lambda pair: (pair.ids, pair.chains))


def pair_table(pairs: Sequence[CrystalPair]) -> str:
    """Return pairs as CSV that :func:`debye.benchmark.crystal_pairs.read_pairs` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in pairs:
        (first, second), (chain, other) = pair.ids, pair.chains
        writer.writerow([first, chain, second, other, int(pair.same_form), pair.group])
    return text.getvalue()


def _drawn(ids: list[str], count: int | None, seed: int) -> list[str]:
    """Return some entries, in alphabetical order."""
    return sorted(sorted(ids, key=lambda name: (draw(seed, name), name))[:count])
