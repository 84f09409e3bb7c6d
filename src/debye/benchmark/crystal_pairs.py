"""The ceiling: how well one crystal predicts another of the same protein, and what models reach there."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from debye.benchmark.store import (
    EntryFailure,
    EvaluationConfig,
    ModelView,
    Progress,
    model_views,
    own_target,
    predict_entry,
    true_labels,
    values_of_coordinates,
)
from debye.errors import ConfigError
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.metrics import pearson
from debye.scores.strata import ATOM_CLASSES, PRIMARY, RESOLUTION_STRATA, resolution_stratum
from debye.scores.summary import Correlations, predictor_rows
from debye.structure.sequences import ChainMatch, match_chains
from debye.structure.structure import EntityKind
from debye.targets.b_factor import B_FACTOR

if TYPE_CHECKING:
    from debye.dataset.store.store import Store
    from debye.prediction.predictor import Predictor
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
    "both. Crystal 'other': against the deposited B of the other crystal, predicted from the chain alone as "
    "a predicted structure is. Form: same space group and cell. Resolution: the worse of both. The ceiling is "
    "not an upper bound: a model that uses the crystal may pass the agreement with another form, and a model "
    "without experimental noise that with a single crystal."
)
OTHER = "other"
"""In place of ``on`` and ``off``: the model sees coordinates of the other crystal."""


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
    """Read a table of pairs; columns other than :data:`COLUMNS` are ignored."""
    return [
        CrystalPair(
            ids=(row["id1"], row["id2"]),
            chains=(row["chain1"], row["chain2"]),
            same_form=row["same_space_group"] == "1",
            group=row["pair_group"],
        )
        for row in read_table(path, COLUMNS)
    ]


def pair_table(pairs: Iterable[CrystalPair]) -> pd.DataFrame:
    """Return pairs as a table that :func:`read_pairs` reads from a CSV file."""
    rows = []
    for pair in pairs:
        (id1, id2), (chain1, chain2) = pair.ids, pair.chains
        rows.append((id1, chain1, id2, chain2, int(pair.same_form), pair.group))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file that must have some columns and at least one row.

    Raises:
        ConfigError: it cannot be read, lacks a column or has no row.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read ({error})", "Give a CSV file") from error
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        problem = f"no row with the columns {', '.join(missing)}"
        raise ConfigError(str(path), problem, f"Give a CSV file with {', '.join(columns)}")
    return rows


def locate_entries(store: Store) -> dict[str, tuple[str, int]]:
    """Return split and row of every entry of a store, by its id."""
    return {
        entry.id: (split, row)
        for split in store.splits
        for row, entry in enumerate(store.entries(split))
    }


class _Entries:
    """Reads and predicts every entry once, also if it is in many pairs."""

    def __init__(
        self,
        store: Store,
        views: Sequence[ModelView],
        config: EvaluationConfig,
        known: Mapping[str, Sequence[NDArray[np.float32]]],
        *,
        from_other: bool,
    ) -> None:
        self.store, self.views, self.config = store, views, config
        self.place = locate_entries(store)
        self.trained = frozenset[str]().union(*(view.predictor.trained_splits for view in views))
        """Splits that a model of the report was trained on."""
        self.failures: list[EntryFailure] = []
        self._predicted = dict(known)
        self.predictors = {view.name: view.predictor for view in views} if from_other else {}
        self._alone: dict[tuple[str, str], list[NDArray[np.float64]]] = {}

    def structure(self, entry_id: str) -> Structure:
        return self.store.structure(*self.place[entry_id])

    def resolution(self, entry_id: str) -> float | None:
        split, row = self.place[entry_id]
        return self.store.entries(split)[row].resolution

    def true(self, entry_id: str) -> NDArray[np.float32]:
        return true_labels(self.store, *self.place[entry_id], B_FACTOR)

    def predicted(self, entry_id: str) -> Sequence[NDArray[np.float32]]:
        if entry_id not in self._predicted:
            where = self.place[entry_id]
            outcomes = list(predict_entry(self.store, *where, self.views, self.config))
            self._predicted[entry_id] = [values.predicted for values, _ in outcomes]
            self.failures += [failure for _, failure in outcomes if failure]
        return self._predicted[entry_id]

    def alone(self, entry_id: str, chain: str) -> list[NDArray[np.float64]]:
        """Return the values of every model for a chain that it sees as a predicted structure; NaN elsewhere."""
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
    splits: Sequence[str] = (),
    config: EvaluationConfig | None = None,
    bootstrap: BootstrapConfig | None = None,
    progress: Progress | None = None,
    known: Mapping[str, Sequence[NDArray[np.float32]]] | None = None,
    from_other: bool = True,
) -> tuple[Correlations, list[EntryFailure]]:
    """Correlate the crystals of each pair, and the predictions of models with the same atoms.

    Pairs with an entry in a split that one of the models was trained on are left out of the rows of all
    models, counted in the note, and left out of a second row of the ceiling.

    Args:
        store: Holds the entries; pairs of which it lacks one are counted as failures.
        splits: Only pairs with an entry in one of these splits; empty: all pairs.
        bootstrap: How intervals are made, over the groups of pairs.
        known: Predictions that were made before, by entry: (atoms,) for each of
            :func:`debye.benchmark.store.model_views`.
        from_other: Also score what each model predicts for a crystal from a chain of the other one, as
            for a predicted structure (of ``config`` only the noise applies): a row of its own for each model.

    Raises:
        ConfigError: no pair is left, a model does not predict B, or two models have the same name.
    """
    config = config or EvaluationConfig()
    views = [
        replace(view, target=own_target(view.predictor, view.name, B_FACTOR))
        for view in model_views(models, config.crystal)
    ]
    entries = _Entries(store, views, config, known or {}, from_other=from_other)
    place = entries.place
    wanted = [
        pair
        for pair in pairs
        if not splits or any(place.get(key, ("",))[0] in splits for key in pair.ids)
    ]
    facts: list[Mapping[str, object]] = []
    found: list[list[float]] = []
    for done, pair in enumerate(wanted, start=1):
        problem = match = None
        missing = [key for key in pair.ids if key not in place]
        if missing:
            problem = f"not in the store: {', '.join(missing)}"
        else:
            first, second = map(entries.structure, pair.ids)
            match = match_chains(first, pair.chains[0], second, pair.chains[1])
            if match.identity < LEAST_IDENTITY:
                problem = (
                    f"{match.identity:.1%} of the aligned residues are the same: not one protein"
                )
        if match is None or problem:
            reason = EntryFailure(CEILING, "", "-".join(pair.ids), problem or "")
            entries.failures.append(reason)
        else:
            atoms, values = _score(entries, pair, match)
            facts.append({**_facts(entries, pair), "atoms": atoms})
            found.append(values)
        if progress:
            progress(done, len(wanted))
    if not found:
        problem = f"none of {len(pairs)} pairs can be scored on {', '.join(splits) or 'the store'}"
        remedy = "Give the store that holds these entries, or another split"
        raise ConfigError("pairs", problem, remedy)
    made = _correlations(pd.DataFrame(facts), np.array(found), entries)
    return replace(made, bootstrap=bootstrap or BootstrapConfig()), entries.failures


def pairs_of(found: Correlations, splits: Collection[str]) -> Correlations | None:
    """Return only the pairs with an entry in one of some splits; None if there are none."""
    first, second = (np.isin(found.items[name], list(splits)) for name in ("split1", "split2"))
    chosen = np.asarray(first | second)
    return found.take(chosen) if chosen.any() else None


def _is_unseen(entries: _Entries, ids: Iterable[str]) -> bool:
    """Return whether no model was trained on one of two entries."""
    return not any(entries.place[key][0] in entries.trained for key in ids)


def _score(entries: _Entries, pair: CrystalPair, match: ChainMatch) -> tuple[int, list[float]]:
    """Return the number of atoms, and the r of every row of the report, the ceiling first."""
    rows = (match.first, match.second)
    sides = [entries.true(key)[own] for key, own in zip(pair.ids, rows, strict=True)]
    both = np.isfinite(sides[0]) & np.isfinite(sides[1])
    minimum = ATOM_CLASSES[PRIMARY].minimum

    def mean_r(predictions: Iterable[Sequence[NDArray]], against: Sequence[NDArray]) -> list[float]:
        """Return the mean over both crystals of the r of each model."""
        each = [
            [pearson(values[own][both], side[both], minimum) for values in models]
            for models, own, side in zip(predictions, rows, against, strict=True)
        ]
        return [sum(pair) / 2 for pair in zip(*each, strict=True)]

    found = [pearson(sides[0][both], sides[1][both], minimum)]
    if _is_unseen(entries, pair.ids) and entries.views:
        found += mean_r(map(entries.predicted, pair.ids), sides)
        found += mean_r(map(entries.alone, pair.ids, pair.chains), sides[::-1])
    else:
        found += [np.nan] * (len(entries.views) + len(entries.predictors))
    return int(both.sum()), found


def _facts(entries: _Entries, pair: CrystalPair) -> Mapping[str, object]:
    resolutions = [entries.resolution(key) for key in pair.ids]
    worse = float(np.max(np.array(resolutions, np.float64)))  # NaN if one is unknown
    (id1, id2), (chain1, chain2) = pair.ids, pair.chains
    facts = {"id1": id1, "chain1": chain1, "id2": id2, "chain2": chain2}
    facts |= {"split1": entries.place[id1][0], "split2": entries.place[id2][0]}
    own = {"same_form": int(pair.same_form), "resolution": worse, "group": pair.group}
    return facts | own


def _correlations(items: pd.DataFrame, pearson: NDArray, entries: _Entries) -> Correlations:
    same = (items["same_form"] == 1).to_numpy()
    stratum = items["resolution"].map(resolution_stratum).to_numpy()
    groups = {"all pairs": np.ones(len(items), bool), "same form": same, "other form": ~same}
    groups |= {name: stratum == name for name in RESOLUTION_STRATA if (stratum == name).any()}
    ids = zip(items["id1"], items["id2"], strict=True)
    unseen = np.array([_is_unseen(entries, pair) for pair in ids])
    ceiling, *models = pearson.T
    rows, note = [predictor_rows(CEILING, "", ceiling)], NOTE
    if entries.views and not unseen.all():
        rows.append(predictor_rows(UNSEEN_CEILING, "", ceiling, unseen))
        note += (
            f" {(~unseen).sum()} of {len(unseen)} pairs have an entry in {', '.join(sorted(entries.trained))}, "
            f"which models were trained on: the models and '{UNSEEN_CEILING}' are scored on the other pairs."
        )
    shown = [(view.name, view.crystal) for view in entries.views]
    shown += [(name, OTHER) for name in entries.predictors]
    rows += [
        predictor_rows(*labels, values, unseen)
        for labels, values in zip(shown, models, strict=True)
    ]
    return Correlations(
        name="pairs",
        title="Crystals of one protein",
        note=note,
        items=items,
        clusters=tuple(items["group"]),
        groups=groups,
        scores=pd.concat(rows, ignore_index=True),
        bootstrap=BootstrapConfig(),
    )
