"""The batches of a run: graphs from the cache, in the order of the recipe, with those of a rehearsal store mixed in.

Rehearsal keeps a model from forgetting other data: Robins (1995), Connection Science 7, 123-146,
doi:10.1080/09540099550039318.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from rich.progress import Progress as Bar
from torch.utils.data import DataLoader, Dataset, Sampler

from debye.dataset.batches.graph_cache import (
    GraphBuilder,
    GraphSource,
    find_graph_cache,
    open_graph_cache,
)
from debye.dataset.batches.loader import (
    Batch,
    BatchKey,
    BatchSampler,
    EntryBatches,
    LoaderConfig,
    make_loader,
)
from debye.dataset.store.store import Store
from debye.graph.graph import AtomGraph
from debye.models.base import AtomModel
from debye.training.config import Recipe, RehearsalConfig
from debye.training.module import VALIDATIONS

REHEARSAL_SEED = 1_000_003
"""Added to the seed of rehearsal batches: else both streams would draw the same random numbers."""


class RememberedGraphs:
    """Keeps graphs in memory after their first use: for a few entries of a large split, of which a cache builds all."""

    def __init__(self, builder: GraphBuilder) -> None:
        self.builder = builder
        self._known: dict[int, AtomGraph] = {}

    def graph(self, row: int) -> AtomGraph:
        """Return the graph of one entry, with its crystal."""
        if row not in self._known:
            self._known[row] = self.builder.graph(row)
        return self._known[row]


class MixedKey(NamedTuple):
    """A batch of the run's own store, or of the rehearsal store."""

    is_rehearsal: bool
    key: BatchKey


class MixedBatches(Dataset[Batch]):
    """Makes the batch of a :class:`MixedKey`."""

    def __init__(self, own: EntryBatches, rehearsal: EntryBatches) -> None:
        self.own = own
        self.rehearsal = rehearsal

    def __getitem__(self, key: MixedKey) -> Batch:
        return (self.rehearsal if key.is_rehearsal else self.own)[key.key]


class MixedSampler(Sampler[MixedKey]):
    """One epoch of the run's own data, with ``share`` rehearsal batches after each batch (on average).

    These are an endless stream that continues from epoch to epoch; those of an epoch depend on seed and epoch alone.
    """

    def __init__(self, own: BatchSampler, rehearsal: BatchSampler, share: float) -> None:
        self.own = own
        self.rehearsal = rehearsal
        self.n_rehearsal = round(share * len(own))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; trainers call this."""
        self.own.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.own) + self.n_rehearsal

    def __iter__(self) -> Iterator[MixedKey]:
        own, given = list(self.own), 0
        stream = self.rehearsal.stream(self.own.epoch * self.n_rehearsal, self.n_rehearsal)
        for number, key in enumerate(own, start=1):
            yield MixedKey(False, key)
            due = round(number * self.n_rehearsal / len(own))
            yield from (MixedKey(True, key) for key in islice(stream, due - given))
            given = due


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBatches:
    """The batches of a run, and of each epoch the part that one of several processes trains on."""

    recipe: Recipe
    store: Store
    model: AtomModel
    rank: int = 0
    world_size: int = 1

    def open_graphs(self, *, progress: bool = False) -> dict[str, GraphSource]:
        """Open, or build first, the graphs of the splits that the recipe trains and validates on."""
        store, config, data = self.store, self.model.graph_config, self.recipe.data
        validated = [data.validation_split] if self.recipe.training.keep == "best" else []
        graphs: dict[str, GraphSource] = {}
        for split in dict.fromkeys([data.split, *validated]):
            if data.loader.only:
                cache = find_graph_cache(store, split, config)
                graphs[split] = cache or RememberedGraphs(GraphBuilder(store, split, config))
                continue
            with Bar(disable=not progress) as bar:
                task = bar.add_task(f"graphs of {split}", total=len(store.entries(split)))
                graphs[split] = open_graph_cache(
                    store,
                    split,
                    config,
                    workers=data.graph_workers,
                    progress=lambda done, _, task=task, bar=bar: bar.update(task, completed=done),
                )
        return graphs

    def training(self, graphs: GraphSource) -> DataLoader[Batch]:
        """Return the shuffled batches of the training split; ``training.seed`` sets the order."""
        data, config = self.recipe.data, self._config(seed=self.recipe.training.seed)
        return self._loader(self.store, data.split, graphs, config, data.batches_per_epoch)

    def rehearsing(self, own: DataLoader[Batch], store: Store) -> DataLoader[Batch]:
        """Mix batches of a rehearsal store into those of a loader, under the same filters and batch size."""
        rehearsal = self.recipe.rehearsal or RehearsalConfig()
        split, seed = rehearsal.split, self.recipe.training.seed + REHEARSAL_SEED
        settings = self._config(seed=seed, only=(), without=rehearsal.without)
        # Building graphs on the fly costs little next to a step, and leaves the rehearsal store as it is.
        graphs = find_graph_cache(store, split, self.model.graph_config)
        graphs = graphs or GraphBuilder(store, split, self.model.graph_config)
        rehearsed = self._loader(store, split, graphs, settings)
        return DataLoader(
            MixedBatches(own.dataset, rehearsed.dataset),  # type: ignore[arg-type]
            batch_size=None,
            sampler=MixedSampler(own.sampler, rehearsed.sampler, rehearsal.share),  # type: ignore[arg-type]
            num_workers=settings.workers,
            persistent_workers=settings.workers > 0,
        )

    def validation(self, graphs: GraphSource) -> list[DataLoader[Batch]]:
        """Return a loader for each of :data:`VALIDATIONS`: every entry, unclipped, in order."""
        data, own = self.recipe.data, self.recipe.data.loader
        config = LoaderConfig(
            batch_atoms=own.batch_atoms,
            only=data.validation_only,
            shuffle=False,
            min_usable=1,
            clip=False,
            workers=own.workers,
        )
        shares = [1.0 if name == "isolated" else 0.0 for name in VALIDATIONS]
        configs = [config.model_copy(update={"hide_crystal": share}) for share in shares]
        split = data.validation_split
        return [self._loader(self.store, split, graphs, config) for config in configs]

    def _config(self, **changes: Any) -> LoaderConfig:
        return LoaderConfig.model_validate(self.recipe.data.loader.model_dump() | changes)

    def _loader(
        self,
        store: Store,
        split: str,
        graphs: GraphSource,
        config: LoaderConfig,
        batches: int | None = None,
    ) -> DataLoader[Batch]:
        return make_loader(
            store,
            split,
            self.model.targets,
            graphs,
            config,
            rank=self.rank,
            world_size=self.world_size,
            batches_per_epoch=batches,
        )
