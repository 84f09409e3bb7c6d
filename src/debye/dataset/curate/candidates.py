"""Candidates: the facts that the rules need, the filter, and the table of what became of each entry."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from debye.dataset.curate.build_recipe import BuildRecipe
from debye.dataset.search.folder import components_of
from debye.dataset.search.ligands import LigandRules, ligand_state
from debye.dataset.store.index import IndexRow, find_file
from debye.dataset.store.resumable_map import (
    Arrays,
    Failure,
    Progress,
    attempt_each,
    pack_records,
    run_parts,
    unpack_records,
)
from debye.errors import StructureError
from debye.files import write_csv
from debye.structure.select import select_atoms
from debye.structure.sequences import observed_sequences, read_annotated
from debye.structure.structure import EntityKind, Structure
from debye.targets.b_factor import assess_b

PART_ENTRIES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Facts of one entry: heavy atoms of one conformer; Å, Å²."""

    id: str
    title: str
    keywords: str
    resolution: float | None
    """From the file, else from the index."""
    has_header: bool
    """Whether the file has a title and an experimental method."""
    has_crystal: bool
    """Whether the file has a crystal, and the index does not exclude it."""
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
    """Of protein residues of four atoms or more, those with one B-factor."""
    b_reasons: tuple[str, ...]
    """Why the B column cannot be a target."""
    state: str
    """``apo`` or ``holo``."""
    deposited: dict[str, str]
    """Sequence of each protein chain, as the file declares it."""
    observed: dict[str, str]
    """Sequence of each protein chain, of the residues with atoms."""


