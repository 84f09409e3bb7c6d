"""One structure and one class of atoms, boiled down to numbers that can be summarized later.

Per-atom arrays are dropped here: every pooled measure follows from the sums kept, so that a data set
of any size is evaluated in the memory of its largest structure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debye.scores.metrics import (
    PERCENT_FLOOR,
    finite_pairs,
    mae,
    mape,
    pearson,
    rrse,
    spearman,
    z_scores,
)
from debye.scores.strata import ATOM_CLASSES, AtomClass, resolution_stratum
from debye.scores.values import StructureValues

MOMENTS = (
    "mean_deposited",
    "mean_predicted",
    "variance_deposited",
    "variance_predicted",
    "covariance",
    "squared_error",
    "absolute_error",
    "oracle_absolute_error",
    "percent_error",
    "oracle_percent_error",
)
"""Fields of a score that pooled measures are made of, averages over its atoms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureScore:
    """How well one class of atoms of one structure is predicted.

    Measures of the structure are NaN with fewer usable atoms than the class asks for; the moments,
    which pooled measures are made of, cover every usable atom. B in Å².
    """

    id: str
    atom_class: str
    resolution: float
    """Å; NaN where unknown."""
    stratum: str
    cluster: str
    group: str
    has_crystal: bool
    """Symmetry mates took part in the prediction."""
    atoms: int
    """Usable atoms: deposited and predicted values are finite."""
    masked: int
    """Atoms of the class whose deposited value is no usable B-factor."""
    unpredicted: int
    """Atoms with a usable deposited value and no prediction."""

    pearson: float
    spearman: float
    chain_pearson: float
    """Mean of the Pearson correlations within each chain of enough atoms."""
    mae: float
    mape: float
    rrse: float
    """RMSE over that of predicting this structure's mean."""
    oracle_mae: float
    """MAE of predicting the mean deposited B of these very atoms."""
    z_mae: float
    """Mean absolute error of z-scores, which models without a unit have too. Both sides are standardized
    over all usable atoms of the structure, so that a class has its level too."""
    coverage: float
    """Share of atoms within their bounds; NaN without bounds."""
    interval_width: float
    """Mean distance between the bounds, Å²."""

    mean_deposited: float
    mean_predicted: float
    variance_deposited: float
    variance_predicted: float
    covariance: float
    squared_error: float
    """Mean squared error, Å⁴."""
    absolute_error: float
    """Mean absolute error, Å²."""
    z_atoms: int
    """Atoms with both z-scores: all usable ones, or none where one side is constant."""
    z_absolute_error: float
    """Mean absolute error of their z-scores."""
    percent_atoms: int
    """Atoms with a deposited value of at least 1 Å², which percentage errors cover."""
    percent_error: float
    """Mean absolute percentage error over these, %."""
    oracle_absolute_error: float
    """The same for predicting the structure's own deposited mean, Å²."""
    oracle_percent_error: float
    bounded_atoms: int
    """Usable atoms with both bounds."""
    bounded_share: float
    """Share of these within their bounds."""


def score_structure(
    values: StructureValues, classes: Iterable[str] = tuple(ATOM_CLASSES)
) -> list[StructureScore]:
    """Score every class of atoms that the structure has; classes without an atom are left out."""
    scores = []
    z_error = _z_errors(values)
    for name in classes:
        row = ATOM_CLASSES[name]
        mask = row.select(values)
        if mask.any():
            scores.append(_score(values, row, mask, z_error[mask]))
    return scores


def _z_errors(values: StructureValues) -> NDArray[np.float64]:
    """Return the absolute difference of z-scores of each atom, NaN where one is missing."""
    both = np.isfinite(values.deposited) & np.isfinite(values.predicted)
    first, second = (
        z_scores(np.where(both, side, np.nan)) for side in (values.predicted, values.deposited)
    )
    return np.abs(first - second)


