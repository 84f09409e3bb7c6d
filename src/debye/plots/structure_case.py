"""One structure to be drawn, with its deposited and its predicted B; made from files or from a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.benchmark.crystal_pairs import locate_entries
from debye.benchmark.store import RunConfig, load_models, plan_runs, predict_entry
from debye.errors import ConfigError, DebyeError, StoreError, StructureError
from debye.prediction.inputs import expand_inputs, local_file
from debye.scores.metrics import mae, pearson
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import BKind, EntityKind, Structure

if TYPE_CHECKING:
    from debye.dataset.store.store import Store
    from debye.prediction.inputs import Input
    from debye.prediction.predictor import Predictor
    from debye.prediction.prepare import CrystalUse

MOST_STRUCTURES = 24
"""Rows of one picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureCase:
    """The atoms of one structure that are drawn: heavy, not water, one conformer."""

    name: str
    """Entry or file."""
    structure: Structure
    deposited: NDArray[np.float32]
    """(atoms,) Å²; NaN where the file has no usable B."""
    predicted: NDArray[np.float32]
    """(atoms,) Å²; NaN where there is none."""
    model_name: str
    """The model that predicted; empty where the values come from a file."""

    def __post_init__(self) -> None:
        for name in ("deposited", "predicted"):
            if getattr(self, name).shape != (len(self.structure),):
                raise StructureError(
                    self.name,
                    problem=f"{len(self.structure)} atoms, but {name} has shape "
                    f"{getattr(self, name).shape}",
                    remedy="Give one value an atom, NaN where there is none",
                )
        if not np.isfinite(self.predicted).any():
            raise StructureError(
                self.name,
                problem="no atom has a predicted B",
                remedy="Leave the structure out, or predict it with another model",
            )

    @property
    def has_deposited(self) -> bool:
        """The file holds B-factors at all; predicted models and most NMR entries do not."""
        return bool(np.isfinite(self.deposited).any())

    def title(self) -> str:
        """Return name, resolution, and how well the predicted B of the protein's atoms fits, as one line."""
        parts = [self.name]
        if self.structure.entry.resolution:
            parts.append(f"{self.structure.entry.resolution:.2f} Å")
        protein = self.structure.entity_kind == EntityKind.PROTEIN
        r = pearson(self.predicted[protein], self.deposited[protein])
        error = mae(self.predicted[protein], self.deposited[protein])
        parts += [f"r {r:.2f}"] if np.isfinite(r) else []
        parts += [f"MAE {error:.1f} Å²"] if np.isfinite(error) else []
        return " · ".join(parts)


def cases_from_files(
    inputs: Iterable[str | Path],
    model: str,
    *,
    crystal: CrystalUse = "auto",
    mirror: Path | None = None,
) -> tuple[list[StructureCase], list[DebyeError]]:
    """Predict structures; return those that can be drawn and why others cannot.

    Args:
        inputs: Files, folders and identifiers, as for ``debye predict``.
        model: Released model by name, a checkpoint, or a baseline.
        crystal: Whether symmetry mates take part; see :func:`debye.predict`.
        mirror: Where identifiers are looked up before they are downloaded.

    Raises:
        CheckpointError: no such model.
        ConfigError: too many structures for one picture.
    """
    ((_, predictor),) = load_models([model])
    found, problems = expand_inputs(inputs)
    _check_number(len(found))
    cases: list[StructureCase] = []
    failures: list[DebyeError] = [*problems]
    for item in found:
        try:
            cases.append(_predict_file(item, predictor, crystal, mirror))
        except DebyeError as error:
            failures.append(error)
    return cases, failures


def _predict_file(
    item: Input, predictor: Predictor, crystal: CrystalUse, mirror: Path | None
) -> StructureCase:
    prediction = predictor.predict(local_file(item, mirror), crystal=crystal)
    rows = prediction.has_prediction
    return StructureCase(
        name=prediction.structure.entry.id or item.stem,
        structure=prediction.structure.take(rows),
        deposited=prediction.b_deposited[rows],
        predicted=prediction.b_predicted[rows],
        model_name=predictor.model_name,
    )