def read_candidates(
    rows: Sequence[IndexRow],
    structures: Path,
    rules: LigandRules,
    folder: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> tuple[list[Candidate], list[Failure]]:
    """Read every file once; return the facts, and which files could not be read.

    Args:
        rows: Entries of the index.
        structures: Folder of the files.
        rules: What makes an entry holo.
        folder: Where finished parts are kept until the build is done.
        workers: Processes.
        progress: Called with the number of entries that are done.
    """
    chunks = [rows[start : start + PART_ENTRIES] for start in range(0, len(rows), PART_ENTRIES)]
    parts = run_parts(
        candidates_part,
        [(chunk, structures, rules) for chunk in chunks],
        [len(chunk) for chunk in chunks],
        folder,
        workers=workers,
        progress=progress,
    )
    candidates = [
        Candidate(**record | {"b_reasons": tuple(record["b_reasons"])})
        for part in parts
        for record in unpack_records(part, "candidates")
    ]
    return candidates, [record for part in parts for record in unpack_records(part, "failures")]


def candidates_part(rows: Sequence[IndexRow], structures: Path, rules: LigandRules) -> Arrays:
    """Return the facts of some entries, as JSON in arrays of bytes."""
    found, failures = attempt_each(
        lambda row: read_candidate(row, find_file(structures, row.id), rules), rows
    )
    return {
        "candidates": pack_records([asdict(entry) for entry in found]),
        "failures": pack_records(failures),
    }


def read_candidate(row: IndexRow, path: Path, rules: LigandRules) -> Candidate:
    """Read one entry."""
    everything, annotation = read_annotated(path)
    structure, _ = select_atoms(everything)
    if len(structure) == 0:
        raise StructureError(row.id, "no atoms are left after the selection", "Leave the entry out")
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


def refusals(entry: Candidate, recipe: BuildRecipe) -> list[tuple[str, str]]:
    """Return why an entry may not be in any split: each reason, and the value behind it.

    Its B-factors are judged only if the recipe's target is a B-factor.
    """
    at, found = recipe.filter, []

    def check(is_outside: bool, reason: str, value: object = "") -> None:
        if is_outside:
            found.append((reason, str(value)))

    resolution, residues, atoms = entry.resolution, entry.n_protein_residues, entry.n_atoms
    check(resolution is None and not at.unknown_resolution, "resolution not stated")
    worst, most = at.largest_resolution, at.most_atoms
    check(
        (resolution or 0) > (worst or np.inf), f"resolution worse than {worst} Å", f"{resolution} Å"
    )
    fewest = at.fewest_protein_residues
    check(residues < fewest, f"fewer than {fewest} protein residues", residues)
    check(atoms < at.fewest_atoms, f"fewer than {at.fewest_atoms} atoms", atoms)
    check(atoms > (most or np.inf), f"more than {most} atoms", atoms)
    check(at.one_model and entry.n_models > 1, "several models", entry.n_models)
    missing = "copies by noncrystallographic symmetry are not in the file"
    check(at.all_copies and entry.missing_copies > 0, missing, entry.missing_copies)
    if not recipe.judges_b:
        return found
    for reason in entry.b_reasons:
        check(at.usable_b, f"B: {reason}")
    share = at.largest_constant_share
    constant = f"more than {share:.0%} of the residues have one B-factor"
    check(entry.constant_share > share, constant, f"{entry.constant_share:.0%}")
    smallest = at.smallest_b_deviation
    deviation = f"standard deviation of B below {smallest} Å²"
    check(entry.b_deviation < smallest, deviation, f"{entry.b_deviation} Å²")
    zero = f"more than {at.largest_zero_share:.0%} of the atoms have B = 0"
    check(entry.zero_share > at.largest_zero_share, zero, f"{entry.zero_share:.0%}")
    low, high = at.smallest_mean_b, at.largest_mean_b
    is_outside = not low <= entry.mean_b <= high
    check(is_outside, f"mean B outside {low} to {high} Å²", f"{entry.mean_b} Å²")
    return found


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The split of one entry, or the reason why it is in none."""

    id: str
    state: str = ""
    """``apo`` or ``holo``."""
    split: str = ""
    """Empty: none."""
    representative: bool = False
    """Whether it is the best-resolved entry of its cluster in its split."""
    cluster: str = ""
    """Of its longest chain."""
    clusters: tuple[str, ...] = ()
    """Of all its chains."""
    group: str = ""
    """Entries that share clusters, directly or through others; never in two drawn splits."""
    resolution: float | None = None
    """Å."""
    n_protein_residues: int = 0
    n_atoms: int = 0
    mean_b: float = 0.0
    """Å²."""
    reason: str = ""
    """Why it is in no split; empty if it is in one."""
    detail: str = ""
    """The value behind the reason, further reasons, and the evidence for the family."""
    digest: str = ""
    """SHA-256 of its arrays and facts in the store."""
    revised: str = ""
    """Date of the last revision that was considered, if the index has a column ``revised``."""

    def with_facts(self, entry: Candidate) -> Assignment:
        """Return a copy with the facts of the entry's file."""
        return replace(
            self,
            state=entry.state,
            resolution=entry.resolution,
            n_protein_residues=entry.n_protein_residues,
            n_atoms=entry.n_atoms,
            mean_b=entry.mean_b,
        )


def count_reasons(assignments: Iterable[Assignment]) -> dict[str, int]:
    """Return how many entries are in no split, by reason, most frequent first."""
    found = Counter(item.reason for item in assignments if item.reason)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def write_assignments(assignments: Iterable[Assignment], path: Path) -> None:
    """Write a CSV file with a line an entry."""
    names = [column.name for column in fields(Assignment)]
    write_csv(path, names, ([_cell(getattr(item, name)) for name in names] for item in assignments))


def read_assignments(path: Path) -> list[Assignment]:
    """Read what :func:`write_assignments` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{name: text for name, text in row.items() if text} for row in csv.DictReader(file)]
    rows = [{**row, "clusters": row.get("clusters", "").split()} for row in rows]
    return TypeAdapter(list[Assignment]).validate_python(rows)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return " ".join(value) if isinstance(value, tuple) else value
