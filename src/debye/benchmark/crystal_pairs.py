"""The ceiling: how well one crystal predicts another of the same protein, and what models reach there."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.benchmark.store import (
    Progress,
    RunConfig,
    plan_runs,
    predict_entry,
    values_of_coordinates,
)
from debye.errors import ConfigError
from debye.reports.evaluation import EntryFailure, Provenance
from debye.scores.correlations import CorrelationReport, Predictions
from debye.scores.evaluation import BootstrapConfig
from debye.scores.metrics import pearson
from debye.scores.strata import ATOM_CLASSES, PRIMARY, RESOLUTION_STRATA, resolution_stratum
from debye.structure.align import ChainMatch, match_chains
from debye.structure.structure import EntityKind
from debye.targets.b_factor import B_FACTOR

if TYPE_CHECKING:
    from debye.benchmark.store import Run
    from debye.dataset.store.store import Store
    from debye.prediction.predictor import Predictor
    from debye.targets.b_factor import B_FACTOR
from debye.structure.structure import Structure

CEILING = "crystal to crystal"
UNSEEN_CEILING = "crystal to crystal, unseen"
COLUMNS = ("id1", "chain1", "id2", "chain2", "same_space_group", "pair_group")
LEAST_IDENTITY = 0.99
"""Share of aligned residues that must be the same for two chains to be one protein."""
NOTE = (
    "r of B over the matched protein heavy atoms of two crystals of one protein (aligned residue and atom "
    "name, B usable in both). First row: deposited B of one crystal against that of the other. Models: "
    "their prediction of each crystal against that crystal's deposited B, over the same atoms, mean of "
    "both. Crystal 'other': against the deposited B of the other crystal, from the chain alone, shown as a "
    "predicted structure would be. Form: same space group and cell. Resolution: the worse of both. A model that "
    "knows the crystal may pass what another form tells, and one without an experiment's noise what a single one "
    "tells."
)
OTHER = "other"
"""In place of on and off: the model sees coordinates of the other crystal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrystalPair:
    """Two crystals of one protein, one chain of each."""

    ids: tuple[str, str]
    chains: tuple[str, str]
    """As the authors name them."""
    same_form: bool
    """Same space group and cell."""
    group: str
    """Protein: pairs of one group are not independent."""


def read_pairs(path: Path) -> list[CrystalPair]:
    """Read a table of pairs; other columns than :data:`COLUMNS` may be there and are not used.

    Raises:
        ConfigError: the file cannot be read, lacks a column or has no row.
    """
    return [
        CrystalPair(
            ids=(row["id1"], row["id2"]),
            chains=(row["chain1"], row["chain2"]),
            same_form=row["same_space_group"] == "1",
            group=row["pair_group"],
        )
        for row in read_table(path, COLUMNS)
    ]


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file that must have some columns and at least one row.

    Raises:
        ConfigError: it cannot be read, lacks a column or has no row.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            str(path), problem=f"cannot be read ({error})", remedy="Give a CSV file"
        ) from error
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        raise ConfigError(
            str(path),
            problem=f"no row with the columns {', '.join(missing)}",
            remedy=f"Give a CSV file with {', '.join(columns)}",
        )
    return rows


def locate_entries(store: Store) -> dict[str, tuple[str, int]]:
    """Return split and row of every entry of a store, by its id."""
    return {
        entry.id: (split, row)
        for split in store.splits
        for row, entry in enumerate(store.entries(split))
    }


@dataclass(frozen=True, slots=True)
class _Scored:
    """One pair with the r of every row of the report, the ceiling first."""

    facts: dict[str, object]
    stratum: str
    is_unseen: bool
    """No model of the report was trained on one of the two."""
    pearson: list[float]


