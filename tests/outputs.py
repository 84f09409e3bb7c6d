"""Outputs, labels and predictions of B-factors in a line, for tests that need no model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.base import AtomModel, ModelOutput
from debye.models.checkpoint import Checkpoint, CheckpointHeader
from debye.prediction.prediction import PredictedValues, Prediction
from debye.prediction.predictor import Predictor
from debye.structure.structure import Structure
from debye.targets.b_factor import B_FACTOR
from debye.targets.losses import TargetLabels, TargetOutput


def b_output(
    value: Tensor, log_error: Tensor | None = None, log_mean_sd: Tensor | None = None
) -> ModelOutput:
    """Return what a model of B-factors predicts."""
    output = TargetOutput(value=value, log_error=log_error, log_mean_sd=log_mean_sd)
    return ModelOutput(values={B_FACTOR.name: output})


def b_labels(
    value: Tensor,
    weight: Tensor | None = None,
    log_mean_sd: Tensor | None = None,
    trust: Tensor | None = None,
) -> TargetLabels:
    """Return labels of one structure, all usable, if nothing else is given."""
    log_mean_sd = torch.zeros(1, 2) if log_mean_sd is None else log_mean_sd
    return TargetLabels(
        value=value,
        weight=torch.ones_like(value) if weight is None else weight,
        log_mean_sd=log_mean_sd,
        trust=torch.ones(len(log_mean_sd)) if trust is None else trust,
    )


def b_prediction(
    structure: Structure,
    predicted: NDArray[np.float32],
    lower: NDArray[np.float32],
    upper: NDArray[np.float32],
    **facts: Any,
) -> Prediction:
    """Return a prediction of B-factors, Å², by a model called tiny."""
    values = PredictedValues(target=B_FACTOR, predicted=predicted, lower=lower, upper=upper)
    known: dict[str, Any] = {"source_file": None, "model_name": "tiny"} | facts
    return Prediction(structure=structure, values={B_FACTOR.name: values}, **known)


def with_b(
    prediction: Prediction, structure: Structure | None = None, **columns: NDArray[np.float32]
) -> Prediction:
    """Return a prediction with other columns (predicted, lower, upper), and of another structure if given."""
    values = replace(prediction.b_values, **columns)
    structure = prediction.structure if structure is None else structure
    return replace(prediction, structure=structure, values={B_FACTOR.name: values})


def of_rows(
    prediction: Prediction, rows: NDArray[np.intp], structure: Structure | None = None
) -> Prediction:
    """Return the prediction of some atoms, whose structure is taken from the prediction if it is not given."""
    values = prediction.b_values
    return with_b(
        prediction,
        prediction.structure.take(rows) if structure is None else structure,
        predicted=values.predicted[rows],
        lower=values.lower[rows],
        upper=values.upper[rows],
    )


@torch.no_grad()
def spread_out(model: AtomModel, factor: float, mean: float, sd: float) -> None:
    """Let an untrained model of B-factors predict values that differ, around a usual mean and sd (Å²).

    Its outputs are nearly 0 otherwise: every atom would get the smallest B-factor, and effects would be too small
    to be told from rounding.
    """
    head = model.get_submodule(f"heads.{B_FACTOR.name}")
    parts = dict(head.named_children())
    for name in ("atom", "residue"):
        if name in parts:
            parts[name][-1].weight[0].mul_(factor)
    parts["structure"][-1].bias.copy_(torch.tensor([mean, sd]).log())


class CountsContacts(AtomModel):
    """B is 50 Å² minus 20 for each contact number of 1, mates included: effects follow by hand."""

    def __init__(self) -> None:
        super().__init__((B_FACTOR,))
        self.graph_config = GraphConfig(
            node_categories=(),
            node_scalars=("contact_number_5", "crystal_contact_number_5"),
            structure_scalars=(),
        )

    def forward(self, graph: AtomGraph) -> ModelOutput:
        log_mean_sd = torch.tensor([[50.0, 20.0]]).log().expand(graph.n_structures, 2)
        return b_output(-graph.scalars[:, 1], log_mean_sd=log_mean_sd)


def predictor_of(model: AtomModel, name: str) -> Predictor:
    header = CheckpointHeader(name=name, model=name, config={})
    return Predictor(Checkpoint(model.eval(), header, name), precision="float32")
