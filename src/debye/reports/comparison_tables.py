"""The tables of a comparison: cells are means over rows of ``results.csv``, ``differences.csv`` or ``data.csv``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from debye.benchmark.comparison.plan import TRAIN_SAMPLE
from debye.benchmark.comparison.results import MATCH, PAIR, MeanSd, Overview
from debye.benchmark.crystal_pairs import CEILING
from debye.benchmark.predicted_models import CONFIDENCE, PHENIX
from debye.reports.document import MISSING, TextTable, cell, in_unit, number, signed
from debye.scores.strata import ATOM_CLASSES, RESOLUTION_STRATA
from debye.scores.tables import column, rows_where
from debye.targets.target import Target

ORACLE = "each structure's own mean"
CONSTANT = "A dash: the model predicts one value for all atoms."
NO_LEVEL = "A dash: the model does not predict the level, so that errors in its unit mean nothing."
CLASSES = ("backbone", "side chain", "ligand", "ion")


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One of the four figures that models are compared by."""

    name: str
    unit: str
    digits: int
    measure: str
    """Mean over structures."""
    pooled: str
    """Over all atoms."""
    oracle: str | float | None
    """What a prediction of each structure's own mean reaches, per structure: a measure, or by definition."""
    meaning: str

    @property
    def label(self) -> str:
        """Name and unit."""
        return in_unit(self.name, self.unit)


def compared_figures(target: Target) -> tuple[ComparedFigure, ...]:
    """Return the four figures of a target."""
    floor = ""
    if target.percent_floor is not None:
        floor = f" over values of at least {target.percent_floor:g} {target.unit}"
    return (
        ComparedFigure(
            "CC", "", 3, "pearson_mean", "pooled_pearson", None,
            "Pearson correlation of predicted and true values, higher is better",
        ),
        ComparedFigure(
            "MAE", target.unit, 2, "mae_mean", "pooled_mae", "oracle_mae_mean",
            "mean absolute error, lower is better",
        ),
        ComparedFigure(
            "MAPE", "%", 1, "mape_mean", "pooled_mape", None,
            f"mean absolute percentage error{floor}, lower is better",
        ),
        ComparedFigure(
            "RRSE", "", 3, "rrse_mean", "pooled_rrse", 1.0,
            "root relative squared error: 1 is what the mean reaches, lower is better",
        ),
    )  # fmt: skip


def plus_minus(value: MeanSd, digits: int = 3) -> str:
    """Write mean ± standard deviation of the runs; the mean alone of one run.

    Example:
        >>> plus_minus(MeanSd(0.5, 0.01, 3), 3), plus_minus(MeanSd(0.5, float("nan"), 1), 3)
        ('0.500 ± 0.010', '0.500')
    """
    if not np.isfinite(value.mean):
        return MISSING
    shown = number(value.mean, digits)
    return f"{shown} ± {number(value.sd, digits)}" if np.isfinite(value.sd) else shown


def column_name(split: str) -> str:
    """Return the heading of a split."""
    return "train (sample)" if split == TRAIN_SAMPLE else split


def data_table(data: pd.DataFrame, target: Target) -> TextTable:
    """Return what was trained on and scored, the table of the published comparison."""
    rows = data.reindex(columns=[*data.columns.union(["edges", "edges_of"])])
    rows["per_structure"] = rows["atoms"] / rows["structures"].clip(lower=1)
    suffix = "b" if "mean_b" in rows else "value"
    values = rows[[f"mean_{suffix}", f"std_{suffix}"]].astype(float).to_numpy()
    rows["value"] = [" ± ".join(number(value, 1) for value in pair) for pair in values]
    whose = rows["edges_of"].iloc[0]
    whose = "the first trained recipe" if pd.isna(whose) or not whose else whose
    columns = (
        ("split", "split", ""),
        ("role", "role", ""),
        ("structures", "structures", ","),
        ("residues", "residues", ","),
        ("atoms (nodes)", "atoms", ","),
        ("edges", "edges", ","),
        ("atoms per structure", "per_structure", "0"),
        ("resolution / Å", "mean_resolution", "2"),
        (in_unit(target.title, target.unit), "value", ""),
    )
    note = (
        f"Heavy atoms without waters; directed edges of the graphs of {whose}, those from symmetry mates "
        f"included. {target.title}: means over structures of mean and standard deviation."
    )
    return TextTable.of("What was trained on and scored", rows, columns, 2, note)


