"""Structures with deposited and predicted B, for pictures: from files, pairs of files or a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from debye.benchmark.crystal_pairs import locate_entries
from debye.benchmark.store import (
    EvaluationConfig,
    load_models,
    model_views,
    own_target,
    predict_entry,
)
from debye.errors import ConfigError, DebyeError, StoreError, StructureError
from debye.prediction.inputs import expand_inputs
from debye.scores.metrics import mae, pearson
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import BKind, EntityKind, Structure
from debye.targets.b_factor import B_FACTOR

if TYPE_CHECKING:
    from debye.dataset.store.store import Store
    from debye.prediction.inputs import Input
    from debye.prediction.prepare import CrystalUse

Item = TypeVar("Item")
MOST_STRUCTURES = 24
"""Rows of one picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureCase:
    """The drawn atoms of one structure: heavy, not water, one conformer."""

    name: str
    """Entry or file."""
    structure: Structure
    deposited: NDArray[np.float32]
    """(atoms,) Å²; NaN where the file has no usable B."""
    predicted: NDArray[np.float32]
    """(atoms,) Å²; NaN where there is none."""
    model_name: str
    """Empty if the predicted values come from a file."""

    def __post_init__(self) -> None:
        for name, b in (("deposited", self.deposited), ("predicted", self.predicted)):
            if b.shape != (len(self.structure),):
                problem = f"{len(self.structure)} atoms, but {name} has shape {b.shape}"
                remedy = "Give one value an atom, NaN where there is none"
                raise StructureError(self.name, problem, remedy)
        if not np.isfinite(self.predicted).any():
            remedy = "Leave the structure out, or predict it with another model"
            raise StructureError(self.name, "no atom has a predicted B", remedy)

    @property
    def has_deposited(self) -> bool:
        """Whether the file has B-factors at all; predicted models and most NMR entries do not."""
        return bool(np.isfinite(self.deposited).any())

    def title(self) -> str:
        """Return one line: name, resolution, and r and MAE over the atoms of protein."""
        parts = [self.name]
        if self.structure.entry.resolution:
            parts.append(f"{self.structure.entry.resolution:.2f} Å")
        protein = self.structure.entity_kind == EntityKind.PROTEIN
        both = self.predicted[protein], self.deposited[protein]
        r, error = pearson(*both), mae(*both)
        parts += [f"r {r:.2f}"] if np.isfinite(r) else []
        parts += [f"MAE {error:.1f} Å²"] if np.isfinite(error) else []
        return " · ".join(parts)


Cases = tuple[list[StructureCase], list[DebyeError]]
"""Structures that can be drawn, and why others cannot."""


def cases_from_files(
    inputs: Iterable[str | Path],
    model: str,
    crystal: CrystalUse = "auto",
    mirror: Path | None = None,
) -> Cases:
    """Predict the structures of files, folders and identifiers; see :func:`debye.predict` for the arguments.

    Raises:
        CheckpointError: no such model.
        ConfigError: too many structures for one picture.
    """
    ((_, predictor),) = load_models([model])
    found, problems = expand_inputs(inputs)

    def predicted(item: Input) -> StructureCase:
        prediction = predictor.predict(item.local_file(mirror), crystal=crystal)
        rows = prediction.has_prediction
        return StructureCase(
            name=prediction.structure.entry.id or item.stem,
            structure=prediction.structure.take(rows),
            deposited=prediction.b_deposited[rows],
            predicted=prediction.b_predicted[rows],
            model_name=predictor.model_name,
        )

    cases, failures = _each(predicted, found)
    return cases, [*problems, *failures]


def cases_from_pairs(deposited: Sequence[str | Path], predicted: Sequence[str | Path]) -> Cases:
    """Read structures, and the predicted B of each from the B column of a second file.

    Raises:
        ConfigError: not one predicted file for each structure, or too many for one picture.
    """
    if len(deposited) != len(predicted):
        problem = f"{len(deposited)} structures, but {len(predicted)} files with predicted B"
        remedy = "Give --predicted once for each structure, in the same order"
        raise ConfigError("plot structure", problem, remedy)
    return _each(_case_from_pair, list(zip(deposited, predicted, strict=True)))


