"""From standardized model output to values and expected errors in the unit of a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.errors import CheckpointError
from debye.targets.losses import LOG_ERROR_RANGE
from debye.targets.target import Target, Transform

if TYPE_CHECKING:
    from torch import Tensor

    from debye.targets.losses import TargetOutput


def restore_values(
    output: TargetOutput, structure_index: Tensor, target: Target
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the value and the expected absolute error of each item, in the target's unit.

    Where a model predicts no error, it is one standard deviation.

    Args:
        output: The model's output for a batch.
        structure_index: (items,) structure of each atom, residue or structure.
        target: What the model was trained on.

    Raises:
        CheckpointError: the target needs mean and sd of each structure, and the model predicts none.
    """
    value = output.value.double().cpu().numpy()
    error = np.ones_like(value)
    if output.log_error is not None:
        error = np.exp(output.log_error.double().clamp(*LOG_ERROR_RANGE).cpu().numpy())
    location, scale = np.array([target.location]), np.array([target.scale])
    rows = np.zeros(len(value), np.intp)
    if target.transform is Transform.Z:
        if output.log_mean_sd is None:
            raise CheckpointError(
                target.name,
                f"this model predicts no mean and sd of a structure, so nothing in {target.unit}",
                "Choose a model that does, or score its normalized values with `debye evaluate`",
            )
        location, scale = np.exp(output.log_mean_sd.double().cpu().numpy()).T
        rows = structure_index.cpu().numpy()
    value = target.restore(value, location[rows], scale[rows])
    # A step in the logarithm is a share of the value.
    unit = value if target.transform is Transform.LOG else scale[rows]
    return value, unit * error