def _model_table(
    title: str,
    overview: Overview,
    columns: Mapping[str, Callable[[str], str]],
    note: str,
    *more: tuple[str, ...],
    labels: int = 1,
) -> TextTable:
    """Return a table of one row a model: by heading what writes the cell of a model; then further rows."""
    rows = [(name, *(write(name) for write in columns.values())) for name in overview.contenders]
    return TextTable(title, ("model", *columns), (*rows, *more), labels, note)


def figure_table(overview: Overview, figure: ComparedFigure, *, pooled: bool = False) -> TextTable:
    """Return one of the four figures on every split: a row a model, mean ± sd of its runs."""
    measure = figure.pooled if pooled else figure.measure
    columns: dict[str, Callable[[str], str]] = {
        "runs": lambda name: str(len(overview.runs(name))),
        "mates": overview.crystal,
    }
    for split in overview.splits:
        columns[column_name(split)] = lambda name, split=split: plus_minus(
            overview.mean_sd(name, split, measure), figure.digits
        )
    last, oracle = [], f"oracle_{figure.pooled}" if pooled else figure.oracle
    if oracle:
        last = [ORACLE, "", ""]
        for split in overview.splits:
            value = oracle
            if isinstance(value, str):
                value = overview.mean_sd(overview.contenders[0], split, value).mean
            last.append(number(value, figure.digits))
    how = "over all atoms of all structures" if pooled else "per structure, then the mean"
    dash = CONSTANT if figure.name == "CC" and not pooled else NO_LEVEL
    meaning = figure.meaning[0].upper() + figure.meaning[1:]
    note = f"{meaning}; {how}. Mean ± sd of runs. {dash}"
    title = f"{figure.label}, {'pooled' if pooled else 'per structure'}"
    return _model_table(title, overview, columns, note, *([tuple(last)] if last else []), labels=3)


def crystal_table(overview: Overview) -> TextTable:
    """Return CC with and without symmetry mates, of models that read them."""
    rows, header = [], ["model"]
    for split in overview.scored:
        header += [f"{split}, on", f"{split}, off", "on − off"]
    for name in [each for each in overview.contenders if overview.crystal(each) == "on"]:
        cells = [name]
        for split in overview.scored:
            on = overview.mean_sd(name, split, "pearson_mean", crystal="on")
            off = overview.mean_sd(name, split, "pearson_mean", crystal="off")
            cells += [plus_minus(on), plus_minus(off), signed(on.mean - off.mean)]
        rows.append(tuple(cells))
    note = (
        "CC per structure. Off: the model does not see the crystal, as for a predicted structure."
    )
    return TextTable("Crystal contacts on and off", tuple(header), tuple(rows), 1, note)


def class_table(overview: Overview, split: str, figure: ComparedFigure) -> TextTable:
    """Return a figure by class of atoms on one split."""
    columns: dict[str, Callable[[str], str]] = {}
    for each in CLASSES:
        structures = overview.count(split, atom_class=each)
        atoms = overview.count(split, "atoms", atom_class=each)
        heading = "metal and other ions" if each == "ion" else each
        columns[f"{heading} ({structures}; {atoms:,})"] = lambda name, each=each: plus_minus(
            overview.mean_sd(name, split, figure.measure, atom_class=each), figure.digits
        )
    note = " ".join(f"{each}: {ATOM_CLASSES[each].summary}." for each in CLASSES) + (
        " In brackets the structures that have such atoms, and the atoms; a structure with too few of them "
        "has no figure."
    )
    return _model_table(f"{figure.label} by class of atoms, {split}", overview, columns, note)


def stratum_table(overview: Overview, split: str) -> TextTable:
    """Return CC by resolution on one split."""
    counts = {name: overview.count(split, stratum=name) for name in RESOLUTION_STRATA}
    columns: dict[str, Callable[[str], str]] = {
        f"{each} ({count})": lambda name, each=each: plus_minus(
            overview.mean_sd(name, split, "pearson_mean", stratum=each)
        )
        for each, count in counts.items()
        if count
    }
    note = "CC per structure over protein atoms; in brackets the number of structures."
    return _model_table(f"CC by resolution, {split}", overview, columns, note)


def difference_table(
    overview: Overview, found: pd.DataFrame, reference: str, split: str, target: Target
) -> TextTable:
    """Return paired differences from the reference on one split, all measures side by side."""
    own = rows_where(found, split=split)
    rows = []
    for name, measures in own.groupby("contender", sort=False):
        cells: list[str] = []
        for row in measures.to_dict("records"):
            digits = 2 if row["measure"] == "mae_mean" else 3
            cells += [cell(row, "estimate", f"+{digits}"), cell(row, "interval", f"~{digits}")]
            if row["measure"] == "pearson_mean":
                cells.append(cell(row, "cluster_interval", "~3"))
                # Standard error of the difference of two means of runs; NaN if one has a single run.
                both = [overview.mean_sd(str(n), split, "pearson_mean") for n in (name, reference)]
                error = np.sqrt(sum(each.sd**2 / max(each.runs, 1) for each in both))
                cells.append(number(float(error)))
            cells.append(str(row["structures"]))
        rows.append((str(name), *cells))
    header = (
        *("model", "CC", "95 %, structures", "95 %, clusters", "standard error, runs"),
        *("structures (CC)", in_unit("MAE", target.unit), "95 % (MAE)", "structures (MAE)"),
        *("RRSE", "95 % (RRSE)", "structures (RRSE)"),
    )
    note = (
        f"Model − {reference}, each structure's figure averaged over runs first; paired bootstrap over "
        "structures, and over sequence clusters. How runs differ is not in the intervals, but in the "
        "standard error of the difference of the two means of runs, where both have several. Structures: those for "
        "which both models have the figure; a constant has errors, but no CC."
    )
    return TextTable(f"Differences from {reference}, {split}", header, tuple(rows), 1, note)


def cost_table(overview: Overview) -> TextTable:
    """Return the cost of every model, and what its convolution can use."""
    costs = {
        "train_atoms": "atoms trained / 10⁶",
        "train_seconds_per_million": "train, s / 10⁶ atoms",
        "predict_seconds_per_million": "predict, s / 10⁶ atoms",
        "graph_seconds_per_million": "graph, s / 10⁶ atoms",
        "peak_mib": "peak memory / MiB",
        "seconds": "run / s",
    }
    digits = {"train_atoms": "2", "peak_mib": "0", "seconds": "0"}
    rows = []
    for name in overview.contenders:
        row: dict[str, object] = {key: overview.cost(name, key).mean for key in costs}
        row["train_atoms"] = overview.cost(name, "train_atoms").mean / 1e6
        row |= {key: _yes(overview.fact(name, key)) for key in ("edge_features", "vectors")}
        row |= {"model": name, "parameters": overview.cost(name, "parameters").mean}
        rows.append(row | {"settings": _settings(overview, name)})
    columns = (
        ("model", "model", ""),
        ("edge features", "edge_features", ""),
        ("vectors", "vectors", ""),
        ("parameters", "parameters", ","),
        *((heading, key, digits.get(key, "1")) for key, heading in costs.items()),
        ("chosen by search", "settings", ""),
    )
    note = (
        "Edge features, vectors: whether the convolution can use them at all. Means over runs, each in one "
        "thread. Train: steps with the loading of batches. Predict: the model alone. Graph: building it from "
        "the structure. Memory of the whole process, memory-mapped data included. Run: all of it, validation "
        "and evaluation included."
    )
    return TextTable.of("Cost", pd.DataFrame(rows), columns, 3, note)


def _settings(overview: Overview, name: str) -> str:
    chosen = overview.fact(name, "settings")
    if not chosen:
        return MISSING
    return ", ".join(f"{key.rpartition('.')[2]} {v}" for key, v in json.loads(chosen).items())


def _yes(value: bool | None) -> str:
    return MISSING if value is None else "yes" if value else "no"


def search_table(overview: Overview) -> TextTable:
    """Return every trial of every search, the chosen one marked."""
    trials = overview.trials
    names = [name for name in overview.contenders if name in set(trials["contender"])]
    ordered = pd.concat([rows_where(trials, contender=name) for name in names])
    settings = [json.loads(text) for text in ordered["settings"]]
    chosen = [overview.fact(name, "settings") for name in ordered["contender"]]
    rows = ordered.assign(
        values=[", ".join(f"{key} = {value}" for key, value in each.items()) for each in settings],
        chosen=[
            "yes" if own == best else ""
            for own, best in zip(ordered["settings"], chosen, strict=True)
        ],
        millions=ordered["train_atoms"].astype(float) / 1e6,
    )
    columns = (
        ("model", "contender", ""),
        ("settings", "values", ""),
        ("chosen", "chosen", ""),
        ("r on the validation sample", "val_r", "4"),
        ("atoms / 10⁶", "millions", "2"),
        ("run / s", "seconds", "0"),
    )
    note = (
        "Mean per-structure r, crystal shown and hidden averaged; first seed, a share of the budget. One run a "
        "trial: differences as small as the sd of runs mean little, and a short budget favors fast learning."
    )
    return TextTable.of("Search", rows, columns, 3, note)


def failure_table(overview: Overview) -> TextTable:
    """Return the runs without a result."""
    rows = overview.failed.assign(run=overview.failed["kind"] + " " + overview.failed["run"])
    columns = [
        ("model", "contender", ""),
        *((name, name, "") for name in ("run", "status", "reason")),
    ]
    return TextTable.of("Failed and left out", rows, columns, 4)


def pair_table(overview: Overview, split: str) -> TextTable | None:
    """Return how well one crystal agrees with another of the same protein, and models on the same pairs."""
    pairs = ceiling_pairs(overview, split)
    if pairs.empty:
        return None
    rows = []
    for name in (CEILING, *overview.contenders):
        crystal = "" if name == CEILING else overview.crystal(name)
        found = rows_where(pairs, predictor=name)
        found = found if name == CEILING else rows_where(found, crystal=crystal)
        known = found.dropna(subset=["pearson"])
        groups = (found, *(rows_where(found, same_form=form) for form in (1, 0)))
        median = _median(column(known, "pearson"))
        count = len(known.drop_duplicates(PAIR))
        if len(found) or name == CEILING:
            rows.append((name, crystal, *map(_runs_mean, groups), median, str(count)))
    header = ("predictor", "mates", "mean r", "same form", "other form", "median r", "pairs")
    note = (
        "Pairs of crystals of one protein, r over the matched protein atoms: the deposited B of one crystal "
        "against that of the other, and a model's prediction of each crystal against its deposited B, mean of "
        "both. Mean ± sd of runs. Form: same space group and cell."
    )
    return TextTable(f"Reproducibility ceiling, {split}", header, tuple(rows), 2, note)


def ceiling_pairs(overview: Overview, split: str, predictor: str = "") -> pd.DataFrame:
    """Return the rows of pairs of crystals with an entry in a split, of all predictors or one."""
    pairs = overview.pairs
    pairs = pairs.loc[(pairs["split1"] == split) | (pairs["split2"] == split)]
    return rows_where(pairs, predictor=predictor) if predictor else pairs


def predicted_table(overview: Overview) -> TextTable | None:
    """Return what models, and pLDDT, reach where only a predicted structure is known."""
    every = overview.predicted
    if every.empty:
        return None
    rows = []
    for name in (PHENIX, CONFIDENCE, *overview.contenders):
        found = rows_where(every, predictor=name)
        best = rows_where(found, best_match=1)
        means = _means(best, "file")
        if len(found) or name not in overview.contenders:
            middle = _median(means), str(np.isfinite(means).sum())
            rows.append((name, _runs_mean(best), *middle, _runs_mean(found)))
    matches = len(every.drop_duplicates(MATCH))
    header = ("predictor", "r, best match", "median", "structures", f"r, all {matches} matches")
    note = (
        "Predicted structures against crystals of the same protein, r over the matched protein atoms; the "
        "models see the predicted structure alone: no crystal, so that mates make no difference, and "
        "resolution unknown. Matches that a run has no r of are left out for all. Best match: at most one "
        "crystal a predicted structure; in all matches proteins with many crystals count more. Mean ± sd of "
        "runs; medians of the means of the runs. Phenix: the B that its published formula makes of pLDDT."
    )
    return TextTable("Predicted structures", header, tuple(rows), 1, note)


def _means(rows: pd.DataFrame, by: str) -> NDArray[np.float64]:
    """Return the mean r of each group of rows, NaN if it has none."""
    return column(pd.DataFrame(rows.groupby(by)[["pearson"]].mean()), "pearson")


def _runs_mean(rows: pd.DataFrame) -> str:
    """Write the mean over items of each run, mean ± sd of the runs."""
    return plus_minus(MeanSd.of(_means(rows, "run")))


def _median(values: NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    return number(float(np.median(known)) if known.size else np.nan)