class _Entries:
    """Every entry is read once and predicted once, also if it is in many pairs."""

    def __init__(
        self,
        store: Store,
        runs: Sequence[Run],
        config: RunConfig,
        known: Mapping[str, Sequence[NDArray[np.float32]]],
        *,
        from_other: bool,
    ) -> None:
        self.store, self.runs, self.config = store, runs, config
        self.place = locate_entries(store)
        self.trained = frozenset[str]().union(*(run.predictor.trained_splits for run in runs))
        """Splits that a model of the report was trained on."""
        self.failures: list[EntryFailure] = []
        self._predicted = dict(known)
        self.predictors = {run.name: run.predictor for run in runs} if from_other else {}
        self._alone: dict[tuple[str, str], list[NDArray[np.float64]]] = {}

    def structure(self, entry_id: str) -> Structure:
        return self.store.structure(*self.place[entry_id])

    def resolution(self, entry_id: str) -> float | None:
        split, row = self.place[entry_id]
        return self.store.entries(split)[row].resolution

    def deposited(self, entry_id: str, structure: Structure) -> NDArray[np.float32]:
        labels = self.store.labels(*self.place[entry_id], B_FACTOR)
        return np.where(labels.usable, labels.value, np.nan)

    def predicted(self, entry_id: str) -> Sequence[NDArray[np.float32]]:
        if entry_id not in self._predicted:
            outcomes = list(
                predict_entry(self.store, *self.place[entry_id], self.runs, self.config)
            )
            self._predicted[entry_id] = [values.predicted for values, _ in outcomes]
            self.failures += [failure for _, failure in outcomes if failure]
        return self._predicted[entry_id]

    def alone(self, entry_id: str, chain: str) -> list[NDArray[np.float64]]:
        """Return what every model says of a chain that it sees as it sees a predicted structure; NaN elsewhere."""
        key = (entry_id, chain)
        if key not in self._alone:
            structure = self.structure(entry_id)
            shown = (structure.chain == chain) & (structure.entity_kind == EntityKind.PROTEIN)
            values, failures = values_of_coordinates(
                structure.take(shown), self.predictors.items(), self.config
            )
            name = f"{entry_id}, chain {chain} alone"
            self.failures += [replace(failure, id=name) for failure in failures]
            self._alone[key] = [np.full(len(structure), np.nan) for _ in values]
            for column, found in zip(self._alone[key], values, strict=True):
                column[shown] = found
        return self._alone[key]


def evaluate_pairs(
    store: Store,
    pairs: Sequence[CrystalPair],
    models: Sequence[tuple[str, Predictor]] = (),
    *,
    provenance: Provenance,
    splits: Sequence[str] = (),
    config: RunConfig | None = None,
    bootstrap: BootstrapConfig | None = None,
    progress: Progress | None = None,
    known: Mapping[str, Sequence[NDArray[np.float32]]] | None = None,
    from_other: bool = True,
) -> CorrelationReport:
    """Correlate the crystals of each pair, and the predictions of models with the same atoms.

    Pairs with an entry in a split that one of the models was trained on are left out of the rows of all
    models, counted in the note, and left out of a second row of the ceiling.

    Args:
        store: Holds the entries; pairs of which it lacks one are counted as failures.
        pairs: Pairs of crystals.
        models: Name and predictor of each model.
        provenance: Written into the report.
        splits: Only pairs with an entry in one of these splits; empty: all pairs.
        config: What the models are told.
        bootstrap: How intervals are made, over the groups of pairs.
        progress: Told after each pair.
        known: Predictions that were made before, by entry: (atoms,) for each row of
            :func:`debye.benchmark.store.plan_runs`.
        from_other: Also score what the models say of each crystal from a chain of the other one, as they would
            of a predicted structure (of ``config`` only the noise applies): a row of its own for each model.

    Raises:
        ConfigError: no pair is left, or two models have the same name.
    """
    config = config or RunConfig()
    runs = plan_runs(models, config.crystal)
    entries = _Entries(store, runs, config, known or {}, from_other=from_other)
    wanted = [
        pair
        for pair in pairs
        if not splits or any(entries.place.get(key, ("",))[0] in splits for key in pair.ids)
    ]
    scored: list[tuple[CrystalPair, _Scored]] = []
    for done, pair in enumerate(wanted, start=1):
        problem = _problem(entries, pair)
        if isinstance(problem, str):
            name = "-".join(pair.ids)
            entries.failures.append(
                EntryFailure(model=CEILING, crystal=False, id=name, reason=problem)
            )
        else:
            scored.append((pair, _score(entries, pair, *problem)))
        if progress:
            progress(done, len(wanted))
    if not scored:
        raise ConfigError(
            "pairs",
            problem=f"none of {len(pairs)} pairs can be scored on {', '.join(splits) or 'the store'}",
            remedy="Give the store that holds these entries, or another split",
        )
    return _report(scored, entries, provenance, bootstrap or BootstrapConfig())


def pairs_of(report: CorrelationReport, splits: Collection[str]) -> CorrelationReport | None:
    """Return a report of pairs on those with an entry in one of some splits; None where there are none."""
    chosen = np.array(
        [item["split1"] in splits or item["split2"] in splits for item in report.items]
    )
    return report.take(chosen) if chosen.any() else None


