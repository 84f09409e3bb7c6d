"""Measures of a whole set of structures, as a table: name, what it means, how it is computed.

Every measure is a function of the scores of one class of atoms and of how often each structure counts.
Counting each once gives the estimate, bootstrap draws give its interval: one formula for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from debye.scores.bootstrap import BootstrapConfig, percentile_interval
from debye.scores.scores import RUN, by_run, check_scores
from debye.scores.strata import (
    ATOM_CLASSES,
    EVERY_ATOM,
    EVERY_STRATUM,
    PRIMARY,
    RESOLUTION_STRATA,
)
from debye.scores.tables import column, rows_where

Weights = NDArray[np.float64]
"""(draws, structures) how often each structure counts in each draw."""


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
    order = np.argsort(values, kind="stable")[: np.isfinite(values).sum()]  # NaN comes last
    ranked, until = values[order], np.cumsum(weights[:, order], axis=1)
    if not ranked.size:
        return np.full(len(weights), np.nan)
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


def _atom_mean(name: str, count: str = "atoms") -> Callable[[pd.DataFrame, Weights], Weights]:
    """Average over the atoms of all structures."""

    def measure(table: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        atoms = column(table, count)
        total = np.where(atoms > 0, atoms * column(table, name), 0.0)
        return _ratio(weights @ total, weights @ atoms)

    return measure


def _structure_mean(name: str) -> Callable[[pd.DataFrame, Weights], Weights]:
    return lambda table, weights: weighted_mean(column(table, name), weights)


def _structure_quantile(name: str, quantile: float) -> Callable[[pd.DataFrame, Weights], Weights]:
    return lambda table, weights: weighted_quantile(column(table, name), weights, quantile)


def _pooled_moment(table: pd.DataFrame, weights: Weights, first: str, second: str) -> Weights:
    """(Co)variance over all atoms: that within structures plus that of their means."""
    atoms = column(table, "atoms")
    within = "covariance" if first != second else f"variance_{first}"
    # The overall mean is taken off first: it would cost digits in the difference below.
    means = []
    for name in (first, second):
        mean = column(table, f"mean_{name}")
        means.append(mean - np.average(mean, weights=atoms) if atoms.sum() else mean)
    total = weights @ atoms
    raw = _ratio(weights @ (atoms * (column(table, within) + means[0] * means[1])), total)
    shift = [_ratio(weights @ (atoms * mean), total) for mean in means]
    return raw - shift[0] * shift[1]


def _pooled_pearson(table: pd.DataFrame, weights: Weights) -> Weights:
    true = _pooled_moment(table, weights, "true", "true")
    predicted = _pooled_moment(table, weights, "predicted", "predicted")
    both = _pooled_moment(table, weights, "true", "predicted")
    return _ratio(both, np.sqrt(np.maximum(true, 0) * _above_rounding(table, predicted)))


def _above_rounding(table: pd.DataFrame, variance: Weights) -> Weights:
    """Zero for the variance of a constant prediction, which differs from zero by rounding."""
    if not len(table):
        return variance
    scale = np.abs(column(table, "mean_predicted")).max()
    return np.where(variance > (1e-6 * scale) ** 2, variance, 0.0)


def _oracle_pearson(table: pd.DataFrame, weights: Weights) -> Weights:
    """Correlation that each structure's own true mean reaches: sd of means over sd of atoms."""
    atoms = column(table, "atoms")
    within = _ratio(weights @ (atoms * column(table, "variance_true")), weights @ atoms)
    total = _pooled_moment(table, weights, "true", "true")
    return np.sqrt(_ratio(np.maximum(total - within, 0), total))


def _pooled_rrse(table: pd.DataFrame, weights: Weights) -> Weights:
    total = _pooled_moment(table, weights, "true", "true")
    return np.sqrt(_ratio(_atom_mean("squared_error")(table, weights), total))


def _oracle_rrse(table: pd.DataFrame, weights: Weights) -> Weights:
    total = _pooled_moment(table, weights, "true", "true")
    return np.sqrt(_ratio(_atom_mean("variance_true")(table, weights), total))


