"""Checkpoint × structure → Prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from debye.errors import StructureError
from debye.graph.graph import join
from debye.models.checkpoint import Checkpoint, load_checkpoint, trained_splits
from debye.prediction.calibration import Calibration
from debye.prediction.inference import Precision, run_model
from debye.prediction.inputs import expand_inputs, local_file
from debye.prediction.prediction import Prediction
from debye.prediction.prepare import CrystalUse, Prepared, prepare_file, prepare_structure
from debye.prediction.restore import restore_values
from debye.targets.target import find_target

if TYPE_CHECKING:
    from debye.graph.config import GraphConfig
    from debye.structure.structure import Structure

DEFAULT_MODEL = "waller"


class Predictor:
    """A loaded model that turns structures into B-factors; make one and use it for many files."""

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "cpu", precision: Precision = "auto"
    ) -> None:
        self.model = checkpoint.model.to(device)
        self.model_name = checkpoint.header.name
        self.trained_splits = trained_splits(checkpoint.header)
        """Splits that the model has seen: it is not to be scored on their entries."""
        self.target = find_target(checkpoint.header.target)
        self.device = device
        self.precision: Precision = precision
        found = checkpoint.header.calibration
        self.calibration = Calibration.model_validate(found) if found else None
        """None: the checkpoint was never calibrated, so that there are no bounds."""

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
            precision: Of matrix products; ``auto`` chooses what is fastest on the device.

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
        value, width = restore_values(output, graph.structure_index, self.target)
        ends = np.cumsum([item.graph.n_atoms for item in batch])
        return [
            self._prediction(item, value[end - item.graph.n_atoms : end], width_of)
            for item, end in zip(batch, ends, strict=True)
            for width_of in [width[end - item.graph.n_atoms : end]]
        ]

    def _prediction(self, item: Prepared, value: np.ndarray, width: np.ndarray) -> Prediction:
        if not np.isfinite(value).all():
            raise StructureError(
                item.structure.source,
                problem=f"the model gave no finite value for {(~np.isfinite(value)).sum()} atoms",
                remedy="Check the coordinates, or predict with another model",
            )
        lower = upper = np.full(len(value), np.nan)
        if self.calibration is not None:
            lower, upper = self.calibration.bounds(
                value,
                width,
                item.atom_class,
                resolution_known=item.resolution is not None,
                crystal_known=bool(item.graph.crystal_known.all()),
                minimum=self.target.minimum,
            )
        return Prediction(
            structure=item.structure,
            path=item.path,
            model_name=self.model_name,
            b_predicted=_spread(value, item),
            b_lower=_spread(lower, item),
            b_upper=_spread(upper, item),
            dropped=item.dropped,
            resolution=item.resolution,
            crystal_problem=item.crystal_problem,
        )


def _spread(values: np.ndarray, item: Prepared) -> np.ndarray:
    """Put the values of the graph's atoms into the rows of the file, NaN elsewhere."""
    spread = np.full(len(item.structure), np.nan, np.float32)
    spread[item.rows] = values
    return spread


def predict(
    path_or_id: str | Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    crystal: CrystalUse = "auto",
    resolution: float | None = None,
) -> Prediction:
    """Predict the B-factors of one structure.

    Args:
        path_or_id: Structure file (mmCIF, BinaryCIF or PDB, each also gzipped), PDB identifier or
            AlphaFold DB accession; identifiers are downloaded.
        model: Released model by name, or the path of a checkpoint.
        crystal: ``auto`` lets symmetry mates take part where the file describes a sound crystal,
            ``on`` insists on them, ``off`` leaves them out.
        resolution: Å; None: what the file says.

    Raises:
        StructureError: the input cannot be found, read or used.
        CheckpointError: no such model.
    """
    inputs, failures = expand_inputs([path_or_id])
    if failures:
        raise failures[0]
    if len(inputs) > 1:
        raise StructureError(
            str(path_or_id),
            problem=f"a folder with {len(inputs)} structures",
            remedy="Give one file, or use Predictor in a loop",
        )
    predictor = Predictor.from_checkpoint(model)
    return predictor.predict(local_file(inputs[0]), crystal=crystal, resolution=resolution)
