"""What is known of every candidate before anything is decided, and the quality filter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from debye.dataset.curate.build_recipe import FilterConfig
from debye.dataset.search.folder import components_of
from debye.dataset.search.ligands import LigandRules, ligand_state
from debye.dataset.store.index import IndexRow, find_file
from debye.dataset.store.parts import Arrays, Progress, run_parts
from debye.errors import StructureError
from debye.structure.select import select_atoms
from debye.structure.sequences import observed_sequences, read_annotated
from debye.structure.structure import EntityKind, Structure
from debye.targets.b_factor import assess_b

PART_ENTRIES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One entry that could be in the set: heavy atoms of one conformer, Å, Å²."""

    id: str
    title: str
    keywords: str
    resolution: float | None
    """From the file, else from the index."""
    has_header: bool
    """The file names the experiment."""
    has_crystal: bool
    """The file has one, and the index does not say that it is not to be used."""
    n_models: int
    missing_copies: int
    """Operators of noncrystallographic symmetry whose copies are not in the file."""
    n_atoms: int
    n_protein_residues: int
    mean_b: float
    b_deviation: float
    zero_share: float
    """Of atoms with B = 0."""
    constant_share: float
    """Of protein residues of four atoms or more with one B-factor."""
    b_reasons: tuple[str, ...]
    """Why the B column is no target."""
    state: str
    """``apo`` or ``holo``."""
    deposited: dict[str, str]
    """Sequence of each protein chain, as the file declares it."""
    observed: dict[str, str]
    """The same, of the residues with atoms."""


