"""Predicted structures against crystals of the same protein: predictions without any experiment."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from debye.benchmark.crystal_pairs import locate_entries, read_table
from debye.benchmark.store import (
    EntryFailure,
    EvaluationConfig,
    Progress,
    load_models,
    true_labels,
    values_of_coordinates,
)
from debye.errors import ConfigError, DebyeError, StructureError
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.correlations import Correlations, predictor_rows
from debye.scores.metrics import pearson
from debye.scores.strata import ATOM_CLASSES, PRIMARY
from debye.structure.read import read_structure
from debye.structure.sequences import match_chains
from debye.structure.structure import EntityKind
from debye.targets.b_factor import B_FACTOR

if TYPE_CHECKING:
    from debye.dataset.store.store import Store
    from debye.prediction.predictor import Predictor
    from debye.structure.structure import Structure

COLUMNS = ("model_file", "crystal_id", "chain", "best_match")
OLDER_COLUMN = "kinase_id"
"""Name of ``crystal_id`` in older tables, which can still be read."""
USUAL_MATCHES = "map.csv"
"""Table of matches in the folder of the predicted structures."""
BASELINES = ("weighted_contact_number", "contact_number")
"""Always scored next to the models."""
CONFIDENCE, PHENIX = "−pLDDT", "pLDDT, Phenix"
NOTE = (
    "r of a predicted structure against a crystal of the same protein: protein heavy atoms matched by "
    "aligned residue and atom name, deposited B usable. The models see the predicted structure alone: no "
    "crystal, resolution unknown. Best match: one crystal a predicted structure. Phenix: "
    "B = 8π²/3 · rmsd², rmsd = 1.5 Å · exp(4 (0.7 − pLDDT/100)). Clusters: predicted structures."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureMatch:
    """A predicted structure and a chain of a crystal of the same protein."""

    file: str
    """Name of the file in its folder."""
    entry: str
    """Identifier of the crystal."""
    chain: str
    """Of the crystal, as the authors name it."""
    is_best: bool
    """The one match of this predicted structure that counts in the primary figure."""


def match_table(folder: Path) -> Path:
    """Return the table of matches in a folder of predicted structures.

    Raises:
        ConfigError: it is not there.
    """
    path = folder / USUAL_MATCHES
    if not path.is_file():
        raise ConfigError(
            str(folder),
            f"has no {USUAL_MATCHES}, the table of predicted structures and crystals",
            f"Give a CSV file with {', '.join(COLUMNS)} by --map",
        )
    return path


def read_matches(path: Path) -> list[StructureMatch]:
    """Read a table of matches; columns other than :data:`COLUMNS` are ignored.

    Raises:
        ConfigError: the file cannot be read, lacks a column or has no row.
    """
    rows = read_table(path, [name for name in COLUMNS if name != "crystal_id"])
    crystal = OLDER_COLUMN if OLDER_COLUMN in rows[0] else "crystal_id"
    rows = read_table(path, (COLUMNS[0], crystal, *COLUMNS[2:]))
    return [
        StructureMatch(
            file=row["model_file"],
            entry=row[crystal],
            chain=row["chain"],
            is_best=row["best_match"] == "1",
        )
        for row in rows
    ]


def describe_matches(store: Store, folder: Path, table: Path) -> dict[str, str | int]:
    """Check that the files and entries of a table of matches exist; return counts and a digest of it.

    Raises:
        ConfigError: the table cannot be read, or something that it names is missing.
    """
    matches = read_matches(table)
    place = locate_entries(store)
    files = [match.file for match in matches if not (folder / match.file).is_file()]
    entries = [match.entry for match in matches if match.entry not in place]
    for missing, where in ((files, str(folder)), (entries, "the store")):
        if missing:
            names = list(dict.fromkeys(missing))
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ConfigError(
                str(table),
                f"names {names[0]}{more}, not in {where}",
                "Give a table of files and crystals that are there",
            )
    names = sorted({match.file for match in matches})
    digest = hashlib.sha256(table.read_bytes())
    for name in names:
        digest.update((folder / name).read_bytes())
    return {
        "folder": folder.resolve().name,
        "structures": len(names),
        "matches": len(matches),
        "digest": digest.hexdigest()[:16],
    }


def phenix_b(plddt: NDArray[np.floating]) -> NDArray[np.float64]:
    """B-factors (Å²) that Phenix's ``process_predicted_model`` makes of pLDDT (0 to 100).

    Reference: Oeffner et al. (2022), doi:10.1107/S2059798322010026, with the error estimate of Baek et al.
    (2021), doi:10.1126/science.abj8754.

    Example:
        >>> phenix_b(np.array([70.0, 95.0])).round(1).tolist()
        [59.2, 8.0]
    """
    rmsd = 1.5 * np.exp(4 * (0.7 - np.asarray(plddt, np.float64) / 100))
    return 8 * np.pi**2 / 3 * rmsd**2


def with_baselines(
    models: Sequence[tuple[str, Predictor]], *, device: str = "cpu"
) -> list[tuple[str, Predictor]]:
    """Add the :data:`BASELINES` that are not among the models."""
    names = {name for name, _ in models}
    missing = [name for name in BASELINES if name not in names]
    return [*models, *load_models(missing, device=device)]


def evaluate_predicted(
    store: Store,
    folder: Path,
    matches: Sequence[StructureMatch],
    models: Sequence[tuple[str, Predictor]],
    *,
    config: EvaluationConfig | None = None,
    bootstrap: BootstrapConfig | None = None,
    progress: Progress | None = None,
) -> tuple[Correlations, list[EntryFailure]]:
    """Predict every file and correlate it with the crystals that it is matched to.

    A file, a model or a crystal that fails leaves its items without an r and is returned as a failure.

    Args:
        store: Holds the crystals.
        folder: Holds the files of the matches.
        matches: Pairs of file and crystal.
        models: Name and predictor of each model.
        config: Noise put on the predicted structures, which have neither a crystal nor a resolution.
        bootstrap: How intervals are made, over predicted structures.
        progress: Called after each file.

    Raises:
        ConfigError: no match.
    """
    if not matches:
        raise ConfigError(
            str(folder), "no predicted structure is matched", "Give a table of matches"
        )
    config = config or EvaluationConfig()
    by_file: dict[str, list[StructureMatch]] = {}
    for match in matches:
        by_file.setdefault(match.file, []).append(match)
    nothing = _Score(0.0, 0, [np.nan] * (len(models) + 2))
    place = locate_entries(store)
    scored: list[tuple[StructureMatch, _Score]] = []
    failures: list[EntryFailure] = []
    for done, (name, mine) in enumerate(by_file.items(), start=1):
        try:
            structure = _read(folder / name)
            columns, failed = _columns(structure, models, config)
            failures += failed
        except DebyeError as error:
            failures.append(EntryFailure("all", "", name, str(error)))
            scored += [(match, nothing) for match in mine]
        else:
            for match in mine:
                try:
                    crystal, true = _crystal(store, place, match)
                    score = _score(structure, columns, match, crystal, true)
                except DebyeError as error:
                    where = f"{name} against {match.entry}"
                    failures.append(EntryFailure("all", "", where, str(error)))
                    score = nothing
                scored.append((match, score))
        if progress:
            progress(done, len(by_file))
    names = [(name, "off") for name, _ in models] + [(CONFIDENCE, ""), (PHENIX, "")]
    return _correlations(scored, names, bootstrap or BootstrapConfig()), failures


@dataclass(frozen=True, slots=True)
class _Score:
    """One match: how well the chains agree, and the r of every predictor."""

    identity: float
    atoms: int
    pearson: list[float]


def _read(path: Path) -> Structure:
    if not path.is_file():
        raise StructureError(
            str(path), "no such file", "Correct the folder or the table of matches"
        )
    # Noise follows the file's name.
    return replace(read_structure(path), source=path.name)


def _columns(
    structure: Structure, models: Sequence[tuple[str, Predictor]], config: EvaluationConfig
) -> tuple[list[NDArray[np.float64]], list[EntryFailure]]:
    """Return the values of every predictor for each atom of the file, NaN if it has none."""
    columns, failures = values_of_coordinates(structure, models, config)
    plddt = structure.b_iso.astype(np.float64)
    if np.nanmax(plddt, initial=0.0) <= 1:
        plddt = 100 * plddt
    return [*columns, -plddt, phenix_b(plddt)], failures


def _crystal(
    store: Store, place: dict[str, tuple[str, int]], match: StructureMatch
) -> tuple[Structure, NDArray[np.float32]]:
    """Return a crystal and the B of its atoms, NaN where not usable."""
    if match.entry not in place:
        raise StructureError(
            match.entry, "not in the store", "Give the store that holds the crystals of the table"
        )
    where = place[match.entry]
    return store.structure(*where), true_labels(store, *where, B_FACTOR)


def _score(
    structure: Structure,
    columns: Sequence[NDArray[np.float64]],
    match: StructureMatch,
    crystal: Structure,
    true: NDArray[np.float32],
) -> _Score:
    """Correlate over the atoms of the chain of the file that fits the crystal's chain best."""
    protein = structure.entity_kind == EntityKind.PROTEIN
    chains = dict.fromkeys(structure.chain[protein].tolist())
    found = [match_chains(structure, chain, crystal, match.chain) for chain in chains]
    best = max(found, key=lambda one: one.identity * len(one), default=None)
    if best is None or not len(best):
        raise StructureError(
            match.file,
            f"no protein atom matches chain {match.chain} of {match.entry}",
            "Correct the table of matches",
        )
    true = true[best.second]
    minimum = ATOM_CLASSES[PRIMARY].minimum
    r = [pearson(column[best.first], true, minimum) for column in columns]
    return _Score(best.identity, int(np.isfinite(true).sum()), r)


def _correlations(
    scored: Sequence[tuple[StructureMatch, _Score]],
    names: Sequence[tuple[str, str]],
    bootstrap: BootstrapConfig,
) -> Correlations:
    best = np.array([match.is_best for match, _ in scored])
    every = np.ones(len(scored), bool)
    found = np.array([score.pearson for _, score in scored], np.float64)
    rows = [predictor_rows(*labels, values) for labels, values in zip(names, found.T, strict=True)]
    items = [
        {
            "file": match.file,
            "entry": match.entry,
            "chain": match.chain,
            "best_match": int(match.is_best),
            "identity": score.identity,
            "atoms": score.atoms,
        }
        for match, score in scored
    ]
    return Correlations(
        name="predicted_models",
        title="Predicted structures against crystals of the same protein",
        note=NOTE,
        items=pd.DataFrame(items),
        clusters=tuple(match.file for match, _ in scored),
        groups={"best match": best, "all matches": every} if best.any() else {"all matches": every},
        scores=pd.concat(rows, ignore_index=True),
        bootstrap=bootstrap,
    )
