"""The figures of all runs as files: ``results.csv``, ``per_structure.parquet``, ``pairs.csv``, ``predicted.csv``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from debye.benchmark.comparison.job import (
    FAILURE_FILE,
    JOB_FILE,
    PAIRS_FILE,
    PREDICTED_FILE,
    RESULT_FILE,
    SCORES_FILE,
)
from debye.benchmark.comparison.schedule import Failure, read_failure
from debye.benchmark.comparison.write_table import write_table
from debye.errors import ConfigError
from debye.scores.evaluation import EVERY_STRATUM
from debye.scores.strata import PRIMARY
from debye.scores.summary import MEASURES

RESULTS_FILE, STRUCTURES_FILE = "results.csv", "per_structure.parquet"
FACTS = (
    *("contender", "kind", "run", "seed", "status", "reason", "settings", "model"),
    *("parameters", "edge_features", "vectors", "reads_crystal", "best_epoch", "val_r"),
    *("train_atoms", "train_seconds", "train_seconds_per_million", "train_peak_mib"),
    *("predict_seconds_per_million", "graph_seconds_per_million", "peak_mib"),
    "predicted_failures",
    *("started", "seconds", "attempts", "hardware", "device", "jobs", "version", "source", "store"),
)
"""Columns of a run."""
COUNTS = ("structures", "undefined", "atoms", "unpredicted", "failures")
GROUPS = ("split", "crystal", "atom_class", "stratum")
COLUMNS = (*FACTS, *GROUPS, *COUNTS, *MEASURES)
DONE, FAILED, SKIPPED = "done", "failed", "skipped"
Row = dict[str, Any]
"""One row of a table by the names of its columns; None where a cell is empty."""


@dataclass(frozen=True, slots=True)
class Results:
    """All that the report is made from."""

    rows: list[Row]
    """``results.csv``: a row for each run, split, crystal, class of atoms and stratum."""
    structures: list[Row]
    """``per_structure.parquet``: a row for each run, split, crystal and structure; protein atoms."""
    pairs: list[Row]
    """``pairs.csv``: a row for each run and pair of crystals, and for the ceiling of each pair; may be empty."""
    predicted: list[Row] = field(default_factory=list)
    """``predicted.csv``: a row for each run and match of a predicted structure and a crystal, and for pLDDT."""


def collect_results(folder: Path, contenders: Sequence[str], seeds: int) -> Results:
    """Gather what the runs of a comparison left, failures too, and write it into its folder.

    Args:
        folder: Of the comparison.
        contenders: In the order of the report; folders of others are not looked at.
        seeds: Runs of each recipe; those of further seeds, asked for by an earlier call, are not looked at.
    """
    rows: list[Row] = []
    structures: list[pd.DataFrame] = []
    others: dict[str, list[pd.DataFrame]] = {PAIRS_FILE: [], PREDICTED_FILE: []}
    for contender in contenders:
        for path in sorted((folder / "runs" / contender).glob(f"*/{JOB_FILE}"), key=_run_order):
            run = path.parent
            if not (run / RESULT_FILE).exists():
                if (run / FAILURE_FILE).exists():
                    failure = read_failure(run)
                    rows += [_failed_row(failure)] if (failure.job.seed or 0) <= seeds else []
                continue
            found = json.loads((run / RESULT_FILE).read_text())
            if (found["facts"]["seed"] or 0) > seeds:
                continue
            rows += _rows(found)
            labels = {name: found["facts"][name] for name in ("contender", "run")}
            if (run / SCORES_FILE).exists():
                structures.append(pd.read_parquet(run / SCORES_FILE).assign(**labels))
            for name, tables in others.items():
                if (run / name).exists():
                    tables.append(_read_csv(run / name).assign(**labels))
    table = pd.DataFrame(rows, columns=pd.Index(COLUMNS))
    write_table(folder / RESULTS_FILE, table)
    write_table(folder / STRUCTURES_FILE, pd.concat(structures) if structures else None)
    for name, tables in others.items():
        write_table(
            folder / name, _without_copies(pd.concat(tables, ignore_index=True)) if tables else None
        )
    return read_results(folder)


def read_results(folder: Path) -> Results:
    """Read what :func:`collect_results` wrote.

    Raises:
        ConfigError: the folder holds no results.
    """
    if not (folder / RESULTS_FILE).is_file():
        raise ConfigError(
            str(folder),
            problem=f"has no {RESULTS_FILE}",
            remedy="Give the folder of a comparison, or make one with debye compare RECIPE…",
        )
    table = pd.read_csv(folder / RESULTS_FILE, dtype={"run": str, "attempts": str})
    return Results(
        rows=records(table.reindex(columns=list(COLUMNS))),
        structures=records(pd.read_parquet(folder / STRUCTURES_FILE))
        if (folder / STRUCTURES_FILE).exists()
        else [],
        pairs=_read(folder / PAIRS_FILE),
        predicted=_read(folder / PREDICTED_FILE),
    )


def _read(path: Path) -> list[Row]:
    return records(_read_csv(path)) if path.exists() else []


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a table in which only an empty cell is empty: a chain may be called NA."""
    return pd.read_csv(path, dtype={"run": str}, keep_default_na=False, na_values=[""])


def _without_copies(table: pd.DataFrame) -> pd.DataFrame:
    """Keep what every run has written of a predictor that is no contender, such as pLDDT, once."""
    others = table["predictor"] != table["contender"]
    first = table[others].groupby("predictor")[["contender", "run"]].transform("first")
    copies = (table.loc[others, ["contender", "run"]] != first).any(axis=1)
    return table.drop(index=copies[copies].index)


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a table as plain values."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def figure(cell: Any) -> float:
    """Return a cell as a number; NaN where it is empty."""
    return np.nan if cell is None else float(cell)


def switch(crystal: bool) -> str:
    """Return how the tables say whether the crystal was shown."""
    return "on" if crystal else "off"


def _rows(found: dict[str, Any]) -> list[Row]:
    facts = {"status": DONE} | found["facts"]
    if not found["summaries"]:
        # A trial of a search: its one figure is the correlation on the validation sample.
        return [facts | {"atom_class": PRIMARY, "stratum": EVERY_STRATUM}]
    rows = []
    for summary in found["summaries"]:
        measures = {name: np.nan if v is None else v for name, v in summary["measures"].items()}
        own = {key: value for key, value in summary.items() if key != "measures"}
        rows.append(facts | own | {"crystal": switch(own["crystal"])} | measures)
    return rows


def _failed_row(failure: Failure) -> Row:
    job = failure.job
    return {
        "contender": job.contender,
        "kind": job.kind,
        "run": job.run,
        "seed": job.seed,
        "model": job.model,
        "status": SKIPPED if failure.is_missing_package else FAILED,
        "reason": failure.reason,
        "settings": json.dumps(job.settings) if job.settings else "",
        "store": job.digest,
    }


def _run_order(path: Path) -> tuple[int, str, int]:
    """Sort trials before runs, and both by number."""
    name, _, number = path.parent.name.rpartition("-")
    return (0 if name else 1, name, int(number) if number.isdigit() else 0)
