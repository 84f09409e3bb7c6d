"""The explained value is the predicted one: of the same atoms, in the unit of the target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from debye.errors import CheckpointError
from debye.explanation.case import make_case
from debye.models.base import ModelOutput
from debye.models.catalog import build_model
from debye.models.checkpoint import Checkpoint, CheckpointHeader
from debye.prediction.predictor import Predictor
from debye.targets.catalog import find_target
from debye.targets.losses import TargetOutput
from debye.targets.target import LabelSource, Per, Target


def test_b_is_the_mean_prediction_of_the_residue_or_the_atom(predictor, in_crystal):
    b = predictor.predict_structure(in_crystal).b_predicted
    own = in_crystal.residue_index == 4
    assert make_case(predictor, in_crystal, "A:5").predicted == pytest.approx(
        b[own].mean(), abs=1e-3
    )
    atom = make_case(predictor, in_crystal, "A:5", atom="ca")
    assert atom.atom == "CA"
    assert atom.predicted == pytest.approx(b[own & (in_crystal.atom_name == "CA")][0], abs=1e-3)


def test_the_deposited_b_is_that_of_the_same_atoms_if_it_is_one(counting, in_crystal):
    case = make_case(counting, in_crystal, "A:5")
    assert case.observed == pytest.approx(in_crystal.b_iso[in_crystal.residue_index == 4].mean())
    model = replace(in_crystal, entry=replace(in_crystal.entry, is_predicted=True))
    assert np.isnan(make_case(counting, model, "A:5").observed)


def test_the_level_is_held_or_free(counting, in_crystal):
    case = make_case(counting, in_crystal, "A:5")
    other = output_of(case, torch.tensor([[10.0, 3.0]]).log())
    assert float(case.mean(other)) == pytest.approx(50 + 20 * 2)
    assert float(case.mean(other, own_level=True)) == pytest.approx(10 + 3 * 2)


def output_of(case, log_mean_sd=None) -> ModelOutput:
    """Return a standardized value of 2 for every atom."""
    value = TargetOutput(value=torch.full((case.graph.n_atoms,), 2.0), log_mean_sd=log_mean_sd)
    return ModelOutput(values={"b_factor": value})


@pytest.mark.parametrize(
    ("target", "expected"),
    [("b_factor_log", np.exp(2.0)), ("b_factor_raw", 2.0), ("scaled", 30 + 5 * 2.0)],
)
def test_targets_without_a_level(counting, in_crystal, target, expected):
    if target == "scaled":
        found = Target(
            name="charge", unit="e", summary="Charge.", source=LabelSource(name="charge")
        )
        found = found.scaled(30.0, 5.0)
    else:
        found = find_target(target)
    case = replace(make_case(counting, in_crystal, "A:5"), target=found)
    other = output_of(case)
    assert float(case.mean(other)) == pytest.approx(expected)


def test_a_model_without_a_level_has_nothing_in_square_angstrom(in_crystal):
    model = build_model("contact_number").eval()
    header = CheckpointHeader(name="packed", model="contact_number", config={})
    predictor = Predictor(Checkpoint(model, header, "packed"))
    with pytest.raises(CheckpointError, match="packed: this model predicts normalized B only"):
        make_case(predictor, in_crystal, "A:5")


def test_values_of_residues_or_structures_are_not_explained(counting, in_crystal):
    count = Target(
        name="count", unit="", summary="Count.", source=LabelSource(name="count"), per=Per.STRUCTURE
    )
    other = Predictor(
        Checkpoint(counting.model, CheckpointHeader(name="counter", model="x", config={}), "x")
    )
    other.targets = (count,)
    with pytest.raises(CheckpointError, match="counter: count has one value per structure"):
        make_case(other, in_crystal, "A:5")
