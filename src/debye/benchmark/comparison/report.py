"""The report of a comparison, as Markdown and as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from debye.benchmark.comparison.correlation_tables import (
    ceiling_values,
    pair_table,
    predicted_table,
)
from debye.benchmark.comparison.dataset import read_dataset
from debye.benchmark.comparison.plan import PLAN_FILE
from debye.benchmark.comparison.provenance import provenance
from debye.benchmark.comparison.results import Row, collect_results, read_results
from debye.benchmark.comparison.summary import Overview
from debye.benchmark.comparison.tables import (
    QUANTITIES,
    class_table,
    column_name,
    cost_table,
    crystal_table,
    data_table,
    difference_table,
    failure_table,
    quantity_table,
    search_table,
    stratum_table,
)
from debye.benchmark.comparison.write_table import write_table
from debye.errors import ConfigError
from debye.files import write_text
from debye.plots.comparison import Bar, ModelRow, plot_bars, plot_differences, plot_ridges, png
from debye.plots.distribution import Band
from debye.reports.evaluation_tables import TextTable
from debye.scores.evaluation import BootstrapConfig, Difference

REPORT, PAGE, FIGURES, DIFFERENCES_FILE = "report.md", "report.html", "figures", "differences.csv"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture of the report."""

    name: str
    """Stem of the file."""
    alt: str
    """What it shows, in words."""
    content: bytes
    """PNG."""

    @property
    def data(self) -> str:
        """Return it as an address that holds the picture itself."""
        return "data:image/png;base64," + base64.b64encode(self.content).decode()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with pictures, tables, and tables that only some readers want."""

    title: str
    pictures: tuple[Drawing, ...] = ()
    tables: tuple[TextTable, ...] = ()
    details: tuple[TextTable, ...] = ()

    @property
    def anchor(self) -> str:
        """Return its name in links.

        Example:
            >>> Section("CC of each structure, kinase").anchor, Section("MAE / Å²").anchor
            ('cc-of-each-structure-kinase', 'mae-a2')
        """
        plain = unicodedata.normalize("NFKD", self.title).encode("ascii", "ignore").decode().lower()
        return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def write_report(folder: Path, bootstrap: BootstrapConfig | None = None) -> list[Path]:
    """Gather the results of a comparison and write ``report.md``, ``report.html`` and the pictures.

    Nothing is trained or evaluated: results come from the folders of the runs, or where those were left
    behind from ``results.csv``.

    Args:
        folder: Of the comparison.
        bootstrap: How the intervals of the differences are made.

    Returns:
        The files written.

    Raises:
        ConfigError: the folder holds no comparison, or no run of it has a result.
    """
    path = folder / PLAN_FILE
    if not path.is_file():
        raise ConfigError(
            str(folder),
            problem=f"has no {PLAN_FILE}",
            remedy="Give the folder of a comparison, or make one with debye compare RECIPE…",
        )
    plan = json.loads(path.read_text())
    has_runs = (folder / "runs").is_dir()
    results = (
        collect_results(folder, plan["contenders"], plan["seeds"])
        if has_runs
        else read_results(folder)
    )
    overview = Overview(results, plan["contenders"])
    if not overview.contenders:
        raise ConfigError(
            str(folder),
            problem="no run has a result: "
            + "; ".join(f"{row['contender']}: {row['reason']}" for row in overview.failed),
            remedy="Mend what failed and run it again",
        )
    reference = plan["reference"]
    if reference not in overview.contenders:
        reference = overview.contenders[0]
    bootstrap = bootstrap or BootstrapConfig()
    differences = overview.differences(reference, bootstrap)
    _write_differences(differences, folder / DIFFERENCES_FILE)
    sections = _sections(overview, differences, reference, read_dataset(folder))
    facts = provenance(plan, results.rows, bootstrap)
    pictures = [picture for section in sections for picture in section.pictures]
    (folder / FIGURES).mkdir(exist_ok=True)
    for picture in pictures:
        (folder / FIGURES / f"{picture.name}.png").write_bytes(picture.content)
    write_text(folder / REPORT, _markdown(facts, sections))
    write_text(folder / PAGE, _html(facts, sections))
    return [folder / name for name in (REPORT, PAGE, "results.csv", DIFFERENCES_FILE)]


def _sections(
    overview: Overview,
    differences: Sequence[tuple[str, str, Difference]],
    reference: str,
    data: Sequence[Row],
) -> list[Section]:
    """Return the parts of the report, in order; those that have nothing to say are left out."""
    shown = overview.scored[-1]
    ceiling, predicted = pair_table(overview, shown), predicted_table(overview)
    sections = [
        Section("Data", tables=(data_table(data),)),
        *(
            Section(
                each.label,
                pictures=(_bars(overview, reference, number),),
                tables=(quantity_table(overview, each),),
                details=(quantity_table(overview, each, pooled=True),),
            )
            for number, each in enumerate(QUANTITIES)
        ),
        Section(
            f"CC of each structure, {shown}",
            pictures=_ridges(overview, reference, shown),
            tables=(ceiling,) if ceiling else (),
        ),
        *([Section(predicted.title, tables=(predicted,))] if predicted else []),
    ]
    if differences:
        sections.append(
            Section(
                f"Differences from {reference}",
                pictures=_forest(overview, differences, reference),
                tables=tuple(
                    difference_table(overview, differences, reference, split)
                    for split in overview.scored
                ),
            )
        )
    classes = [
        class_table(overview, split, measure, title, digits)
        for split in reversed(overview.scored)
        for measure, title, digits in (("pearson_mean", "CC", 3), ("mae_mean", "MAE / Å²", 2))
    ]
    sections += [
        Section("Cost", tables=(cost_table(overview),)),
        Section("Crystal contacts", tables=(crystal_table(overview),)),
        Section("Classes of atoms", tables=tuple(classes[:2]), details=tuple(classes[2:])),
        Section(
            "Resolution",
            tables=(stratum_table(overview, shown),),
            details=tuple(stratum_table(overview, split) for split in overview.scored[:-1]),
        ),
    ]
    if overview.trials:
        sections.append(Section("Search", details=(search_table(overview),)))
    if overview.failed:
        sections.append(Section("Failed and left out", tables=(failure_table(overview),)))
    return sections


def _rows(overview: Overview, reference: str, names: Sequence[str]) -> list[ModelRow]:
    return [ModelRow(name, overview.is_trained(name), name == reference) for name in names]


def _bars(overview: Overview, reference: str, number: int) -> Drawing:
    quantity = QUANTITIES[number]
    panels = {
        split: {
            name: overview.spread(name, split, quantity.measure) for name in overview.contenders
        }
        for split in overview.splits
    }
    names = [
        name
        for name in overview.contenders
        if any(np.isfinite(panel[name].mean) for panel in panels.values())
    ] or overview.contenders
    figure = plot_bars(
        _rows(overview, reference, names),
        {
            column_name(split): [Bar(panel[name].mean, panel[name].sd) for name in names]
            for split, panel in panels.items()
        },
        axis=f"{quantity.label}, mean over structures",
        digits=quantity.digits,
    )
    alt = f"{quantity.name} ({quantity.meaning}) of {len(names)} models on " + ", ".join(panels)
    return Drawing(
        quantity.name.lower(), f"Bars: {alt}; the lines are the sd of runs.", png(figure)
    )


def _ridges(overview: Overview, reference: str, split: str) -> tuple[Drawing, ...]:
    """Draw how r is spread over structures; nothing where no model has an r."""
    values = {name: overview.correlations(name, split) for name in overview.contenders}
    names = sorted(
        (name for name, found in values.items() if np.isfinite(found).any()),
        key=lambda name: -float(np.nanmean(values[name])),
    )
    if not names:
        return ()
    pairs = ceiling_values(overview, split)
    pairs = pairs[np.isfinite(pairs)]
    band = Band.quartiles(pairs, f"one crystal against another, {len(pairs)} pairs")
    figure = plot_ridges(
        _rows(overview, reference, names),
        [values[name] for name in names],
        axis=f"Pearson r of each structure of {split}, mean of runs; at the right the mean",
        band=band,
    )
    alt = (
        f"Ridges: how the correlation is spread over the structures of {split}, {len(names)} models, best "
        "first; circle: median, thick line: quartiles"
    )
    behind = "."
    if band:
        behind = (
            f"; the band, from quartile to quartile, is what one crystal tells of another of the same protein in "
            f"{len(pairs)} pairs (the table has the models on these)."
        )
    return (Drawing("per_structure", alt + behind, png(figure)),)


def _forest(
    overview: Overview, differences: Sequence[tuple[str, str, Difference]], reference: str
) -> tuple[Drawing, ...]:
    """Draw differences from the reference; nothing where no other model has an r."""
    found = {
        (name, split): row for name, split, row in differences if row.measure == "pearson_mean"
    }
    names = [
        name
        for name in overview.contenders
        if any(
            (name, split) in found and np.isfinite(found[name, split].estimate)
            for split in overview.scored
        )
    ]
    if not names:
        return ()
    panels = {
        split: [
            (row.estimate, row.interval.low, row.interval.high)
            for name in names
            for row in [found[name, split]]
        ]
        for split in overview.scored
    }
    figure = plot_differences(
        _rows(overview, reference, names), panels, axis=f"CC − CC of {reference}"
    )
    alt = (
        f"Points with 95 % intervals: difference of the mean CC of each model from {reference} on "
        f"{', '.join(panels)}, paired bootstrap over structures; how runs differ is not in it."
    )
    return (Drawing("differences", alt, png(figure)),)


def _write_differences(found: Sequence[tuple[str, str, Difference]], path: Path) -> None:
    rows = []
    for contender, split, row in found:
        cells: dict[str, Any] = {"contender": contender, "split": split}
        for name, value in asdict(row).items():
            if isinstance(value, dict):
                cells |= {f"{name}_{end}": value[end] for end in ("low", "high")}
            else:
                cells[name] = value
        rows.append(cells)
    write_table(path, pd.DataFrame(rows))


def _markdown(facts: dict[str, str], sections: Sequence[Section]) -> str:
    lines = ["# Comparison of models", ""]
    lines += [f"- {name}: {text}" for name, text in facts.items()] + [""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for picture in section.pictures:
            lines += [f"![{picture.alt}]({FIGURES}/{picture.name}.png)", ""]
        for table in (*section.tables, *section.details):
            lines.append("#" + table.markdown())
    return "\n".join(lines)


def _html(facts: dict[str, str], sections: Sequence[Section]) -> str:
    environment = Environment(
        loader=PackageLoader("debye.benchmark.comparison", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _fixed_width
    return environment.get_template("report.html.jinja").render(facts=facts, sections=sections)


def _fixed_width(text: str) -> Markup:
    """Set what stands between backticks in a fixed-width font; all else is escaped."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else Markup.escape(part)
        for number, part in enumerate(parts)
    )