def _pooled_z_pearson(table: pd.DataFrame, weights: Weights) -> Weights:
    """Correlation of z-scores over all atoms: each structure's r, weighted by its atoms.

    Exact, since z-scores have mean 0 and variance 1 in every structure.
    """
    r, atoms = column(table, "pearson"), column(table, "atoms")
    known = np.isfinite(r)
    return _ratio(weights[:, known] @ (r * atoms)[known], weights[:, known] @ atoms[known])


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table of measures."""

    name: str
    summary: str
    """``{unit}`` and ``{items}`` (atoms, residues, structures) stand for those of the target."""
    compute: Callable[[pd.DataFrame, Weights], Weights]
    """Scores and (draws, structures) weights to one number a draw."""
    column: str = "pearson"
    """Column of the scores; a structure counts in the measure if its value is finite there."""


PRIMARY_MEASURE = "pearson_mean"
_ORACLE = "the same of each structure's own mean"

MEASURES = {
    row.name: row
    for row in (
        Measure(PRIMARY_MEASURE, "mean over structures of Pearson r", _structure_mean("pearson")),
        Measure("pearson_median", "median of the same", _structure_quantile("pearson", 0.5)),
        Measure("pearson_p10", "10th percentile of the same", _structure_quantile("pearson", 0.1)),
        Measure("spearman_mean", "mean Spearman rank correlation", _structure_mean("spearman"), "spearman"),
        Measure("chain_pearson_mean", "mean Pearson r within chains", _structure_mean("chain_pearson"), "chain_pearson"),
        Measure("mae_mean", "mean over structures of MAE{unit}", _structure_mean("mae"), "mae"),
        Measure("oracle_mae_mean", _ORACLE, _structure_mean("oracle_mae"), "oracle_mae"),
        Measure("z_mae", "mean over structures of the MAE of z-scores, standardized over the whole structure",
                _structure_mean("z_mae"), "z_mae"),
        Measure("mape_mean", "mean over structures of MAPE, %", _structure_mean("mape"), "mape"),
        Measure("rrse_mean", "mean over structures of RRSE against the structure's own mean",
                _structure_mean("rrse"), "rrse"),
        Measure("pooled_pearson", "Pearson r over all {items}", _pooled_pearson),
        Measure("oracle_pooled_pearson", _ORACLE, _oracle_pearson),
        Measure("pooled_z_pearson", "Pearson r over all {items} of z-scores, standardized over the class in each structure",
                _pooled_z_pearson),
        Measure("pooled_z_mae", "MAE over all {items} of z-scores, standardized over the whole structure",
                _atom_mean("z_absolute_error", "z_atoms"), "z_mae"),
        Measure("pooled_mae", "MAE over all {items}{unit}", _atom_mean("absolute_error"), "mae"),
        Measure("oracle_pooled_mae", _ORACLE, _atom_mean("oracle_absolute_error"), "oracle_mae"),
        Measure("pooled_mape", "MAPE over all {items}, %", _atom_mean("percent_error", "percent_atoms"), "mape"
                ),
        Measure("oracle_pooled_mape", _ORACLE, _atom_mean("oracle_percent_error", "percent_atoms"), "oracle_mae"),
        Measure("pooled_rrse", "RRSE over all {items} against the pooled mean", _pooled_rrse, "rrse"),
        Measure("oracle_pooled_rrse", _ORACLE, _oracle_rrse, "oracle_mae"),
        Measure("coverage_90", "share of {items} within their 90 % interval",
                _atom_mean("bounded_share", "bounded_atoms"), "coverage"),
        Measure("interval_width", "mean over structures of the width of the interval{unit}",
                _structure_mean("interval_width"), "interval_width"),
    )
}  # fmt: skip


def measure(scores: pd.DataFrame, name: str, weights: Weights | None = None) -> Weights:
    """Compute one measure over structures, once for each draw.

    Args:
        scores: One row a structure, all of one atom class.
        weights: How often each structure counts; each once if not given.
    """
    if name not in MEASURES:
        raise ValueError(f"no measure is called {name!r}: choose from {', '.join(MEASURES)}")
    weights = np.ones((1, len(scores))) if weights is None else weights
    return MEASURES[name].compute(scores, weights)


def summarize(scores: pd.DataFrame, bootstrap: BootstrapConfig) -> pd.DataFrame:
    """Summarize a table of scores: a row a model, way to treat the crystal, class of atoms and stratum.

    Every class comes over all structures, then the primary one by resolution; what no structure has
    is left out.

    Returns:
        ``model``, ``crystal``, ``atom_class``, ``stratum``; counts of structures, of those without a
        Pearson r (``undefined``), of clusters, of structures with symmetry mates and of items; every
        measure. With draws, four columns after each measure: ``_low`` and ``_high`` of the bootstrap over
        structures, ``_cluster_low`` and ``_cluster_high`` of that over clusters.

    Raises:
        ConfigError: the table is empty, or has a structure twice.
    """
    check_scores(scores)
    rows = []
    for model, crystal, own in by_run(scores):
        primary = PRIMARY if PRIMARY in set(own["atom_class"]) else EVERY_ATOM
        groups = [(name, EVERY_STRATUM) for name in ATOM_CLASSES]
        groups += [(primary, stratum) for stratum in RESOLUTION_STRATA]
        for atom_class, stratum in groups:
            chosen = rows_where(own, atom_class=atom_class)
            if stratum != EVERY_STRATUM:
                chosen = rows_where(chosen, stratum=stratum)
            if len(chosen):
                group = {"model": model, "crystal": crystal, "atom_class": atom_class}
                rows.append({**group, "stratum": stratum, **_summary(chosen, bootstrap)})
    return pd.DataFrame(rows)


def _summary(scores: pd.DataFrame, bootstrap: BootstrapConfig) -> dict[str, float]:
    names = scores["cluster"].tolist()
    row: dict[str, float] = {
        "structures": len(scores),
        "undefined": int(np.isnan(column(scores, "pearson")).sum()),
        "clusters": len({*names} - {""}) + names.count(""),
        "with_crystal": int(column(scores, "has_crystal").sum()),
    }
    row |= {name: int(column(scores, name).sum()) for name in ("atoms", "masked", "unpredicted")}
    draws = [bootstrap.draws(names, by_cluster=each) for each in (False, True)]
    for name in MEASURES:
        row[name] = float(measure(scores, name)[0])
        for suffix, weights in zip(("", "_cluster"), draws, strict=True):
            if bootstrap.repeats:
                ends = percentile_interval(measure(scores, name, weights), bootstrap.level)
                row[f"{name}{suffix}_low"], row[f"{name}{suffix}_high"] = ends
    return row


def primary_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the primary class: protein atoms, or everything where no row is of protein."""
    primary = PRIMARY if PRIMARY in set(scores["atom_class"]) else EVERY_ATOM
    return rows_where(scores, atom_class=primary)


