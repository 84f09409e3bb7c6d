"""Predicted structures against crystals of the same protein: predictions without any experiment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
from debye.scores.metrics import pearson
from debye.scores.strata import ATOM_CLASSES, PRIMARY
from debye.scores.summary import Correlations, predictor_rows
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


@dataclass(frozen=True, slots=True)
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
    """Return the table of matches in a folder of predicted structures, or raise a :class:`ConfigError`."""
    path = folder / USUAL_MATCHES
    if not path.is_file():
        problem = f"has no {USUAL_MATCHES}, the table of predicted structures and crystals"
        remedy = f"Give a CSV file with {', '.join(COLUMNS)} by --map"
        raise ConfigError(str(folder), problem, remedy)
    return path


def read_matches(path: Path) -> list[StructureMatch]:
    """Read a table of matches; columns other than :data:`COLUMNS` are ignored.

    Raises:
        ConfigError: the file cannot be read, lacks a column or has no row.
    """
    rows = read_table(path, [name for name in COLUMNS if name != "crystal_id"])
    crystal = OLDER_COLUMN if OLDER_COLUMN in rows[0] else "crystal_id"
    names = (COLUMNS[0], crystal, *COLUMNS[2:])
    found = [[row[name] for name in names] for row in read_table(path, names)]
    return [StructureMatch(*row[:3], is_best=row[3] == "1") for row in found]


def describe_matches(store: Store, folder: Path, table: Path) -> dict[str, str | int]:
    """Check that the files and entries of a table of matches exist; return counts and a digest of it."""
    matches = read_matches(table)
    place = locate_entries(store)
    files = [match.file for match in matches if not (folder / match.file).is_file()]
    entries = [match.entry for match in matches if match.entry not in place]
    for missing, where in ((files, str(folder)), (entries, "the store")):
        if missing:
            names = list(dict.fromkeys(missing))
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            problem = f"names {names[0]}{more}, not in {where}"
            remedy = "Give a table of files and crystals that are there"
            raise ConfigError(str(table), problem, remedy)
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
    missing = [name for name in BASELINES if name not in dict(models)]
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
        matches: Pairs of file and crystal; without any, a :class:`ConfigError` is raised.
        config: Noise put on the predicted structures, which have neither a crystal nor a resolution.
    """
    if not matches:
        raise ConfigError(
            str(folder), "no predicted structure is matched", "Give a table of matches"
        )
    config = config or EvaluationConfig()
    by_file: dict[str, list[StructureMatch]] = {}
    for match in matches:
        by_file.setdefault(match.file, []).append(match)
    place = locate_entries(store)
    items: list[Mapping[str, object]] = []
    found: list[list[float]] = []
    failures: list[EntryFailure] = []
    for done, (name, mine) in enumerate(by_file.items(), start=1):
        try:
            read = _read(folder / name)
            columns, failed = _columns(read, models, config)
            failures += failed
        except DebyeError as error:
            read, columns = None, []
            failures.append(EntryFailure("all", "", name, str(error)))
        for match in mine:
            identity, atoms, r = 0.0, 0, [np.nan] * (len(models) + 2)
            try:
                if read is not None:
                    identity, atoms, r = _score(read, columns, match, store, place)
            except DebyeError as error:
                failures.append(
                    EntryFailure("all", "", f"{name} against {match.entry}", str(error))
                )
            facts = {"file": name, "entry": match.entry, "chain": match.chain}
            facts |= {"best_match": int(match.is_best), "identity": identity, "atoms": atoms}
            items.append(facts)
            found.append(r)
        if progress:
            progress(done, len(by_file))
    table = pd.DataFrame(items)
    best, every = (table["best_match"] == 1).to_numpy(), np.ones(len(table), bool)
    names = [(name, "off") for name, _ in models] + [(CONFIDENCE, ""), (PHENIX, "")]
    rows = [predictor_rows(*name, r) for name, r in zip(names, np.array(found).T, strict=True)]
    correlations = Correlations(
        name="predicted_models",
        title="Predicted structures against crystals of the same protein",
        note=NOTE,
        items=table,
        clusters=tuple(table["file"]),
        groups=({"best match": best} if best.any() else {}) | {"all matches": every},
        scores=pd.concat(rows, ignore_index=True),
        bootstrap=bootstrap or BootstrapConfig(),
    )
    return correlations, failures


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


def _score(
    structure: Structure,
    columns: Sequence[NDArray[np.float64]],
    match: StructureMatch,
    store: Store,
    place: dict[str, tuple[str, int]],
) -> tuple[float, int, list[float]]:
    """Return identity, atoms and the r of every predictor, over the chain of the file that fits best."""
    if match.entry not in place:
        raise StructureError(
            match.entry, "not in the store", "Give the store that holds the crystals of the table"
        )
    where = place[match.entry]
    crystal, true = store.structure(*where), true_labels(store, *where, B_FACTOR)
    protein = structure.entity_kind == EntityKind.PROTEIN
    chains = dict.fromkeys(structure.chain[protein].tolist())
    found = [match_chains(structure, chain, crystal, match.chain) for chain in chains]
    best = max(found, key=lambda one: one.identity * len(one), default=None)
    if best is None or not len(best):
        problem = f"no protein atom matches chain {match.chain} of {match.entry}"
        raise StructureError(match.file, problem, "Correct the table of matches")
    true = true[best.second]
    minimum = ATOM_CLASSES[PRIMARY].minimum
    r = [pearson(column[best.first], true, minimum) for column in columns]
    return best.identity, int(np.isfinite(true).sum()), r