def _case_from_pair(pair: tuple[str | Path, str | Path]) -> StructureCase:
    """Return a structure with the B column of another file as its prediction, matched by atom names."""
    deposited, predicted = map(Path, pair)
    (structure, _), (other, _) = (select_atoms(read_structure(path)) for path in pair)
    b_of = dict(zip(_atom_names(other), other.b_iso, strict=True))
    b = np.array([b_of.get(name, np.nan) for name in _atom_names(structure)], np.float32)
    if not np.isfinite(b).any():
        problem = f"none of {len(structure):,} atoms of {deposited.name} has a B in it"
        remedy = "Give a copy of the same structure, with the predicted B in its B column"
        raise StructureError(str(predicted), problem, remedy)
    entry = structure.entry
    is_deposited = not (entry.is_predicted or entry.b_kind == BKind.NOT_CRYSTALLOGRAPHIC)
    return StructureCase(
        name=entry.id or deposited.name,
        structure=structure,
        deposited=structure.b_iso if is_deposited else np.full(len(structure), np.nan, np.float32),
        predicted=b,
        model_name="",
    )


def _atom_names(structure: Structure) -> list[tuple[str, int, str, str, str]]:
    names = ("chain", "residue_number", "insertion_code", "residue_name", "atom_name")
    return list(zip(*(getattr(structure, name).tolist() for name in names), strict=True))


def cases_from_store(
    store: Store, model: str, *, entries: Sequence[str] = (), split: str | None = None
) -> Cases:
    """Predict entries of a store, with crystal and resolution.

    Deposited values that the store marks as unusable are NaN.

    Args:
        store: A finished data store.
        model: See ``debye plot structure``.
        entries: None: all of the split.
        split: None: any.

    Raises:
        CheckpointError: no such model.
        ConfigError: neither entries nor a split, or too many entries for one picture.
        StoreError: no such split.
    """
    if not entries and split is None:
        remedy = "Give --entries ID,ID or --split NAME"
        raise ConfigError("plot structure", "no entry of the store is named", remedy)
    place = locate_entries(store)
    if split is not None:
        place = {entry.id: (split, row) for row, entry in enumerate(store.entries(split))}
    wanted = list(dict.fromkeys(name.lower() for name in entries)) or list(place)
    models, config = load_models([model]), EvaluationConfig(crystal="on")

    def predicted(name: str) -> StructureCase:
        if name not in place:
            remedy = "List the entries with Store.entries, or leave out --split"
            where = f"in split {split}" if split else "in any split"
            raise StoreError(str(store.path), f"no entry {name!r} {where}", remedy)
        runs = [
            replace(view, target=own_target(view.predictor, view.name, B_FACTOR))
            for view in model_views(models, config.crystal)
        ]
        ((values, failure),) = predict_entry(store, *place[name], runs, config)
        if failure is not None:
            raise StructureError(name, failure.reason.rstrip("."), "Leave the entry out")
        if values.is_profile:
            problem = "the model predicts normalized B only, without Å²"
            raise ConfigError(model, problem, "Choose a model that predicts Å²: see `debye models`")
        return StructureCase(
            name=name,
            structure=store.structure(*place[name]),
            deposited=values.true,
            predicted=values.predicted,
            model_name=models[0][0],
        )

    return _each(predicted, wanted)


def _each(make: Callable[[Item], StructureCase], items: Sequence[Item]) -> Cases:
    """Make a case of every item; one that fails does not stop the others."""
    if len(items) > MOST_STRUCTURES:
        remedy = f"Choose at most {MOST_STRUCTURES}, for example with --entries"
        raise ConfigError("plot structure", f"{len(items)} structures in one picture", remedy)
    cases: list[StructureCase] = []
    failures: list[DebyeError] = []
    for item in items:
        try:
            cases.append(make(item))
        except DebyeError as error:
            failures.append(error)
    return cases, failures
