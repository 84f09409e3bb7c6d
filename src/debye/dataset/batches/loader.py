"""Batches of graphs with their labels: bounded in atoms, in a reproducible order."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from debye.dataset.batches.augment import (
    AugmentConfig,
    OtherCrystal,
    augment,
    draw_other_crystal,
    part_of,
    rows_by_cluster,
)
from debye.dataset.batches.graph_cache import GraphSource
from debye.dataset.packing import pack
from debye.dataset.store.store import Store, StoreEntry
from debye.errors import StoreError
from debye.graph.graph import AtomGraph, item_count, join
from debye.structure.structure import EntityKind
from debye.targets.losses import Items, TargetLabels
from debye.targets.target import Labels, Per, Target, clip_for_training

BatchKey = tuple[int, tuple[int, ...]]
"""Epoch and rows of the split, from which a worker makes a batch."""
STEPS_SORTED_TOGETHER = 16
"""See :func:`balance_steps`."""
ORDER_STREAM, CRYSTAL_STREAM, AUGMENT_STREAM, OTHER_STREAM = 1, 2, 3, 4
"""Seeds that keep the random numbers of different decisions independent."""


NOT_CHOSEN, HELD_OUT = "not among the chosen entries", "held out"
RESIDUES_PER_ATOM = 1 / 8
"""Usual number of residues per atom, for bounds that are given in atoms."""


class LoaderConfig(BaseModel, frozen=True, extra="forbid"):
    """Filters, batch size and order."""

    batch_atoms: PositiveInt = 8_000
    """Upper bound on atoms per batch; a larger structure is a batch of its own."""
    max_atoms: PositiveInt | None = None
    """Leave out larger structures."""
    min_usable: PositiveInt = 50
    """Leave out structures with fewer usable labels of every target. For targets per residue an eighth of it
    counts; one label is enough for targets per structure."""
    only: tuple[str, ...] = ()
    """Use only these entries, by id; all if empty."""
    without: tuple[str, ...] = ()
    """Leave out these entries, by id."""
    representative_only: bool = False
    """One structure a sequence cluster."""
    exclude_tags: tuple[str, ...] = ()
    """Leave out entries with 1 in any of these columns of the index, such as ``near364``."""
    hide_crystal: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of structures whose symmetry mates are hidden; drawn anew each epoch."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes to the structures."""
    shuffle: bool = True
    seed: NonNegativeInt = 1
    clip: bool = True
    """Limit standardized labels to ± :data:`debye.targets.target.TRAINING_LIMIT`."""
    workers: NonNegativeInt = 0
    """Processes that load; 0 loads in the calling process."""

    @model_validator(mode="before")
    @classmethod
    def _read_older_settings(cls, settings: Any) -> Any:
        """Accept ``exclude_near364`` of older recipes and checkpoints."""
        if isinstance(settings, dict) and "exclude_near364" in settings:
            settings = dict(settings)
            if settings.pop("exclude_near364"):
                settings["exclude_tags"] = (*settings.get("exclude_tags", ()), "near364")
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Graphs with their labels."""

    graph: AtomGraph
    labels: Mapping[str, TargetLabels]
    """Labels of each target, by name; weights are 0 where a structure has none."""

    def to(self, device: torch.device | str) -> Batch:
        """Copy every tensor to a device."""
        labels = {name: each.to(device) for name, each in self.labels.items()}
        return Batch(graph=self.graph.to(device), labels=labels)


def graph_items(graph: AtomGraph, per: Per) -> Items:
    """Return the items of a batch that values per atom, residue or structure belong to."""
    if per is Per.STRUCTURE:
        index = torch.arange(graph.n_structures, device=graph.position.device)
        every = torch.ones_like(index, dtype=torch.bool)
        return Items(index, graph.n_structures, every, every)
    rows = slice(None)
    if per is Per.RESIDUE:
        rows = first_atoms(graph.residue_index, graph.n_residues)
    is_protein = graph.entity_kind == EntityKind.PROTEIN
    return Items(
        graph.structure_index[rows], graph.n_structures, graph.is_polymer[rows], is_protein[rows]
    )


def first_atoms(group: Int[Tensor, " atoms"], n_groups: int) -> Int[Tensor, " groups"]:
    """Return the first atom of each group, such as a residue.

    Example:
        >>> first_atoms(torch.tensor([1, 0, 1, 0]), 2).tolist()
        [1, 0]
    """
    last = torch.full((n_groups,), len(group), dtype=torch.long, device=group.device)
    rows = torch.arange(len(group), device=group.device)
    return last.scatter_reduce(0, group.long(), rows, "amin")


class EntryBatches(Dataset[Batch]):
    """Makes the batch of a :data:`BatchKey`; keeps no state, so that workers need not agree."""

    def __init__(
        self,
        store: Store,
        split: str,
        targets: Sequence[Target],
        graphs: GraphSource,
        config: LoaderConfig,
    ) -> None:
        self.store = store
        self.split = split
        self.targets = tuple(targets)
        self.graphs = graphs
        self.config = config
        self.clusters: dict[str, list[int]] = {}
        if config.augment.other_crystal:
            rows, _ = choose_rows(store, split, targets, config)
            self.clusters = rows_by_cluster(store.entries(split), rows)

    def __getitem__(self, key: BatchKey) -> Batch:
        epoch, rows = key
        samples = [self._sample(epoch, row) for row in rows]
        return Batch(
            graph=join([sample.graph for sample in samples]),
            labels={
                target.name: _joined([sample.labels[target.name] for sample in samples])
                for target in self.targets
            },
        )

    def _sample(self, epoch: int, row: int) -> Batch:
        graph = self.graphs.graph(row)
        if hides_crystal(self.config, epoch, row):
            graph = graph.without_crystal()
        other = self._other_crystal(epoch, row)
        if other is None:
            labels = [self.store.labels(self.split, row, target) for target in self.targets]
        else:
            graph = part_of(graph.as_transfer_query(), torch.from_numpy(other.keep))
            labels = [other.labels(self.store, self.split, target) for target in self.targets]
        if self.config.augment != AugmentConfig():
            key = [self.config.seed, AUGMENT_STREAM, epoch, row]
            shown, keep = augment(graph, self.config.augment, np.random.default_rng(key))
            left = [
                _labels_of_part(each, graph, keep, target.per)
                for each, target in zip(labels, self.targets, strict=True)
            ]
            if self._enough(left):
                graph, labels = shown, left
        entry = self.store.entries(self.split)[row if other is None else other.row]
        return Batch(
            graph=graph,
            labels={
                target.name: self._standardized(target, each, graph, entry.resolution)
                for target, each in zip(self.targets, labels, strict=True)
            },
        )

    def _enough(self, labels: Sequence[Labels]) -> bool:
        """Return whether any target has enough usable labels."""
        return any(
            each.usable.sum() >= fewest_usable(target, self.config)
            for each, target in zip(labels, self.targets, strict=True)
        )

    def _standardized(
        self, target: Target, labels: Labels, graph: AtomGraph, resolution: float | None
    ) -> TargetLabels:
        count = item_count(graph, target.per)
        value, log_mean_sd, clipped = np.zeros(count, np.float32), np.zeros(2, np.float32), 0
        usable = labels.usable if len(labels.usable) else np.zeros(count, bool)
        if usable.any():
            found = target.standardize(labels)
            value, log_mean_sd = found.value, found.log_mean_sd
            if self.config.clip:
                value, clipped = clip_for_training(value)
        trust = 1.0 if target.trust is None else target.trust(resolution)
        return TargetLabels(
            value=torch.from_numpy(value),
            weight=torch.from_numpy(usable.astype(np.float32)),
            log_mean_sd=torch.from_numpy(log_mean_sd)[None],
            trust=torch.tensor([trust]),
            clipped=clipped,
        )

    def _other_crystal(self, epoch: int, row: int) -> OtherCrystal | None:
        """Decide whether a sample takes the labels of another crystal, and find one."""
        share = self.config.augment.other_crystal
        generator = np.random.default_rng([self.config.seed, OTHER_STREAM, epoch, row])
        if not share or generator.random() >= share:
            return None
        cluster = self.store.entries(self.split)[row].cluster
        found = draw_other_crystal(
            self.store, self.split, row, cluster=self.clusters.get(cluster, ()), generator=generator
        )
        if found is None:
            return None
        labels = [found.labels(self.store, self.split, target) for target in self.targets]
        return found if self._enough(labels) else None


def fewest_usable(target: Target, config: LoaderConfig) -> int:
    """Return the number of usable labels below which a structure is left out.

    Example:
        >>> from debye.targets.b_factor import B_FACTOR
        >>> fewest_usable(B_FACTOR, LoaderConfig(min_usable=50))
        50
    """
    share = {Per.ATOM: 1.0, Per.RESIDUE: RESIDUES_PER_ATOM}.get(target.per, 0.0)
    return max(1, round(share * config.min_usable))


def _labels_of_part(
    labels: Labels, graph: AtomGraph, keep: Bool[Tensor, " atoms"], per: Per
) -> Labels:
    """Return the labels of some atoms of a structure; the value of the whole does not hold for a part."""
    if bool(keep.all()) or not len(labels.usable):
        return labels
    if per is Per.STRUCTURE:
        return Labels.unusable(1, "only a part of the structure is shown")
    rows = keep if per is Per.ATOM else torch.unique(graph.residue_index[keep])
    return labels.take(rows.numpy())


def _joined(labels: Sequence[TargetLabels]) -> TargetLabels:
    names = ("value", "weight", "log_mean_sd", "trust")
    columns = {name: torch.cat([getattr(each, name) for each in labels]) for name in names}
    return TargetLabels(**columns, clipped=sum(each.clipped for each in labels))


class BatchSampler(Sampler[BatchKey]):
    """Orders entries into batches of limited size, differently in each epoch.

    The batches of an epoch depend on seed, epoch and number of processes alone, so that a resumed run sees the
    same ones. Of several processes each gets one batch a step; where they do not divide, the first ones come
    again, since all must take equally many steps. In training the batches of a step are of like size.

    Iterating gives one epoch, or with ``batches_per_epoch`` that many batches of the endless stream
    of all passes over the data.
    """

    def __init__(
        self,
        rows: Sequence[int],
        sizes: Sequence[int],
        config: LoaderConfig,
        *,
        rank: int = 0,
        world_size: int = 1,
        batches_per_epoch: int | None = None,
    ) -> None:
        self.rows = np.asarray(rows, np.int64)
        self.sizes = np.asarray(sizes, np.int64)
        self.config = config
        self.rank = rank
        self.world_size = world_size
        self.batches_per_epoch = batches_per_epoch
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; trainers call this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches_per_epoch or len(self.keys(self.epoch))

    def __iter__(self) -> Iterator[BatchKey]:
        if self.batches_per_epoch is None:
            return iter(self.keys(self.epoch))
        return self.stream(self.epoch * self.batches_per_epoch, self.batches_per_epoch)

    def keys(self, epoch: int) -> list[BatchKey]:
        """Return this process's batches of one pass over the data."""
        order = np.arange(len(self.rows))
        generator = np.random.default_rng([self.config.seed, ORDER_STREAM, epoch])
        if self.config.shuffle:
            order = generator.permutation(order)
        sizes = self.sizes[order].tolist()
        batches = [order[run] for run in pack(enumerate(sizes), self.config.batch_atoms)]
        whole = len(batches) // self.world_size * self.world_size
        if self.config.shuffle and self.world_size > 1:
            loads = [int(self.sizes[batch].sum()) for batch in batches[:whole]]
            places = balance_steps(loads, self.world_size, generator)
            batches[:whole] = [batches[place] for place in places]
        # Where nothing is trained, padding would score structures twice: only so that none is idle.
        pads = self.config.shuffle or len(batches) < self.world_size
        missing = -len(batches) % self.world_size if pads else 0
        batches += [batches[number % len(batches)] for number in range(missing)]
        mine = batches[self.rank :: self.world_size]
        return [(epoch, tuple(self.rows[batch].tolist())) for batch in mine]

    def stream(self, start: int, count: int) -> Iterator[BatchKey]:
        """Yield ``count`` batches of the endless stream of passes, from the ``start``-th on."""
        epoch = 0
        while count > 0:
            keys = self.keys(epoch)
            taken = keys[start : start + count]
            yield from taken
            start, count, epoch = max(0, start - len(keys)), count - len(taken), epoch + 1


