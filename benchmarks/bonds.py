"""Time to find the bonds of a structure, compared with Biotite's method on the same dictionary.

Usage: ``python benchmarks/bonds.py FILE…``. Must stay below 10 ms for 4,000 atoms; exits with 1 otherwise.
Biotite's time is for the bonds within residues and along the chain only.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import biotite.structure as biotite_structure

from debye.structure.bonds import find_bonds
from debye.structure.components import find_component, open_table, unpack_block
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import Structure

LIMIT = 10.0 / 4000
"""ms an atom."""


def cpu_times(repeats: int, *functions: Callable[[], object]) -> list[float]:
    """Return the shortest processor time of each function, ms; taken in turns."""
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for index, function in enumerate(functions):
            start = time.process_time()
            function()
            best[index] = min(best[index], 1e3 * (time.process_time() - start))
    return best


def to_biotite(structure: Structure) -> biotite_structure.AtomArray:
    atoms = biotite_structure.AtomArray(len(structure))
    atoms.coord = structure.position
    atoms.chain_id = structure.chain.astype("U4")
    atoms.res_id = structure.residue_index.astype(int)
    atoms.res_name = structure.residue_name.astype("U5")
    atoms.atom_name = structure.atom_name.astype("U6")
    return atoms


def main() -> int:
    """Print one line per file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    structures = [select_atoms(read_structure(path))[0] for path in arguments.files]

    open_table.cache_clear()
    find_component.cache_clear()
    unpack_block.cache_clear()
    start = time.process_time()
    table = open_table()
    print(
        f"opening the table ({len(table.row):,} components): {1e3 * (time.process_time() - start):.1f} ms"
    )
    start = time.process_time()
    unpack_block(0)
    print(f"unpacking the common components: {1e3 * (time.process_time() - start):.1f} ms")

    print(
        f"{'file':24} {'atoms':>9} {'bonds':>9} {'ours ms':>8} {'Biotite ms':>10} {'ms / 4000':>9}"
    )
    slow = 0
    for path, structure in zip(arguments.files, structures, strict=True):
        array = to_biotite(structure)
        ours, theirs = cpu_times(
            arguments.repeats,
            lambda structure=structure: find_bonds(structure),
            lambda array=array: biotite_structure.connect_via_residue_names(array),
        )
        per_atom = ours / max(len(structure), 1)
        # Small files pay a constant of about 2 ms.
        slow += per_atom > LIMIT and len(structure) >= 2000
        print(
            f"{path.name:24} {len(structure):9,} {len(find_bonds(structure)):9,} {ours:8.2f} {theirs:10.1f} "
            f"{4000 * per_atom:9.2f}"
        )
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
