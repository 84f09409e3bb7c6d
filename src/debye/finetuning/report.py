"""The result of a fine-tuning: two models on the same entries, tables, a report and CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from debye.benchmark.store import (
    EntryFailure,
    EvaluationConfig,
    Progress,
    model_views,
    predict_entry,
)
from debye.dataset.store.store import Store
from debye.prediction.predictor import Predictor
from debye.reports.document import Cells, Document, Section, TextTable
from debye.reports.evaluation import failure_sections, items_of
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.scores import check_scores, score_structure, score_table
from debye.scores.summary import Difference, difference, measure, primary_scores
from debye.scores.tables import rows_where
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import Target

BEFORE, AFTER = "before", "after"
MEASURES = {"pearson_mean": 3, "mae_mean": 2}
"""What is compared, with the decimals that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeAfter:
    """A model before and after fine-tuning on some entries, with and without the crystal."""

    title: str
    meaning: str
    """What these entries are, and what the change shows."""
    scores: pd.DataFrame
    """Rows of the models ``before`` and ``after``, as :func:`score_both` makes them."""
    bootstrap: BootstrapConfig
    failures: Sequence[EntryFailure] = ()
    target: Target = B_FACTOR

    def __post_init__(self) -> None:
        check_scores(self.scores)

    @property
    def crystals(self) -> list[str]:
        """Ways to treat the crystal, ``on`` first."""
        return list(dict.fromkeys(self.scores["crystal"]))

    def sides(self, crystal: str = "") -> list[pd.DataFrame]:
        """Return the scores before and after, primary class of atoms; by default with the first crystal."""
        rows = rows_where(primary_scores(self.scores), crystal=crystal or self.crystals[0])
        return [rows_where(rows, model=model) for model in (BEFORE, AFTER)]

    def change(self, name: str, crystal: str = "") -> Difference:
        """Return a measure after minus before, with paired intervals."""
        before, after = self.sides(crystal)
        return difference(after, before, self.bootstrap, name)


def score_both(
    store: Store,
    split: str,
    ids: Iterable[str],
    before: Predictor,
    after: Predictor,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, list[EntryFailure]]:
    """Predict some entries by both models and score them; graphs are built once for both."""
    views = model_views([(BEFORE, before), (AFTER, after)], "both")
    wanted = set(ids)
    rows = [row for row, entry in enumerate(store.entries(split)) if entry.id in wanted]
    scored: list[pd.DataFrame] = []
    failures: list[EntryFailure] = []
    for done, row in enumerate(rows, start=1):
        outcomes = predict_entry(store, split, row, views, EvaluationConfig())
        for view, (values, failure) in zip(views, outcomes, strict=True):
            own = score_structure(values)
            scored.append(score_table(own, model=view.name, crystal=view.crystal))
            failures += [failure] if failure else []
        if progress:
            progress(done, len(rows))
    empty = score_table([], model="", crystal="")
    return pd.concat(scored, ignore_index=True) if scored else empty, failures


def change_table(comparisons: Sequence[BeforeAfter]) -> TextTable:
    """Return mean r and MAE before and after, and their change: one row a set and crystal."""
    rows = []
    for comparison in comparisons:
        for crystal in comparison.crystals:
            sides = comparison.sides(crystal)
            row: dict[str, object] = {"entries": comparison.title, "crystal": crystal}
            for name in MEASURES:
                change = comparison.change(name, crystal)
                means = [float(measure(side, name)[0]) for side in sides]
                row |= {f"{name} before": means[0], f"{name} after": means[1]}
                row |= {f"{name} change": change.estimate}
                row |= {f"{name}_low": change.interval_low, f"{name}_high": change.interval_high}
            rows.append(row | {"structures": len(sides[0])})
    columns: list[tuple[str, str, str]] = [("entries", "entries", ""), ("crystal", "crystal", "")]
    for label, (name, digits) in zip(("r", "MAE"), MEASURES.items(), strict=True):
        columns += [(f"{label} {side}", f"{name} {side}", f"{digits}") for side in (BEFORE, AFTER)]
        columns += [("change", f"{name} change", f"+{digits}"), ("95 %", name, f"~{digits}")]
    columns.append(("structures", "structures", ""))
    target = comparisons[0].target
    mae = f"MAE ({target.unit})" if target.unit else "MAE"
    note = (
        f"Means over structures of Pearson r and {mae} over {items_of(target)}; paired bootstrap."
    )
    return TextTable.of("Before and after", pd.DataFrame(rows), columns, 2, note)


def member_table(comparison: BeforeAfter) -> TextTable:
    """Return every structure before and after, with the crystal if the model uses it."""
    before, after = comparison.sides()
    rows = after.merge(before, on="id", suffixes=("", "_before"))
    for name in ("pearson", "mae"):
        rows[f"{name}_change"] = rows[name] - rows[f"{name}_before"]
    columns: Cells = (
        ("structure", "id", ""),
        ("r before", "pearson_before", "3"),
        ("r after", "pearson", "3"),
        ("change", "pearson_change", "+3"),
        ("MAE before", "mae_before", "2"),
        ("MAE after", "mae", "2"),
        ("change", "mae_change", "+2"),
        (f"{comparison.target.per}s", "atoms", ","),
    )
    title = f"{comparison.title}, crystal {comparison.crystals[0]}"
    return TextTable.of(title, rows, columns)


FEW = 40
"""Largest number of structures that are listed one by one."""
STRUCTURES = {"entries": "entries", "id": "structure", "atom_class": "atoms_of"} | {
    name: name for name in ("crystal", "model", "pearson", "spearman", "mae", "coverage", "atoms")
}
"""What is written for every structure: column of the scores, and of the file."""


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


def write_report(result: TuningResult, facts: dict[str, str], folder: Path) -> list[Path]:
    """Write ``report.md``, ``changes.csv`` and ``structures.csv``, and return their paths."""
    changes = change_table(result.comparisons)
    measured = [f"**{each.title}**: {each.meaning}" for each in result.comparisons]
    measured += [f"{note}." for note in result.notes]
    refused = tuple(f"{name}: {reason}" for name, reason in result.refused.items())
    failures = [failure for each in result.comparisons for failure in each.failures]
    tables = [each.scores.assign(entries=each.title) for each in result.comparisons]
    structures = pd.concat(tables)
    document = Document(
        title=f"Fine-tuning: `{result.checkpoint.name}`",
        facts=facts,
        sections=(
            Section("What was measured", lines=tuple(measured)),
            Section(tables=tuple(result.tables())),
            *([Section("Refused", lines=refused)] if refused else []),
            *failure_sections(failures),
        ),
        tables={
            "changes.csv": pd.DataFrame(list(changes.rows), columns=pd.Index(changes.header)),
            "structures.csv": pd.DataFrame(structures[[*STRUCTURES]]).set_axis(
                [*STRUCTURES.values()], axis=1
            ),
        },
    )
    return document.write(folder)
