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
from debye.reports.document import Document, Picture, Section, counted
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
        folder: Of the comparison.
        draw: Makes the figures; None: there are none.
        bootstrap: How the intervals of the differences are made.

    Returns:
        The files written.

    Raises:
        ConfigError: the folder holds no comparison, or no run of it has a result.
    """
    plan = Plan.read(folder)
    target = find_target(plan.target)
    has_runs = (folder / "runs").is_dir()
    results = (
        collect_results(folder, plan.contenders, plan.seeds) if has_runs else read_results(folder)
    )
    overview = Overview(results, plan.contenders)
    if not overview.contenders:
        failed = overview.failed
        reasons = [
            ": ".join(row) for row in zip(failed["contender"], failed["reason"], strict=True)
        ]
        raise ConfigError(
            str(folder),
            f"no run has a result: {'; '.join(reasons)}",
            "Mend what failed and run it again",
        )
    reference = plan.reference
    if reference not in overview.contenders:
        reference = overview.contenders[0]
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

    def drawn(name: str) -> tuple[Picture, ...]:
        return (pictures[name],) if name in pictures else ()

    shown, figures = overview.scored[-1], compared_figures(target)
    ceiling, predicted = pair_table(overview, shown), predicted_table(overview)
    sections = [Section("Data", tables=(data_table(data),))]
    for each in figures:
        sections.append(
            Section(
                each.label,
                pictures=drawn(each.name.lower()),
                tables=(figure_table(overview, each),),
                details=(figure_table(overview, each, pooled=True),),
            )
        )
    sections.append(
        Section(
            f"CC of each structure, {shown}",
            pictures=drawn("per_structure"),
            tables=(ceiling,) if ceiling else (),
        )
    )
    if predicted:
        sections.append(Section(predicted.title, tables=(predicted,)))
    if len(differences):
        tables = [
            difference_table(overview, differences, reference, split, target)
            for split in overview.scored
        ]
        title = f"Differences from {reference}"
        sections.append(Section(title, pictures=drawn("differences"), tables=tuple(tables)))
    classes = [
        class_table(overview, split, each)
        for split in reversed(overview.scored)
        for each in figures[:2]
    ]
    strata = [stratum_table(overview, split) for split in (shown, *overview.scored[:-1])]
    sections += [
        Section("Cost", tables=(cost_table(overview),)),
        Section("Crystal contacts", tables=(crystal_table(overview),)),
        Section("Classes of atoms", tables=tuple(classes[:2]), details=tuple(classes[2:])),
        Section("Resolution", tables=tuple(strata[:1]), details=tuple(strata[1:])),
    ]
    if len(overview.trials):
        sections.append(Section("Search", details=(search_table(overview),)))
    if len(overview.failed):
        sections.append(Section("Failed and left out", tables=(failure_table(overview),)))
    return sections


def comparison_facts(plan: Plan, done: pd.DataFrame, bootstrap: BootstrapConfig) -> dict[str, str]:
    """Return what is needed to make the report again, and what it cost.

    Args:
        plan: Of the comparison.
        done: Finished runs, rows of ``runs.csv``.
        bootstrap: How the intervals of the differences were made.
    """
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
        facts["predicted structures"] = (
            "{structures} in `{folder}`, {matches} matches with crystals, digest `{digest}`".format(
                **plan.predicted.model_dump()
            )
        )
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
    """Return how long at least one run was active: a comparison may have been stopped in between.

    Args:
        times: Start and duration of each run, s.

    Example:
        >>> busy_seconds([(0.0, 10.0), (5.0, 10.0), (100.0, 1.0)])
        16.0
    """
    total, end = 0.0, float("-inf")
    for started, seconds in sorted(times):
        total += max(0.0, started + seconds - max(started, end))
        end = max(end, started + seconds)
    return total
