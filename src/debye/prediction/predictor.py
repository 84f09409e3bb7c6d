"""Checkpoint × structure → Prediction.

A large graph runs through the model in chunks of edges, not in regions of space: every layer processes all edges, one
chunk at a time, before the next layer starts. Nothing is computed twice, global states cover the whole structure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from debye.dataset.batches.loader import graph_items
from debye.errors import CheckpointError, StructureError
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph, item_count, join
from debye.models.base import AtomModel, ModelOutput
from debye.models.checkpoint import Checkpoint, load_checkpoint, trained_splits
from debye.prediction.calibration import Calibration
from debye.prediction.inputs import find_file
from debye.prediction.prediction import Prediction
from debye.prediction.prepare import CrystalUse, Prepared, prepare_structure
from debye.prediction.table import PredictedValues
from debye.structure.read import SourceFile, read_source
from debye.structure.structure import Structure
from debye.targets.losses import LOG_ERROR_RANGE, TargetOutput
from debye.targets.target import Target, Transform

DEFAULT_MODEL = "waller"
Precision = Literal["auto", "float32", "bfloat16"]
ATOMS_PER_THREAD = 5_000
"""With fewer atoms per thread, one thread less is faster."""


class Predictor:
    """A loaded model; make one and use it for many files."""

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "cpu", precision: Precision = "auto"
    ) -> None:
        self.model = checkpoint.model.to(device)
        self.model_name = checkpoint.header.name
        self.trained_splits = trained_splits(checkpoint.header)
        """Splits that the model was trained on; scores on their entries are no test."""
        self.targets = checkpoint.model.targets
        self.device = device
        self.precision: Precision = precision
        self.calibrations = {
            name: Calibration.model_validate(found)
            for name, found in checkpoint.header.calibration.items()
        }
        """Bounds of each target, by name; a target that was never calibrated has none."""

    @classmethod
    def from_checkpoint(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        device: str = "cpu",
        precision: Precision = "auto",
    ) -> Predictor:
        """Load a released model by its name, or any checkpoint by its path.

        Args:
            name_or_path: E.g. ``waller``, or a ``.safetensors`` file; unreadable ones are a ``CheckpointError``.
            device: ``cpu``, ``cuda``, ``cuda:1``.
            precision: Of matrix products; ``auto`` chooses the fastest on the device.
        """
        checkpoint = load_checkpoint(name_or_path, device=device)
        return cls(checkpoint, device=device, precision=precision)

    @property
    def graph_config(self) -> GraphConfig:
        """The graphs that the model reads."""
        return self.model.graph_config

    def predict(
        self, path: str | Path, *, crystal: CrystalUse = "auto", resolution: float | None = None
    ) -> Prediction:
        """Predict a structure file; arguments as for :func:`predict`."""
        return self.predict_structure(read_source(path), crystal=crystal, resolution=resolution)

    def predict_structure(
        self,
        source: Structure | SourceFile,
        *,
        crystal: CrystalUse = "auto",
        resolution: float | None = None,
    ) -> Prediction:
        """Predict a structure or file that is already in memory; arguments as for :func:`predict`."""
        config = self.graph_config
        item = prepare_structure(source, config, crystal=crystal, resolution=resolution)
        return self.finish([item])[0]

    def finish(self, batch: Sequence[Prepared]) -> list[Prediction]:
        """Run the model once over prepared structures; each prediction is independent of what else is in the batch."""
        graph = join([item.graph for item in batch])
        output = run_model(self.model, graph, device=self.device, precision=self.precision)
        values: list[dict[str, PredictedValues]] = [{} for _ in batch]
        for target in self.targets:
            index = graph_items(graph, target.per).structure_index
            found = restore_values(output.values[target.name], index, target)
            ends = np.cumsum([item_count(item.graph, target.per) for item in batch])[:-1]
            parts = (np.split(column, ends) for column in found)
            for own, item, value, error in zip(values, batch, *parts, strict=True):
                own[target.name] = self._values(target, item, value, error)
        return [
            Prediction(
                structure=item.structure,
                source_file=item.source_file,
                model_name=self.model_name,
                values=own,
                dropped=item.dropped,
                resolution=item.resolution,
                crystal_problem=item.crystal_problem,
            )
            for own, item in zip(values, batch, strict=True)
        ]

    def _values(
        self, target: Target, item: Prepared, value: NDArray, error: NDArray
    ) -> PredictedValues:
        if missing := (~np.isfinite(value)).sum():
            problem = f"the model gave no finite value for {missing} {target.per}s"
            remedy = "Check the coordinates, or predict with another model"
            raise StructureError(item.structure.source, problem, remedy)
        lower = upper = np.full(len(value), np.nan)
        if target.name in self.calibrations:
            lower, upper = self.calibrations[target.name].bounds(
                value,
                error,
                item.classes(target.per),
                resolution_known=item.resolution is not None,
                crystal_known=bool(item.graph.crystal_known.all()),
                minimum=target.minimum,
            )
        # NaN in the rows of the file that are not in the graph.
        every = np.full((3, target.per.count(item.structure)), np.nan, np.float32)
        every[:, item.file_rows(target.per)] = value, lower, upper
        return PredictedValues(target=target, predicted=every[0], lower=every[1], upper=every[2])


def predict(
    path_or_id: str | Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    crystal: CrystalUse = "auto",
    resolution: float | None = None,
) -> Prediction:
    """Predict one structure.

    Args:
        path_or_id: Structure file (mmCIF, BinaryCIF or PDB, each also gzipped), PDB identifier or
            AlphaFold DB accession; identifiers are downloaded.
        model: Released model by name, or the path of a checkpoint.
        crystal: Crystal contacts: ``auto`` uses them if cell and space group are valid, ``on`` requires them,
            ``off`` ignores them.
        resolution: Å; None: that of the file.

    Raises:
        StructureError: the input cannot be found, read or used.
        CheckpointError: no such model.
    """
    path = find_file(path_or_id)
    return Predictor.from_checkpoint(model).predict(path, crystal=crystal, resolution=resolution)


def run_model(
    model: AtomModel, graph: AtomGraph, *, device: str = "cpu", precision: Precision = "auto"
) -> ModelOutput:
    """Return the output of a model for a graph, without gradients; results stay on the device."""
    kind = torch.device(device).type
    half = precision == "bfloat16" or (precision == "auto" and _has_fast_bfloat16(kind))
    with (
        torch.inference_mode(),
        torch.autocast(kind, torch.bfloat16, enabled=half),
        _threads_for(graph.n_atoms),
    ):
        return model(graph.to(device) if kind != "cpu" else graph)


def _has_fast_bfloat16(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() if kind == "cpu" else False


@contextmanager
def _threads_for(n_atoms: int) -> Iterator[None]:
    """Use no more threads than there is work for: idle threads spin and block the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, n_atoms // ATOMS_PER_THREAD)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def restore_values(
    output: TargetOutput, structure_index: torch.Tensor, target: Target
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the value and the expected absolute error of each item of a batch, in the target's unit.

    Where a model predicts no error, it is one standard deviation. A model that lacks the mean and sd that the target
    needs is a ``CheckpointError``.
    """
    value = output.value.double().cpu().numpy()
    error = np.ones_like(value)
    if output.log_error is not None:
        error = np.exp(output.log_error.double().clamp(*LOG_ERROR_RANGE).cpu().numpy())
    location, scale = np.full_like(value, target.location), np.full_like(value, target.scale)
    if target.transform is Transform.Z:
        if output.log_mean_sd is None:
            problem = (
                f"this model predicts no mean and sd of a structure, so nothing in {target.unit}"
            )
            remedy = (
                "Choose a model that does, or score its normalized values with `debye evaluate`"
            )
            raise CheckpointError(target.name, problem, remedy)
        mean_sd = np.exp(output.log_mean_sd.double().cpu().numpy())
        location, scale = mean_sd[structure_index.cpu().numpy()].T
    value = target.restore(value, location, scale)
    # A step in the logarithm is a share of the value.
    return value, error * (value if target.transform is Transform.LOG else scale)
