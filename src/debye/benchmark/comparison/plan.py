"""How a comparison is made, and what its report states about it: ``plan.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from debye.benchmark.crystal_pairs import CrystalPair, locate_entries, read_pairs
from debye.dataset.batches.graph_cache import GraphBuilder, find_graph_cache
from debye.dataset.batches.loader import LoaderConfig, choose_rows
from debye.dataset.curate.splits import draw
from debye.dataset.store.statistics import split_figures
from debye.dataset.store.store import Store
from debye.errors import ConfigError
from debye.files import write_text
from debye.graph.config import GraphConfig
from debye.scores.tables import write_table
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import Target

PLAN_FILE = "plan.json"
USUAL_SPLITS = ("val", "test", "kinase")
QUICK_SETTINGS = (
    "training.epochs=1",
    "training.validate_every=1",
    "training.weight_average=0.0",
    "data.batches_per_epoch=6",
)
"""Settings of every recipe in a quick comparison."""


class CompareConfig(BaseModel, frozen=True, extra="forbid"):
    """What all models of a comparison have in common."""

    seeds: PositiveInt = 3
    """Runs of each recipe; the first has the seed 1."""
    splits: tuple[str, ...] = ()
    """Evaluated; empty: those of val, test and kinase that the store has."""
    subset: PositiveInt | None = None
    """Entries of the training split that all recipes are trained on; None: all."""
    limit: PositiveInt | None = None
    """Entries of each evaluated split that are scored; None: all."""
    train_sample: PositiveInt = 60
    """Entries of the training data that are scored too."""
    val_sample: PositiveInt = 40
    """Entries of the validation split on which epochs are chosen and searches scored."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of a recipe's budget that each combination of its search gets."""
    draw_seed: NonNegativeInt = 0
    """Chooses the samples."""
    settings: tuple[str, ...] = ()
    """Changes of every recipe, ``section.key=value``."""
    device: Literal["cpu", "cuda"] = "cpu"

    def quick(self) -> CompareConfig:
        """Return a comparison of minutes: the same steps with hardly any data; its figures mean nothing."""
        small: dict[str, Any] = {"seeds": 1, "subset": 16, "limit": 6}
        small |= {"train_sample": 6, "val_sample": 6}
        settings = (*QUICK_SETTINGS, *self.settings)
        return CompareConfig.model_validate(self.model_dump() | small | {"settings": settings})


class PredictedFacts(BaseModel, frozen=True):
    """What the predicted structures of a comparison are."""

    folder: str
    structures: int
    matches: int
    digest: str


class Plan(BaseModel, frozen=True):
    """What the report states about a comparison as a whole."""

    contenders: tuple[str, ...]
    reference: str
    command: str
    preparation: tuple[tuple[float, float], ...] | None = None
    """Start and duration of each time that graphs were built beforehand, s; None: not known."""
    version: str
    data: str
    """Name of the store."""
    digest: str
    target: str = "b_factor"
    """Name of what the models predict."""
    seeds: int
    share: float
    limit: int | None
    draw_seed: int
    settings: tuple[str, ...]
    jobs: int
    device: str
    is_subset: bool
    train_split: str
    train_entries: int
    train_split_entries: int
    left_out: int
    """Entries of the training split that some recipe filters out."""
    val_sample: int
    val_sample_scored: int
    """Of these entries, those that are scored too."""
    pairs: str | None
    """How many pairs of which table."""
    predicted: PredictedFacts | None = None
    scored: dict[str, int]
    """Entries of each column of the report."""

    def write(self, folder: Path) -> None:
        """Write it into the folder of the comparison."""
        write_text(folder / PLAN_FILE, self.model_dump_json(indent=1))

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Read the plan of a comparison, or raise a :class:`ConfigError`."""
        path = folder / PLAN_FILE
        if not path.is_file():
            problem = f"has no {PLAN_FILE}"
            remedy = "Give the folder of a comparison, or make one with debye compare RECIPE…"
            raise ConfigError(str(folder), problem, remedy)
        return cls.model_validate_json(path.read_text())


TRAIN_SAMPLE = "train"
"""Name of the column of figures on entries that were trained on."""
DATA_FILE = "data.csv"
EVERY_TRAINED = "every trained recipe"
"""Owner of the counted edges if all recipes have the same graphs."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Entries by id, the same for every model."""

    train_split: str
    train: tuple[str, ...]
    """Trained on; all of the split if the comparison names no subset."""
    is_subset: bool
    """These are fewer than a recipe would train on by itself."""
    left_out: int
    """Entries of the training split that some recipe filters out: no recipe trains on them."""
    val_split: str
    val: tuple[str, ...]
    """Epochs are chosen, and searches scored, on these."""
    scored: dict[str, tuple[str, ...]]
    """Of each column of the report, in its order, the training sample first."""


