from __future__ import annotations

import math

import pytest
import torch

from debye.errors import CheckpointError
from debye.models.base import ModelOutput
from debye.prediction.restore import restore_values
from debye.targets.target import find_target

PROFILE = torch.tensor([0.0, 1.0, -1.0, -99.0])
INDEX = torch.tensor([0, 0, 1, 1])
LEVEL = torch.tensor([[math.log(20.0), math.log(5.0)], [math.log(50.0), math.log(10.0)]])


def test_each_structure_gets_its_own_level():
    output = ModelOutput(profile=PROFILE, level=LEVEL)
    value, width = restore_values(output, INDEX, find_target("b_factor"))
    assert value.tolist() == pytest.approx([20, 25, 40, 1])
    assert width.tolist() == pytest.approx([5, 5, 10, 10])


def test_spread_scales_the_width():
    spread = torch.tensor([0.0, math.log(2.0), 0.0, math.log(0.5)])
    output = ModelOutput(profile=PROFILE, log_spread=spread, level=LEVEL)
    _, width = restore_values(output, INDEX, find_target("b_factor"))
    assert width.tolist() == pytest.approx([5, 10, 10, 5])


def test_raw_and_log_need_no_level():
    output = ModelOutput(profile=torch.tensor([20.0, 0.2]))
    value, width = restore_values(output, INDEX[:2], find_target("b_factor_raw"))
    assert value.tolist() == pytest.approx([20, 1])
    assert width.tolist() == [1, 1]
    output = ModelOutput(profile=torch.tensor([math.log(20.0), -3.0]))
    value, width = restore_values(output, INDEX[:2], find_target("b_factor_log"))
    assert value.tolist() == pytest.approx([20, 1])
    assert width.tolist() == pytest.approx([20, 1])


def test_profile_without_level_is_refused():
    with pytest.raises(CheckpointError, match="no structure level"):
        restore_values(ModelOutput(profile=PROFILE), INDEX, find_target("b_factor"))
