"""What a model can learn and predict: the labels of a target, and the way to standardized values and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from debye.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from debye.structure.structure import Structure

MAD_TO_SD = 1.4826
"""Standard deviation of a normal distribution whose median absolute deviation is 1."""
OUTLIER_SDS = 8.0
"""Values further than this many (MAD-based) standard deviations from the median count as if they were there. B is
heavy-tailed: over 3,298 crystals the bound changes the standard deviation by 0 (median) and 27 % (99th percentile)."""
TRAINING_LIMIT = 5.0
"""Standardized values are clipped to ± this in training, and only there: 0.14 % of atoms for B."""

Pair = tuple[float, float]
Values = TypeVar("Values", bound="NDArray[Any] | Tensor")


class Per(StrEnum):
    """What one value of a target describes."""

    ATOM = "atom"
    RESIDUE = "residue"
    STRUCTURE = "structure"

    def count(self, structure: Structure) -> int:
        """Return the number of values that a structure has."""
        return {Per.ATOM: len(structure), Per.RESIDUE: structure.n_residues}.get(self, 1)


class Transform(StrEnum):
    """How values become standardized ones."""

    RAW = "raw"
    """Unchanged."""
    LOG = "log"
    """Natural logarithm, after the floor of :attr:`Target.minimum`."""
    STANDARD = "standard"
    """Standard deviations above the mean of the training set; both are fitted when training starts."""
    Z = "z"
    """Standard deviations above the mean of the structure, both robust. The model predicts their logarithms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The true values of one structure, and which of them can be used."""

    value: NDArray[np.float32]
    """(atoms, residues or 1) in the unit of the target."""
    usable: NDArray[np.bool_]
    """(atoms, residues or 1) False where a value is missing or must not be used."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Number of values that cannot be used, by reason."""

    @classmethod
    def where_finite(cls, value: NDArray[Any]) -> Labels:
        """Return labels that are usable wherever the value is finite."""
        value = np.asarray(value, np.float32)
        usable = np.isfinite(value)
        reasons = {} if usable.all() else {"no value": int((~usable).sum())}
        return cls(value=value, usable=usable, reasons=reasons)

    @classmethod
    def unusable(cls, count: int, reason: str) -> Labels:
        """Return labels of which none is usable."""
        none = np.zeros(count, bool)
        return cls(value=none.astype(np.float32), usable=none, reasons={reason: count})

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Labels:
        """Return the labels of some items; the reasons are not kept."""
        return Labels(value=self.value[rows], usable=self.usable[rows])