def draw_samples(
    store: Store,
    config: CompareConfig,
    train: str,
    val: str,
    loaders: Sequence[LoaderConfig] = (),
    targets: Sequence[Target] = (B_FACTOR,),
) -> Samples:
    """Draw the samples of a comparison: by a hash of seed and name, so that each entry's draw is its own.

    For training whole sequence clusters are drawn, one after the other until there are enough entries;
    the last one may be cut. No recipe trains on an entry that another one filters out. Entries of the
    validation split that choose epochs and settings are not scored if there are other ones.

    Raises:
        ConfigError: the store has no split to evaluate, or no entry that all recipes can train on.
        StoreError: a split that the store does not have.
    """
    splits = config.splits or tuple(name for name in USUAL_SPLITS if name in store.splits)
    if not set(splits) - {train}:
        problem = "has nothing to evaluate but the training split"
        raise ConfigError(str(store.path), problem, "Name the splits to evaluate with --splits")
    entries = store.entries(train)
    kept = [set(choose_rows(store, train, targets, loader)[0]) for loader in loaders]
    usable = set(range(len(entries))).intersection(*kept)
    if not usable:
        problem = f"the recipes have no entry of {train} in common that all can train on"
        raise ConfigError(str(store.path), problem, "Give them the same filters (data.loader)")
    by_cluster = sorted(
        (entries[row] for row in usable),
        key=lambda entry: (draw(config.draw_seed, entry.cluster or entry.id), entry.id),
    )
    trained = sorted(entry.id for entry in by_cluster[: config.subset])
    seed = config.draw_seed
    validated = _drawn([entry.id for entry in store.entries(val)], config.val_sample, seed)
    scored = {TRAIN_SAMPLE: _drawn(trained, config.train_sample, seed)}
    for split in splits:
        if split != train:
            ids = [entry.id for entry in store.entries(split)]
            others = [name for name in ids if name not in validated]
            scored[split] = _drawn(others or ids, config.limit, seed)
    return Samples(
        train_split=train,
        train=tuple(trained),
        is_subset=len(trained) < max((len(rows) for rows in kept), default=len(entries)),
        left_out=len(entries) - len(usable),
        val_split=val,
        val=validated,
        scored=scored,
    )


def draw_pairs(
    store: Store, path: Path, samples: Samples, config: CompareConfig
) -> list[CrystalPair]:
    """Return the pairs of crystals with an entry in the last scored split.

    With a limit, pairs are drawn until they have as many entries as a split is allowed to have.
    """
    split, place = next(reversed(samples.scored)), locate_entries(store)
    pairs = read_pairs(path)
    usable = []
    for pair in pairs:
        found = [place[name][0] for name in pair.ids if name in place]
        usable += [pair] if len(found) == 2 and split in found else []
    if not usable:
        problem = f"none of {len(pairs)} pairs has both entries in the store and one in {split}"
        remedy = "Give pairs of that split, or another split last in --splits"
        raise ConfigError(str(path), problem, remedy)
    chosen: list[CrystalPair] = []
    entries: set[str] = set()
    for pair in sorted(usable, key=lambda pair: draw(config.draw_seed, "-".join(pair.ids))):
        if config.limit is None or not chosen or len(entries | {*pair.ids}) <= config.limit:
            chosen.append(pair)
            entries |= {*pair.ids}
    return sorted(chosen, key=lambda pair: (pair.ids, pair.chains))


def _drawn(ids: list[str], count: int | None, seed: int) -> tuple[str, ...]:
    """Return some entries, in alphabetical order."""
    return tuple(sorted(sorted(ids, key=lambda name: (draw(seed, name), name))[:count]))


def write_dataset(
    store: Store,
    samples: Samples,
    config: GraphConfig | None,
    edges_of: str,
    folder: Path,
    target: Target = B_FACTOR,
) -> None:
    """Write ``data.csv``: a row for the training data and for each scored split; the same table is kept.

    Args:
        config: The graphs whose edges are counted, with symmetry mates; None: none are.
        edges_of: The owner of these graphs, in words.
        target: Its mean and standard deviation are in the columns ``mean_b`` and ``std_b`` if it is B, else in
            ``mean_value`` and ``std_value``.
    """
    path = folder / DATA_FILE
    if path.exists():
        known = pd.read_csv(path, keep_default_na=False)
        if "edges_of" in known and set(known["edges_of"]) == {edges_of}:
            return
    suffix = "b" if target.source.name == B_FACTOR.source.name else "value"
    means = {"resolution": "mean_resolution", "mean B": f"mean_{suffix}", "std B": f"std_{suffix}"}
    rows = []
    for name, ids in (samples.scored | {TRAIN_SAMPLE: samples.train}).items():
        is_train = name == TRAIN_SAMPLE
        split = samples.train_split if is_train else name
        own = {"role": "trained on" if is_train else "scored", "split": split, "edges_of": edges_of}
        chosen = [row for row, entry in enumerate(store.entries(split)) if entry.id in set(ids)]
        found = pd.DataFrame(split_figures(store, split, target)).iloc[chosen]
        own |= {"structures": len(chosen)} | found[["residues", "atoms"]].sum().to_dict()
        if config is not None:
            graphs = find_graph_cache(store, split, config) or GraphBuilder(store, split, config)
            own["edges"] = sum(graphs.graph(row).n_edges for row in chosen)
        figures = found[list(means)].replace([np.inf, -np.inf], np.nan).mean()
        rows.append(own | dict(zip(means.values(), figures, strict=True)))
    write_table(path, pd.DataFrame(rows))
