"""A small untrained checkpoint whose predictions spread like B-factors do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from outputs import b_prediction, spread_out

from debye.models.catalog import build_model
from debye.models.checkpoint import CheckpointHeader, save_checkpoint
from debye.prediction.calibration import Calibration, Interval
from debye.prediction.prediction import Prediction
from debye.prediction.predictor import Predictor
from debye.scores.strata import ErrorClass
from debye.structure.structure import Structure


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"layers": 2, "node_width": 16, "edge_width": 8, "global_width": 8}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model("meta_gnn", settings)
    spread_out(model, 30, mean=30.0, sd=8.0)
    intervals = tuple(
        Interval(atom_class=kind, resolution_known=known, lower=-1.0, upper=1.5, atoms=1000)
        for kind in ErrorClass
        for known in (True, False)
    )
    header = CheckpointHeader(
        name="tiny",
        model="meta_gnn",
        config=settings,
        calibration={"b_factor": Calibration(intervals=intervals).model_dump(mode="json")},
    )
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(path, model, header)
    return path


@pytest.fixture(scope="session")
def predictor(tiny_checkpoint: Path) -> Predictor:
    return Predictor.from_checkpoint(tiny_checkpoint, precision="float32")


@pytest.fixture
def prediction(peptide: Structure) -> Prediction:
    """The peptide with a deposited B of 20 to 40 Å² and a prediction 2 Å² above; none for the last atom."""
    deposited = np.linspace(20, 40, len(peptide), dtype=np.float32)
    structure = replace(peptide, b_iso=deposited)
    predicted = deposited + 2
    predicted[-1] = np.nan
    return b_prediction(
        structure,
        predicted,
        predicted - 5,
        predicted + 10,
        dropped={"altlocs": 1},
        resolution=1.8,
    )
