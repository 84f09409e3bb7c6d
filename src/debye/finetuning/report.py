"""The result of a fine-tuning: tables for the terminal, a report and CSV files in its folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from debye.dataset.store.store import Store
from debye.files import write_text
from debye.finetuning.comparison import Comparison, change_table, member_table
from debye.finetuning.context import TuningRun
from debye.reports.evaluation_tables import TextTable

FEW = 40
"""Largest number of structures that are listed one by one."""
COLUMNS = ("pearson", "spearman", "mae", "coverage", "atoms")
"""Fields of a score that are written for every structure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningResult:
    """What a fine-tuning leaves, and what it gained and lost."""

    checkpoint: Path
    trained_on: tuple[str, ...]
    new: Comparison
    """On new entries that were not trained on."""
    old: tuple[Comparison, ...]
    """On the old validation; empty without old data."""
    notes: tuple[str, ...]
    """What limits these figures."""
    refused: Mapping[str, str]
    """New structures that could not be used, with reasons."""
    files: tuple[Path, ...] = ()

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The new entries, then the old validation."""
        return (self.new, *self.old)

    def tables(self) -> list[TextTable]:
        """Return the table of changes, and that of the single structures where they are few."""
        few = len(self.new.pairs[0][0].of_class()) <= FEW
        return [change_table(self.comparisons)] + ([member_table(self.new)] if few else [])


def write_report(result: TuningResult, run: TuningRun, store: Store) -> list[Path]:
    """Write ``report.md``, ``changes.csv`` and ``structures.csv`` into the folder of the run.

    Returns:
        The files written.
    """
    changes = change_table(result.comparisons)
    files = {
        "report.md": _markdown(result, run, store),
        "changes.csv": _csv([changes.header, *changes.rows]),
        "structures.csv": _csv(_structure_rows(result.comparisons)),
    }
    for name, text in files.items():
        write_text(run.out / name, text)
    return [run.out / name for name in files]


def _markdown(result: TuningResult, run: TuningRun, store: Store) -> str:
    facts = {
        "start model": f"`{run.start.header.name}`, sha256 {run.start.sha256}",
        "new data": f"`{store.path.name}`, digest {store.digest}",
        "old data": f"digest {run.old.store.digest}" if run.old else "none",
        "trained on": _listed(result.trained_on),
        "settings": f"`{run.config.model_dump(mode='json', exclude_none=True)}`",
    }
    lines = [f"# Fine-tuning: `{result.checkpoint.name}`", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "## What was measured", ""]
    lines += [f"- **{each.title}**: {each.meaning}" for each in result.comparisons]
    lines += [f"- {note}." for note in result.notes]
    lines += ["", *(table.markdown() for table in result.tables())]
    if result.refused:
        lines += ["## Refused", ""]
        lines += [f"- {name}: {reason}" for name, reason in result.refused.items()] + [""]
    failures = [failure for each in result.comparisons for failure in each.failures]
    if failures:
        lines += ["## Not predicted", ""]
        lines += [f"- {row.model}, {row.id}: {row.reason}" for row in failures] + [""]
    return "\n".join(lines)


def _listed(ids: Sequence[str]) -> str:
    """Name the entries, or only count them where they are many: the checkpoint's header has them all."""
    counted = f"{len(ids)} entries"
    return f"{counted}: {', '.join(ids)}" if len(ids) <= FEW else counted


def _structure_rows(comparisons: Sequence[Comparison]) -> list[tuple[str, ...]]:
    header = ("entries", "structure", "atoms_of", "crystal", "model", *COLUMNS)
    rows = [
        (
            comparison.title,
            score.id,
            score.atom_class,
            "on" if evaluation.crystal else "off",
            evaluation.model,
            *(f"{getattr(score, name):.6g}" for name in COLUMNS),
        )
        for comparison in comparisons
        for pair in comparison.pairs
        for evaluation in pair
        for score in evaluation.scores
    ]
    return [header, *rows]


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
