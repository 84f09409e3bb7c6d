"""The report of an evaluation: models on one set of structures, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from debye.benchmark.store import EntryFailure
from debye.reports.document import (
    MISSING,
    Cells,
    Document,
    Provenance,
    Section,
    TextTable,
    in_unit,
)
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.scores import RUN
from debye.scores.strata import ATOM_CLASSES, PRIMARY, classes_of
from debye.scores.summary import (
    MEASURES,
    PRIMARY_MEASURE,
    Correlations,
    differences_from_first,
    primary_scores,
    primary_summaries,
    summarize,
    worst_structures,
)
from debye.scores.tables import rows_where
from debye.targets.target import Per, Target

WORST = 10
"""Structures of lowest r that are listed for each model."""
NAMES: Cells = (("model", "model", ""), ("crystal", "crystal", ""))
GROUP: Cells = (*NAMES, ("atoms of", "atom_class", ""), ("resolution", "stratum", ""))
COUNTS: Cells = (("structures", "structures", ""), ("undefined", "undefined", ""))


def evaluation_document(
    scores: pd.DataFrame,
    target: Target,
    provenance: Provenance,
    bootstrap: BootstrapConfig,
    failures: Sequence[EntryFailure] = (),
) -> Document:
    """Return the report of a table of scores, with the difference of each model from the first.

    Its files are ``report.md``, ``summary.csv`` (a row a model, crystal, class of atoms and stratum),
    ``per_structure.csv`` and ``report.json`` (what the two tables do not have).

    Args:
        scores: As :func:`debye.benchmark.store.evaluate_store` makes it.
        failures: Structures that a model could not predict; all of their atoms count as unpredicted.
    """
    summaries = summarize(scores, bootstrap)
    main = primary_summaries(summaries)
    name = "mae_mean" if target.per is Per.STRUCTURE else PRIMARY_MEASURE
    differences = differences_from_first(scores, bootstrap, name)
    compared = [error_table(main, target), pooled_table(main, target)]
    details = [make(summaries, target) for make in (breakdown_table, error_breakdown_table)]
    if target.per is not Per.STRUCTURE:
        compared.insert(0, correlation_table(main, target))
        details.append(worst_table(scores, target))
    if len(differences):
        compared.append(difference_table(differences))
    facts = {"target": f"`{target.name}`: {target.summary}", **provenance.facts(bootstrap)}
    words = {"unit": f", {target.unit}" if target.unit else "", "items": f"{target.per}s"}
    own = primary_scores(scores)
    undefined = own.loc[own["pearson"].isna(), [*RUN, "id"]]
    return Document(
        title=f"Evaluation on `{provenance.split}`",
        facts=facts,
        sections=(
            Section(tables=tuple(compared)),
            Section(details=tuple(details)),
            *failure_sections(failures),
            Section("Rules", lines=rules(target)),
        ),
        tables={"summary.csv": summaries, "per_structure.csv": scores},
        record={
            "target": target.name,
            "provenance": asdict(provenance),
            "bootstrap": asdict(bootstrap),
            "measures": {row.name: row.summary.format(**words) for row in MEASURES.values()},
            "atom_classes": {name: ATOM_CLASSES[name].summary for name in classes_of(target)},
            "undefined": undefined,
            "differences": differences,
            "failures": [asdict(row) for row in failures],
        },
    )


def failure_sections(failures: Sequence[EntryFailure]) -> list[Section]:
    """Return the section of structures without a prediction; none if there are none."""
    lines = tuple(f"{row.model}, {row.id}: {row.reason}" for row in failures)
    return [Section("Failures", lines=lines)] if lines else []


def rules(target: Target) -> tuple[str, ...]:
    """Return how undefined values are treated."""
    lines = (
        f"The true and the predicted value of a scored {target.per} are finite.",
        f"A structure has a correlation, MAE, MAPE and RRSE of its own only with the minimum of {target.per}s of the "
        "class, and a correlation only if neither side is constant. Otherwise they are not defined: counted as "
        "undefined and left out of means.",
        f"Pooled measures cover every scored {target.per}.",
    )
    if target.percent_floor is None:
        return lines
    return (*lines, f"Percentage errors cover values of at least {_amount(target)}.")


def _amount(target: Target) -> str:
    return f"{target.percent_floor:g} {target.unit}".strip()


def items_of(target: Target) -> str:
    """Name what the primary figures are over."""
    return {
        Per.ATOM: f"{PRIMARY} heavy atoms",
        Per.RESIDUE: f"{PRIMARY} residues",
        Per.STRUCTURE: "structures",
    }[target.per]


def correlation_table(main: pd.DataFrame, target: Target) -> TextTable:
    """Return the main table, correlation within single structures: one row a model and crystal."""
    columns: Cells = (
        *NAMES,
        ("mean r", "pearson_mean", "3"),
        ("95 %, structures", "pearson_mean", "~3"),
        ("95 %, clusters", "pearson_mean_cluster", "~3"),
        ("median r", "pearson_median", "3"),
        ("10th pct.", "pearson_p10", "3"),
        ("Spearman", "spearman_mean", "3"),
        ("r in chain", "chain_pearson_mean", "3"),
        *COUNTS,
    )
    note = (
        f"Pearson r of each structure over its {items_of(target)}, then the mean over structures. "
        f"Undefined: fewer than 10 usable {target.per}s or constant values; counted here, left out of means."
    )
    return TextTable.of(f"Correlation per structure, {items_of(target)}", main, columns, 2, note)


def _mean_errors(target: Target) -> Cells:
    mae = (in_unit("MAE", target.unit), "mae_mean", "2")
    return (mae, ("oracle", "oracle_mae_mean", "2"), ("MAE, z", "z_mae", "3"))


def _bounds(target: Target) -> Cells:
    width = (in_unit("width", target.unit), "interval_width", "1")
    return (("in 90 % bounds", "coverage_90", "3"), width, (f"{target.per}s", "atoms", ","))


def error_table(main: pd.DataFrame, target: Target) -> TextTable:
    """Return errors within single structures, and how many atoms the bounds cover."""
    columns: Cells = (
        *NAMES,
        *_mean_errors(target),
        ("MAPE / %", "mape_mean", "1"),
        ("RRSE", "rrse_mean", "3"),
        *_bounds(target),
        ("unpredicted", "unpredicted", ","),
        ("unusable", "masked", ","),
        ("with mates", "with_crystal", ""),
    )
    floor = ""
    if target.percent_floor is not None:
        floor = f"MAPE covers values of at least {_amount(target)}. "
    note = (
        f"Means over structures, but the share of {target.per}s in their bounds. Oracle: the MAE of each "
        f"structure's own mean. z: both sides standardized within the structure. {floor}RRSE: RMSE over that "
        "of the structure's own mean. With mates: structures whose crystal could be used."
    )
    return TextTable.of(f"Errors per structure, {items_of(target)}", main, columns, 2, note)


def pooled_table(main: pd.DataFrame, target: Target) -> TextTable:
    """Return measures over all atoms, each followed by that of the structure-mean oracle."""
    columns: Cells = (
        *NAMES,
        ("r, raw values", "pooled_pearson", "3"),
        ("oracle", "oracle_pooled_pearson", "3"),
        (in_unit("MAE", target.unit), "pooled_mae", "2"),
        ("oracle", "oracle_pooled_mae", "2"),
        ("MAPE / %", "pooled_mape", "1"),
        ("oracle", "oracle_pooled_mape", "1"),
        ("RRSE", "pooled_rrse", "3"),
        ("oracle", "oracle_pooled_rrse", "3"),
        ("r, z-scores", "pooled_z_pearson", "3"),
    )
    note = (
        "The oracle knows each structure's true mean and nothing else: pooled numbers mostly measure how the "
        f"means of structures differ. RRSE: RMSE over that of the mean of all {target.per}s."
    )
    return TextTable.of(f"Pooled over {target.per}s, {items_of(target)}", main, columns, 2, note)


def breakdown_table(summaries: pd.DataFrame, target: Target) -> TextTable:
    """Return the correlation by class of atoms and by resolution."""
    columns: Cells = (
        *GROUP,
        ("mean r", "pearson_mean", "3"),
        ("95 %", "pearson_mean", "~3"),
        ("median r", "pearson_median", "3"),
        ("Spearman", "spearman_mean", "3"),
        ("pooled r", "pooled_pearson", "3"),
        ("oracle", "oracle_pooled_pearson", "3"),
        *COUNTS,
        (f"{target.per}s", "atoms", ","),
    )
    note = " ".join(f"{name}: {ATOM_CLASSES[name].summary}." for name in classes_of(target))
    return TextTable.of("By class of atoms and resolution", summaries, columns, 4, note)


def error_breakdown_table(summaries: pd.DataFrame, target: Target) -> TextTable:
    """Return errors, and how many atoms the bounds cover, by class of atoms and by resolution."""
    columns: Cells = (
        *GROUP,
        *_mean_errors(target),
        ("RRSE", "rrse_mean", "3"),
        (in_unit("pooled MAE", target.unit), "pooled_mae", "2"),
        ("oracle", "oracle_pooled_mae", "2"),
        ("pooled MAE, z", "pooled_z_mae", "3"),
        *_bounds(target),
    )
    note = (
        "Oracle: the mean of the class in the structure for each of its atoms. z: both sides standardized over "
        f"the whole structure. Pooled: over {target.per}s, else means over structures."
    )
    return TextTable.of("Errors by class of atoms and resolution", summaries, columns, 4, note)


def worst_table(scores: pd.DataFrame, target: Target, count: int = WORST) -> TextTable:
    """Return the structures of lowest r of each model."""
    columns: Cells = (
        *NAMES,
        ("structure", "id", ""),
        ("r", "pearson", "3"),
        ("Spearman", "spearman", "3"),
        (in_unit("MAE", target.unit), "mae", "2"),
        (in_unit("mean", target.unit), "mean_true", "1"),
        ("predicted", "mean_predicted", "1"),
        ("resolution / Å", "resolution", "2"),
        (f"{target.per}s", "atoms", ","),
        ("unpredicted", "unpredicted", ""),
    )
    title = f"Worst {count} structures, {items_of(target)}"
    return TextTable.of(title, worst_structures(scores, count), columns, 3)


def difference_table(differences: pd.DataFrame) -> TextTable:
    """Return paired differences of the primary measure."""
    measure = "mean r" if differences["measure"].iloc[0] == PRIMARY_MEASURE else "MAE"
    columns: Cells = (
        ("first", "first", ""),
        ("second", "second", ""),
        (f"{measure}, first − second", "estimate", "3"),
        ("95 %, structures", "interval", "~3"),
        ("95 %, clusters", "cluster_interval", "~3"),
        ("structures", "structures", ""),
        ("left out", "left_out", ""),
    )
    note = "Paired bootstrap: both are drawn on the same structures."
    return TextTable.of("Differences", differences, columns, 2, note)


def correlation_document(
    found: Correlations,
    provenance: Provenance,
    failures: Sequence[EntryFailure] = (),
    references: pd.DataFrame | None = None,
) -> Document:
    """Return the report: the table, a CSV file of a row a predictor and item, and the means as JSON.

    Args:
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
