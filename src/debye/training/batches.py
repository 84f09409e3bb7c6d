"""The batches of a run: graphs from the cache, in the order that the recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass

from rich.progress import Progress as Bar
from torch.utils.data import DataLoader

from debye.data.graph_cache import GraphCache, GraphSource, open_graph_cache
from debye.data.loader import Batch, LoaderConfig, make_loader
from debye.data.store import Store
from debye.data.targets import find_target
from debye.graph.config import GraphConfig
from debye.training.config import Recipe
from debye.training.module import VALIDATIONS


@dataclass(frozen=True, slots=True)
class ProcessShare:
    """Which part of each epoch this process trains on."""

    rank: int
    world_size: int


def open_graphs(
    recipe: Recipe, store: Store, config: GraphConfig, progress: bool = False
) -> dict[str, GraphCache]:
    """Open, or build first, the graphs of the splits that a recipe trains and validates on."""
    graphs = {}
    for split in dict.fromkeys([recipe.data.split, recipe.data.validation_split]):
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
    recipe: Recipe, store: Store, graphs: GraphSource, share: ProcessShare
) -> DataLoader[Batch]:
    """Shuffle the training split, as ``training.seed`` says."""
    config = LoaderConfig.model_validate(
        recipe.data.loader.model_dump() | {"seed": recipe.training.seed}
    )
    return make_loader(
        store,
        recipe.data.split,
        find_target(recipe.target),
        graphs,
        config,
        rank=share.rank,
        world_size=share.world_size,
        batches_per_epoch=recipe.data.batches_per_epoch,
    )


def validation_loaders(
    recipe: Recipe, store: Store, graphs: GraphSource, share: ProcessShare
) -> list[DataLoader[Batch]]:
    """One loader for each of :data:`VALIDATIONS`: nothing left out, clipped or drawn at random."""
    return [
        make_loader(
            store,
            recipe.data.validation_split,
            find_target(recipe.target),
            graphs,
            LoaderConfig(
                batch_atoms=recipe.data.loader.batch_atoms,
                hide_crystal=1.0 if name == "isolated" else 0.0,
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
