"""Evaluations as files: Markdown to read, CSV to plot, JSON to keep."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from debye.reports.evaluation_tables import (
    TextTable,
    breakdown_table,
    correlation_table,
    difference_table,
    error_breakdown_table,
    error_table,
    pooled_table,
    worst_table,
)
from debye.scores.evaluation import Difference, Evaluation, Summary, difference
from debye.scores.scores import StructureScore
from debye.scores.strata import ATOM_CLASSES
from debye.scores.summary import MEASURES

NAN_POLICY = (
    "An atom is scored if its deposited and its predicted value are finite. A structure has a "
    "correlation, MAE, MAPE and RRSE of its own only with the minimum of atoms of the class, and a "
    "correlation only if neither side is constant; otherwise they are NaN, counted as undefined and left "
    "out of means. Pooled measures cover every scored atom. Percentage errors cover B >= 1 Å²."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the numbers come from, written into every report."""

    version: str
    """Of debye."""
    data: str
    """The store."""
    digest: str
    """Of the store's content."""
    split: str
    command: str
    """The command line that repeats the report."""
    settings: dict[str, str]
    """Anything else that the numbers depend on."""

    def lines(self, bootstrap: str) -> list[str]:
        """Return the facts as items of a Markdown list."""
        facts = {
            "data": f"{self.data}, digest {self.digest}",
            "debye": self.version,
            "command": f"`{self.command}`",
            **self.settings,
            "bootstrap": bootstrap,
        }
        return [f"- {name}: {value}" for name, value in facts.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFailure:
    """A structure without a prediction, and why."""

    model: str
    crystal: bool
    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Several evaluations on one set of structures, side by side."""

    evaluations: tuple[Evaluation, ...]
    differences: tuple[Difference, ...]
    """Every evaluation against the first."""
    provenance: Provenance
    failures: tuple[EntryFailure, ...] = ()
    """Structures that a model could not predict; all of their atoms count as unpredicted."""

    def comparison(self) -> list[TextTable]:
        """Return the tables of one row an evaluation, the most important first."""
        tables = (correlation_table, error_table, pooled_table)
        made = [table(self.evaluations) for table in tables]
        return [*made, difference_table(self.differences)] if self.differences else made

    def details(self) -> list[TextTable]:
        """Return the tables of several rows an evaluation."""
        tables = (breakdown_table, error_breakdown_table, worst_table)
        return [table(self.evaluations) for table in tables]

    def markdown(self) -> str:
        """Write the tables, and what is needed to repeat them."""
        lines = [f"# Evaluation on `{self.provenance.split}`", ""]
        lines += self.provenance.lines(str(self.evaluations[0].bootstrap))
        lines += ["", *(table.markdown() for table in (*self.comparison(), *self.details()))]
        if self.failures:
            lines += ["## Failures", ""]
            lines += [f"- {row.model}, {row.id}: {row.reason}" for row in self.failures] + [""]
        lines += ["## Rules", "", NAN_POLICY, ""]
        return "\n".join(lines)

    def write(self, folder: Path) -> list[Path]:
        """Write ``report.md``, ``summary.csv``, ``per_structure.csv`` and ``report.json``.

        Returns:
            The files written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        markdown, data = folder / "report.md", folder / "report.json"
        summary, rows = folder / "summary.csv", folder / "per_structure.csv"
        markdown.write_text(self.markdown(), encoding="utf-8")
        _write_csv(summary, [_summary_row(e, row) for e in self.evaluations for row in e.summaries])
        _write_csv(rows, [_score_row(e, score) for e in self.evaluations for score in e.scores])
        text = json.dumps(without_nan(self.to_dict()), indent=1, ensure_ascii=False)
        data.write_text(text + "\n", encoding="utf-8")
        return [markdown, summary, rows, data]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the per-structure rows, as plain values."""
        return {
            "provenance": asdict(self.provenance),
            "nan_policy": NAN_POLICY,
            "measures": {row.name: row.summary for row in MEASURES.values()},
            "atom_classes": {row.name: row.summary for row in ATOM_CLASSES.values()},
            "evaluations": [
                {
                    "model": evaluation.model,
                    "crystal": evaluation.crystal,
                    "bootstrap": asdict(evaluation.bootstrap),
                    "summaries": [asdict(row) for row in evaluation.summaries],
                    "worst": [asdict(score) for score in evaluation.worst()],
                    "undefined": [score.id for score in evaluation.undefined()],
                }
                for evaluation in self.evaluations
            ],
            "differences": [asdict(row) for row in self.differences],
            "failures": [asdict(row) for row in self.failures],
        }


def make_report(
    evaluations: Sequence[Evaluation],
    provenance: Provenance,
    failures: Sequence[EntryFailure] = (),
) -> Report:
    """Put evaluations side by side, with the difference of each from the first."""
    first, *others = evaluations
    return Report(
        evaluations=(first, *others),
        differences=tuple(difference(other, first) for other in others),
        provenance=provenance,
        failures=tuple(failures),
    )


def _summary_row(evaluation: Evaluation, row: Summary) -> dict[str, object]:
    """One flat row: counts, then each measure followed by the ends of its intervals."""
    cells: dict[str, object] = {"model": evaluation.model, "crystal": evaluation.crystal}
    counts = ("atom_class", "stratum", "structures", "undefined", "clusters", "with_crystal")
    for name in (*counts, "atoms", "masked", "unpredicted"):
        cells[name] = getattr(row, name)
    for name, value in row.estimates.items():
        cells[name] = value
        for suffix, intervals in (("", row.intervals), ("_cluster", row.cluster_intervals)):
            if name in intervals:
                cells[f"{name}{suffix}_low"] = intervals[name].low
                cells[f"{name}{suffix}_high"] = intervals[name].high
    return cells


def _score_row(evaluation: Evaluation, score: StructureScore) -> dict[str, object]:
    cells: dict[str, object] = {"model": evaluation.model, "crystal": evaluation.crystal}
    return cells | {item.name: getattr(score, item.name) for item in fields(score)}


def _write_csv(path: Path, rows: Iterable[dict[str, object]]) -> None:
    """Write rows of equal keys; a number that is not defined is an empty cell."""
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({name: cell(value) for name, value in row.items()})


def cell(value: object) -> object:
    """Return a value as it stands in a CSV file: six digits, empty where it is not finite."""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return value


def without_nan(value: Any) -> Any:
    """Replace NaN by None: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
