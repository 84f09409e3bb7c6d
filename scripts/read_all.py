"""Read every structure file under a folder as far as a graph needs it, and report what fails.

Reads, selects, finds bonds and symmetry mates, and judges the B column; prints totals of each.

Usage: ``python scripts/read_all.py FOLDER [--processes N]``. Exits with 1 if any file fails.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from debye.errors import DebyeError, StructureError
from debye.structure.bonds import BondOrder, find_bonds
from debye.structure.crystal import crystal_problem, symmetry_mates
from debye.structure.read import read_structure
from debye.structure.select import Selection, select_atoms
from debye.structure.structure import EntityKind, Structure
from debye.targets.b_factor import assess_b

SUFFIXES = (".cif", ".bcif", ".pdb", ".ent")
MATE_RADIUS = 5.0  # Å


@dataclass(frozen=True)
class Outcome:
    """Result of reading one file."""

    path: Path
    problem: str = ""
    atoms: int = 0
    selected: int = 0
    counts: Counter[str] | None = None


def structure_files(folder: Path) -> list[Path]:
    """Return the structure files under a folder, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name.removesuffix(".gz").endswith(SUFFIXES)
    )


def read_one(path: Path) -> Outcome:
    """Read, select and check one file; errors become text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            structure = read_structure(path)
            chosen, selection = select_atoms(structure)
            found = bond_counts(chosen) + crystal_counts(chosen) + b_counts(chosen)
    except DebyeError as error:
        return Outcome(path, str(error))
    except Exception as error:  # a defect of the reader: reported, and the run continues
        return Outcome(path, f"{path}: UNEXPECTED {type(error).__name__}: {error}")
    if len(chosen) + selection.total != len(structure):
        return Outcome(
            path, f"{path}: {len(structure)} atoms, but {len(chosen)} + {selection.total}"
        )
    if not len(chosen):
        return Outcome(path, f"{path}: no atom is left after the selection")
    kinds = np.bincount(chosen.entity_kind, minlength=len(EntityKind))
    counts = found + Counter({kind.name.lower(): int(kinds[kind]) for kind in EntityKind})
    counts.update({item.name: getattr(selection, item.name) for item in fields(Selection)})
    counts["links"] = len(chosen.links)
    counts["crystals"] = int(chosen.crystal is not None)
    counts["predicted"] = int(chosen.entry.is_predicted)
    return Outcome(path, "", len(structure), len(chosen), counts)


def bond_counts(structure: Structure) -> Counter[str]:
    """Count the bonds of each order."""
    order = np.bincount(find_bonds(structure).order, minlength=len(BondOrder))
    return Counter({f"bonds: {each.name.lower()}": int(order[each]) for each in BondOrder})


def crystal_counts(structure: Structure) -> Counter[str]:
    """Count symmetry mates, or the reasons for having none."""
    problem = crystal_problem(structure.crystal, len(structure))
    if problem is None:
        try:
            return Counter({"mates": len(symmetry_mates(structure, MATE_RADIUS))})
        except StructureError as error:
            problem = error.problem
    return Counter({f"no mates: {without_values(problem)}": 1})


def b_counts(structure: Structure) -> Counter[str]:
    """Count atoms with a usable B, refused entries and chains by reason, and masked atoms by reason."""
    quality = assess_b(structure)
    counts = Counter({"B: usable atoms": int(quality.usable.sum())})
    counts.update(f"B, entries: {reason}" for reason in quality.reasons)
    counts.update(f"B, chains: {reason}" for chain in quality.chains for reason in chain.reasons)
    counts.update({f"B, atoms: {reason}": atoms for reason, atoms in quality.masked.items()})
    return counts


def without_values(problem: str) -> str:
    """Remove values that differ between entries, so that reasons can be counted.

    Example:
        >>> without_values("the cell 1 × 1 × 1 Å, 90° 90° 90° is a placeholder")
        'the cell … is a placeholder'
    """
    text = re.sub(r"[\d.e+-]+( × [\d.e+-]+){2} Å,( [\d.e+-]+°){3}", "…", problem)
    return re.sub(r"'[^']*'|\b\d[\d.]*\b", "…", text)


def main() -> int:
    """Read all files and print failures and totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    paths = structure_files(arguments.folder)
    if not paths:
        print(f"no file with a suffix of {', '.join(SUFFIXES)} under {arguments.folder}")
        return 1
    start = time.perf_counter()
    totals: Counter[str] = Counter()
    failures = 0
    with ProcessPoolExecutor(arguments.processes) as pool:
        for outcome in pool.map(read_one, paths, chunksize=16):
            if outcome.problem:
                failures += 1
                print(outcome.problem)
                continue
            totals.update(outcome.counts or {})
            totals.update({"atoms": outcome.atoms, "selected": outcome.selected})
    seconds = time.perf_counter() - start
    for name, count in totals.items():
        print(f"{count:>14,}  {name}")
    print(f"{len(paths) - failures} of {len(paths)} files read in {seconds:.0f} s")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