def cases_from_pairs(
    deposited: Sequence[str | Path], predicted: Sequence[str | Path]
) -> tuple[list[StructureCase], list[DebyeError]]:
    """Read structures and, from a second file each, their predicted B; return them and what failed.

    Raises:
        ConfigError: not one predicted file for each structure.
    """
    if len(deposited) != len(predicted):
        raise ConfigError(
            "plot structure",
            problem=f"{len(deposited)} structures, but {len(predicted)} files with predicted B",
            remedy="Give --predicted once for each structure, in the same order",
        )
    _check_number(len(deposited))
    cases: list[StructureCase] = []
    failures: list[DebyeError] = []
    for first, second in zip(deposited, predicted, strict=True):
        try:
            cases.append(case_from_pair(Path(first), Path(second)))
        except DebyeError as error:
            failures.append(error)
    return cases, failures


def case_from_pair(deposited: Path, predicted: Path) -> StructureCase:
    """Return a structure with the B column of another file as its prediction, matched by atom names.

    Raises:
        StructureError: a file cannot be read, or no atom of one is in the other.
    """
    structure, _ = select_atoms(read_structure(deposited))
    other, _ = select_atoms(read_structure(predicted))
    b_of = dict(zip(_atom_names(other), other.b_iso, strict=True))
    b = np.array([b_of.get(name, np.nan) for name in _atom_names(structure)], np.float32)
    if not np.isfinite(b).any():
        raise StructureError(
            str(predicted),
            problem=f"none of {len(structure):,} atoms of {deposited.name} has a B in it",
            remedy="Give a copy of the same structure, with the predicted B in its B column",
        )
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
    return list(
        zip(
            structure.chain.tolist(),
            structure.residue_number.tolist(),
            structure.insertion_code.tolist(),
            structure.residue_name.tolist(),
            structure.atom_name.tolist(),
            strict=True,
        )
    )


def cases_from_store(
    store: Store, model: str, *, entries: Sequence[str] = (), split: str | None = None
) -> tuple[list[StructureCase], list[DebyeError]]:
    """Predict entries of a store, told crystal and resolution; return them and what failed.

    Atoms whose deposited B the store calls unusable have none.

    Args:
        store: A finished data store.
        model: Released model by name, a checkpoint, or a baseline.
        entries: Identifiers; none: all of the split.
        split: Where to look for them; None: in all splits.

    Raises:
        CheckpointError: no such model.
        ConfigError: neither entries nor a split, or too many entries for one picture.
        StoreError: no such split.
    """
    if not entries and split is None:
        raise ConfigError(
            "plot structure",
            problem="no entry of the store is named",
            remedy="Give --entries ID,ID or --split NAME",
        )
    place = locate_entries(store)
    if split is not None:
        place = {entry.id: (split, row) for row, entry in enumerate(store.entries(split))}
    wanted = list(dict.fromkeys(name.lower() for name in entries)) or list(place)
    _check_number(len(wanted))
    predictor = load_models([model])
    cases: list[StructureCase] = []
    failures: list[DebyeError] = []
    for name in wanted:
        try:
            cases.append(_predict_row(store, place, name, predictor))
        except DebyeError as error:
            failures.append(error)
    return cases, failures


def _predict_row(
    store: Store,
    place: dict[str, tuple[str, int]],
    name: str,
    models: Sequence[tuple[str, Predictor]],
) -> StructureCase:
    if name not in place:
        raise StoreError(
            str(store.path),
            problem=f"no entry {name!r} where it was looked for",
            remedy="List the entries with Store.entries, or leave out --split",
        )
    split, row = place[name]
    config = RunConfig(crystal="on")
    ((values, failure),) = predict_entry(
        store, split, row, plan_runs(models, config.crystal), config
    )
    if failure is not None:
        raise StructureError(name, problem=failure.reason.rstrip("."), remedy="Leave the entry out")
    if values.is_profile:
        raise ConfigError(
            models[0][0],
            problem="the model gives a profile without a level, which has no Å²",
            remedy="Draw with a model that predicts Å²; debye models lists them",
        )
    return StructureCase(
        name=name,
        structure=store.structure(split, row),
        deposited=values.deposited,
        predicted=values.predicted,
        model_name=models[0][0],
    )


def _check_number(structures: int) -> None:
    if structures > MOST_STRUCTURES:
        raise ConfigError(
            "plot structure",
            problem=f"{structures} structures in one picture",
            remedy=f"Choose at most {MOST_STRUCTURES}, for example with --entries",
        )
