"""Before and after: two models on the same entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from debye.benchmark.store import Progress, RunConfig, plan_runs, predict_entry
from debye.dataset.store.store import Store
from debye.prediction.predictor import Predictor
from debye.reports.evaluation import EntryFailure
from debye.reports.evaluation_tables import TextTable, number, span
from debye.scores.evaluation import (
    BootstrapConfig,
    Difference,
    Evaluation,
    difference,
    summarize,
)
from debye.scores.scores import StructureScore, score_structure

BEFORE, AFTER = "before", "after"
MEASURES = {"pearson_mean": 3, "mae_mean": 2}
"""What is compared, with the digits that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The scores of one structure's classes of atoms by one model."""

    model: str
    crystal: bool
    scores: tuple[StructureScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return {
            "model": self.model,
            "crystal": self.crystal,
            "scores": [asdict(score) for score in self.scores],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Scored:
        """Return what :meth:`to_dict` wrote."""
        scores = tuple(StructureScore(**score) for score in record["scores"])
        return cls(model=record["model"], crystal=record["crystal"], scores=scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A model before and after fine-tuning on some entries, crystal shown and hidden."""

    title: str
    meaning: str
    """What these entries are, and what the change says."""
    pairs: tuple[tuple[Evaluation, Evaluation], ...]
    """Before and after, one pair for each way to treat the crystal."""
    failures: tuple[EntryFailure, ...] = ()

    def change(self, measure: str, crystal: bool | None = None) -> Difference:
        """Return after minus before, with paired intervals; by default of the first pair."""
        before, after = next(
            pair for pair in self.pairs if crystal is None or pair[0].crystal == crystal
        )
        return difference(after, before, measure)


def score_both(
    store: Store,
    split: str,
    ids: Iterable[str],
    before: Predictor,
    after: Predictor,
    progress: Progress | None = None,
) -> tuple[list[Scored], list[EntryFailure]]:
    """Predict some entries by both models and score them; graphs are built once for both."""
    runs = plan_runs([(BEFORE, before), (AFTER, after)], "both")
    wanted = set(ids)
    rows = [row for row, entry in enumerate(store.entries(split)) if entry.id in wanted]
    scored: list[Scored] = []
    failures: list[EntryFailure] = []
    for done, row in enumerate(rows, start=1):
        outcomes = predict_entry(store, split, row, runs, RunConfig())
        for run, (values, failure) in zip(runs, outcomes, strict=True):
            scores = tuple(score_structure(values))
            scored.append(Scored(model=run.name, crystal=run.crystal, scores=scores))
            failures += [failure] if failure else []
        if progress:
            progress(done, len(rows))
    return scored, failures


def compare(
    title: str,
    meaning: str,
    scored: Sequence[Scored],
    failures: Sequence[EntryFailure],
    bootstrap: BootstrapConfig,
) -> Comparison:
    """Put the scores of all entries together."""

    def evaluation(model: str, crystal: bool) -> Evaluation:
        own = [row for row in scored if (row.model, row.crystal) == (model, crystal)]
        scores = [score for row in own for score in row.scores]
        return summarize(scores, model=model, crystal=crystal, bootstrap=bootstrap)

    crystals = sorted({row.crystal for row in scored}, reverse=True)
    return Comparison(
        title=title,
        meaning=meaning,
        pairs=tuple((evaluation(BEFORE, use), evaluation(AFTER, use)) for use in crystals),
        failures=tuple(failures),
    )


def change_table(comparisons: Sequence[Comparison]) -> TextTable:
    """Mean r and MAE before and after, and their change: one row for each set and crystal."""
    rows = []
    for comparison in comparisons:
        for before, after in comparison.pairs:
            cells: list[str] = []
            for measure, digits in MEASURES.items():
                change = difference(after, before, measure)
                means = [_mean(evaluation, measure) for evaluation in (before, after)]
                cells += [number(mean, digits) for mean in means]
                cells += [_signed(change.estimate, digits), span(change.interval, digits)]
            crystal = "on" if before.crystal else "off"
            structures = str(len(before.of_class()))
            rows.append((comparison.title, crystal, *cells, structures))
    header = ("entries", "crystal", "r before", "r after", "change", "95 %")
    header += ("MAE before", "MAE after", "change", "95 %", "structures")
    note = "Means over structures of Pearson r and MAE (Å²) over protein heavy atoms; paired bootstrap."
    return TextTable("Before and after", header, tuple(rows), 2, note)


def member_table(comparison: Comparison) -> TextTable:
    """Every structure before and after, with the crystal where the model uses it."""
    before, after = comparison.pairs[0]
    known = {score.id: score for score in before.of_class()}
    rows = tuple(
        (
            score.id,
            number(known[score.id].pearson),
            number(score.pearson),
            _signed(score.pearson - known[score.id].pearson, 3),
            number(known[score.id].mae, 2),
            number(score.mae, 2),
            _signed(score.mae - known[score.id].mae, 2),
            f"{score.atoms:,}",
        )
        for score in after.of_class()
        if score.id in known
    )
    header = ("structure", "r before", "r after", "change", "MAE before", "MAE after", "change")
    crystal = "on" if before.crystal else "off"
    return TextTable(f"{comparison.title}, crystal {crystal}", (*header, "atoms"), rows)


def _mean(evaluation: Evaluation, measure: str) -> float:
    summary = evaluation.summary()
    return float("nan") if summary is None else summary.estimates[measure]


def _signed(value: float, digits: int) -> str:
    return f"{'+' if value > 0 else ''}{number(value, digits)}"
