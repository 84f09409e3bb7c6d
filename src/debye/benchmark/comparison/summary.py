"""From the rows of all runs to what the report says: mean ± sd of runs, and paired differences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debye.benchmark.comparison.results import DONE, Results, Row, figure, switch
from debye.benchmark.comparison.sample import TRAIN_SAMPLE
from debye.scores.evaluation import (
    EVERY_STRATUM,
    BootstrapConfig,
    Difference,
    Evaluation,
    difference,
)
from debye.scores.scores import StructureScore
from debye.scores.strata import PRIMARY

PER_STRUCTURE = ("pearson", "mae", "mape", "rrse")
"""Fields of a score that are averaged over the runs of a model before models are compared."""
COMPARED = ("pearson_mean", "mae_mean", "rrse_mean")
"""Measures whose differences are tabled."""
PAIR, MATCH = ("id1", "chain1", "id2", "chain2"), ("file", "entry", "chain")
"""Columns that tell pairs of crystals, and matches of predicted structures and crystals, apart."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean of a figure over the runs of a model."""

    mean: float
    sd: float
    """Of the runs (n − 1); NaN with one run."""
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarize the figures of runs; NaN where one has none.

        Example:
            >>> Spread.of([1.0, 2.0, 3.0])
            Spread(mean=2.0, sd=1.0, runs=3)
        """
        found = np.asarray(values, np.float64)
        if not found.size:
            return cls(np.nan, np.nan, 0)
        sd = float(found.std(ddof=1)) if len(found) > 1 else np.nan
        return cls(float(found.mean()), sd, len(found))


class Overview:
    """The figures of a comparison by model: every method reads rows of the result files."""

    def __init__(self, results: Results, contenders: Sequence[str]) -> None:
        done = [row for row in results.rows if row["status"] == DONE]
        self.failed = [row for row in results.rows if row["status"] != DONE]
        """Runs without a result."""
        self.trials = [row for row in done if row["kind"] == "search"]
        self.pairs = _common(results.pairs, PAIR)
        """Pairs of crystals that every run was scored on."""
        self.predicted = _common(results.predicted, MATCH)
        """Predicted structures against crystals of the same protein, those that every run has an r of."""
        self._cells: dict[tuple[str, ...], list[Row]] = defaultdict(list)
        self._runs: dict[str, dict[str, Row]] = defaultdict(dict)
        splits: dict[str, None] = {}
        for row in done:
            if row["kind"] == "search":
                continue
            key = (row["contender"], row["split"], row["crystal"])
            self._cells[*key, row["atom_class"], row["stratum"]].append(row)
            self._runs[row["contender"]].setdefault(row["run"], row)
            splits[row["split"]] = None
        self.splits = tuple(splits)
        """Columns of the report, the training sample first."""
        self._structures: dict[tuple[str, ...], list[Row]] = defaultdict(list)
        for row in results.structures:
            self._structures[row["contender"], row["split"], row["crystal"]].append(row)
        self.contenders = self._order([name for name in contenders if name in self._runs])
        """Those with a result: trained ones first, and the best on the first scored split first."""

    @property
    def scored(self) -> tuple[str, ...]:
        """Columns that no model was trained on."""
        return tuple(name for name in self.splits if name != TRAIN_SAMPLE)

    def runs(self, contender: str) -> list[Row]:
        """Return one row of each run that was evaluated."""
        return list(self._runs[contender].values())

    def fact(self, contender: str, name: str) -> Any:
        """Return a fact that all runs of a model share; None where nobody says."""
        return self.runs(contender)[0][name]

    def is_trained(self, contender: str) -> bool:
        """Whether it was trained here by gradient."""
        return self.fact(contender, "kind") == "seed"

    def crystal(self, contender: str) -> str:
        """Return how a model is shown in the main tables: with symmetry mates if it reads them."""
        return switch(self.fact(contender, "reads_crystal"))

    def cost(self, contender: str, name: str) -> Spread:
        """Return a figure of the runs themselves."""
        return Spread.of([figure(row[name]) for row in self.runs(contender)])

    def spread(
        self,
        contender: str,
        split: str,
        measure: str,
        *,
        crystal: str | None = None,
        atom_class: str = PRIMARY,
        stratum: str = EVERY_STRATUM,
    ) -> Spread:
        """Return a measure of a model, by default of protein atoms as in the main tables."""
        key = (contender, split, crystal or self.crystal(contender), atom_class, stratum)
        return Spread.of([figure(row[measure]) for row in self._cells.get(key, [])])

    def count(
        self,
        split: str,
        what: str = "structures",
        *,
        atom_class: str = PRIMARY,
        stratum: str = EVERY_STRATUM,
    ) -> int:
        """Return how many structures, or atoms, of a group were scored; 0 where there are none."""
        rows = (
            row
            for key, found in self._cells.items()
            if key[1] == split and key[3:] == (atom_class, stratum)
            for row in found
        )
        return max((int(row[what]) for row in rows), default=0)

    def per_structure(self, contender: str, split: str) -> list[StructureScore]:
        """Return the score of each structure, its main figures averaged over the runs, by id."""
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in self._structures[contender, split, self.crystal(contender)]:
            groups[row["id"]].append(row)
        scores = []
        for _, rows in sorted(groups.items()):
            values: dict[str, Any] = {
                item.name: rows[0][item.name] for item in fields(StructureScore)
            }
            for name in PER_STRUCTURE:
                values[name] = np.mean([figure(row[name]) for row in rows])
            values |= {name: np.nan for name, value in values.items() if value is None}
            scores.append(StructureScore(**values))
        return scores

    def correlations(self, contender: str, split: str) -> NDArray[np.float64]:
        """Return (structures,) the Pearson r of each structure, mean of the runs; NaN where undefined."""
        return np.array([score.pearson for score in self.per_structure(contender, split)])

    def differences(
        self, reference: str, bootstrap: BootstrapConfig
    ) -> list[tuple[str, str, Difference]]:
        """Compare every model with a reference on the same structures: contender, split, difference."""
        found = []
        for split in self.scored:
            base = self._evaluation(reference, split, bootstrap)
            for contender in self.contenders:
                if contender != reference:
                    own = self._evaluation(contender, split, bootstrap)
                    found += [(contender, split, difference(own, base, name)) for name in COMPARED]
        return found

    def _evaluation(self, contender: str, split: str, bootstrap: BootstrapConfig) -> Evaluation:
        return Evaluation(
            model=contender,
            crystal=self.crystal(contender) == "on",
            scores=tuple(self.per_structure(contender, split)),
            bootstrap=bootstrap,
            summaries=(),
        )

    def _order(self, names: Sequence[str]) -> list[str]:
        first = next(iter(self.scored), TRAIN_SAMPLE)

        def rank(name: str) -> tuple[bool, float]:
            mean = self.spread(name, first, "pearson_mean").mean
            return not self.is_trained(name), -mean if np.isfinite(mean) else np.inf

        return sorted(names, key=rank)


def _common(rows: Sequence[Row], item: Sequence[str]) -> list[Row]:
    """Leave out items that a run has no r of: means over other items could not be compared.

    A run without any r, as of a constant, has no say.

    Args:
        rows: One for each run, item and predictor.
        item: Columns that tell items apart.
    """
    runs: dict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    for row in rows:
        # What is no contender, such as one crystal for another, knows all items.
        if row["predictor"] == row["contender"] and row["pearson"] is not None:
            runs[row["contender"], row["run"]].add(tuple(row[name] for name in item))
    common = set.intersection(*runs.values()) if runs else set()
    return [row for row in rows if tuple(row[name] for name in item) in common]
