"""Make a trained checkpoint ready for users: fit its bounds on structures that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from debye.dataset.batches.graph_cache import GraphBuilder, GraphSource, open_graph_cache
from debye.dataset.store.store import Store
from debye.graph.graph import AtomGraph, join
from debye.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from debye.prediction.calibration import atom_classes, fit_calibration
from debye.prediction.inference import run_model
from debye.prediction.restore import restore_values
from debye.prediction.stream import batches
from debye.targets.target import find_target


class Residuals(NamedTuple):
    """Predictions beside true values: what bounds are fitted to. One row an atom and way of predicting."""

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

    Every structure is predicted four times, with its crystal and its resolution shown and hidden: a
    user may lack either.

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
) -> Residuals:
    """Predict some entries of a split, as :func:`calibrate_checkpoint` does; no cache is made."""
    graphs = GraphBuilder(store, split, checkpoint.model.graph_config)
    return _residuals(checkpoint, store, split, rows, graphs, device)


def write_calibration(path: Path, residuals: Iterable[Residuals]) -> None:
    """Fit bounds to residuals, and write them into the header of a checkpoint."""
    calibration = fit_calibration(
        *(np.concatenate(parts) for parts in zip(*residuals, strict=True))
    )
    checkpoint = load_checkpoint(path)
    header = checkpoint.header.model_copy(
        update={"calibration": calibration.model_dump(mode="json")}
    )
    save_checkpoint(path, checkpoint.model, header)


def _residuals(
    checkpoint: Checkpoint,
    store: Store,
    split: str,
    rows: Sequence[int],
    graphs: GraphSource,
    device: str,
) -> Residuals:
    true, atom_class = _labels(store, split, rows)
    parts: list[Residuals] = []
    for crystal in (True, False):
        for known in (True, False):
            shown = _shown(graphs, rows, crystal, known)
            value, width, mates = _predictions(checkpoint, shown, device)
            told = np.full(len(true), known)
            parts.append(Residuals(true, value, width, atom_class, told, mates))
    return Residuals(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _labels(
    store: Store, split: str, rows: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return true values, NaN where not usable, and the class of every atom of some entries."""
    true, kinds = [], []
    for row in rows:
        value = store.values(split, row, "b_iso").astype(np.float64)
        true.append(np.where(store.usable(split, row), value, np.nan))
        kinds.append(atom_classes(store.structure(split, row)))
    return np.concatenate(true), np.concatenate(kinds)


def _predictions(
    checkpoint: Checkpoint, shown: Iterable[AtomGraph], device: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return values and widths of all atoms, and whether symmetry mates took part."""
    target = find_target(checkpoint.header.target)
    values, widths, mates = [], [], []
    for group in batches((graph, graph.n_atoms) for graph in shown):
        graph = join(group)
        output = run_model(checkpoint.model, graph, device=device)
        value, width = restore_values(output, graph.structure_index, target)
        values.append(value)
        widths.append(width)
        mates.append(graph.crystal_known[graph.structure_index].cpu().numpy())
    return np.concatenate(values), np.concatenate(widths), np.concatenate(mates)


def _shown(
    graphs: GraphSource, rows: Sequence[int], crystal: bool, known: bool
) -> Iterator[AtomGraph]:
    """Yield graphs with crystal and resolution shown or hidden."""
    for row in rows:
        graph = graphs.graph(row)
        if not crystal:
            graph = graph.without_crystal()
        if not known:
            graph = graph.without_resolution(torch.ones(1, dtype=torch.bool))
        yield graph
