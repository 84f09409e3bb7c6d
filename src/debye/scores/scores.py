"""The table of scores: one row a structure and class of atoms, with all that summaries need.

Per-atom arrays are dropped here: every pooled measure follows from the sums kept, so that a data set
of any size is evaluated in the memory of its largest structure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from debye.errors import ConfigError
from debye.scores.metrics import (
    above_floor,
    finite_pairs,
    mae,
    mape,
    pearson,
    rrse,
    spearman,
    z_scores,
)
from debye.scores.strata import (
    ATOM_CLASSES,
    AtomClass,
    StructureValues,
    classes_of,
    resolution_stratum,
)
from debye.targets.target import Per

RUN = ["model", "crystal"]
"""Columns of a score table that say which model made the predictions, and whether it used symmetry mates
(``on`` or ``off``)."""


class StructureScore(NamedTuple):
    """How well one class of atoms of one structure is predicted, in the unit of the target.

    Measures of the structure are NaN with fewer usable items than the class needs; the moments,
    which pooled measures are made of, cover every usable item.
    """

    id: str
    atom_class: str
    resolution: float
    """Å; NaN if unknown."""
    stratum: str
    cluster: str
    group: str
    has_crystal: bool
    """Symmetry mates were included in the prediction."""
    atoms: int
    """Usable items (atoms, residues or 1 structure): the true and the predicted value are finite."""
    masked: int
    """Items of the class without a usable true value."""
    unpredicted: int
    """Items with a usable true value and no prediction."""
    pearson: float
    spearman: float
    chain_pearson: float
    """Mean of the Pearson correlations within each chain of enough items."""
    mae: float
    mape: float
    rrse: float
    """RMSE over that of predicting this structure's mean."""
    oracle_mae: float
    """MAE of predicting the mean true value of these very items."""
    z_mae: float
    """Mean absolute error of z-scores, which models without a unit have too. Both sides are standardized
    over all usable items of the structure, so that the mean of a class counts."""
    coverage: float
    """Share of items within their bounds; NaN without bounds."""
    interval_width: float
    """Mean distance between the bounds."""
    mean_true: float
    mean_predicted: float
    variance_true: float
    variance_predicted: float
    covariance: float
    squared_error: float
    """Mean squared error."""
    absolute_error: float
    """Mean absolute error."""
    z_atoms: int
    """Items with both z-scores: all usable ones, or none if one side is constant."""
    z_absolute_error: float
    """Mean absolute error of their z-scores."""
    percent_atoms: int
    """Items that percentage errors cover: their true value is at least the floor of the target."""
    percent_error: float
    """Mean absolute percentage error over these, %."""
    oracle_absolute_error: float
    """The same for predicting the structure's own true mean."""
    oracle_percent_error: float
    bounded_atoms: int
    """Usable items with both bounds."""
    bounded_share: float
    """Share of these within their bounds."""


def score_table(scores: Iterable[StructureScore], **labels: str) -> pd.DataFrame:
    """Return scores as a table, a row each.

    Args:
        labels: Columns to put first, by default those of :data:`RUN`.
    """
    table = pd.DataFrame(list(scores), columns=pd.Index(StructureScore._fields))
    for place, (name, value) in enumerate(labels.items()):
        table.insert(place, name, value)
    return table


