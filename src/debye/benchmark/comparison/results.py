"""The figures of all runs: gathered into tables, and summarized by model for the report."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from debye.benchmark.comparison.plan import TRAIN_SAMPLE
from debye.benchmark.comparison.runs import (
    FAILURE_FILE,
    JOB_FILE,
    PAIRS_FILE,
    PREDICTED_FILE,
    RESULT_FILE,
    SCORES_FILE,
    SUMMARY_FILE,
    RunFailure,
    read_facts,
    read_failure,
)
from debye.benchmark.store import switch
from debye.errors import ConfigError
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.scores import score_table
from debye.scores.strata import EVERY_STRATUM, PRIMARY
from debye.scores.summary import Difference, difference
from debye.scores.tables import column, rows_where, write_table

DONE, FAILED, SKIPPED = "done", "failed", "skipped"
RUN = ["contender", "run"]
"""Columns of every table that say which run a row is of."""
FACTS = (
    *("contender", "kind", "run", "seed", "status", "reason", "settings", "model"),
    *("parameters", "edge_features", "vectors", "reads_crystal", "best_epoch", "val_r"),
    *("train_atoms", "train_seconds", "train_seconds_per_million", "train_peak_mib"),
    *("predict_seconds_per_million", "graph_seconds_per_million", "peak_mib"),
    "predicted_failures",
    *("started", "seconds", "attempts", "hardware", "device", "jobs", "version", "source", "store"),
)
"""Columns of ``runs.csv``."""
PER_STRUCTURE = ("pearson", "mae", "mape", "rrse")
"""Scores that are averaged over the runs of a model before models are compared."""
COMPARED = ("pearson_mean", "mae_mean", "rrse_mean")
"""Measures whose differences are tabled."""
POOLED = ("pooled_pearson", "pooled_mae", "pooled_mape", "pooled_rrse")
REPORTED = (
    *("pearson_mean", "mae_mean", "mape_mean", "rrse_mean", *POOLED),
    *("oracle_mae_mean", *(f"oracle_{name}" for name in POOLED)),
)
"""Measures of the report."""
GROUPS = ["contender", "split", "crystal", "atom_class", "stratum"]
COUNTS = ("structures", "undefined", "atoms", "unpredicted", "failures")
PAIR, MATCH = ["id1", "chain1", "id2", "chain2"], ["file", "entry", "chain"]
"""Columns that tell pairs of crystals, and matches of predicted structures and crystals, apart."""


class Results(NamedTuple):
    """All tables that the report is made from."""

    runs: pd.DataFrame
    """``runs.csv``: a row a run, trials of searches and failures included."""
    summaries: pd.DataFrame
    """``results.csv``: a row a run, split, crystal, class of atoms and stratum."""
    structures: pd.DataFrame
    """``per_structure.parquet``: a row a run, split, crystal and structure; primary class of atoms."""
    pairs: pd.DataFrame
    """``pairs.csv``: a row a run and pair of crystals, and one for the ceiling of each pair; may be empty."""
    predicted: pd.DataFrame
    """``predicted.csv``: a row a run and match of a predicted structure and a crystal, and for pLDDT."""

    def write(self, folder: Path) -> None:
        """Write the tables; an empty one is removed."""
        for table, name in zip(self, FILES, strict=True):
            if len(table):
                write_table(folder / name, table)
            else:
                (folder / name).unlink(missing_ok=True)


FILES = ("runs.csv", "results.csv", "per_structure.parquet", PAIRS_FILE, PREDICTED_FILE)
"""Of the tables, in the order of the fields of :class:`Results`."""
COLUMNS = (
    FACTS,
    (*RUN, *GROUPS[1:], *COUNTS, *REPORTED),
    (*RUN, "split", "crystal", "id", "cluster", *PER_STRUCTURE),
    (*RUN, "predictor", *PAIR, "split1", "split2", "same_form", "crystal", "pearson"),
    (*RUN, "predictor", *MATCH, "best_match", "pearson"),
)
"""Columns that each table has at least."""


def collect_results(folder: Path, contenders: Sequence[str], seeds: int) -> Results:
    """Gather the results of the runs of a comparison, failures too, and write them into its folder.

    Args:
        contenders: In the order of the report; folders of other ones are ignored.
        seeds: Runs of each recipe; runs of further seeds, which an earlier call made, are ignored.
    """
    found: list[list[pd.DataFrame]] = [[] for _ in FILES]
    runs, facts = list[dict[str, Any]](), dict[str, Any]()
    for contender in contenders:
        for path in sorted((folder / "runs" / contender).glob(f"*/{JOB_FILE}"), key=_run_order):
            run = path.parent
            if (run / RESULT_FILE).exists():
                facts = {"status": DONE} | read_facts(run)
            elif (run / FAILURE_FILE).exists():
                facts = _failed_row(read_failure(run))
            else:
                continue
            if int(facts["seed"] or 0) > seeds:
                continue
            runs.append(facts)
            labels = {name: facts[name] for name in RUN}
            names = (SUMMARY_FILE, SCORES_FILE, PAIRS_FILE, PREDICTED_FILE)
            for name, tables in zip(names, found[1:], strict=True):
                if facts["status"] == DONE and (run / name).exists():
                    tables.append(_read(run / name).assign(**labels))
    found[0] = [pd.DataFrame(runs)]
    joined = [
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=pd.Index(names))
        for tables, names in zip(found, COLUMNS, strict=True)
    ]
    chosen = [joined[place].reindex(columns=list(COLUMNS[place])) for place in range(3)]
    chosen[2] = chosen[2].astype(dict.fromkeys(PER_STRUCTURE, np.float32))
    Results(*chosen, *map(_without_copies, joined[3:])).write(folder)
    return read_results(folder)


def read_results(folder: Path) -> Results:
    """Read what :func:`collect_results` wrote.

    Raises:
        ConfigError: the folder holds no results.
    """
    if not (folder / FILES[0]).is_file():
        problem = f"has no {FILES[0]}"
        remedy = "Give the folder of a comparison, or make one with debye compare RECIPE…"
        raise ConfigError(str(folder), problem, remedy)
    return Results(
        *(
            _read(folder / name)
            if (folder / name).exists()
            else pd.DataFrame(columns=pd.Index(names))
            for name, names in zip(FILES, COLUMNS, strict=True)
        )
    )


def _read(path: Path) -> pd.DataFrame:
    """Read a table in which only an empty cell is empty: a chain may be called NA."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    names: list[Hashable] = ["run", "attempts", "reason", "settings", "crystal"]
    text = dict.fromkeys(names, str)
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    return table.fillna({"crystal": ""}) if "crystal" in table else table


