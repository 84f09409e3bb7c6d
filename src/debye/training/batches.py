"""The batches of a run: graphs from the cache, in the order that the recipe asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.progress import Progress as Bar
from torch.utils.data import DataLoader

from debye.dataset.batches.graph_cache import (
    GraphBuilder,
    GraphSource,
    find_graph_cache,
    open_graph_cache,
)
from debye.dataset.batches.loader import Batch, LoaderConfig, make_loader
from debye.dataset.store.store import Store
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.targets.target import Target
from debye.training.config import Recipe, RehearsalConfig
from debye.training.module import VALIDATIONS
from debye.training.rehearsal import MixedBatches, MixedSampler

OLD_SEED = 1_000_003
"""Added to the seed of old batches: else both streams would draw the same random numbers."""


@dataclass(frozen=True, slots=True)
class ProcessShare:
    """Which part of each epoch this process trains on."""

    rank: int
    world_size: int


class RememberedGraphs:
    """Builds the graph of an entry when it is first asked for, and keeps it in memory.

    For the few chosen entries of a large split, of which a cache would build all.
    """

    def __init__(self, builder: GraphBuilder) -> None:
        self.builder = builder
        self._known: dict[int, AtomGraph] = {}

    def graph(self, row: int) -> AtomGraph:
        """Return the graph of one entry, with its crystal."""
        if row not in self._known:
            self._known[row] = self.builder.graph(row)
        return self._known[row]


def open_graphs(
    recipe: Recipe, store: Store, config: GraphConfig, progress: bool = False
) -> dict[str, GraphSource]:
    """Open, or build first, the graphs of the splits that a recipe trains and validates on."""
    validated = [] if recipe.training.keep == "last" else [recipe.data.validation_split]
    if recipe.data.loader.only:
        return {
            name: find_graph_cache(store, name, config)
            or RememberedGraphs(GraphBuilder(store, name, config))
            for name in dict.fromkeys([recipe.data.split, *validated])
        }
    graphs: dict[str, GraphSource] = {}
    for split in dict.fromkeys([recipe.data.split, *validated]):
        total = len(store.entries(split))
        with Bar(disable=not progress) as bar:
            task = bar.add_task(f"graphs of {split}", total=total)
            graphs[split] = open_graph_cache(
                store,
                split,
                config,
                workers=recipe.data.graph_workers,
                progress=lambda done, _, task=task, bar=bar: bar.update(task, completed=done),
            )
    return graphs


def training_loader(
    recipe: Recipe,
    store: Store,
    targets: Sequence[Target],
    graphs: GraphSource,
    share: ProcessShare,
) -> DataLoader[Batch]:
    """Shuffle the training split, as ``training.seed`` says."""
    config = LoaderConfig.model_validate(
        recipe.data.loader.model_dump() | {"seed": recipe.training.seed}
    )
    return make_loader(
        store,
        recipe.data.split,
        targets,
        graphs,
        config,
        rank=share.rank,
        world_size=share.world_size,
        batches_per_epoch=recipe.data.batches_per_epoch,
    )


def rehearsing_loader(
    new: DataLoader[Batch],
    recipe: Recipe,
    old: Store,
    targets: Sequence[Target],
    config: GraphConfig,
    share: ProcessShare,
) -> DataLoader[Batch]:
    """Mix batches of the old store into those of a loader; settings of the new ones hold for them too."""
    rehearsal = recipe.rehearsal or RehearsalConfig()
    changes = {"seed": recipe.training.seed + OLD_SEED, "only": (), "without": rehearsal.without}
    settings = LoaderConfig.model_validate(recipe.data.loader.model_dump() | changes)
    # Without a cache they are built as they come, which costs little beside a step, and the old store stays as it is.
    graphs = find_graph_cache(old, rehearsal.split, config)
    rehearsed = make_loader(
        old,
        rehearsal.split,
        targets,
        graphs or GraphBuilder(old, rehearsal.split, config),
        settings,
        rank=share.rank,
        world_size=share.world_size,
    )
    return DataLoader(
        MixedBatches(new.dataset, rehearsed.dataset),  # type: ignore[arg-type]
        batch_size=None,
        sampler=MixedSampler(new.sampler, rehearsed.sampler, rehearsal.share),  # type: ignore[arg-type]
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )


def validation_loaders(
    recipe: Recipe,
    store: Store,
    targets: Sequence[Target],
    graphs: GraphSource,
    share: ProcessShare,
) -> list[DataLoader[Batch]]:
    """One loader for each of :data:`VALIDATIONS`: nothing left out, clipped or drawn at random."""
    return [
        make_loader(
            store,
            recipe.data.validation_split,
            targets,
            graphs,
            LoaderConfig(
                batch_atoms=recipe.data.loader.batch_atoms,
                hide_crystal=1.0 if name == "isolated" else 0.0,
                only=recipe.data.validation_only,
                shuffle=False,
                min_usable=1,
                clip=False,
                workers=recipe.data.loader.workers,
            ),
            rank=share.rank,
            world_size=share.world_size,
        )
        for name in VALIDATIONS
    ]
