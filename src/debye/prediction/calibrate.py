"""Fit the bounds of a trained checkpoint on structures outside its training set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from debye.dataset.batches.graph_cache import GraphBuilder, GraphSource, open_graph_cache
from debye.dataset.batches.loader import graph_items
from debye.dataset.store.resumable_map import pack
from debye.dataset.store.store import Store
from debye.graph.graph import AtomGraph, join
from debye.models.base import AtomModel
from debye.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from debye.prediction.calibration import fit_calibration
from debye.prediction.inference import run_model
from debye.prediction.restore import restore_values
from debye.prediction.stream import BATCH_ATOMS
from debye.scores.strata import error_classes
from debye.targets.target import Target


class Residuals(NamedTuple):
    """True and predicted values, to which bounds are fitted; a row per item and way of predicting."""

    true: NDArray[np.float64]
    """NaN where not usable."""
    predicted: NDArray[np.float64]
    width: NDArray[np.float64]
    atom_class: NDArray[np.int8]
    resolution_known: NDArray[np.bool_]
    crystal_known: NDArray[np.bool_]


def calibrate_checkpoint(
    path: Path, store: Store, split: str, *, workers: int = 1, device: str = "cpu"
) -> None:
    """Fit the bounds of a checkpoint on a split, and write them into its header.

    Every structure is predicted four times, with and without crystal contacts and resolution, since a user
    may lack either.

    Args:
        path: Checkpoint, replaced by one that differs in ``header.calibration`` alone.
        store: Data store.
        split: Structures that the model was not trained on.
        workers: Processes that build graphs which the cache lacks.
        device: Where the model runs.
    """
    checkpoint = load_checkpoint(path, device=device)
    graphs = open_graph_cache(store, split, checkpoint.model.graph_config, workers=workers)
    rows = range(len(store.entries(split)))
    write_calibration(path, [_residuals(checkpoint, store, split, rows, graphs, device)])


def find_residuals(
    checkpoint: Checkpoint, store: Store, split: str, rows: Sequence[int], *, device: str = "cpu"
) -> dict[str, Residuals]:
    """Predict some entries of a split, as :func:`calibrate_checkpoint` does; no cache is made."""
    graphs = GraphBuilder(store, split, checkpoint.model.graph_config)
    return _residuals(checkpoint, store, split, rows, graphs, device)


def write_calibration(path: Path, residuals: Iterable[Mapping[str, Residuals]]) -> None:
    """Fit bounds to the residuals of each target, and write them into the header of a checkpoint."""
    checkpoint = load_checkpoint(path)
    parts = list(residuals)
    calibration = {
        name: fit_calibration(
            *(
                np.concatenate(columns)
                for columns in zip(*(part[name] for part in parts), strict=True)
            )
        ).model_dump(mode="json")
        for name in checkpoint.header.targets
    }
    header = checkpoint.header.model_copy(update={"calibration": calibration})
    save_checkpoint(path, checkpoint.model, header)


def _residuals(
    checkpoint: Checkpoint,
    store: Store,
    split: str,
    rows: Sequence[int],
    graphs: GraphSource,
    device: str,
) -> dict[str, Residuals]:
    parts: dict[str, list[Residuals]] = {}
    labels = {
        target.name: _labels(store, split, rows, target) for target in checkpoint.model.targets
    }
    for crystal in (True, False):
        for known in (True, False):
            shown = _shown(graphs, rows, crystal, known)
            for name, found in _predictions(checkpoint.model, shown, device).items():
                true, kinds = labels[name]
                resolution_known = np.full(len(true), known)
                parts.setdefault(name, []).append(
                    Residuals(
                        true, found.value, found.error, kinds, resolution_known, found.crystal_known
                    )
                )
    return {
        name: Residuals(*(np.concatenate(columns) for columns in zip(*own, strict=True)))
        for name, own in parts.items()
    }


def _labels(
    store: Store, split: str, rows: Sequence[int], target: Target
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return true values, NaN where not usable, and the class of every item of some entries."""
    true, kinds = [], []
    for row in rows:
        labels = store.labels(split, row, target)
        true.append(np.where(labels.usable, labels.value.astype(np.float64), np.nan))
        kinds.append(error_classes(store.structure(split, row), target.per))
    return np.concatenate(true), np.concatenate(kinds)


class _Found(NamedTuple):
    """Values of all items in the target's unit, their expected errors, and whether symmetry mates were included."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]
    crystal_known: NDArray[np.bool_]


def _predictions(model: AtomModel, shown: Iterable[AtomGraph], device: str) -> dict[str, _Found]:
    parts: dict[str, list[_Found]] = {target.name: [] for target in model.targets}
    for group in pack(((graph, graph.n_atoms) for graph in shown), BATCH_ATOMS):
        graph = join(group)
        output = run_model(model, graph, device=device)
        for target in model.targets:
            index = graph_items(graph, target.per).structure_index
            value, error = restore_values(output.values[target.name], index, target)
            known = graph.crystal_known[index].cpu().numpy()
            parts[target.name].append(_Found(value, error, known))
    return {
        name: _Found(*(np.concatenate(columns) for columns in zip(*own, strict=True)))
        for name, own in parts.items()
    }


def _shown(
    graphs: GraphSource, rows: Sequence[int], crystal: bool, resolution: bool
) -> Iterator[AtomGraph]:
    """Yield graphs with or without crystal and resolution."""
    for row in rows:
        graph = graphs.graph(row)
        if not crystal:
            graph = graph.without_crystal()
        if not resolution:
            graph = graph.without_resolution(torch.ones(1, dtype=torch.bool))
        yield graph