@dataclass(frozen=True, slots=True)
class LabelSource:
    """Where labels come from, and the columns of a data store that hold them."""

    name: str
    """Labels of this name are shared by all targets that use the source."""
    compute: Callable[[Structure], Labels] | None = None
    """Returns the labels of a structure's heavy atoms; None: a user's table holds them."""
    value_column: str = ""
    """Column of the store; empty: ``label_<name>``."""
    usable_column: str = ""
    """Column of the store; empty: ``usable_<name>``."""

    @property
    def columns(self) -> tuple[str, str]:
        """Columns of the store with the values, and with their usability."""
        name = self.name
        return self.value_column or f"label_{name}", self.usable_column or f"usable_{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardized:
    """The values of one structure as a model sees them."""

    value: NDArray[np.float32]
    """(items,) standardized, not clipped; 0 where not usable."""
    location: float
    """Value that became 0, in the unit of the target (log: of its logarithm); ``scale`` is the step of 1."""
    scale: float
    log_mean_sd: NDArray[np.float32]
    """(2,) log of the structure's robust mean and standard deviation; 0 for targets that can be negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One quantity that models can learn: a row of :data:`debye.targets.catalog.TARGETS`."""

    name: str
    """What the user types; lower case letters, digits and underscores."""
    unit: str
    summary: str
    per: Per = Per.ATOM
    source: LabelSource
    transform: Transform = Transform.STANDARD
    minimum: float | None = None
    """Smallest possible value, in the unit of the target; None: no limit, values may be negative."""
    minimum_sd: float = 0.01
    """Smallest standard deviation of a structure, in the unit of the target: a constant structure stays finite."""
    location: float = 0.0
    """Value that becomes 0 under ``STANDARD``, ``scale`` the step of 1; set by :meth:`scaled`."""
    scale: float = 1.0
    log_mean_sd_range: tuple[Pair, Pair, Pair] | None = None
    """Lowest, usual and highest log mean and log standard deviation of a structure. A model may replace a
    prediction outside the range by the usual one; None: any prediction is kept."""
    trust: Callable[[float | None], float] | None = None
    """Weight of a structure in the loss from its resolution (Å), 1 for a usual one; None: all count the same."""
    loss: str | Callable[..., Any] = "pointwise"
    """Row of :data:`debye.targets.losses.LOSSES`, or a function with their signature."""
    monitor: str = "pooled_r"
    """Row of :data:`debye.targets.losses.MONITORS`: the figure that chooses the best epoch."""
    percent_floor: float | None = None
    """Smallest true value of which a percentage error is taken, in the unit of the target; None: no percentages."""
    column: str = ""
    """Prefix of the columns in tables; empty: the name."""
    decimals: int = 3
    """Decimals in tables."""
    label: str = ""
    """Short name for pictures and messages; empty: the name."""
    in_b_column: bool = False
    """Whether predictions may replace the B-factors in a copy of a structure file."""
    observed: Callable[[Structure], NDArray[np.float32]] | None = None
    """Returns the measured value of every item of an input file, NaN where there is none; None: files hold none."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name != self.name.lower():
            problem = "the name is not a lower-case identifier"
            self._refuse(problem, "Use letters, digits, underscores")
        is_positive = (self.minimum or 0) > 0
        if self.transform is Transform.Z and not (self.per is Per.ATOM and is_positive):
            problem = "z needs values per atom and a minimum above 0, since models predict log mean and log sd"
            self._refuse(problem, "Use the transform standard")
        if self.transform is Transform.LOG and not is_positive:
            remedy = "Set minimum, or use the transform standard"
            self._refuse("log needs a minimum above 0", remedy)
        if self.per is Per.STRUCTURE and self.monitor == "structure_r":
            self._refuse("a structure has one value, so no correlation within it", "Use pooled_r")
        if self.per is Per.STRUCTURE and self.loss == "within_structures":
            self._refuse("a structure has one value, so no correlation within it", "Use pointwise")
        if self.in_b_column and self.per is not Per.ATOM:
            self._refuse("only values per atom fit the B column", "Set in_b_column to False")

    def _refuse(self, problem: str, remedy: str) -> None:
        raise ConfigError(f"target {self.name}", problem, remedy)

    @property
    def columns(self) -> tuple[str, str, str]:
        """Columns of the prediction, its lower and its upper bound in tables."""
        prefix = self.column or self.name
        return f"{prefix}_predicted", f"{prefix}_lower", f"{prefix}_upper"

    @property
    def observed_column(self) -> str | None:
        """Column of the measured value in tables; None: there is none."""
        return f"{self.column or self.name}_deposited" if self.observed else None

    @property
    def title(self) -> str:
        """Short name for pictures and messages."""
        return self.label or self.name.replace("_", " ")

    def observe(self, structure: Structure) -> NDArray[np.float32]:
        """Return the measured value of every item of an input file; NaN where there is none."""
        if self.observed is None:
            return np.full(self.per.count(structure), np.nan, np.float32)
        return self.observed(structure)

    def scaled(self, location: float, scale: float) -> Target:
        """Return the target with the mean and standard deviation of a training set, which must be usable numbers."""
        if not (np.isfinite([location, scale]).all() and scale > 0):
            problem = f"location {location}, scale {scale}"
            self._refuse(problem, "Give finite numbers, scale above 0")
        return replace(self, location=float(location), scale=float(scale))

    def standardize(self, labels: Labels) -> Standardized:
        """Transform the values of one structure; only usable items count, and without any it is a ``ConfigError``."""
        value = np.asarray(labels.value, np.float64)
        usable = np.asarray(labels.usable, bool) & np.isfinite(value)
        if not usable.any():
            self._refuse(f"none of {len(value)} values is usable", "Leave the structure out")
        mean, sd = robust_location_scale(value[usable])
        if self.minimum is not None:
            mean = max(mean, self.minimum)
        sd = max(sd, self.minimum_sd)
        # Other transforms than these two have location 0 and scale 1.
        is_z = self.transform is Transform.Z
        location, scale = (mean, sd) if is_z else (self.location, self.scale)
        filled = np.where(usable, value, mean)
        if self.transform is Transform.LOG:
            filled = np.log(np.maximum(filled, self.minimum or 0.0))
        standardized = np.where(usable, (filled - location) / scale, 0.0).astype(np.float32)
        logs = np.log([mean, sd]) if (self.minimum or 0) > 0 else np.zeros(2)
        return Standardized(
            value=standardized, location=location, scale=scale, log_mean_sd=logs.astype(np.float32)
        )

    def restore(self, standardized: Values, location: Any = None, scale: Any = None) -> Values:
        """Return values in the unit of the target, not below its minimum.

        Location and scale are numbers, or one per item, of the same kind as ``standardized``; None: those of the target.

        Example:
            >>> from debye.targets.catalog import find_target
            >>> find_target("b_factor").restore(np.array([-9.0, 0.0, 1.0]), 20.0, 5.0)
            array([ 1., 20., 25.])
        """
        location = self.location if location is None else location
        value: Any = location + (self.scale if scale is None else scale) * standardized
        if self.transform is Transform.LOG:
            value = np.exp(value) if isinstance(value, np.ndarray) else value.exp()
        return value if self.minimum is None else value.clip(min=self.minimum)


def robust_location_scale(value: NDArray[Any]) -> tuple[float, float]:
    """Return mean and standard deviation after outliers are pulled in to median ± :data:`OUTLIER_SDS` × 1.4826 × MAD.

    Where more than half of the values are equal the MAD is 0 and nothing is pulled in.

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
    """Limit standardized values to ± :data:`TRAINING_LIMIT`; also return the number of values changed.

    Example:
        >>> clip_for_training(np.array([0.5, -7.0], np.float32))
        (array([ 0.5, -5. ], dtype=float32), 1)
    """
    clipped = np.clip(value, -TRAINING_LIMIT, TRAINING_LIMIT)
    return clipped, int((clipped != value).sum())
