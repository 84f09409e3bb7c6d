"""Read and select every structure file under a folder, and report what fails.

Usage: ``python scripts/read_all.py FOLDER [--processes N]``. Exits with 1 if any file fails.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from debye.errors import DebyeError
from debye.structure.read import read_structure
from debye.structure.select import Selection, select_atoms
from debye.structure.structure import EntityKind

SUFFIXES = (".cif", ".bcif", ".pdb", ".ent")


@dataclass(frozen=True)
class Outcome:
    """What came of one file."""

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
    except DebyeError as error:
        return Outcome(path, str(error))
    except (
        Exception
    ) as error:  # a defect of the reader: the run goes on, and it is reported as such
        return Outcome(path, f"{path}: UNEXPECTED {type(error).__name__}: {error}")
    if len(chosen) + selection.total != len(structure):
        return Outcome(
            path, f"{path}: {len(structure)} atoms, but {len(chosen)} + {selection.total}"
        )
    if not len(chosen):
        return Outcome(path, f"{path}: no atom is left after the selection")
    kinds = np.bincount(chosen.entity_kind, minlength=len(EntityKind))
    counts = Counter({kind.name.lower(): int(kinds[kind]) for kind in EntityKind})
    counts.update({item.name: getattr(selection, item.name) for item in fields(Selection)})
    counts["links"] = len(chosen.links)
    counts["crystals"] = int(chosen.crystal is not None)
    counts["predicted"] = int(chosen.entry.is_predicted)
    return Outcome(path, "", len(structure), len(chosen), counts)


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
        print(f"{name:>20} {count:>12,}")
    print(f"{len(paths) - failures} of {len(paths)} files read in {seconds:.0f} s")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