def by_run(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield model, crystal and rows of each model and way to treat the crystal, in the order of the table."""
    for (model, crystal), rows in table.groupby(RUN, sort=False):  # type: ignore[misc]
        yield str(model), str(crystal), rows


def check_scores(scores: pd.DataFrame) -> None:
    """Refuse a table of scores that cannot be summarized.

    Raises:
        ConfigError: it is empty, or has a structure twice.
    """
    if scores.empty:
        problem = "no atom of any structure can be scored"
        raise ConfigError("evaluate", problem, "Choose a split of structures with atoms")
    twice = scores.loc[scores.duplicated([*RUN, "id", "atom_class"])]
    if len(twice):
        problem = f"structures that come more than once: {', '.join(sorted(set(twice['id']))[:5])}"
        remedy = "Evaluate every structure once, or the intervals are too narrow"
        raise ConfigError(str(twice["model"].iloc[0]), problem, remedy)


def score_structure(
    values: StructureValues, classes: Iterable[str] | None = None
) -> list[StructureScore]:
    """Score the classes of atoms that the structure has; None: all that the target has figures for."""
    both = np.isfinite(values.true) & np.isfinite(values.predicted)
    first, second = (z_scores(np.where(both, x, np.nan)) for x in (values.predicted, values.true))
    z_error = np.abs(first - second)
    rows = [ATOM_CLASSES[name] for name in classes or classes_of(values.target)]
    masks = [row.select(values) for row in rows]
    return [
        _score(values, row, mask, z_error[mask])
        for row, mask in zip(rows, masks, strict=True)
        if mask.any()
    ]


def _score(
    values: StructureValues, row: AtomClass, mask: NDArray[np.bool_], z_error: NDArray[np.float64]
) -> StructureScore:
    usable = np.isfinite(values.true) & mask
    scored = usable & np.isfinite(values.predicted)
    predicted, true = finite_pairs(values.predicted[scored], values.true[scored])
    minimum = 1 if values.target.per is Per.STRUCTURE else row.minimum
    floor = values.target.percent_floor
    # Errors of a prediction without a unit are not defined: NaN, and not left to chance.
    in_unit = np.full_like(predicted, np.nan) if values.is_profile else predicted
    bounded, share, width = _bounds(values, scored)
    z_error = z_error[np.isfinite(z_error)]
    z_mean = float(z_error.mean()) if z_error.size else 0.0
    own_mean = np.full_like(true, true.mean()) if true.size else true
    return StructureScore(
        id=values.id,
        atom_class=row.name,
        resolution=np.nan if values.resolution is None else float(values.resolution),
        stratum=resolution_stratum(values.resolution),
        cluster=values.cluster,
        group=values.group,
        has_crystal=values.has_crystal,
        atoms=len(true),
        masked=int(mask.sum() - usable.sum()),
        unpredicted=int(usable.sum() - scored.sum()),
        pearson=pearson(predicted, true, minimum),
        spearman=spearman(predicted, true, minimum),
        chain_pearson=_chain_pearson(predicted, true, values.chain_index[scored], minimum),
        mae=mae(in_unit, true, minimum),
        mape=mape(in_unit, true, minimum, floor=floor),
        rrse=rrse(in_unit, true, minimum),
        oracle_mae=mae(own_mean, true, minimum),
        z_mae=z_mean if len(z_error) >= minimum else np.nan,
        z_atoms=len(z_error),
        z_absolute_error=z_mean,
        coverage=share if bounded >= minimum else np.nan,
        interval_width=width if bounded >= minimum else np.nan,
        bounded_atoms=bounded,
        bounded_share=share,
        percent_atoms=int(above_floor(true, floor).sum()),
        **_moments(in_unit, true, floor),
    )


def _chain_pearson(
    predicted: NDArray[np.float64], true: NDArray[np.float64], chain: NDArray, minimum: int
) -> float:
    own = [chain == name for name in np.unique(chain)]
    each = np.array([pearson(predicted[rows], true[rows], minimum) for rows in own])
    each = each[np.isfinite(each)]
    return float(each.mean()) if each.size else np.nan


def _bounds(values: StructureValues, scored: NDArray[np.bool_]) -> tuple[int, float, float]:
    """Count items with bounds, the share within them (ends included), and the mean width."""
    lower, upper = values.lower, values.upper
    if lower is None or upper is None or values.is_profile:
        return 0, np.nan, np.nan
    rows = scored & np.isfinite(lower) & np.isfinite(upper)
    if not rows.any():
        return 0, np.nan, np.nan
    within = ((lower <= values.true) & (values.true <= upper))[rows].mean()
    return int(rows.sum()), float(within), float((upper[rows] - lower[rows]).mean(dtype=np.float64))


def _moments(
    predicted: NDArray[np.float64], true: NDArray[np.float64], floor: float | None
) -> dict[str, float]:
    """Return what pooled measures need; zeros without items, which add nothing to the pool."""
    if not true.size:
        predicted, true, floor = np.zeros(1), np.zeros(1), None
    error, off_mean, large = predicted - true, true - true.mean(), above_floor(true, floor)
    percent, oracle_percent = (100 * np.abs(x[large] / true[large]) for x in (error, off_mean))
    moments = {
        "mean_true": true.mean(),
        "mean_predicted": predicted.mean(),
        "variance_true": true.var(),
        "variance_predicted": predicted.var(),
        "covariance": (off_mean * (predicted - predicted.mean())).mean(),
        "squared_error": np.square(error).mean(),
        "absolute_error": np.abs(error).mean(),
        "oracle_absolute_error": np.abs(off_mean).mean(),
        "percent_error": percent.mean() if large.any() else 0.0,
        "oracle_percent_error": oracle_percent.mean() if large.any() else 0.0,
    }
    return {name: float(value) for name, value in moments.items()}
