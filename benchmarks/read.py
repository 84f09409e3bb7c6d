"""Time to read a file, relative to gemmi alone.

Usage: ``python benchmarks/read.py FILE…``. Text formats must take at most 1.25 times gemmi's time; exits with 1
otherwise. For files with duplicate tags, which gemmi refuses, its own two steps without the check are timed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gemmi

from debye.structure.read import file_format, read_structure, uncompressed
from debye.structure.select import select_atoms

LIMIT = 1.25


def best_times(repeats: int, *functions: Callable[[], object]) -> list[float]:
    """Return the shortest processor time of each function, s; in turns, so that load hits all alike."""
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for index, function in enumerate(functions):
            start = time.process_time()
            function()
            best[index] = min(best[index], time.process_time() - start)
    return best


def bare_gemmi(path: Path) -> Callable[[], object]:
    """Return the fastest way to read a file with gemmi alone."""
    try:
        gemmi.read_structure(str(path))
    except RuntimeError:

        def read() -> object:
            raw = uncompressed(path.read_bytes(), str(path))
            return gemmi.make_structure_from_block(gemmi.cif.read_string(raw, 0)[0])

        return read
    return lambda: gemmi.read_structure(str(path))


def main() -> int:
    """Print one line per file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    print(
        f"{'file':40} {'atoms':>8} {'ours ms':>8} {'gemmi ms':>8} {'ratio':>6} {'select ms':>9} {'atoms/s':>10}"
    )
    slow = 0
    for path in arguments.files:
        structure = read_structure(path)
        is_text = file_format(uncompressed(path.read_bytes(), ""), str(path)) != "bcif"
        gemmi_reads = bare_gemmi(path) if is_text else (lambda: None)
        ours, bare, chosen = best_times(
            arguments.repeats,
            lambda path=path: read_structure(path),
            gemmi_reads,
            lambda structure=structure: select_atoms(structure),
        )
        ratio = ours / bare if is_text else float("nan")
        slow += ratio > LIMIT
        print(
            f"{path.name[:40]:40} {len(structure):8} {ours * 1e3:8.2f} {bare * 1e3:8.2f} {ratio:6.2f} "
            f"{chosen * 1e3:9.2f} {len(structure) / ours:10,.0f}"
        )
    if slow:
        print(f"{slow} of {len(arguments.files)} files took more than {LIMIT} times bare gemmi")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