def _without_copies(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of a predictor that is not a contender, such as pLDDT, of the first run only."""
    others = table["predictor"] != table["contender"]
    first = table[others].groupby("predictor")[RUN].transform("first")
    copies = (table.loc[others, RUN] != first).any(axis=1)
    return table.drop(index=copies[copies].index)


def _failed_row(failure: RunFailure) -> dict[str, Any]:
    job = failure.job
    return job.model_dump(include={"contender", "kind", "run", "seed", "model"}) | {
        "status": SKIPPED if failure.is_missing_package else FAILED,
        "reason": failure.reason,
        "settings": json.dumps(job.settings) if job.settings else "",
        "store": job.digest,
    }


def _run_order(path: Path) -> tuple[int, str, int]:
    """Sort trials before runs, and both by number."""
    name, _, number = path.parent.name.rpartition("-")
    return (0 if name else 1, name, int(number) if number.isdigit() else 0)


@dataclass(frozen=True, slots=True)
class MeanSd:
    """Mean of a figure over the runs of a model."""

    mean: float
    sd: float
    """Of the runs (n − 1); NaN with one run."""
    runs: int

    @classmethod
    def of(cls, values: Sequence[float] | NDArray) -> MeanSd:
        """Summarize the figures of runs; NaN if a run has none.

        Example:
            >>> MeanSd.of([1.0, 2.0, 3.0])
            MeanSd(mean=2.0, sd=1.0, runs=3)
        """
        found = np.asarray(values, np.float64)
        if not found.size:
            return cls(np.nan, np.nan, 0)
        sd = float(found.std(ddof=1)) if len(found) > 1 else np.nan
        return cls(float(found.mean()), sd, len(found))


class Overview:
    """The figures of a comparison by model."""

    def __init__(self, results: Results, contenders: Sequence[str]) -> None:
        done = rows_where(results.runs, status=DONE)
        self.done = done
        """Runs with a result, trials of searches included."""
        self.failed = results.runs.loc[results.runs["status"] != DONE]
        self.trials = rows_where(done, kind="search")
        self.pairs = _common(results.pairs, PAIR)
        """Pairs of crystals that every run has an r of."""
        self.predicted = _common(results.predicted, MATCH)
        """Predicted structures against crystals of the same protein, those that every run has an r of."""
        self.splits = tuple(dict.fromkeys(results.summaries["split"]))
        """Columns of the report, the training sample first."""
        self.scored = tuple(name for name in self.splits if name != TRAIN_SAMPLE)
        """Columns that no model was trained on."""
        self._summaries = results.summaries
        self._cells = dict(iter(results.summaries.groupby(GROUPS)))
        self._structures = dict(iter(results.structures.groupby(GROUPS[:3])))
        evaluated = done.loc[done["kind"] != "search"]
        self._runs = {str(name): rows for name, rows in evaluated.groupby("contender")}
        self.contenders = self._order([name for name in contenders if name in self._runs])
        """Those with a result: trained ones first, and the best on the first scored split first."""

    def runs(self, contender: str) -> pd.DataFrame:
        """Return the evaluated runs of a model, a row each."""
        return self._runs[contender]

    def fact(self, contender: str, name: str) -> Any:
        """Return a fact that all runs of a model share; None if it is not known."""
        value = self.runs(contender)[name].iloc[0]
        return None if pd.isna(value) else value

    def is_trained(self, contender: str) -> bool:
        """Return whether it was trained here by gradient."""
        return self.fact(contender, "kind") == "seed"

    def crystal(self, contender: str) -> str:
        """Return how the main tables show a model: with symmetry mates if it reads them."""
        return switch(bool(self.fact(contender, "reads_crystal")))

    def cost(self, contender: str, name: str) -> MeanSd:
        """Return a figure of the runs themselves."""
        return MeanSd.of(column(self.runs(contender), name))

    def mean_sd(
        self,
        contender: str,
        split: str,
        measure: str,
        *,
        crystal: str | None = None,
        atom_class: str = PRIMARY,
        stratum: str = EVERY_STRATUM,
    ) -> MeanSd:
        """Return a measure of a model, by default of protein atoms as in the main tables."""
        key = (contender, split, crystal or self.crystal(contender), atom_class, stratum)
        return MeanSd.of(column(self._cells[key], measure) if key in self._cells else [])

    def count(
        self,
        split: str,
        what: str = "structures",
        *,
        atom_class: str = PRIMARY,
        stratum: str = EVERY_STRATUM,
    ) -> int:
        """Return the number of structures, or atoms, of a group that were scored."""
        group = {"split": split, "atom_class": atom_class, "stratum": stratum}
        return int(column(rows_where(self._summaries, **group), what).max(initial=0))

    def per_structure(self, contender: str, split: str) -> pd.DataFrame:
        """Return the main scores of each structure, by id, averaged over the runs; NaN if a run has none."""
        key = (contender, split, self.crystal(contender))
        labels = {"model": contender, "crystal": key[2], "atom_class": PRIMARY}
        if key not in self._structures:
            return score_table([]).assign(**labels)
        groups = self._structures[key].groupby("id", sort=True)
        scores = list(PER_STRUCTURE)
        means = pd.DataFrame(groups[scores].mean())
        means = means.where(groups[scores].count().eq(groups.size(), axis=0))
        return means.assign(cluster=groups["cluster"].first(), **labels).reset_index()

    def differences(self, reference: str, bootstrap: BootstrapConfig) -> pd.DataFrame:
        """Compare every model with a reference on the same structures: contender, split, difference."""
        found = []
        for split in self.scored:
            base = self.per_structure(reference, split)
            for contender in self.contenders:
                own = self.per_structure(contender, split)
                if contender != reference and len(own) and len(base):
                    found += [
                        (contender, split, *difference(own, base, bootstrap, name))
                        for name in COMPARED
                    ]
        return pd.DataFrame(found, columns=pd.Index(["contender", "split", *Difference._fields]))

    def _order(self, names: Sequence[str]) -> list[str]:
        first = next(iter(self.scored), TRAIN_SAMPLE)

        def rank(name: str) -> tuple[bool, float]:
            mean = self.mean_sd(name, first, "pearson_mean").mean
            return not self.is_trained(name), -mean if np.isfinite(mean) else np.inf

        return sorted(names, key=rank)


def _common(rows: pd.DataFrame, item: list[str]) -> pd.DataFrame:
    """Leave out items that a run has no r of: means over other items could not be compared.

    A run without any r, as of a constant, does not count. What is not a contender has all items.
    """
    own = rows.loc[(rows["predictor"] == rows["contender"]) & rows["pearson"].notna()]
    runs = own[RUN].drop_duplicates()
    counts = own.drop_duplicates([*RUN, *item]).groupby(item).size()
    common = counts[counts == len(runs)].index
    keys = pd.MultiIndex.from_arrays([rows[name] for name in item])
    return rows.loc[keys.isin(common)]
