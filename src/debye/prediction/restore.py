"""From what a model says, in standardized units, to values and expected errors in the target's unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.errors import CheckpointError
from debye.models.base import SPREAD_RANGE
from debye.targets.target import Target, Transform

if TYPE_CHECKING:
    from torch import Tensor

    from debye.models.base import ModelOutput


def restore_values(
    output: ModelOutput, structure_index: Tensor, target: Target
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the value and the expected absolute error of each atom, in the target's unit.

    A model without an opinion on its error gets one standard deviation of the structure.

    Args:
        output: What the model said about a batch.
        structure_index: (atoms,) structure of each atom.
        target: What the model was trained on.

    Raises:
        CheckpointError: the target needs a structure level, and the model predicts none.
    """
    profile = output.profile.double().cpu().numpy()
    spread = np.ones_like(profile)
    if output.log_spread is not None:
        spread = np.exp(output.log_spread.double().clamp(*SPREAD_RANGE).cpu().numpy())
    location, scale = np.zeros(1), np.ones(1)
    rows = np.zeros(len(profile), np.intp)
    if target.transform is Transform.Z:
        if output.level is None:
            raise CheckpointError(
                target.name,
                problem=f"this model predicts no structure level, so nothing in {target.unit}",
                remedy="Choose a model that does, or score its profile with `debye evaluate`",
            )
        location, scale = np.exp(output.level.double().cpu().numpy()).T
        rows = structure_index.cpu().numpy()
    value = target.restore(profile, location[rows], scale[rows])
    # A step in the logarithm is a share of the value.
    unit = value if target.transform is Transform.LOG else scale[rows]
    return value, unit * spread
