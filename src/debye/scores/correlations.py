"""Correlations over items that are no structures of a split: pairs of crystals, models of proteins.

One row a predictor, one Pearson r an item; groups of items are averaged beside each other.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from debye.reports.evaluation import EntryFailure, Provenance, cell, without_nan
from debye.reports.evaluation_tables import MISSING, TextTable, number, span
from debye.scores.bootstrap import Interval, cluster_draws, percentile_interval
from debye.scores.evaluation import BootstrapConfig
from debye.scores.summary import weighted_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What one predictor reaches on every item."""

    model: str
    crystal: str
    """``on``, ``off``, ``other`` for coordinates of another crystal, or empty where the question does not arise."""
    pearson: NDArray[np.float64]
    """(items,) NaN where it is not defined."""
    asked: NDArray[np.bool_] | None = None
    """(items,) which items it is scored on; None: all. The others are not counted as undefined."""

    def counted(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of some chosen items it is scored on."""
        return chosen if self.asked is None else chosen & self.asked

    def take(self, chosen: NDArray[np.bool_]) -> Predictions:
        """Return the same predictor on some of the items."""
        asked = None if self.asked is None else self.asked[chosen]
        return replace(self, pearson=self.pearson[chosen], asked=asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMean:
    """One predictor on one group of items."""

    model: str
    crystal: str
    group: str
    items: int
    undefined: int
    """Of these, items without a Pearson r."""
    mean: float
    median: float
    interval: Interval
    """Of the mean: bootstrap over clusters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationReport:
    """Several predictors on the same items, side by side, as a table and as files."""

    name: str
    """Stem of the files."""
    title: str
    note: str
    """What one item is and how it is scored."""
    items: tuple[Mapping[str, object], ...]
    """Facts about each item, one column each in the CSV file."""
    clusters: tuple[str, ...]
    """Cluster of each item; items of one cluster are not independent."""
    groups: Mapping[str, NDArray[np.bool_]]
    """Name to (items,) mask; the first is the primary one."""
    rows: tuple[Predictions, ...]
    bootstrap: BootstrapConfig
    provenance: Provenance
    failures: tuple[EntryFailure, ...] = ()
    references: tuple[GroupMean, ...] = field(default=())
    """Means over other items, to stand below the table."""

    def mean(self, row: Predictions, group: str) -> GroupMean:
        """Average one predictor over one group; items without an r are counted and left out."""
        mask = row.counted(self.groups[group])
        values = row.pearson[mask]
        known = values[np.isfinite(values)]
        interval = Interval(np.nan, np.nan)
        if self.bootstrap.repeats and len(known):
            names = [name for name, chosen in zip(self.clusters, mask, strict=True) if chosen]
            generator = np.random.default_rng(self.bootstrap.seed)
            draws = cluster_draws(names, self.bootstrap.repeats, generator)
            interval = percentile_interval(weighted_mean(values, draws), self.bootstrap.level)
        return GroupMean(
            model=row.model,
            crystal=row.crystal,
            group=group,
            items=len(values),
            undefined=len(values) - len(known),
            mean=float(known.mean()) if len(known) else np.nan,
            median=float(np.median(known)) if len(known) else np.nan,
            interval=interval,
        )

    def take(self, chosen: NDArray[np.bool_]) -> CorrelationReport:
        """Return the same predictors on some of the items, e.g. those of one split."""

        def kept(values: Sequence) -> tuple:
            return tuple(value for value, keep in zip(values, chosen, strict=True) if keep)

        return replace(
            self,
            items=kept(self.items),
            clusters=kept(self.clusters),
            groups={name: mask[chosen] for name, mask in self.groups.items()},
            rows=tuple(row.take(chosen) for row in self.rows),
        )

    def means(self) -> list[GroupMean]:
        """Average every predictor over every group."""
        return [self.mean(row, group) for row in self.rows for group in self.groups]

    def comparison(self) -> list[TextTable]:
        """Return the table: the primary group with its interval, then the means of the others."""
        primary, *others = self.groups
        rows = [
            _row(self.mean(row, primary), [self.mean(row, group).mean for group in others])
            for row in self.rows
        ]
        rows += [_row(row, [np.nan] * len(others)) for row in self.references]
        header = (
            *("predictor", "crystal", f"mean r, {self._counted(primary)}", "95 %, clusters"),
            *("median r", "undefined", *map(self._counted, others)),
        )
        return [TextTable(self.title, header, tuple(rows), 2, self.note)]

    def details(self) -> list[TextTable]:
        """Return nothing: what is known about each item is in the CSV file."""
        return []

    def _counted(self, group: str) -> str:
        return f"{group} ({int(self.groups[group].sum())})"

    def markdown(self) -> str:
        """Write the table, and what is needed to repeat it."""
        lines = [f"# {self.title}", "", *self.provenance.lines(str(self.bootstrap)), ""]
        lines += [table.markdown() for table in self.comparison()]
        if self.failures:
            lines += ["## Failures", ""]
            lines += [f"- {row.model}, {row.id}: {row.reason}" for row in self.failures] + [""]
        return "\n".join(lines)

    def write(self, folder: Path) -> list[Path]:
        """Write the Markdown, a CSV file of one line an item and predictor, and the means as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{self.name}{suffix}" for suffix in (".md", ".csv", ".json")]
        paths[0].write_text(self.markdown(), encoding="utf-8")
        with paths[1].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["model", "crystal", *self.items[0], "pearson"])
            for row in self.rows:
                asked = row.counted(np.ones(len(self.items), bool))
                values = zip(self.items, row.pearson.tolist(), asked, strict=True)
                for item, value in [(item, value) for item, value, is_asked in values if is_asked]:
                    facts = map(cell, item.values())
                    writer.writerow([row.model, row.crystal, *facts, cell(value)])
        data = {
            "provenance": asdict(self.provenance),
            "note": self.note,
            "bootstrap": asdict(self.bootstrap),
            "means": [asdict(row) for row in (*self.means(), *self.references)],
            "failures": [asdict(row) for row in self.failures],
        }
        text = json.dumps(without_nan(data), indent=1, ensure_ascii=False)
        paths[2].write_text(text + "\n", encoding="utf-8")
        return paths


def _row(mean: GroupMean, others: Sequence[float]) -> tuple[str, ...]:
    return (
        mean.model,
        mean.crystal or MISSING,
        number(mean.mean),
        span(mean.interval),
        number(mean.median),
        str(mean.undefined),
        *map(number, others),
    )
