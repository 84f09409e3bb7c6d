"""The report of a comparison: what made it, on which data, its cost, and all tables and figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from debye.benchmark.comparison.plan import DATA_FILE, Plan
from debye.benchmark.comparison.results import Overview, collect_results, read_results
from debye.benchmark.comparison.runs import duration
from debye.errors import ConfigError
from debye.reports.comparison_tables import (
    class_table,
    compared_figures,
    cost_table,
    crystal_table,
    data_table,
    difference_table,
    failure_table,
    figure_table,
    pair_table,
    predicted_table,
    search_table,
    stratum_table,
)
from debye.reports.document import Document, Picture, Section, TextTable, counted
from debye.scores.bootstrap import BootstrapConfig
from debye.targets.catalog import find_target
from debye.targets.target import Target

Draw = Callable[[Overview, str, pd.DataFrame, Target], Mapping[str, Picture]]
"""Makes figures by name (``cc``, ``mae``, ``mape``, ``rrse``, ``per_structure``, ``differences``) from an overview,
the reference model, the differences from it and the target; see :func:`debye.plots.comparison.draw_comparison`."""


def write_report(
    folder: Path, draw: Draw | None = None, bootstrap: BootstrapConfig | None = None
) -> list[Path]:
    """Gather the results of a comparison and write ``report.md``, ``report.html`` and the figures.

    Nothing is trained or evaluated: results come from the folders of the runs, or without these from
    ``runs.csv`` and the other tables.

    Args:
        draw: Makes the figures; None: there are none.

    Returns:
        The files written.

    Raises:
        ConfigError: the folder holds no comparison, or no run of it has a result.
    """
    plan = Plan.read(folder)
    target = find_target(plan.target)
    if (folder / "runs").is_dir():
        results = collect_results(folder, plan.contenders, plan.seeds)
    else:
        results = read_results(folder)
    overview = Overview(results, plan.contenders)
    if not overview.contenders:
        reasons = "; ".join(overview.failed["contender"] + ": " + overview.failed["reason"])
        problem = f"no run has a result: {reasons}"
        raise ConfigError(str(folder), problem, "Mend what failed and run it again")
    has_reference = plan.reference in overview.contenders
    reference = plan.reference if has_reference else overview.contenders[0]
    bootstrap = bootstrap or BootstrapConfig()
    differences = overview.differences(reference, bootstrap)
    pictures = draw(overview, reference, differences, target) if draw else {}
    data = pd.read_csv(folder / DATA_FILE)
    document = Document(
        title="Comparison of models",
        facts=comparison_facts(plan, overview.done, bootstrap),
        sections=_sections(overview, differences, reference, data, target, pictures),
        tables={"differences.csv": differences},
        has_page=True,
    )
    return [*document.write(folder), folder / "results.csv"]


def _sections(
    overview: Overview,
    differences: pd.DataFrame,
    reference: str,
    data: pd.DataFrame,
    target: Target,
    pictures: Mapping[str, Picture],
) -> list[Section]:
    """Return the parts of the report, in order; empty ones are left out."""

    def section(
        title: str,
        *tables: TextTable | None,
        picture: str = "",
        details: Sequence[TextTable] = (),
    ) -> Section:
        drawn = (pictures[picture],) if picture in pictures else ()
        shown = tuple(table for table in tables if table)
        return Section(title, pictures=drawn, tables=shown, details=tuple(details))

    scored, figures = overview.scored, compared_figures(target)
    shown, predicted = scored[-1], predicted_table(overview)
    sections = [section("Data", data_table(data, target))]
    for each in figures:
        table, pooled = figure_table(overview, each), figure_table(overview, each, pooled=True)
        sections.append(section(each.label, table, picture=each.name.lower(), details=[pooled]))
    title, ceiling = f"CC of each structure, {shown}", pair_table(overview, shown)
    sections.append(section(title, ceiling, picture="per_structure"))
    if predicted:
        sections.append(section(predicted.title, predicted))
    if len(differences):
        found = [
            difference_table(overview, differences, reference, each, target) for each in scored
        ]
        sections.append(section(f"Differences from {reference}", *found, picture="differences"))
    classes = [class_table(overview, each, fig) for each in scored[::-1] for fig in figures[:2]]
    strata = [stratum_table(overview, split) for split in (shown, *scored[:-1])]
    sections += [
        section("Cost", cost_table(overview)),
        section("Crystal contacts", crystal_table(overview)),
        section("Classes of atoms", *classes[:2], details=classes[2:]),
        section("Resolution", strata[0], details=strata[1:]),
    ]
    if len(overview.trials):
        sections.append(section("Search", details=[search_table(overview)]))
    if len(overview.failed):
        sections.append(section("Failed and left out", failure_table(overview)))
    return sections


def comparison_facts(plan: Plan, done: pd.DataFrame, bootstrap: BootstrapConfig) -> dict[str, str]:
    """Return what is needed to make the report again, and what it cost; ``done`` is the finished runs."""
    times = [(began, took) for text in done["attempts"] for began, took in json.loads(text)]
    scored = ", ".join(f"{count} of {name}" for name, count in plan.scored.items())
    subset = f"all {plan.train_split_entries} entries of {plan.train_split}"
    if plan.is_subset:
        subset = (
            f"{plan.train_entries} of {plan.train_split_entries} entries of {plan.train_split}, the same for all "
            f"models, sequence clusters drawn with seed {plan.draw_seed} (subset.txt)"
        )
    if plan.left_out:
        subset += f"; {plan.left_out} that some recipe filters out were not drawn from"
    selection = f"{counted(plan.val_sample, 'entry', 'entries')} of the validation split"
    if plan.val_sample_scored:
        selection += f", {plan.val_sample_scored} of which are scored too"
    facts = {
        "command": f"`{plan.command}`",
        "debye": source_text(done),
        "data": f"`{plan.data}`, digest `{plan.digest}`",
        "trained on": subset,
        "searches, and epochs where a recipe validates more than once, chosen on": selection,
        "scored": scored + (", drawn with the same seed" if plan.limit else ""),
        "runs": f"{len(done)} finished; {counted(plan.seeds, 'seed')} of each recipe; each trial of a search has "
        f"{plan.share:.0%} of the budget",
        "budget": _budget(done),
        "hardware": " and ".join(sorted(set(hardware_text(done)))),
        "time": time_text(times, plan.preparation),
        "bootstrap": str(bootstrap),
    }
    if plan.settings:
        facts["changed in every trained recipe"] = ", ".join(f"`{text}`" for text in plan.settings)
    if plan.pairs:
        facts["pairs of crystals"] = f"`{plan.pairs}`"
    if plan.predicted:
        text = "{structures} in `{folder}`, {matches} matches with crystals, digest `{digest}`"
        facts["predicted structures"] = text.format(**plan.predicted.model_dump())
    return facts


def source_text(runs: pd.DataFrame) -> str:
    """Return versions and digests of the source files, with the runs of each if they differ."""
    versions = " and ".join(sorted(set(runs["version"])))
    states = Counter(runs["source"])
    if len(states) == 1:
        return f"{versions}, source files `{next(iter(states))}`"
    digests = ", ".join(
        f"`{digest}` ({counted(count, 'run')})" for digest, count in sorted(states.items())
    )
    return f"{versions}; the runs were made by different states of the source files: {digests}"


def hardware_text(runs: pd.DataFrame) -> list[str]:
    """Return the hardware of each run, and how many runs shared it."""
    return [
        f"{row['hardware']}; {counted(int(row['jobs']), 'run')} at a time, each in one thread, on {row['device']}"
        for row in runs.to_dict("records")
    ]


def time_text(
    runs: Sequence[tuple[float, float]], preparation: Sequence[tuple[float, float]] | None
) -> str:
    """Return how long a comparison took by the clock, how long its runs, and what is not counted.

    Args:
        runs: Start and duration of each attempt of a run, s.
        preparation: The same of building graphs beforehand; None: not known.
    """
    before = list(preparation or ())
    text = (
        f"{duration(busy_seconds([*before, *runs]))} by the clock, "
        f"{duration(sum(seconds for _, seconds in runs))} of runs"
    )
    if preparation is None:
        return text + "; graphs built beforehand, and runs that were killed, are not included"
    return text + f", {duration(sum(seconds for _, seconds in before))} of graphs built beforehand"


def _budget(runs: pd.DataFrame) -> str:
    atoms = runs.loc[runs["kind"] == "seed", "train_atoms"] / 1e6
    if atoms.empty:
        return "nothing was trained"
    return f"{atoms.min():.2f} to {atoms.max():.2f} million atoms seen by each trained run"


def busy_seconds(times: Sequence[tuple[float, float]]) -> float:
    """Return how long at least one run was active, from start and duration (s) of each.

    Example:
        >>> busy_seconds([(0.0, 10.0), (5.0, 10.0), (100.0, 1.0)])
        16.0
    """
    total, end = 0.0, float("-inf")
    for started, seconds in sorted(times):
        total += max(0.0, started + seconds - max(started, end))
        end = max(end, started + seconds)
    return total
