"""The tables over items that are no structures of a split: pairs of crystals, predicted structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from debye.benchmark.comparison.results import Row, figure
from debye.benchmark.comparison.summary import MATCH, PAIR, Overview, Spread
from debye.benchmark.comparison.tables import plus_minus
from debye.benchmark.crystal_pairs import CEILING
from debye.benchmark.predicted_models import CONFIDENCE, PHENIX
from debye.reports.evaluation_tables import TextTable, number


def pair_table(overview: Overview, split: str) -> TextTable | None:
    """What one crystal tells of another of the same protein, and what models reach on the same pairs."""
    pairs = _pairs_of(overview, split)
    if not pairs:
        return None
    rows = [_pair_row(CEILING, "", _rows_of(pairs, CEILING))]
    for name in overview.contenders:
        crystal = overview.crystal(name)
        if found := [row for row in _rows_of(pairs, name) if row["crystal"] == crystal]:
            rows.append(_pair_row(name, crystal, found))
    header = ("predictor", "mates", "mean r", "same form", "other form", "median r", "pairs")
    note = (
        "Pairs of crystals of one protein, r over the matched protein atoms: the deposited B of one crystal "
        "against that of the other, and a model's prediction of each crystal against its deposited B, mean of "
        "both. Mean ± sd of runs. Form: same space group and cell."
    )
    return TextTable(f"Reproducibility ceiling, {split}", header, tuple(rows), 2, note)


def predicted_table(overview: Overview) -> TextTable | None:
    """What models, and pLDDT, tell of a crystal where only a predicted structure is known."""
    if not overview.predicted:
        return None
    rows = [
        _predicted_row(label, _rows_of(overview.predicted, label)) for label in (PHENIX, CONFIDENCE)
    ]
    for name in overview.contenders:
        if found := _rows_of(overview.predicted, name):
            rows.append(_predicted_row(name, found))
    every = {tuple(row[name] for name in MATCH) for row in overview.predicted}
    header = ("predictor", "r, best match", "median", "structures", f"r, all {len(every)} matches")
    note = (
        "Predicted structures against crystals of the same protein, r over the matched protein atoms; the "
        "models see the predicted structure alone: no crystal, so that mates make no difference, and "
        "resolution unknown. Matches that a run has no r of are left out for all. Best match: at most one "
        "crystal a predicted structure; in all matches proteins with many crystals count more. Mean ± sd of "
        "runs; medians of the means of the runs. Phenix: the B that its published formula makes of pLDDT."
    )
    return TextTable("Predicted structures", header, tuple(rows), 1, note)


def ceiling_values(overview: Overview, split: str) -> NDArray[np.float64]:
    """Return r of every pair of crystals with an entry in a split; empty without pairs."""
    rows = _rows_of(_pairs_of(overview, split), CEILING)
    return np.array([figure(row["pearson"]) for row in rows])


def _pairs_of(overview: Overview, split: str) -> list[Row]:
    return [row for row in overview.pairs if split in (row["split1"], row["split2"])]


def _rows_of(rows: Sequence[Row], predictor: str) -> list[Row]:
    return [row for row in rows if row["predictor"] == predictor]


def _pair_row(name: str, crystal: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the means over pairs of each run, mean ± sd of the runs."""
    groups = (rows, *([row for row in rows if row["same_form"] == form] for form in (1, 0)))
    known = [row for row in rows if row["pearson"] is not None]
    middle = float(np.median([row["pearson"] for row in known])) if known else np.nan
    pairs = {tuple(row[name] for name in PAIR) for row in known}
    return (name, crystal, *map(_runs_mean, groups), number(middle), str(len(pairs)))


def _predicted_row(name: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the means over matches of each run, mean ± sd of the runs."""
    best = [row for row in rows if row["best_match"]]
    files: dict[str, list[float]] = {}
    for row in best:
        files.setdefault(row["file"], []).append(figure(row["pearson"]))
    means = [mean for values in files.values() if np.isfinite(mean := _mean(values))]
    middle = number(float(np.median(means)) if means else np.nan)
    return (name, _runs_mean(best), middle, str(len(means)), _runs_mean(rows))


def _runs_mean(rows: Sequence[Row]) -> str:
    """Write the mean over items of each run, mean ± sd of the runs."""
    runs: dict[str, list[float]] = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(figure(row["pearson"]))
    return plus_minus(Spread.of([_mean(values) for values in runs.values()]), 3)


def _mean(values: Sequence[float]) -> float:
    """Average what is defined; NaN where nothing is."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan
