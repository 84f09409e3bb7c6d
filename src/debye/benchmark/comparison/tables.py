"""The tables of the report: cells are means over rows of ``results.csv``, ``differences.csv`` or ``data.csv``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from debye.benchmark.comparison.results import Row, figure
from debye.benchmark.comparison.sample import TRAIN_SAMPLE
from debye.benchmark.comparison.summary import Overview, Spread
from debye.reports.evaluation_tables import MISSING, TextTable, number, span
from debye.scores.evaluation import Difference
from debye.scores.strata import ATOM_CLASSES, RESOLUTION_STRATA

ORACLE = "each structure's own mean"


@dataclass(frozen=True, slots=True)
class Quantity:
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
        return f"{self.name} / {self.unit}" if self.unit else self.name


QUANTITIES = (
    Quantity(
        "CC", "", 3, "pearson_mean", "pooled_pearson", None,
        "Pearson correlation of predicted and deposited B, higher is better",
    ),
    Quantity(
        "MAE", "Å²", 2, "mae_mean", "pooled_mae", "oracle_mae_mean",
        "mean absolute error, lower is better",
    ),
    Quantity(
        "MAPE", "%", 1, "mape_mean", "pooled_mape", None,
        "mean absolute percentage error over atoms with B of at least 1 Å², lower is better",
    ),
    Quantity(
        "RRSE", "", 3, "rrse_mean", "pooled_rrse", 1.0,
        "root relative squared error: 1 is what the mean reaches, lower is better",
    ),
)  # fmt: skip
CONSTANT = "A dash: the model predicts one value for all atoms."
NO_LEVEL = "A dash: the model has no opinion on the level of B, so that errors in Å² mean nothing."


def plus_minus(spread: Spread, digits: int) -> str:
    """Write mean ± standard deviation of the runs; the mean alone of one run.

    Example:
        >>> plus_minus(Spread(0.5, 0.01, 3), 3), plus_minus(Spread(0.5, float("nan"), 1), 3)
        ('0.500 ± 0.010', '0.500')
    """
    if not np.isfinite(spread.mean):
        return MISSING
    shown = number(spread.mean, digits)
    return f"{shown} ± {number(spread.sd, digits)}" if np.isfinite(spread.sd) else shown


def data_table(rows: Sequence[Row]) -> TextTable:
    """What was trained on and scored, the table of the published comparison."""
    shown = [
        (
            row["split"],
            row["role"],
            *(
                MISSING if row.get(name) is None else f"{int(row[name]):,}"
                for name in ("structures", "residues", "atoms", "edges")
            ),
            number(row["atoms"] / max(row["structures"], 1), 0),
            number(figure(row["mean_resolution"]), 2),
            f"{number(figure(row['mean_b']), 1)} ± {number(figure(row['std_b']), 1)}",
        )
        for row in rows
    ]
    header = (
        *("split", "role", "structures", "residues", "atoms (nodes)", "edges"),
        *("atoms per structure", "resolution / Å", "B / Å²"),
    )
    whose = rows[0].get("edges_of") or "the first trained recipe"
    note = (
        f"Heavy atoms without waters; directed edges of the graphs of {whose}, those from symmetry mates "
        "included. B: means over structures of mean and standard deviation."
    )
    return TextTable("What was trained on and scored", header, tuple(shown), 2, note)


def quantity_table(overview: Overview, quantity: Quantity, *, pooled: bool = False) -> TextTable:
    """One of the four figures on every split: a row a model, mean ± sd of its runs."""
    measure = quantity.pooled if pooled else quantity.measure
    rows = [
        (
            *_named(overview, name),
            *(
                plus_minus(overview.spread(name, split, measure), quantity.digits)
                for split in overview.splits
            ),
        )
        for name in overview.contenders
    ]
    oracle = f"oracle_{quantity.pooled}" if pooled else quantity.oracle
    if oracle and overview.contenders:
        first = overview.contenders[0]
        values = [
            overview.spread(first, split, oracle).mean if isinstance(oracle, str) else oracle
            for split in overview.splits
        ]
        rows.append((ORACLE, "", "", *(number(value, quantity.digits) for value in values)))
    header = ("model", "runs", "mates", *map(column_name, overview.splits))
    how = "over all atoms of all structures" if pooled else "per structure, then the mean"
    dash = CONSTANT if quantity.name == "CC" and not pooled else NO_LEVEL
    note = f"{quantity.meaning[0].upper()}{quantity.meaning[1:]}; {how}. Mean ± sd of runs. {dash}"
    title = f"{quantity.label}, {'pooled' if pooled else 'per structure'}"
    return TextTable(title, header, tuple(rows), 3, note)


def crystal_table(overview: Overview) -> TextTable:
    """CC with and without symmetry mates, of models that read them."""
    rows = []
    for name in overview.contenders:
        if overview.crystal(name) == "off":
            continue
        cells = []
        for split in overview.scored:
            pair = [
                overview.spread(name, split, "pearson_mean", crystal=use) for use in ("on", "off")
            ]
            cells += [plus_minus(pair[0], 3), plus_minus(pair[1], 3)]
            cells.append(signed(pair[0].mean - pair[1].mean))
        rows.append((name, *cells))
    header = ["model"]
    for split in overview.scored:
        header += [f"{split}, on", f"{split}, off", "on − off"]
    note = (
        "CC per structure. Off: the model is not told of the crystal, as of a predicted structure."
    )
    return TextTable("Crystal contacts on and off", tuple(header), tuple(rows), 1, note)


CLASSES = ("backbone", "side chain", "ligand", "ion")


def class_table(overview: Overview, split: str, measure: str, title: str, digits: int) -> TextTable:
    """A figure by class of atoms on one split."""
    rows = [
        (
            name,
            *(
                plus_minus(overview.spread(name, split, measure, atom_class=each), digits)
                for each in CLASSES
            ),
        )
        for name in overview.contenders
    ]
    header = ["model"]
    for each in CLASSES:
        structures = overview.count(split, atom_class=each)
        atoms = overview.count(split, "atoms", atom_class=each)
        name = "metal and other ions" if each == "ion" else each
        header.append(f"{name} ({structures}; {atoms:,})")
    note = " ".join(
        [
            *(f"{each}: {ATOM_CLASSES[each].summary}." for each in CLASSES),
            "In brackets the structures that have such atoms, and the atoms; a structure with too few of them "
            "has no figure.",
        ]
    )
    return TextTable(f"{title} by class of atoms, {split}", tuple(header), tuple(rows), 1, note)


def stratum_table(overview: Overview, split: str) -> TextTable:
    """CC by resolution on one split."""
    counts = {name: overview.count(split, stratum=name) for name in RESOLUTION_STRATA}
    strata = [name for name, count in counts.items() if count]
    rows = [
        (
            name,
            *(
                plus_minus(overview.spread(name, split, "pearson_mean", stratum=each), 3)
                for each in strata
            ),
        )
        for name in overview.contenders
    ]
    header = ("model", *(f"{name} ({counts[name]})" for name in strata))
    note = "CC per structure over protein atoms; in brackets the number of structures."
    return TextTable(f"CC by resolution, {split}", header, tuple(rows), 1, note)


def difference_table(
    overview: Overview,
    found: Sequence[tuple[str, str, Difference]],
    reference: str,
    split: str,
) -> TextTable:
    """Paired differences from the reference on one split, all measures side by side."""
    digits = {"pearson_mean": 3, "mae_mean": 2, "rrse_mean": 3}
    own = [each for each in found if each[1] == split]
    rows = []
    for name in dict.fromkeys(each[0] for each in own):
        cells: list[str] = []
        for contender, _, row in own:
            if contender == name:
                places = digits[row.measure]
                cells += [signed(row.estimate, places), span(row.interval, places)]
                if row.measure == "pearson_mean":
                    cells.append(span(row.cluster_interval, places))
                    cells.append(number(_error_of_runs(overview, (name, reference), split), places))
                cells.append(str(row.structures))
        rows.append((name, *cells))
    header = (
        *(
            "model",
            "CC",
            "95 %, structures",
            "95 %, clusters",
            "standard error, runs",
            "structures (CC)",
        ),
        *("MAE / Å²", "95 % (MAE)", "structures (MAE)", "RRSE", "95 % (RRSE)", "structures (RRSE)"),
    )
    note = (
        f"Model − {reference}, each structure's figure averaged over runs first; paired bootstrap over "
        "structures, and over sequence clusters. How runs differ is not in the intervals, but in the "
        "standard error of the difference of the two means of runs, where both have several. Structures: those for "
        "which both models have the figure; a constant has errors, but no CC."
    )
    return TextTable(f"Differences from {reference}, {split}", header, tuple(rows), 1, note)


def _error_of_runs(overview: Overview, names: tuple[str, str], split: str) -> float:
    """Return the standard error of the difference of two means of runs; NaN where one has a single run."""
    spreads = [overview.spread(name, split, "pearson_mean") for name in names]
    return float(np.sqrt(sum(each.sd**2 / max(each.runs, 1) for each in spreads)))


def cost_table(overview: Overview) -> TextTable:
    """What every model costs, and what its convolution can use."""
    rows = []
    for name in overview.contenders:

        def cell(fact: str, digits: int = 1, scale: float = 1.0, name: str = name) -> str:
            return number(overview.cost(name, fact).mean * scale, digits)

        rows.append(
            (
                name,
                _yes(overview.fact(name, "edge_features")),
                _yes(overview.fact(name, "vectors")),
                f"{int(overview.cost(name, 'parameters').mean):,}",
                cell("train_atoms", 2, 1e-6),
                cell("train_seconds_per_million"),
                cell("predict_seconds_per_million"),
                cell("graph_seconds_per_million"),
                cell("peak_mib", 0),
                cell("seconds", 0),
                _settings(overview, name),
            )
        )
    header = (
        *("model", "edge features", "vectors", "parameters", "atoms trained / 10⁶"),
        *("train, s / 10⁶ atoms", "predict, s / 10⁶ atoms", "graph, s / 10⁶ atoms"),
        *("peak memory / MiB", "run / s", "chosen by search"),
    )
    note = (
        "Edge features, vectors: whether the convolution can use them at all. Means over runs, each in one "
        "thread. Train: steps with the loading of batches. Predict: the model alone. Graph: building it from "
        "the structure. Memory of the whole process, memory-mapped data included. Run: all of it, validation "
        "and evaluation included."
    )
    return TextTable("Cost", header, tuple(rows), 3, note)


def _settings(overview: Overview, name: str) -> str:
    chosen = overview.fact(name, "settings")
    if not chosen:
        return MISSING
    return ", ".join(f"{key.rpartition('.')[2]} {v}" for key, v in json.loads(chosen).items())


def search_table(overview: Overview) -> TextTable:
    """Every trial of every search, the chosen one marked."""
    rows = []
    for name in overview.contenders:
        for row in overview.trials:
            if row["contender"] != name:
                continue
            settings = json.loads(row["settings"])
            rows.append(
                (
                    name,
                    ", ".join(f"{key} = {value}" for key, value in settings.items()),
                    "yes" if row["settings"] == overview.fact(name, "settings") else "",
                    number(figure(row["val_r"]), 4),
                    number(figure(row["train_atoms"]) / 1e6, 2),
                    number(row["seconds"], 0),
                )
            )
    header = ("model", "settings", "chosen", "r on the validation sample", "atoms / 10⁶", "run / s")
    note = (
        "Mean per-structure r, crystal shown and hidden averaged; first seed, a share of the budget. One run a "
        "trial: differences as small as the spread of runs mean little, and a short budget likes fast learning."
    )
    return TextTable("Search", header, tuple(rows), 3, note)


def failure_table(overview: Overview) -> TextTable:
    """Runs without a result."""
    rows = tuple(
        (row["contender"], f"{row['kind']} {row['run']}", row["status"], row["reason"])
        for row in overview.failed
    )
    return TextTable("Failed and left out", ("model", "run", "status", "reason"), rows, 4)


def signed(value: float, digits: int = 3) -> str:
    """Format a difference with its sign.

    Example:
        >>> signed(0.25), signed(-0.1, 1), signed(float("nan"))
        ('+0.250', '-0.1', '–')
    """
    return f"{'+' if value > 0 else ''}{number(value, digits)}"


def _named(overview: Overview, name: str) -> tuple[str, str, str]:
    return name, str(len(overview.runs(name))), overview.crystal(name)


def column_name(split: str) -> str:
    """Return the heading of a split."""
    return "train (sample)" if split == TRAIN_SAMPLE else split


def _yes(value: bool | None) -> str:
    return MISSING if value is None else "yes" if value else "no"
