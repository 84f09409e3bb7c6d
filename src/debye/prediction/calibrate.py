"""Fit the bounds of a trained checkpoint on structures outside its training set."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from debye.dataset.batches.graph_cache import GraphBuilder, GraphSource, open_graph_cache
from debye.dataset.batches.loader import graph_items
from debye.dataset.packing import pack
from debye.dataset.store.store import Store
from debye.errors import DebyeWarning, StoreError
from debye.graph.graph import AtomGraph, join
from debye.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from debye.prediction.calibration import fit_calibration
from debye.prediction.predictor import restore_values, run_model
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

    @classmethod
    def joined(cls, parts: Iterable[Residuals]) -> Residuals:
        """Return the rows of several parts, in order."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


def calibrate_checkpoint(
    path: Path, store: Store, split: str, *, workers: int = 1, device: str = "cpu"
) -> None:
    """Fit the bounds of a checkpoint on a split that it was not trained on, and write them into its header.

    Every structure is predicted four times, with and without crystal contacts and resolution, since a user
    may lack either. ``workers`` processes build the graphs that the cache lacks.
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
    checkpoint, parts = load_checkpoint(path), list(residuals)
    calibration = {
        name: fit_calibration(*Residuals.joined(part[name] for part in parts)).model_dump(
            mode="json"
        )
        for name in checkpoint.header.targets
        if all(name in part for part in parts)
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
    targets = [each for each in checkpoint.model.targets if _has_labels(store, split, each)]
    labels = {
        (target.name, row): _labels(store, split, row, target) for target in targets for row in rows
    }
    parts: dict[str, list[Residuals]] = {target.name: [] for target in targets}
    for crystal, resolution in product((True, False), repeat=2):
        shown = ((row, _shown(graphs.graph(row), crystal, resolution)) for row in rows)
        for group in pack(((item, item[1].n_atoms) for item in shown), BATCH_ATOMS):
            graph = join([graph for _, graph in group])
            output = run_model(checkpoint.model, graph, device=device)
            for target in targets:
                index = graph_items(graph, target.per).structure_index
                value, error = restore_values(output.values[target.name], index, target)
                own = zip(*(labels[target.name, row] for row, _ in group), strict=True)
                true, classes = map(np.concatenate, own)
                known = np.full(len(value), resolution)
                has_mates = graph.crystal_known[index].cpu().numpy()
                found = Residuals(true, value, error, classes, known, has_mates)
                parts[target.name].append(found)
    return {name: Residuals.joined(own) for name, own in parts.items()}


def _has_labels(store: Store, split: str, target: Target) -> bool:
    """Return whether a split has usable labels of a target; warn if not, since there will be no bounds."""
    try:
        if store.usable_counts(split, target).any():
            return True
        reason = f"{store.path}: split {split!r} has no usable label of {target.name}"
    except StoreError as error:
        reason = str(error).rstrip(".")
    warnings.warn(f"{reason}. {target.name} gets no bounds.", DebyeWarning, stacklevel=2)
    return False


def _labels(
    store: Store, split: str, row: int, target: Target
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return true values, NaN where not usable, and the class of every item of an entry."""
    labels = store.labels(split, row, target)
    true = np.where(labels.usable, labels.value.astype(np.float64), np.nan)
    return true, error_classes(store.structure(split, row), target.per)


def _shown(graph: AtomGraph, crystal: bool, resolution: bool) -> AtomGraph:
    """Return a graph with or without crystal and resolution."""
    graph = graph if crystal else graph.without_crystal()
    return graph if resolution else graph.without_resolution(torch.ones(1, dtype=torch.bool))