def _problem(entries: _Entries, pair: CrystalPair) -> str | tuple[Structure, Structure, ChainMatch]:
    """Return both structures and their match, or why the pair cannot be scored."""
    missing = [key for key in pair.ids if key not in entries.place]
    if missing:
        return f"not in the store: {', '.join(missing)}"
    first, second = map(entries.structure, pair.ids)
    match = match_chains(first, pair.chains[0], second, pair.chains[1])
    if match.identity < LEAST_IDENTITY:
        return f"{match.identity:.1%} of the aligned residues are the same: not one protein"
    return first, second, match


def _score(
    entries: _Entries, pair: CrystalPair, first: Structure, second: Structure, match: ChainMatch
) -> _Scored:
    sides = [
        entries.deposited(key, structure)[rows]
        for key, structure, rows in zip(
            pair.ids, (first, second), (match.first, match.second), strict=True
        )
    ]
    minimum = ATOM_CLASSES[PRIMARY].minimum
    both = np.isfinite(sides[0]) & np.isfinite(sides[1])
    found = [pearson(sides[0][both], sides[1][both], minimum)]
    is_unseen = not any(entries.place[key][0] in entries.trained for key in pair.ids)
    if is_unseen and entries.runs:
        each = [
            [pearson(values[rows][both], side[both], minimum) for values in entries.predicted(key)]
            for key, rows, side in zip(pair.ids, (match.first, match.second), sides, strict=True)
        ]
        found += [sum(row) / 2 for row in zip(*each, strict=True)]
        crossed = zip(pair.ids, pair.chains, (match.first, match.second), sides[::-1], strict=True)
        each = [
            [pearson(values[rows][both], side[both], minimum) for values in entries.alone(*of)]
            for *of, rows, side in crossed
        ]
        found += [sum(row) / 2 for row in zip(*each, strict=True)]
    else:
        found += [np.nan] * (len(entries.runs) + len(entries.predictors))
    resolutions = [entries.resolution(key) for key in pair.ids]
    known = [value for value in resolutions if value is not None]
    worse = max(known) if len(known) == 2 else None
    facts = {
        "id1": pair.ids[0],
        "chain1": pair.chains[0],
        "id2": pair.ids[1],
        "chain2": pair.chains[1],
        **{f"split{side}": entries.place[key][0] for side, key in enumerate(pair.ids, start=1)},
        "same_form": int(pair.same_form),
        "resolution": np.nan if worse is None else worse,
        "group": pair.group,
        "atoms": int(both.sum()),
    }
    return _Scored(facts, resolution_stratum(worse), is_unseen, found)


def _report(
    scored: Sequence[tuple[CrystalPair, _Scored]],
    entries: _Entries,
    provenance: Provenance,
    bootstrap: BootstrapConfig,
) -> CorrelationReport:
    same = np.array([pair.same_form for pair, _ in scored])
    stratum = np.array([score.stratum for _, score in scored])
    groups = {"all pairs": np.ones(len(scored), bool), "same form": same, "other form": ~same}
    groups |= {name: stratum == name for name in RESOLUTION_STRATA if (stratum == name).any()}
    unseen = np.array([score.is_unseen for _, score in scored])
    ceiling, *models = np.array([score.pearson for _, score in scored], np.float64).T
    rows, note = [Predictions(model=CEILING, crystal="", pearson=ceiling)], NOTE
    if entries.runs and not unseen.all():
        rows.append(Predictions(model=UNSEEN_CEILING, crystal="", pearson=ceiling, asked=unseen))
        note += (
            f" {(~unseen).sum()} of {len(unseen)} pairs have an entry in {', '.join(sorted(entries.trained))}, "
            f"which models were trained on: the models and '{UNSEEN_CEILING}' are scored on the other pairs."
        )
    shown = [(run.name, "on" if run.crystal else "off") for run in entries.runs]
    shown += [(name, OTHER) for name in entries.predictors]
    rows += [
        Predictions(model=name, crystal=crystal, pearson=values, asked=unseen)
        for (name, crystal), values in zip(shown, models, strict=True)
    ]
    return CorrelationReport(
        name="pairs",
        title="Crystals of one protein",
        note=note,
        items=tuple(score.facts for _, score in scored),
        clusters=tuple(pair.group for pair, _ in scored),
        groups=groups,
        rows=tuple(rows),
        bootstrap=bootstrap,
        provenance=provenance,
        failures=tuple(entries.failures),
    )
