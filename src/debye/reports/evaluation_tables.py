"""Evaluations as tables of text: the one source of the terminal's and the report's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from debye.scores.bootstrap import Interval
from debye.scores.evaluation import Difference, Evaluation, Summary
from debye.scores.strata import ATOM_CLASSES, PRIMARY

MISSING = "–"


@dataclass(frozen=True, slots=True)
class TextTable:
    """A title, a header and rows of text; the first ``labels`` columns are names, the others numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1
    note: str = ""

    def markdown(self) -> str:
        """Write as GitHub-flavored Markdown."""
        align = ["---" if column < self.labels else "---:" for column in range(len(self.header))]
        lines = [f"## {self.title}", ""]
        for row in (self.header, tuple(align), *self.rows):
            lines.append("| " + " | ".join(map(_markdown_cell, row)) + " |")
        return "\n".join([*lines, "", self.note, ""] if self.note else [*lines, ""])


def _markdown_cell(text: str) -> str:
    """Return text that stays within one cell: a line break would end the table."""
    return " ".join(text.splitlines()).replace("|", "\\|")


def number(value: float, digits: int = 3) -> str:
    """Format a number, or a dash for NaN.

    Example:
        >>> number(0.71234), number(float("nan")), number(12.345, 1)
        ('0.712', '–', '12.3')
    """
    return f"{value:.{digits}f}" if np.isfinite(value) else MISSING


def span(interval: Interval | None, digits: int = 3) -> str:
    """Format an interval, or a dash where there is none."""
    if interval is None or not np.isfinite(interval.low):
        return MISSING
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"


def _counts(row: Summary) -> tuple[str, str, str]:
    return str(row.structures), str(row.undefined), f"{row.atoms:,}"


def _named(evaluation: Evaluation) -> tuple[str, str]:
    return evaluation.model, "on" if evaluation.crystal else "off"


def _main_summaries(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, Summary]]:
    pairs = [(evaluation, evaluation.summary()) for evaluation in evaluations]
    return [(evaluation, row) for evaluation, row in pairs if row is not None]


def correlation_table(evaluations: Sequence[Evaluation]) -> TextTable:
    """Correlation within single structures: the main table, one row an evaluation."""
    rows = []
    for evaluation, row in _main_summaries(evaluations):
        value = row.estimates
        rows.append(
            (
                *_named(evaluation),
                number(value["pearson_mean"]),
                span(row.intervals.get("pearson_mean")),
                span(row.cluster_intervals.get("pearson_mean")),
                number(value["pearson_median"]),
                number(value["pearson_p10"]),
                number(value["spearman_mean"]),
                number(value["chain_pearson_mean"]),
                *_counts(row)[:2],
            )
        )
    header = (
        *("model", "crystal", "mean r", "95 %, structures", "95 %, clusters", "median r"),
        *("10th pct.", "Spearman", "r in chain", "structures", "undefined"),
    )
    note = (
        "Pearson r of each structure over its protein heavy atoms, then the mean over structures. "
        "Undefined: fewer than 10 usable atoms or constant values; counted here, left out of means."
    )
    return TextTable(
        f"Correlation per structure, {PRIMARY} heavy atoms", header, tuple(rows), 2, note
    )


def error_table(evaluations: Sequence[Evaluation]) -> TextTable:
    """Errors within single structures, and how honest the bounds are."""
    rows = []
    for evaluation, row in _main_summaries(evaluations):
        value = row.estimates
        rows.append(
            (
                *_named(evaluation),
                number(value["mae_mean"], 2),
                number(value["oracle_mae_mean"], 2),
                number(value["z_mae"]),
                number(value["mape_mean"], 1),
                number(value["rrse_mean"]),
                number(value["coverage_90"]),
                number(value["interval_width"], 1),
                _counts(row)[2],
                f"{row.unpredicted:,}",
                f"{row.masked:,}",
                str(row.with_crystal),
            )
        )
    header = (
        *("model", "crystal", "MAE / Å²", "oracle", "MAE, z", "MAPE / %", "RRSE"),
        *("in 90 % bounds", "width / Å²", "atoms", "unpredicted", "B unusable", "with mates"),
    )
    note = (
        "Means over structures, but the share of atoms in their bounds. Oracle: the MAE of each "
        "structure's own mean B. z: both sides standardized within the structure. MAPE covers B of at least "
        "1 Å². RRSE: RMSE over that of the structure's own mean B. With mates: structures whose "
        "crystal could be used."
    )
    return TextTable(f"Errors per structure, {PRIMARY} heavy atoms", header, tuple(rows), 2, note)


