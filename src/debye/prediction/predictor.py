"""Checkpoint × structure → Prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from debye.dataset.batches.loader import graph_items
from debye.errors import StructureError
from debye.graph.graph import item_count, join
from debye.models.checkpoint import Checkpoint, load_checkpoint, trained_splits
from debye.prediction.calibration import Calibration
from debye.prediction.inference import Precision, run_model
from debye.prediction.inputs import find_file
from debye.prediction.prediction import Prediction
from debye.prediction.prepare import CrystalUse, Prepared, prepare_file, prepare_structure
from debye.prediction.restore import restore_values
from debye.prediction.table import PredictedValues
from debye.targets.target import Target

if TYPE_CHECKING:
    from debye.graph.config import GraphConfig
    from debye.structure.structure import Structure

DEFAULT_MODEL = "waller"


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
        """What the model predicts."""
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
            name_or_path: E.g. ``waller``, or a ``.safetensors`` file.
            device: ``cpu``, ``cuda``, ``cuda:1``.
            precision: Of matrix products; ``auto`` chooses the fastest on the device.

        Raises:
            CheckpointError: no such checkpoint, or one that this version cannot read.
        """
        checkpoint = load_checkpoint(name_or_path, device=device)
        return cls(checkpoint, device=device, precision=precision)

    @property
    def graph_config(self) -> GraphConfig:
        """The graphs that the model reads."""
        return self.model.graph_config

    def predict(
        self,
        path: str | Path,
        *,
        crystal: CrystalUse = "auto",
        resolution: float | None = None,
    ) -> Prediction:
        """Predict a structure file; arguments as for :func:`predict`."""
        prepared = prepare_file(
            Path(path), self.graph_config, crystal=crystal, resolution=resolution
        )
        return self.finish([prepared])[0]

    def predict_structure(
        self,
        structure: Structure,
        *,
        crystal: CrystalUse = "auto",
        resolution: float | None = None,
    ) -> Prediction:
        """Predict a structure that is already in memory; arguments as for :func:`predict`."""
        prepared = prepare_structure(
            structure, self.graph_config, crystal=crystal, resolution=resolution
        )
        return self.finish([prepared])[0]

    def finish(self, batch: Sequence[Prepared]) -> list[Prediction]:
        """Run the model once over prepared structures and return their predictions, in order.

        The predictions do not depend on what else is in the batch.
        """
        graph = join([item.graph for item in batch])
        output = run_model(self.model, graph, device=self.device, precision=self.precision)
        values: list[dict[str, PredictedValues]] = [{} for _ in batch]
        for target in self.targets:
            index = graph_items(graph, target.per).structure_index
            found = restore_values(output.values[target.name], index, target)
            counts = [item_count(item.graph, target.per) for item in batch]
            ends = np.cumsum(counts)
            for own, item, end, count in zip(values, batch, ends, counts, strict=True):
                part = slice(end - count, end)
                own[target.name] = self._values(target, item, found[0][part], found[1][part])
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
        self, target: Target, item: Prepared, value: np.ndarray, error: np.ndarray
    ) -> PredictedValues:
        if not np.isfinite(value).all():
            raise StructureError(
                item.structure.source,
                f"the model gave no finite value for {(~np.isfinite(value)).sum()} {target.per}s",
                "Check the coordinates, or predict with another model",
            )
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
        rows = item.file_rows(target.per)
        count = target.per.count(item.structure)
        return PredictedValues(
            target=target,
            predicted=_scatter(value, rows, count),
            lower=_scatter(lower, rows, count),
            upper=_scatter(upper, rows, count),
        )


def _scatter(values: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Put the values of a graph's items into the rows of the file, NaN elsewhere."""
    scattered = np.full(count, np.nan, np.float32)
    scattered[rows] = values
    return scattered


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