def _score(
    values: StructureValues,
    row: AtomClass,
    mask: NDArray[np.bool_],
    z_error: NDArray[np.float64],
) -> StructureScore:
    usable = np.isfinite(values.deposited) & mask
    scored = usable & np.isfinite(values.predicted)
    predicted, deposited = finite_pairs(values.predicted[scored], values.deposited[scored])
    # Errors of a prediction without a unit are not defined: NaN, and not left to chance.
    in_unit = np.full_like(predicted, np.nan) if values.is_profile else predicted
    bounded, share, width = _bounds(values, scored)
    z_error = z_error[np.isfinite(z_error)]
    z_mean = float(z_error.mean()) if z_error.size else 0.0
    return StructureScore(
        id=values.id,
        atom_class=row.name,
        resolution=np.nan if values.resolution is None else float(values.resolution),
        stratum=resolution_stratum(values.resolution),
        cluster=values.cluster,
        group=values.group,
        has_crystal=values.has_crystal,
        atoms=len(deposited),
        masked=int(mask.sum() - usable.sum()),
        unpredicted=int(usable.sum() - scored.sum()),
        pearson=pearson(predicted, deposited, row.minimum),
        spearman=spearman(predicted, deposited, row.minimum),
        chain_pearson=_chain_pearson(predicted, deposited, values.chain_index[scored], row.minimum),
        mae=mae(in_unit, deposited, row.minimum),
        mape=mape(in_unit, deposited, row.minimum),
        rrse=rrse(in_unit, deposited, row.minimum),
        oracle_mae=mae(np.full_like(deposited, deposited.mean()), deposited, row.minimum)
        if deposited.size
        else np.nan,
        z_mae=z_mean if len(z_error) >= row.minimum else np.nan,
        z_atoms=len(z_error),
        z_absolute_error=z_mean,
        coverage=share if bounded >= row.minimum else np.nan,
        interval_width=width if bounded >= row.minimum else np.nan,
        bounded_atoms=bounded,
        bounded_share=share,
        percent_atoms=int((deposited >= PERCENT_FLOOR).sum()),
        **_moments(in_unit, deposited),
    )


def _chain_pearson(
    predicted: NDArray[np.float64],
    deposited: NDArray[np.float64],
    chain: NDArray[np.int32],
    minimum: int,
) -> float:
    each = np.array(
        [pearson(predicted[chain == c], deposited[chain == c], minimum) for c in np.unique(chain)]
    )
    each = each[np.isfinite(each)]
    return float(each.mean()) if each.size else np.nan


def _bounds(values: StructureValues, scored: NDArray[np.bool_]) -> tuple[int, float, float]:
    """Count atoms with bounds, the share of them within (a bound holds its own value), the width in Å²."""
    if values.lower is None or values.upper is None or values.is_profile:
        return 0, np.nan, np.nan
    rows = scored & np.isfinite(values.lower) & np.isfinite(values.upper)
    if not rows.any():
        return 0, np.nan, np.nan
    lower, upper, deposited = values.lower[rows], values.upper[rows], values.deposited[rows]
    within = (lower <= deposited) & (deposited <= upper)
    return int(rows.sum()), float(within.mean()), float((upper - lower).mean(dtype=np.float64))


def _moments(predicted: NDArray[np.float64], deposited: NDArray[np.float64]) -> dict[str, float]:
    """Keep what pooled measures need; all zero without atoms, where nothing is added to the pool."""
    if not deposited.size:
        return dict.fromkeys(MOMENTS, 0.0)
    error, off_mean = predicted - deposited, deposited - deposited.mean()
    large = deposited >= PERCENT_FLOOR
    moments = (
        deposited.mean(),
        predicted.mean(),
        deposited.var(),
        predicted.var(),
        (off_mean * (predicted - predicted.mean())).mean(),
        np.square(error).mean(),
        np.abs(error).mean(),
        np.abs(off_mean).mean(),
        _mean_percent(error[large], deposited[large]),
        _mean_percent(off_mean[large], deposited[large]),
    )
    return dict(zip(MOMENTS, map(float, moments), strict=True))


def _mean_percent(error: NDArray[np.float64], deposited: NDArray[np.float64]) -> float:
    return float(100 * np.abs(error / deposited).mean()) if error.size else 0.0
