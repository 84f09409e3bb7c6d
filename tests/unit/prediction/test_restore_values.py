from __future__ import annotations

import math

import pytest
import torch

from debye.errors import CheckpointError
from debye.prediction.predictor import restore_values
from debye.targets.catalog import find_target
from debye.targets.losses import TargetOutput
from debye.targets.target import LabelSource, Target

VALUE = torch.tensor([0.0, 1.0, -1.0, -99.0])
INDEX = torch.tensor([0, 0, 1, 1])
LOG_MEAN_SD = torch.tensor([[math.log(20.0), math.log(5.0)], [math.log(50.0), math.log(10.0)]])


def test_each_structure_gets_its_own_mean_and_sd():
    output = TargetOutput(value=VALUE, log_mean_sd=LOG_MEAN_SD)
    value, error = restore_values(output, INDEX, find_target("b_factor"))
    assert value.tolist() == pytest.approx([20, 25, 40, 1])
    assert error.tolist() == pytest.approx([5, 5, 10, 10])


def test_the_expected_error_is_in_the_unit_of_the_target():
    log_error = torch.tensor([0.0, math.log(2.0), 0.0, math.log(0.5)])
    output = TargetOutput(value=VALUE, log_error=log_error, log_mean_sd=LOG_MEAN_SD)
    _, error = restore_values(output, INDEX, find_target("b_factor"))
    assert error.tolist() == pytest.approx([5, 10, 10, 5])


def test_raw_and_log_need_no_mean_and_sd():
    output = TargetOutput(value=torch.tensor([20.0, 0.2]))
    value, error = restore_values(output, INDEX[:2], find_target("b_factor_raw"))
    assert value.tolist() == pytest.approx([20, 1])
    assert error.tolist() == [1, 1]
    output = TargetOutput(value=torch.tensor([math.log(20.0), -3.0]))
    value, error = restore_values(output, INDEX[:2], find_target("b_factor_log"))
    assert value.tolist() == pytest.approx([20, 1])
    assert error.tolist() == pytest.approx([20, 1])


def test_standardized_values_without_mean_and_sd_are_refused():
    with pytest.raises(CheckpointError, match="no mean and sd of a structure"):
        restore_values(TargetOutput(value=VALUE), INDEX, find_target("b_factor"))


def test_values_standardized_by_the_training_set_come_back_by_it():
    source = LabelSource(name="charge")
    target = Target(name="charge", unit="e", summary="Made.", source=source).scaled(-0.5, 2.0)
    output = TargetOutput(value=VALUE[:3], log_error=torch.full((3,), math.log(0.5)))
    value, error = restore_values(output, INDEX[:3], target)
    assert value.tolist() == pytest.approx([-0.5, 1.5, -2.5])
    assert error.tolist() == pytest.approx([1.0, 1.0, 1.0])