def balance_steps(
    sizes: Sequence[int], world_size: int, generator: np.random.Generator
) -> list[int]:
    """Order batches so that those of one step, one a process, are about as large as each other.

    Processes wait for the slowest of them after every step. Batches stay near where they were: only runs of
    :data:`STEPS_SORTED_TOGETHER` steps are sorted; then their steps are shuffled, and the processes within them.

    Example:
        >>> balance_steps([9, 1, 8, 2], 2, np.random.default_rng(1))
        [1, 3, 0, 2]
    """
    places: list[int] = []
    length = STEPS_SORTED_TOGETHER * world_size
    for start in range(0, len(sizes), length):
        run = start + np.argsort(sizes[start : start + length], kind="stable")
        steps = generator.permutation(run.reshape(-1, world_size))
        places += generator.permuted(steps, axis=1).ravel().tolist()
    return places


def hides_crystal(config: LoaderConfig, epoch: int, row: int) -> bool:
    """Decide whether the crystal of an entry is hidden in an epoch; the same in every process."""
    if config.hide_crystal in (0.0, 1.0):
        return config.hide_crystal == 1.0
    generator = np.random.default_rng([config.seed, CRYSTAL_STREAM, epoch, row])
    return bool(generator.random() < config.hide_crystal)


def choose_rows(
    store: Store, split: str, targets: Sequence[Target], config: LoaderConfig
) -> tuple[list[int], Counter[str]]:
    """Return the rows that a configuration uses, and the number of entries left out for each reason.

    Raises:
        StoreError: the split does not exist, or has no labels of a target.
    """
    entries = store.entries(split)
    has_enough = np.zeros(len(entries), bool)
    for target in targets:
        has_enough |= store.usable_counts(split, target) >= fewest_usable(target, config)
    needed = " or ".join(
        f"{fewest_usable(target, config)} usable {target.per}s" for target in targets
    )
    rows: list[int] = []
    left_out: Counter[str] = Counter()
    for row, entry in enumerate(entries):
        reason = _reason_to_leave_out(entry, config)
        if not has_enough[row] and reason not in (NOT_CHOSEN, HELD_OUT):
            reason = f"fewer than {needed}"
        if reason:
            left_out[reason] += 1
        else:
            rows.append(row)
    return rows, left_out


def _reason_to_leave_out(entry: StoreEntry, config: LoaderConfig) -> str | None:
    if config.only and entry.id not in config.only:
        return NOT_CHOSEN
    if entry.id in config.without:
        return HELD_OUT
    if config.max_atoms is not None and entry.n_atoms > config.max_atoms:
        return f"more than {config.max_atoms} atoms"
    if config.representative_only and not entry.representative:
        return "not the representative of its cluster"
    tags = [tag for tag in config.exclude_tags if entry.columns.get(tag) == "1"]
    return f"tagged {tags[0]}" if tags else None


def make_loader(
    store: Store,
    split: str,
    targets: Sequence[Target],
    graphs: GraphSource,
    config: LoaderConfig,
    *,
    rank: int = 0,
    world_size: int = 1,
    batches_per_epoch: int | None = None,
) -> DataLoader[Batch]:
    """Return a loader of batches; ``loader.sampler.set_epoch`` chooses the epoch.

    Args:
        graphs: :func:`debye.dataset.batches.graph_cache.open_graph_cache`, or a
            :class:`debye.dataset.batches.graph_cache.GraphBuilder` that computes them anew.
        rank: This process among those that train together.
        world_size: How many train together.
        batches_per_epoch: Length of an epoch; None is one pass over the split.

    Raises:
        StoreError: no entry passes the filters, or the split has no labels of a target.
    """
    entries = store.entries(split)
    rows, left_out = choose_rows(store, split, targets, config)
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    logging.getLogger(__name__).info(
        "%s: %d of %d entries of split %s are used; left out: %s",
        *(store.path, len(rows), len(entries), split, reasons or "none"),
    )
    if not rows:
        raise StoreError(
            str(store.path),
            f"no entry of split {split!r} is left ({reasons or 'the split is empty'})",
            "Loosen the filters",
        )
    sizes = [entries[row].n_atoms for row in rows]
    sampler = BatchSampler(
        rows, sizes, config, rank=rank, world_size=world_size, batches_per_epoch=batches_per_epoch
    )
    return DataLoader(
        EntryBatches(store, split, targets, graphs, config),
        # The sampler's items are whole batches: batch_size None keeps the loader from batching again.
        batch_size=None,
        sampler=sampler,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
    )