def pooled_table(evaluations: Sequence[Evaluation]) -> TextTable:
    """Measures over all atoms, each beside what the structure-mean oracle reaches."""
    rows = []
    for evaluation, row in _main_summaries(evaluations):
        value = row.estimates
        cells = [
            number(value[f"{prefix}pooled_{name}"], digits)
            for name, digits in (("pearson", 3), ("mae", 2), ("mape", 1), ("rrse", 3))
            for prefix in ("", "oracle_")
        ]
        rows.append(
            (
                *_named(evaluation),
                *cells,
                number(value["pooled_z_pearson"]),
            )
        )
    header = (
        *("model", "crystal", "r, raw B", "oracle", "MAE / Å²", "oracle", "MAPE / %", "oracle"),
        *("RRSE", "oracle", "r, z-scores"),
    )
    note = (
        "The oracle knows each structure's mean deposited B and nothing else: pooled numbers mostly "
        "measure the level of the crystals. RRSE: RMSE over that of the mean of all atoms."
    )
    return TextTable(f"Pooled over atoms, {PRIMARY} heavy atoms", header, tuple(rows), 2, note)


def breakdown_table(evaluations: Sequence[Evaluation]) -> TextTable:
    """Correlation by class of atoms and by resolution."""
    rows = [
        (
            *_group(evaluation, row),
            number(row.estimates["pearson_mean"]),
            span(row.intervals.get("pearson_mean")),
            number(row.estimates["pearson_median"]),
            number(row.estimates["spearman_mean"]),
            number(row.estimates["pooled_pearson"]),
            number(row.estimates["oracle_pooled_pearson"]),
            *_counts(row),
        )
        for evaluation in evaluations
        for row in evaluation.summaries
    ]
    header = (
        *("model", "crystal", "atoms of", "resolution", "mean r", "95 %", "median r", "Spearman"),
        *("pooled r", "oracle", "structures", "undefined", "atoms"),
    )
    note = " ".join(f"{row.name}: {row.summary}." for row in ATOM_CLASSES.values())
    return TextTable("By class of atoms and resolution", header, tuple(rows), 4, note)


def error_breakdown_table(evaluations: Sequence[Evaluation]) -> TextTable:
    """Errors, and how honest the bounds are, by class of atoms and by resolution."""
    rows = [
        (
            *_group(evaluation, row),
            *(number(row.estimates[name], digits) for name, digits in _ERRORS),
            _counts(row)[2],
        )
        for evaluation in evaluations
        for row in evaluation.summaries
    ]
    header = (
        *("model", "crystal", "atoms of", "resolution", "MAE / Å²", "oracle", "MAE, z", "RRSE"),
        *("pooled MAE / Å²", "oracle", "pooled MAE, z", "in 90 % bounds", "width / Å²", "atoms"),
    )
    note = (
        "Oracle: the mean B of these atoms of the structure for each of them. z: both sides "
        "standardized over the whole structure. Pooled: over atoms, else means over structures."
    )
    return TextTable("Errors by class of atoms and resolution", header, tuple(rows), 4, note)


_ERRORS = (
    *(("mae_mean", 2), ("oracle_mae_mean", 2), ("z_mae", 3), ("rrse_mean", 3), ("pooled_mae", 2)),
    *(("oracle_pooled_mae", 2), ("pooled_z_mae", 3), ("coverage_90", 3), ("interval_width", 1)),
)
"""Measures of the table of errors, and their decimal places."""


def _group(evaluation: Evaluation, row: Summary) -> tuple[str, str, str, str]:
    return *_named(evaluation), row.atom_class, row.stratum


def worst_table(evaluations: Sequence[Evaluation], count: int = 10) -> TextTable:
    """The structures of lowest r of each evaluation."""
    rows = tuple(
        (
            *_named(evaluation),
            score.id,
            number(score.pearson),
            number(score.spearman),
            number(score.mae, 2),
            number(score.mean_deposited, 1),
            number(score.mean_predicted, 1),
            number(score.resolution, 2),
            f"{score.atoms:,}",
            str(score.unpredicted),
        )
        for evaluation in evaluations
        for score in evaluation.worst(count)
    )
    header = (
        *("model", "crystal", "structure", "r", "Spearman", "MAE / Å²", "mean B / Å²"),
        *("predicted", "resolution / Å", "atoms", "unpredicted"),
    )
    return TextTable(f"Worst {count} structures, {PRIMARY} heavy atoms", header, rows, 3)


def difference_table(differences: Sequence[Difference]) -> TextTable:
    """Paired differences of the primary metric."""
    rows = tuple(
        (
            row.first,
            row.second,
            number(row.estimate),
            span(row.interval),
            span(row.cluster_interval),
            str(row.structures),
            str(row.left_out),
        )
        for row in differences
    )
    header = (
        *("first", "second", "mean r, first − second", "95 %, structures", "95 %, clusters"),
        *("structures", "left out"),
    )
    note = "Paired bootstrap: both are drawn on the same structures."
    return TextTable("Differences", header, rows, 2, note)
