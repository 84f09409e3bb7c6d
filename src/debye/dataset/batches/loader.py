"""Batches of graphs with their targets: bounded in atoms, in a reproducible order."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from debye.dataset.batches.augment import AugmentConfig, augment, part_of
from debye.dataset.batches.graph_cache import GraphSource
from debye.dataset.batches.other_crystals import OtherCrystal, draw_other_crystal, rows_by_cluster
from debye.dataset.store.store import Store, StoreEntry
from debye.errors import StoreError
from debye.graph.graph import AtomGraph, join
from debye.targets.target import Target, clip_for_training

BatchKey = tuple[int, tuple[int, ...]]
"""Epoch, and rows of the split: all that a worker needs to make a batch."""
STEPS_SORTED_TOGETHER = 16
"""Of several processes, see :func:`balance_steps`."""
ORDER_STREAM, CRYSTAL_STREAM, AUGMENT_STREAM, OTHER_STREAM = 1, 2, 3, 4
"""Keep the random numbers of the decisions apart."""


HALF_QUALITY, UNKNOWN_RESOLUTION = 2.2, 2.0
"""Å. Where the trust in B-factors has fallen to a half, and what counts where nobody says."""


class LoaderConfig(BaseModel, frozen=True, extra="forbid"):
    """Which entries are used, and how they are batched."""

    batch_atoms: PositiveInt = 8_000
    """Upper bound on atoms per batch; a larger structure is a batch of its own."""
    max_atoms: PositiveInt | None = None
    """Leave out larger structures."""
    min_usable: PositiveInt = 50
    """Leave out structures with fewer usable atoms."""
    only: tuple[str, ...] = ()
    """Use these entries alone, by id; all if empty."""
    without: tuple[str, ...] = ()
    """Leave out these entries, by id."""
    representative_only: bool = False
    """One structure a sequence cluster."""
    exclude_near364: bool = False
    """Leave out what is similar to the 364-protein Cα benchmark."""
    hide_crystal: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of structures whose symmetry mates are hidden; drawn anew each epoch."""
    augment: AugmentConfig = AugmentConfig()
    """What else is hidden or disturbed."""
    shuffle: bool = True
    seed: NonNegativeInt = 1
    clip: bool = True
    """Limit standardized targets to ± :data:`debye.targets.target.TRAINING_LIMIT`."""
    workers: NonNegativeInt = 0
    """Processes that load; 0 loads in the calling process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Graphs with their targets."""

    graph: AtomGraph
    target: Float[Tensor, " atoms"]
    """Standardized; 0 where ``weight`` is 0."""
    weight: Float[Tensor, " atoms"]
    """1 for atoms with a usable value, else 0."""
    level: Float[Tensor, "structures 2"]
    """Log of the robust mean, and log of the robust standard deviation, of each structure."""
    quality: Float[Tensor, " structures"]
    """Trust in the data of each structure, see :func:`data_quality`."""
    clipped: int = 0
    """Atoms whose target was limited."""

    def to(self, device: torch.device | str) -> Batch:
        """Copy every tensor to a device."""
        return replace(
            self,
            graph=self.graph.to(device),
            target=self.target.to(device, non_blocking=True),
            weight=self.weight.to(device, non_blocking=True),
            level=self.level.to(device, non_blocking=True),
            quality=self.quality.to(device, non_blocking=True),
        )


class EntryBatches(Dataset[Batch]):
    """Makes the batch of a :data:`BatchKey`; keeps no state, so that workers need not agree."""

    def __init__(
        self, store: Store, split: str, target: Target, graphs: GraphSource, config: LoaderConfig
    ) -> None:
        self.store = store
        self.split = split
        self.target = target
        self.graphs = graphs
        self.config = config
        self.clusters: dict[str, list[int]] = {}
        if config.augment.other_crystal:
            entries = store.entries(split)
            self.clusters = rows_by_cluster(entries, choose_rows(entries, config)[0])

    def __getitem__(self, key: BatchKey) -> Batch:
        epoch, rows = key
        samples = [self._sample(epoch, row) for row in rows]
        return Batch(
            graph=join([sample.graph for sample in samples]),
            target=torch.cat([sample.target for sample in samples]),
            weight=torch.cat([sample.weight for sample in samples]),
            level=torch.cat([sample.level for sample in samples]),
            quality=torch.cat([sample.quality for sample in samples]),
            clipped=sum(sample.clipped for sample in samples),
        )

    def _sample(self, epoch: int, row: int) -> Batch:
        graph = self.graphs.graph(row)
        if hides_crystal(self.config, epoch, row):
            graph = graph.without_crystal()
        other = self._other_crystal(epoch, row)
        if other is None:
            entry = self.store.entries(self.split)[row]
            usable = self.store.usable(self.split, row)
            values = self.store.values(self.split, row, self.target.source)
        else:
            entry = self.store.entries(self.split)[other.row]
            graph = part_of(graph.of_other_coordinates(), torch.from_numpy(other.keep))
            usable, values = other.usable[other.keep], other.values[other.keep]
        if self.config.augment != AugmentConfig():
            key = [self.config.seed, AUGMENT_STREAM, epoch, row]
            shown, keep = augment(graph, self.config.augment, np.random.default_rng(key))
            if usable[keep.numpy()].sum() >= self.config.min_usable:
                graph, usable, values = shown, usable[keep.numpy()], values[keep.numpy()]
        labels = self.target.standardize(values, usable)
        value, clipped = clip_for_training(labels.value) if self.config.clip else (labels.value, 0)
        return Batch(
            graph=graph,
            target=torch.from_numpy(value),
            weight=torch.from_numpy(usable.astype(np.float32)),
            level=torch.from_numpy(labels.level)[None],
            quality=torch.tensor([data_quality(entry.resolution)]),
            clipped=clipped,
        )

    def _other_crystal(self, epoch: int, row: int) -> OtherCrystal | None:
        """Decide whether a sample asks for the values of another crystal, and find that."""
        share = self.config.augment.other_crystal
        generator = np.random.default_rng([self.config.seed, OTHER_STREAM, epoch, row])
        if not share or generator.random() >= share:
            return None
        cluster = self.store.entries(self.split)[row].cluster
        found = draw_other_crystal(
            self.store,
            self.split,
            row,
            column=self.target.source,
            cluster=self.clusters.get(cluster, ()),
            generator=generator,
        )
        return found if found and found.usable.sum() >= self.config.min_usable else None


def data_quality(resolution: float | None) -> float:
    """Say how much the B-factors of an entry can be trusted, 1 at best, from its resolution (Å).

    Example:
        >>> [round(data_quality(resolution), 2) for resolution in (1.0, 2.0, 3.0, None)]
        [0.96, 0.59, 0.22, 0.59]
    """
    return 1.0 / (1.0 + ((resolution or UNKNOWN_RESOLUTION) / HALF_QUALITY) ** 4)


class BatchSampler(Sampler[BatchKey]):
    """Orders entries into batches of at most so many atoms, differently in each epoch.

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
        batches = [order[run] for run in pack(self.sizes[order], self.config.batch_atoms)]
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

    Args:
        sizes: Of the batches, as many as fill all steps.
        world_size: Number of processes.
        generator: Of the shuffles.

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


def pack(sizes: NDArray[np.int64], limit: int) -> list[NDArray[np.int64]]:
    """Cut a sequence into runs whose sizes sum to at most a limit, or that have one element.

    Example:
        >>> [run.tolist() for run in pack(np.array([3, 4, 9, 1, 1]), 8)]
        [[0, 1], [2], [3, 4]]
    """
    runs: list[list[int]] = []
    filled = limit
    for position, size in enumerate(sizes.tolist()):
        if filled + size > limit:
            runs.append([])
            filled = 0
        runs[-1].append(position)
        filled += size
    return [np.array(run, np.int64) for run in runs]


def hides_crystal(config: LoaderConfig, epoch: int, row: int) -> bool:
    """Decide whether the crystal of an entry is hidden in an epoch; the same in every process."""
    if config.hide_crystal in (0.0, 1.0):
        return config.hide_crystal == 1.0
    generator = np.random.default_rng([config.seed, CRYSTAL_STREAM, epoch, row])
    return bool(generator.random() < config.hide_crystal)


def choose_rows(
    entries: Sequence[StoreEntry], config: LoaderConfig
) -> tuple[list[int], Counter[str]]:
    """Return the rows that a configuration uses, and how many entries it leaves out for each reason."""
    rows: list[int] = []
    left_out: Counter[str] = Counter()
    for row, entry in enumerate(entries):
        reason = _reason_to_leave_out(entry, config)
        if reason:
            left_out[reason] += 1
        else:
            rows.append(row)
    return rows, left_out


def _reason_to_leave_out(entry: StoreEntry, config: LoaderConfig) -> str | None:
    if config.only and entry.id not in config.only:
        return "not among the chosen entries"
    if entry.id in config.without:
        return "held out"
    if entry.n_usable < config.min_usable:
        return f"fewer than {config.min_usable} usable atoms"
    if config.max_atoms is not None and entry.n_atoms > config.max_atoms:
        return f"more than {config.max_atoms} atoms"
    if config.representative_only and not entry.representative:
        return "not the representative of its cluster"
    if config.exclude_near364 and entry.near364:
        return "similar to the 364-protein benchmark"
    return None


def make_loader(
    store: Store,
    split: str,
    target: Target,
    graphs: GraphSource,
    config: LoaderConfig,
    *,
    rank: int = 0,
    world_size: int = 1,
    batches_per_epoch: int | None = None,
) -> DataLoader[Batch]:
    """Return a loader of batches; ``loader.sampler.set_epoch`` chooses the epoch.

    Args:
        store: The data store.
        split: One of its splits.
        target: What is learned.
        graphs: :func:`debye.dataset.batches.graph_cache.open_graph_cache`, or a
            :class:`debye.dataset.batches.graph_cache.GraphBuilder` that computes them anew.
        config: Filters, batch size, order.
        rank: This process among those that train together.
        world_size: How many train together.
        batches_per_epoch: Length of an epoch; None is one pass over the split.

    Raises:
        StoreError: no entry passes the filters.
    """
    entries = store.entries(split)
    rows, left_out = choose_rows(entries, config)
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    logging.getLogger(__name__).info(
        "%s: %d of %d entries of split %s are used; left out: %s",
        store.path,
        len(rows),
        len(entries),
        split,
        reasons or "none",
    )
    if not rows:
        raise StoreError(
            str(store.path),
            problem=f"no entry of split {split!r} is left ({reasons or 'the split is empty'})",
            remedy="Loosen the filters",
        )
    sampler = BatchSampler(
        rows,
        [entries[row].n_atoms for row in rows],
        config,
        rank=rank,
        world_size=world_size,
        batches_per_epoch=batches_per_epoch,
    )
    return DataLoader(
        EntryBatches(store, split, target, graphs, config),
        # The sampler's items are whole batches: batch_size None keeps the loader from batching again.
        batch_size=None,
        sampler=sampler,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
    )
