"""What is predicted: a table of targets, and the way from their values to what models see and back.

A target is one number per atom. Models see it standardized; :meth:`Target.restore` gives the value
back in its unit. To add a target, add a row to :data:`TARGETS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from debye.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

MAD_TO_SD = 1.4826
"""Standard deviation of a normal distribution whose median absolute deviation is 1."""
OUTLIER_SDS = 8.0
"""Values further than this many (MAD-based) standard deviations from the median count as if they were
there. B is heavy-tailed, so the bound is wide: over 3,298 crystals it leaves the standard deviation as it is
at the median and changes it by 27 % at the 99th percentile."""
TRAINING_LIMIT = 5.0
"""Standardized values are clipped to ± this in training, and only there: 0.14 % of atoms."""

Values = TypeVar("Values", bound="NDArray[Any] | Tensor")


class Transform(StrEnum):
    """How values become standardized ones."""

    RAW = "raw"
    """As they are."""
    LOG = "log"
    """Natural logarithm, after the floor of :attr:`Target.minimum`."""
    Z = "z"
    """Standard deviations above the mean of their structure, both robust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardized:
    """The values of one structure as a model sees them."""

    value: NDArray[np.float32]
    """(atoms,) standardized, not clipped; 0 where not usable."""
    location: float
    """What was taken as 0, in the unit of the target (log: of its logarithm)."""
    scale: float
    """What was taken as 1, in the same unit."""
    level: NDArray[np.float32]
    """(2,) log of the robust mean, and log of the robust standard deviation, of the structure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One quantity that models can learn."""

    name: str
    """What the user types."""
    unit: str
    summary: str
    source: str
    """Column of the data store that holds the labels."""
    transform: Transform
    minimum: float
    """Smallest value that can be predicted, in the unit of the target."""
    minimum_scale: float = 0.01
    """Smallest spread of a structure, in the unit of the target: a constant one stays finite."""

    def standardize(self, value: NDArray[Any], usable: NDArray[np.bool_]) -> Standardized:
        """Transform the values of one structure; only usable atoms count.

        Raises:
            ConfigError: no atom is usable.
        """
        value = np.asarray(value, np.float64)
        usable = np.asarray(usable, bool) & np.isfinite(value)
        if not usable.any():
            raise ConfigError(
                self.name,
                problem=f"none of {len(value)} atoms has a usable value",
                remedy="Leave the structure out",
            )
        mean, spread = robust_location_scale(value[usable])
        mean, spread = max(mean, self.minimum), max(spread, self.minimum_scale)
        location, scale = (mean, spread) if self.transform is Transform.Z else (0.0, 1.0)
        filled = np.where(usable, value, mean)
        if self.transform is Transform.LOG:
            filled = np.log(np.maximum(filled, self.minimum))
        standardized = np.where(usable, (filled - location) / scale, 0.0)
        return Standardized(
            value=standardized.astype(np.float32),
            location=location,
            scale=scale,
            level=np.log([mean, spread]).astype(np.float32),
        )

    def restore(self, standardized: Values, location: Any = 0.0, scale: Any = 1.0) -> Values:
        """Return values in the unit of the target, not below its minimum.

        Args:
            standardized: (atoms,) numpy array or torch tensor.
            location: Number, or one per atom, of the same kind.
            scale: The same.

        Example:
            >>> find_target("b_factor").restore(np.array([-9.0, 0.0, 1.0]), 20.0, 5.0)
            array([ 1., 20., 25.])
        """
        value: Any = location + scale * standardized
        if self.transform is Transform.LOG:
            value = np.exp(value) if isinstance(value, np.ndarray) else value.exp()
        return value.clip(min=self.minimum)


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="b_factor",
            unit="Å²",
            summary="Isotropic B-factor, standardized within its structure.",
            source="b_iso",
            transform=Transform.Z,
            minimum=1.0,
        ),
        Target(
            name="b_factor_log",
            unit="Å²",
            summary="Isotropic B-factor, as its logarithm.",
            source="b_iso",
            transform=Transform.LOG,
            minimum=1.0,
        ),
        Target(
            name="b_factor_raw",
            unit="Å²",
            summary="Isotropic B-factor, as deposited.",
            source="b_iso",
            transform=Transform.RAW,
            minimum=1.0,
        ),
    )
}


def find_target(name: str) -> Target:
    """Look up a target by name.

    Raises:
        ConfigError: there is none; says which there are.
    """
    if name not in TARGETS:
        raise unknown_name("target", name, TARGETS)
    return TARGETS[name]


def robust_location_scale(value: NDArray[Any]) -> tuple[float, float]:
    """Return mean and standard deviation after pulling outliers in to the bound of outliers.

    The bound is the median ± :data:`OUTLIER_SDS` × 1.4826 × MAD; without a spread (more than half of
    the values are equal) nothing is pulled in.

    Example:
        >>> robust_location_scale(np.array([9.0, 10.0, 11.0, 10.0, 9.0, 11.0, 9999.0]))[0] < 12.0
        True
    """
    value = np.asarray(value, np.float64)
    median = np.median(value)
    bound = OUTLIER_SDS * MAD_TO_SD * np.median(np.abs(value - median))
    if bound > 0:
        value = np.clip(value, median - bound, median + bound)
    return float(value.mean()), float(value.std())


def clip_for_training(value: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Limit standardized values to ± :data:`TRAINING_LIMIT`; return how many atoms that changed.

    Example:
        >>> clip_for_training(np.array([0.5, -7.0], np.float32))
        (array([ 0.5, -5. ], dtype=float32), 1)
    """
    clipped = np.clip(value, -TRAINING_LIMIT, TRAINING_LIMIT)
    return clipped, int((clipped != value).sum())
