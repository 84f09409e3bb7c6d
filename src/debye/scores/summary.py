"""Measures of a whole set of structures, as a table: name, what it means, how it is computed.

Every measure is a function of the scores and of how often each structure counts. Counting each once
gives the estimate, bootstrap draws give its interval: one formula for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debye.scores.scores import StructureScore

Weights = NDArray[np.float64]
"""(draws, structures) how often each structure counts in each draw."""


class ScoreTable:
    """Scores of one atom class as columns over structures."""

    def __init__(self, scores: Sequence[StructureScore]) -> None:
        self.scores = tuple(scores)

    def __len__(self) -> int:
        return len(self.scores)

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one numeric field of every score."""
        return np.array([getattr(score, name) for score in self.scores], np.float64)

    def labels(self, name: str) -> list[str]:
        """Return one text field of every score."""
        return [str(getattr(score, name)) for score in self.scores]


def weighted_mean(values: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Average over structures in each draw; NaN structures are left out, NaN where none is left.

    Example:
        >>> weighted_mean(np.array([1, 3, np.nan]), np.array([[1, 1, 1], [3, 1, 5.0]])).tolist()
        [2.0, 1.5]
    """
    known = np.isfinite(values)
    return _ratio(weights[:, known] @ values[known], weights[:, known].sum(axis=1))


def weighted_quantile(
    values: NDArray[np.float64], weights: Weights, quantile: float
) -> NDArray[np.float64]:
    """Quantile over structures in each draw, equal to ``np.quantile`` of the repeated values.

    Example:
        >>> weighted_quantile(
        ...     np.array([5.0, 1, 2]), np.array([[1, 1, 1], [3, 0, 1.0]]), 0.5
        ... ).tolist()
        [2.0, 5.0]
    """
    known = np.isfinite(values)
    order = np.argsort(values[known], kind="stable")
    ranked = values[known][order]
    until = np.cumsum(weights[:, known][:, order], axis=1)
    result = np.full(len(weights), np.nan)
    if not ranked.size:
        return result
    total = until[:, -1]
    place = np.maximum(total - 1, 0) * quantile
    below = np.floor(place)
    above = np.minimum(below + 1, np.maximum(total - 1, 0))
    last = len(ranked) - 1
    low = ranked[np.minimum((until <= below[:, None]).sum(axis=1), last)]
    high = ranked[np.minimum((until <= above[:, None]).sum(axis=1), last)]
    return np.where(total > 0, low + (place - below) * (high - low), np.nan)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)


def _atom_mean(name: str, count: str = "atoms") -> Callable[[ScoreTable, Weights], Weights]:
    """Average over the atoms of all structures."""

    def measure(table: ScoreTable, weights: Weights) -> NDArray[np.float64]:
        atoms = table.column(count)
        total = np.where(atoms > 0, atoms * table.column(name), 0.0)
        return _ratio(weights @ total, weights @ atoms)

    return measure


def _structure_mean(name: str) -> Callable[[ScoreTable, Weights], Weights]:
    return lambda table, weights: weighted_mean(table.column(name), weights)


def _structure_quantile(name: str, quantile: float) -> Callable[[ScoreTable, Weights], Weights]:
    return lambda table, weights: weighted_quantile(table.column(name), weights, quantile)


def _pooled_moment(table: ScoreTable, weights: Weights, first: str, second: str) -> Weights:
    """(Co)variance over all atoms: that within structures plus that of their means."""
    atoms = table.column("atoms")
    within = "covariance" if first != second else f"variance_{first}"
    # The overall mean is taken off first: it would cost digits in the difference below.
    means = []
    for name in (first, second):
        mean = table.column(f"mean_{name}")
        means.append(mean - np.average(mean, weights=atoms) if atoms.sum() else mean)
    total = weights @ atoms
    raw = _ratio(weights @ (atoms * (table.column(within) + means[0] * means[1])), total)
    shift = [_ratio(weights @ (atoms * mean), total) for mean in means]
    return raw - shift[0] * shift[1]


def _pooled_pearson(table: ScoreTable, weights: Weights) -> Weights:
    deposited = _pooled_moment(table, weights, "deposited", "deposited")
    predicted = _pooled_moment(table, weights, "predicted", "predicted")
    both = _pooled_moment(table, weights, "deposited", "predicted")
    return _ratio(both, np.sqrt(np.maximum(deposited, 0) * _above_rounding(table, predicted)))


def _above_rounding(table: ScoreTable, variance: Weights) -> Weights:
    """Zero for the variance of a constant prediction, which differs from zero by rounding."""
    if not len(table):
        return variance
    scale = np.abs(table.column("mean_predicted")).max()
    return np.where(variance > (1e-6 * scale) ** 2, variance, 0.0)


def _oracle_pearson(table: ScoreTable, weights: Weights) -> Weights:
    """Correlation that each structure's own deposited mean reaches: sd of means over sd of atoms."""
    atoms = table.column("atoms")
    within = _ratio(weights @ (atoms * table.column("variance_deposited")), weights @ atoms)
    total = _pooled_moment(table, weights, "deposited", "deposited")
    return np.sqrt(_ratio(np.maximum(total - within, 0), total))


def _pooled_rrse(table: ScoreTable, weights: Weights) -> Weights:
    total = _pooled_moment(table, weights, "deposited", "deposited")
    return np.sqrt(_ratio(_atom_mean("squared_error")(table, weights), total))


def _oracle_rrse(table: ScoreTable, weights: Weights) -> Weights:
    total = _pooled_moment(table, weights, "deposited", "deposited")
    return np.sqrt(_ratio(_atom_mean("variance_deposited")(table, weights), total))


def _pooled_z_pearson(table: ScoreTable, weights: Weights) -> Weights:
    """Correlation of z-scores over all atoms: each structure's r, weighted by its atoms.

    Exact, since z-scores have mean 0 and variance 1 in every structure.
    """
    r, atoms = table.column("pearson"), table.column("atoms")
    known = np.isfinite(r)
    return _ratio(weights[:, known] @ (r * atoms)[known], weights[:, known] @ atoms[known])


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table of measures."""

    name: str
    summary: str
    compute: Callable[[ScoreTable, Weights], Weights]
    """Scores and (draws, structures) weights to one number a draw."""
    higher_is_better: bool | None = True
    """None: neither."""
    column: str = "pearson"
    """Field of a score without which a structure says nothing about the measure."""


PRIMARY_MEASURE = "pearson_mean"

MEASURES = {
    row.name: row
    for row in (
        Measure(PRIMARY_MEASURE, "mean over structures of Pearson r", _structure_mean("pearson")),
        Measure("pearson_median", "median of the same", _structure_quantile("pearson", 0.5)),
        Measure("pearson_p10", "10th percentile of the same", _structure_quantile("pearson", 0.1)),
        Measure(
            "spearman_mean",
            "mean Spearman rank correlation",
            _structure_mean("spearman"),
            column="spearman",
        ),
        Measure(
            "chain_pearson_mean",
            "mean Pearson r within chains",
            _structure_mean("chain_pearson"),
            column="chain_pearson",
        ),
        Measure(
            "mae_mean", "mean over structures of MAE, Å²", _structure_mean("mae"), False, "mae"
        ),
        Measure(
            "oracle_mae_mean",
            "the same of each structure's own mean B",
            _structure_mean("oracle_mae"),
            None,
            "oracle_mae",
        ),
        Measure(
            "z_mae",
            "mean over structures of the MAE of z-scores, standardized over the whole structure",
            _structure_mean("z_mae"),
            False,
            "z_mae",
        ),
        Measure(
            "mape_mean", "mean over structures of MAPE, %", _structure_mean("mape"), False, "mape"
        ),
        Measure(
            "rrse_mean",
            "mean over structures of RRSE against the structure's own mean",
            _structure_mean("rrse"),
            False,
            "rrse",
        ),
        Measure("pooled_pearson", "Pearson r of raw B over all atoms", _pooled_pearson),
        Measure(
            "oracle_pooled_pearson",
            "the same of each structure's own mean B",
            _oracle_pearson,
            None,
        ),
        Measure(
            "pooled_z_pearson",
            "Pearson r over all atoms of z-scores, standardized over the class in each structure",
            _pooled_z_pearson,
        ),
        Measure(
            "pooled_z_mae",
            "MAE over all atoms of z-scores, standardized over the whole structure",
            _atom_mean("z_absolute_error", "z_atoms"),
            False,
            "z_mae",
        ),
        Measure("pooled_mae", "MAE over all atoms, Å²", _atom_mean("absolute_error"), False, "mae"),
        Measure(
            "oracle_pooled_mae",
            "the same of each structure's own mean B",
            _atom_mean("oracle_absolute_error"),
            None,
            "oracle_mae",
        ),
        Measure(
            "pooled_mape",
            "MAPE over all atoms, %",
            _atom_mean("percent_error", "percent_atoms"),
            False,
            "mape",
        ),
        Measure(
            "oracle_pooled_mape",
            "the same of each structure's own mean B",
            _atom_mean("oracle_percent_error", "percent_atoms"),
            None,
            "oracle_mae",
        ),
        Measure(
            "pooled_rrse",
            "RRSE over all atoms against the pooled mean",
            _pooled_rrse,
            False,
            "rrse",
        ),
        Measure(
            "oracle_pooled_rrse",
            "the same of each structure's own mean B",
            _oracle_rrse,
            None,
            "oracle_mae",
        ),
        Measure(
            "coverage_90",
            "share of atoms within their 90 % interval",
            _atom_mean("bounded_share", "bounded_atoms"),
            None,
            "coverage",
        ),
        Measure(
            "interval_width",
            "mean over structures of the width of the interval, Å²",
            _structure_mean("interval_width"),
            None,
            "interval_width",
        ),
    )
}


def measure(scores: Sequence[StructureScore], name: str, weights: Weights | None = None) -> Weights:
    """Compute one measure over structures, once for each draw.

    Args:
        scores: One score a structure, all of one atom class.
        name: A row of :data:`MEASURES`.
        weights: How often each structure counts; each once if not given.
    """
    if name not in MEASURES:
        raise ValueError(f"no measure is called {name!r}: choose from {', '.join(MEASURES)}")
    weights = np.ones((1, len(scores))) if weights is None else weights
    return MEASURES[name].compute(ScoreTable(scores), weights)
