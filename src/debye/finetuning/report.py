"""The result of a fine-tuning: tables for the terminal, a report and CSV files in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from debye.dataset.store.store import Store
from debye.finetuning.comparison import BeforeAfter, change_table, member_table
from debye.finetuning.context import TuningRun
from debye.reports.document import Document, Section, TextTable, counted
from debye.reports.evaluation import failure_sections

FEW = 40
"""Largest number of structures that are listed one by one."""
COLUMNS = ("pearson", "spearman", "mae", "coverage", "atoms")
"""Scores that are written for every structure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningResult:
    """What a fine-tuning leaves, and what it gained and lost."""

    checkpoint: Path
    trained_on: tuple[str, ...]
    new: BeforeAfter
    """On new entries that were not trained on."""
    old: tuple[BeforeAfter, ...]
    """On the old validation; empty without old data."""
    notes: tuple[str, ...]
    """What limits these figures."""
    refused: Mapping[str, str]
    """New structures that could not be used, with reasons."""
    files: tuple[Path, ...] = ()

    @property
    def comparisons(self) -> tuple[BeforeAfter, ...]:
        """The new entries, then the old validation."""
        return (self.new, *self.old)

    def tables(self) -> list[TextTable]:
        """Return the table of changes, and that of the single structures if they are few."""
        few = len(self.new.sides()[0]) <= FEW
        return [change_table(self.comparisons)] + ([member_table(self.new)] if few else [])


def write_report(result: TuningResult, run: TuningRun, store: Store) -> list[Path]:
    """Write ``report.md``, ``changes.csv`` and ``structures.csv`` into the folder of the run.

    Returns:
        The files written.
    """
    changes = change_table(result.comparisons)
    measured = [f"**{each.title}**: {each.meaning}" for each in result.comparisons]
    measured += [f"{note}." for note in result.notes]
    refused = tuple(f"{name}: {reason}" for name, reason in result.refused.items())
    failures = [failure for each in result.comparisons for failure in each.failures]
    document = Document(
        title=f"Fine-tuning: `{result.checkpoint.name}`",
        facts={
            "start model": f"`{run.start.header.name}`, sha256 {run.start.sha256}",
            "new data": f"`{store.path.name}`, digest {store.digest}",
            "old data": f"digest {run.old.store.digest}" if run.old else "none",
            "trained on": _listed(result.trained_on),
            "settings": f"`{run.config.model_dump(mode='json', exclude_none=True)}`",
        },
        sections=(
            Section("What was measured", lines=tuple(measured)),
            Section(tables=tuple(result.tables())),
            *([Section("Refused", lines=refused)] if refused else []),
            *failure_sections(failures),
        ),
        tables={
            "changes.csv": pd.DataFrame(list(changes.rows), columns=pd.Index(changes.header)),
            "structures.csv": _structures(result.comparisons),
        },
    )
    return document.write(run.out)


def _listed(ids: Sequence[str]) -> str:
    """Name the entries, or only count them if they are many: the checkpoint's header names all."""
    number = counted(len(ids), "entry", "entries")
    return f"{number}: {', '.join(ids)}" if len(ids) <= FEW else number


def _structures(comparisons: Sequence[BeforeAfter]) -> pd.DataFrame:
    tables = [each.scores.assign(entries=each.title) for each in comparisons]
    names = ["entries", "id", "atom_class", "crystal", "model", *COLUMNS]
    headings = ["entries", "structure", "atoms_of", "crystal", "model", *COLUMNS]
    return pd.DataFrame(pd.concat(tables)[names]).set_axis(headings, axis=1)