def primary_summaries(summaries: pd.DataFrame) -> pd.DataFrame:
    """Return the row of the primary class over all structures, of each model and way to treat the crystal."""
    return rows_where(primary_scores(summaries), stratum=EVERY_STRATUM)


def worst_structures(scores: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """Return the structures of lowest Pearson r of each model, the lowest first; primary class."""
    each = [rows.dropna(subset=["pearson"]) for _, _, rows in by_run(primary_scores(scores))]
    return pd.concat([rows.sort_values(["pearson", "id"]).head(count) for rows in each])


class Difference(NamedTuple):
    """One measure of one model minus that of another, over the structures that both score."""

    measure: str
    atom_class: str
    first: str
    second: str
    structures: int
    """Structures for which both define the measure."""
    left_out: int
    """Structures that only one of the two scores, or for which only one defines the measure."""
    estimate: float
    interval_low: float
    """Paired bootstrap over structures; NaN without draws."""
    interval_high: float
    cluster_interval_low: float
    cluster_interval_high: float


def difference(
    first: pd.DataFrame,
    second: pd.DataFrame,
    bootstrap: BootstrapConfig,
    name: str = PRIMARY_MEASURE,
) -> Difference:
    """Compare two models on the same structures, by a paired bootstrap.

    The pairing takes out what makes structures easy or hard for both models, so that this interval is
    far narrower than the two models' own intervals suggest.

    Args:
        first: Scores of one model on one class of atoms, a row a structure.
        second: Those of another model, of the same class.
    """
    mine, theirs = (table.set_index("id").sort_index() for table in (first, second))
    own = MEASURES[name].column
    shared = mine.index.intersection(theirs.index).sort_values()
    left, right = mine.loc[shared], theirs.loc[shared]
    agree = np.isfinite(column(left, own)) == np.isfinite(column(right, own))
    left, right = left.loc[agree], right.loc[agree]

    def interval(by_cluster: bool) -> tuple[float, float]:
        weights = bootstrap.draws(left["cluster"].tolist(), by_cluster=by_cluster)
        draws = measure(left, name, weights) - measure(right, name, weights)
        return percentile_interval(draws, bootstrap.level)

    label = "{model}, crystal {crystal}".format
    labels = label(**first.iloc[0]), label(**second.iloc[0])
    used = int(np.isfinite(column(left, own)).sum())
    left_out = len(mine.index.union(theirs.index)) - len(left)
    estimate = float(measure(left, name)[0] - measure(right, name)[0])
    ends = *interval(False), *interval(True)
    return Difference(
        name, str(first["atom_class"].iloc[0]), *labels, used, left_out, estimate, *ends
    )


def differences_from_first(
    scores: pd.DataFrame, bootstrap: BootstrapConfig, name: str = PRIMARY_MEASURE
) -> pd.DataFrame:
    """Compare every model and way to treat the crystal with the first one; primary class of atoms."""
    tables = [rows for _, _, rows in by_run(primary_scores(scores))]
    found = [difference(table, tables[0], bootstrap, name) for table in tables[1:]]
    return pd.DataFrame(found, columns=pd.Index(Difference._fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlations:
    """Several predictors on items other than the structures of a split: pairs of crystals, predicted structures.

    Groups of items are averaged side by side.
    """

    name: str
    """Stem of the files."""
    title: str
    note: str
    """What one item is and how it is scored."""
    items: pd.DataFrame
    """Facts about each item, a row each; the index counts from 0."""
    clusters: tuple[str, ...]
    """Cluster of each item; items of one cluster are not independent."""
    groups: Mapping[str, NDArray[np.bool_]]
    """Name to (items,) mask; the first is the primary one."""
    scores: pd.DataFrame
    """Made by :func:`predictor_rows`: ``model``, ``crystal``, ``item`` (row of ``items``), ``pearson``, ``counted``."""
    bootstrap: BootstrapConfig

    def means(self) -> pd.DataFrame:
        """Average every predictor over every group; items without an r are counted and left out.

        Returns:
            ``model``, ``crystal``, ``group``, ``items``, ``undefined`` (items without an r), ``mean``,
            ``median``, and ``low`` and ``high`` of the mean: bootstrap over clusters.
        """
        found = []
        for (model, crystal, rows), group in product(by_run(self.scores), self.groups):
            item = rows["item"].to_numpy()
            chosen = self.groups[group][item] & rows["counted"].to_numpy()
            values = column(rows, "pearson")[chosen]
            known = values[np.isfinite(values)]
            low = high = mean = median = np.nan
            if known.size:
                mean, median = float(known.mean()), float(np.median(known))
            if known.size and self.bootstrap.repeats:
                names = [self.clusters[place] for place in item[chosen]]
                draws = weighted_mean(values, self.bootstrap.draws(names, by_cluster=True))
                low, high = percentile_interval(draws, self.bootstrap.level)
            row = {"model": model, "crystal": crystal, "group": group, "items": len(values)}
            row |= {"undefined": len(values) - len(known), "mean": mean}
            found.append(row | {"median": median, "low": low, "high": high})
        return pd.DataFrame(found)

    def table(self) -> pd.DataFrame:
        """Return a row a predictor and item: ``model``, ``crystal``, the facts of the item, ``pearson``."""
        rows = rows_where(self.scores, counted=True)
        facts = self.items.loc[rows["item"]].set_axis(rows.index)
        return pd.concat([pd.DataFrame(rows[RUN]), facts, rows["pearson"]], axis=1)

    def take(self, chosen: NDArray[np.bool_]) -> Correlations:
        """Return the same predictors on some of the items, e.g. those of one split."""
        rows = self.scores[chosen[self.scores["item"]]]
        return replace(
            self,
            items=self.items[chosen].reset_index(drop=True),
            clusters=tuple(np.array(self.clusters, object)[chosen]),
            groups={name: mask[chosen] for name, mask in self.groups.items()},
            scores=rows.assign(item=(np.cumsum(chosen) - 1)[rows["item"]]),
        )


def predictor_rows(
    model: str, crystal: str, pearson: NDArray[np.float64], counted: NDArray[np.bool_] | None = None
) -> pd.DataFrame:
    """Return the rows of one predictor for :attr:`Correlations.scores`, one an item.

    Args:
        model: Its name.
        crystal: ``on``, ``off``, ``other`` for coordinates of another crystal, or empty.
        pearson: (items,) NaN if not defined.
        counted: (items,) whether it is scored on an item; None: on all. The other items are not undefined.
    """
    labels = {"model": model, "crystal": crystal, "item": np.arange(len(pearson))}
    scores = {"pearson": pearson, "counted": True if counted is None else counted}
    return pd.DataFrame(labels | scores)