def scan(
    rows: Sequence[IndexRow],
    structures: Path,
    rules: LigandRules,
    folder: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> tuple[list[Candidate], list[dict[str, str]]]:
    """Read every file once; return what it holds, and which could not be read (id, split, reason).

    Args:
        rows: Entries of the index.
        structures: Folder of the files.
        rules: What makes an entry holo.
        folder: Where finished parts are kept until the build is done.
        workers: Processes.
        progress: Told how many entries are done.
    """
    chunks = [rows[start : start + PART_ENTRIES] for start in range(0, len(rows), PART_ENTRIES)]
    parts = run_parts(
        scan_part,
        [(chunk, structures, rules) for chunk in chunks],
        [len(chunk) for chunk in chunks],
        folder,
        workers=workers,
        progress=progress,
    )
    candidates, failures = [], []
    for part in parts:
        with np.load(part) as arrays:
            content = json.loads(arrays["scan"].tobytes().decode())
        candidates += [
            Candidate(**record | {"b_reasons": tuple(record["b_reasons"])})
            for record in content["candidates"]
        ]
        failures += content["failures"]
    return candidates, failures


def scan_part(rows: Sequence[IndexRow], structures: Path, rules: LigandRules) -> Arrays:
    """Return what some entries hold, as JSON in an array of bytes."""
    candidates, failures = [], []
    for row in rows:
        try:
            candidates.append(asdict(candidate(row, find_file(structures, row.id), rules)))
        # One odd file must not end a build of thousands: whatever it raised is recorded by name.
        except Exception as error:
            reason = str(error) if isinstance(error, StructureError) else repr(error)
            failures.append({"id": row.id, "split": row.split, "reason": reason})
    content = json.dumps({"candidates": candidates, "failures": failures})
    return {"scan": np.frombuffer(content.encode(), np.uint8)}


def candidate(row: IndexRow, path: Path, rules: LigandRules) -> Candidate:
    """Read one entry."""
    everything, annotation = read_annotated(path)
    structure, _ = select_atoms(everything)
    if len(structure) == 0:
        raise StructureError(
            row.id, problem="no atoms are left after the selection", remedy="Leave the entry out"
        )
    facts = structure.entry
    stated = row.columns.get("resolution", "")
    b = structure.b_iso[np.isfinite(structure.b_iso)].astype(np.float64)
    protein = structure.entity_kind == EntityKind.PROTEIN
    crystal = structure.crystal
    return Candidate(
        id=row.id,
        title=facts.title,
        keywords=annotation.keywords,
        resolution=facts.resolution if facts.resolution or not stated else float(stated),
        has_header=bool(facts.method and facts.title),
        has_crystal=crystal is not None and not row.says_no("has_crystal"),
        n_models=len(np.unique(everything.model)),
        missing_copies=0 if crystal is None else len(crystal.ncs_operators),
        n_atoms=len(structure),
        n_protein_residues=len(np.unique(structure.residue_index[protein])),
        mean_b=round(float(b.mean()), 3) if b.size else 0.0,
        b_deviation=round(float(b.std()), 3) if b.size else 0.0,
        zero_share=float((b == 0).mean()) if b.size else 1.0,
        constant_share=_constant_share(structure),
        b_reasons=tuple(str(reason) for reason in assess_b(structure).reasons),
        state=_state(row, structure, rules),
        deposited=annotation.sequences,
        observed=observed_sequences(structure),
    )


def refusals(entry: Candidate, limits: FilterConfig) -> list[tuple[str, str]]:
    """Return why an entry may not be in the set: each reason, and the value that it is about."""
    resolution = entry.resolution
    rules = (
        (
            resolution is None and not limits.unknown_resolution,
            "resolution not stated",
            "",
        ),
        (
            _above(resolution, limits.largest_resolution),
            f"resolution worse than {limits.largest_resolution} Å",
            f"{resolution} Å",
        ),
        (
            entry.n_protein_residues < limits.fewest_protein_residues,
            f"fewer than {limits.fewest_protein_residues} protein residues",
            str(entry.n_protein_residues),
        ),
        (
            entry.n_atoms < limits.fewest_atoms,
            f"fewer than {limits.fewest_atoms} atoms",
            str(entry.n_atoms),
        ),
        (
            _above(entry.n_atoms, limits.most_atoms),
            f"more than {limits.most_atoms} atoms",
            str(entry.n_atoms),
        ),
        (limits.one_model and entry.n_models > 1, "several models", str(entry.n_models)),
        (
            limits.all_copies and entry.missing_copies > 0,
            "copies by noncrystallographic symmetry are not in the file",
            str(entry.missing_copies),
        ),
        *((limits.usable_b, f"B: {reason}", "") for reason in entry.b_reasons),
        (
            entry.constant_share > limits.largest_constant_share,
            f"more than {limits.largest_constant_share:.0%} of the residues have one B-factor",
            f"{entry.constant_share:.0%}",
        ),
        (
            entry.b_deviation < limits.smallest_b_deviation,
            f"standard deviation of B below {limits.smallest_b_deviation} Å²",
            f"{entry.b_deviation} Å²",
        ),
        (
            entry.zero_share > limits.largest_zero_share,
            f"more than {limits.largest_zero_share:.0%} of the atoms have B = 0",
            f"{entry.zero_share:.0%}",
        ),
        (
            not limits.smallest_mean_b <= entry.mean_b <= limits.largest_mean_b,
            f"mean B outside {limits.smallest_mean_b} to {limits.largest_mean_b} Å²",
            f"{entry.mean_b} Å²",
        ),
    )
    return [(reason, value) for holds, reason, value in rules if holds]


def _above(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def _state(row: IndexRow, structure: Structure, rules: LigandRules) -> str:
    if row.columns.get("state"):
        return row.columns["state"]
    if row.columns.get("holo"):
        return "apo" if row.says_no("holo") else "holo"
    return ligand_state(components_of(structure), rules).state


def _constant_share(structure: Structure) -> float:
    protein = structure.entity_kind == EntityKind.PROTEIN
    if not protein.any():
        return 0.0
    _, residue = np.unique(structure.residue_index[protein], return_inverse=True)
    b = structure.b_iso[protein]
    lowest = np.full(residue.max() + 1, np.inf)
    highest = np.full(residue.max() + 1, -np.inf)
    np.minimum.at(lowest, residue, b)
    np.maximum.at(highest, residue, b)
    large = np.bincount(residue) >= 4
    return round(float((lowest == highest)[large].mean()), 4) if large.any() else 0.0
