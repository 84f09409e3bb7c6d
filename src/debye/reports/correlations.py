"""The report of correlations over pairs of crystals, or over predicted structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from debye.benchmark.store import EntryFailure
from debye.reports.document import MISSING, Cells, Document, Provenance, Section, TextTable
from debye.reports.evaluation import failure_sections
from debye.scores.correlations import Correlations
from debye.scores.tables import rows_where


def correlation_document(
    found: Correlations,
    provenance: Provenance,
    failures: Sequence[EntryFailure] = (),
    references: pd.DataFrame | None = None,
) -> Document:
    """Return the report: the table, a CSV file of a row a predictor and item, and the means as JSON.

    Args:
        found: Several predictors on the same items.
        provenance: Written into the report.
        failures: What could not be predicted or scored.
        references: Means over other items, rows of :meth:`Correlations.means`, below the table.
    """
    means = found.means()
    references = means.iloc[:0] if references is None else references
    return Document(
        title=found.title,
        facts=provenance.facts(found.bootstrap),
        sections=(
            Section(tables=(_table(found, means, references),)),
            *failure_sections(failures),
        ),
        tables={f"{found.name}.csv": found.table()},
        record={
            "provenance": asdict(provenance),
            "note": found.note,
            "bootstrap": asdict(found.bootstrap),
            "means": [*means.to_dict("records"), *references.to_dict("records")],
            "failures": [asdict(row) for row in failures],
        },
        stem=found.name,
    )


def _table(found: Correlations, means: pd.DataFrame, references: pd.DataFrame) -> TextTable:
    """Return the primary group with its interval, then the means of the other groups."""
    primary, *others = found.groups
    size = {name: f"{name} ({int(mask.sum())})" for name, mask in found.groups.items()}
    columns: Cells = (
        ("predictor", "model", ""),
        ("crystal", "crystal", ""),
        (f"mean r, {size[primary]}", "mean", "3"),
        ("95 %, clusters", "", "~3"),
        ("median r", "median", "3"),
        ("undefined", "undefined", ""),
        *((size[name], name, "3") for name in others),
    )
    by_group = {name: rows_where(means, group=name) for name in found.groups}
    rows = by_group[primary].assign(**{name: by_group[name]["mean"].to_numpy() for name in others})
    rows = pd.concat([rows, references]).rename(columns={"low": "_low", "high": "_high"})
    rows["crystal"] = rows["crystal"].replace("", MISSING)
    return TextTable.of(found.title, rows, columns, 2, found.note)
