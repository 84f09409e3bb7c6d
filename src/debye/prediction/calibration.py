"""Bounds of predictions: quantiles of the errors on structures outside the training set, by class of atom."""

from __future__ import annotations

from itertools import product
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from debye.scores.strata import ErrorClass

COVERAGE = 0.9
FEWEST_ATOMS = 200
"""A class with fewer calibration atoms takes the quantiles of all atoms together."""


class Interval(BaseModel, frozen=True, extra="forbid"):
    """Quantiles of (true - predicted) / width for one class of atoms in one situation."""

    atom_class: ErrorClass
    resolution_known: bool
    crystal_known: bool | None = None
    """Whether symmetry mates were included; None: either."""
    lower: float
    """Lower quantile, in widths; ``upper`` likewise."""
    upper: float
    atoms: int
    """Number of atoms that the quantiles come from."""


class Calibration(BaseModel, frozen=True, extra="forbid"):
    """Converts expected errors into bounds with a stated coverage."""

    coverage: Annotated[float, Field(gt=0, lt=1)] = COVERAGE
    """Share of atoms between the bounds; 0.9 means the 5 % and 95 % quantiles."""
    intervals: tuple[Interval, ...]

    def bounds(
        self,
        predicted: NDArray[np.floating],
        width: NDArray[np.floating],
        atom_class: NDArray[np.integer],
        *,
        resolution_known: bool,
        crystal_known: bool = False,
        minimum: float | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the lower and the upper bound of each atom, not below ``minimum``, in the unit of ``predicted``.

        Arrays are as in :func:`fit_calibration`; the flags are those of the whole structure.
        """
        quantiles = np.array(
            [self._quantiles(kind, resolution_known, crystal_known) for kind in ErrorClass]
        )
        lower, upper = (predicted + quantile * width for quantile in quantiles[atom_class].T)
        # A biased class may have both quantiles on one side; the prediction still lies between the bounds.
        lower = np.minimum(lower, predicted).clip(min=-np.inf if minimum is None else minimum)
        return lower.astype(np.float32), np.maximum(upper, predicted).astype(np.float32)

    def _quantiles(
        self, kind: ErrorClass, resolution_known: bool, crystal_known: bool
    ) -> tuple[float, float]:
        candidates = [item for item in self.intervals if item.atom_class == kind]
        if not candidates:  # calibrated before this class existed
            return self._quantiles(ErrorClass.OTHER, resolution_known, crystal_known)
        # If a model was calibrated in other situations only, the widest of them is used.
        alike = [item for item in candidates if item.resolution_known == resolution_known]
        candidates = alike or candidates
        alike = [item for item in candidates if item.crystal_known in (None, crystal_known)]
        candidates = alike or candidates
        return min(item.lower for item in candidates), max(item.upper for item in candidates)


def fit_calibration(
    true: NDArray[np.floating],
    predicted: NDArray[np.floating],
    width: NDArray[np.floating],
    atom_class: NDArray[np.integer],
    resolution_known: NDArray[np.bool_],
    crystal_known: NDArray[np.bool_] | None = None,
) -> Calibration:
    """Fit bounds to the errors on a validation set; atoms without a finite value and a positive width do not count.

    Quantiles are taken on both sides of the stated share (split conformal, Romano, Patterson and
    Candès 2019, arXiv:1905.03222, without their small-sample term: there are thousands of atoms).

    Args:
        true: (atoms,) measured values; ``predicted`` and ``width``, the expected size of the error, in the same unit.
        atom_class: (atoms,) an :class:`ErrorClass` for each atom.
        resolution_known: (atoms,) whether the resolution of the entry was given to the model.
        crystal_known: (atoms,) whether symmetry mates were included; None: not distinguished.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> true = rng.normal(30, 5, 20_000)
        >>> ones = np.ones(20_000)
        >>> fitted = fit_calibration(true, 30 * ones, 5 * ones, ones.astype(int), ones > 0)
        >>> edges = fitted.bounds(30 * ones, 5 * ones, ones.astype(int), resolution_known=True)
        >>> [round(float(edge[0])) for edge in edges]
        [22, 38]
    """
    usable = np.isfinite(true) & np.isfinite(predicted) & np.isfinite(width) & (width > 0)
    if not usable.any():
        problem = f"none of {len(usable)} atoms has a true value, a prediction and a width above 0"
        raise ValueError(f"{problem}: calibrate on a split with measured values")
    ratio = (true[usable] - predicted[usable]) / width[usable]
    kinds, known = atom_class[usable], resolution_known[usable]
    has_mates = np.zeros(len(ratio), bool) if crystal_known is None else crystal_known[usable]
    tails = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    intervals = []
    for is_known, with_mates in product(np.unique(known).tolist(), np.unique(has_mates).tolist()):
        situation = (known == is_known) & (has_mates == with_mates)
        if not situation.any():
            continue
        for kind in ErrorClass:
            own = ratio[situation & (kinds == kind)]
            shown = own if len(own) >= FEWEST_ATOMS else ratio[situation]
            lower, upper = np.quantile(shown, tails).tolist()
            intervals.append(
                Interval(
                    atom_class=kind,
                    resolution_known=is_known,
                    crystal_known=None if crystal_known is None else with_mates,
                    lower=lower,
                    upper=upper,
                    atoms=len(own),
                )
            )
    return Calibration(intervals=tuple(intervals))
