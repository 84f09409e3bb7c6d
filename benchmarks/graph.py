"""Speed of building graphs, and of finding their neighbors, symmetry mates and packing.

    python benchmarks/graph.py [FOLDER] [--atoms 4000 100000] [--radius 5] [--processes 2]

Prints atoms per second of one process: for crystals of helices made here, of the given numbers of atoms,
and for the structure files of a folder. The last two columns are limits: the k-d tree's bare pair search,
and a copy of the bytes of the edges.

The last lines are whole graphs of the usual kind (bonds, edges within the radius, features of
``GraphConfig()``, symmetry mates among them) of all these entries: the atoms of all, over the time from when
the first process starts to build until the last one is done. Each entry is built by one process, on one
thread; reading is not counted. Exits with 1 below :data:`LIMIT` atoms a second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.neighbors import (
    nearest_neighbors,
    packing,
    radius_neighbors,
    weighted_contact_number,
)
from debye.structure.crystal import Mates, crystal_problem, symmetry_mates
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import Crystal, Structure
from debye.testing.peptide import build_peptide, combine, moved

LIMIT = 100_000
"""Atoms per second of all processes together."""
COLUMNS = ("mates", "edges", "both", "nearest 24", "wcn", "packing", "bare pairs", "copy")


def helix_crystal(atoms: int) -> Structure:
    """Parallel helices, packed as in a protein, in the smallest cell of P 1 21 1 that contains them."""
    helix = build_peptide("AEELLKKAVELIKRALEENA")
    centered = helix.position - helix.position.mean(axis=0)
    axes = np.linalg.svd(centered, full_matrices=False)[2]
    helix = replace(helix, position=(centered @ axes[[1, 2, 0]].T).astype(np.float32))
    width, height = 9.5, float(np.ptp(helix.position[:, 2])) + 3.0
    side = max(1, round((atoms / len(helix) * height / width) ** (1 / 3)))
    layers = max(1, round(atoms / len(helix) / side**2))
    copies = [
        moved(helix, np.eye(3), np.array([x * width, y * width, z * height]))
        for x in range(side)
        for y in range(side)
        for z in range(layers)
    ]
    whole = combine(copies)
    cell = (2 * side * width, side * width + 4, layers * height + 4, 90.0, 90.0, 90.0)
    position = whole.position + np.float32([width / 2, 0, height / 2])
    crystal = Crystal(cell=cell, space_group="P 1 21 1")
    return replace(whole, position=position, crystal=crystal, source=f"{len(whole):,} made")


def files(folder: Path) -> Iterator[Structure]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            structure, _ = select_atoms(read_structure(path))
            yield replace(structure, source=path.name)


def seconds(work: Callable[[], object], repeats: int) -> float:
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def measure(structure: Structure, radius: float) -> list[float]:
    """Return the seconds of each column."""
    position = structure.position
    repeats = 5 if len(structure) < 50_000 else 1
    usable = crystal_problem(structure.crystal, len(structure)) is None

    def mates_within(reach: float) -> Mates:
        return symmetry_mates(structure, reach) if usable else Mates()

    mates, wide = mates_within(radius), mates_within(12.0)
    edges = radius_neighbors(position, mates, radius)
    copied = [edges.sender, edges.receiver, edges.vector, edges.is_mate]
    work = (
        lambda: mates_within(radius),
        lambda: radius_neighbors(position, mates, radius),
        lambda: radius_neighbors(position, mates_within(radius), radius),
        lambda: nearest_neighbors(position, wide, 24),
        lambda: weighted_contact_number(structure, wide),
        lambda: packing(position, wide, [5.0, 7.0, 10.0, 12.0]),
        lambda: cKDTree(position).query_pairs(radius, output_type="ndarray"),
        lambda: [array.copy() for array in copied],
    )
    return [seconds(each, repeats) for each in work]


def build_all(structures: Sequence[Structure], radius: float) -> tuple[float, float, int]:
    """Build the graph of each structure; return start and end (s since the epoch), and mate edges."""
    torch.set_num_threads(1)
    config = GraphConfig(radius=radius)
    start, mates = time.time(), 0
    for structure in structures:
        mates += int(build_graph(structure, config).edge_mate.sum())
    return start, time.time(), mates


def graph_rate(structures: Sequence[Structure], radius: float, processes: int) -> float:
    """Return the atoms per second at which processes build the graphs of all structures."""
    lots = deal(structures, processes)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(lots), context) as pool:
        # A small first round loads all imports, so that all processes start together.
        small = min(structures, key=len)
        list(pool.map(build_all, [[small]] * len(lots), [radius] * len(lots)))
        runs = list(pool.map(build_all, lots, [radius] * len(lots)))
    spent = max(end for _, end, _ in runs) - min(start for start, _, _ in runs)
    atoms = sum(map(len, structures))
    rate = atoms / spent
    print(
        f"graphs: {atoms:,} atoms of {len(structures)} entries in {spent:.2f} s, "
        f"{sum(mates for _, _, mates in runs):,} edges from mates, {len(lots)} processes: "
        f"{rate:,.0f} atoms/s (limit: at least {LIMIT:,})"
    )
    return rate


def deal(structures: Sequence[Structure], processes: int) -> list[list[Structure]]:
    """Deal structures, the largest first, each to the lot with the fewest atoms."""
    lots: list[list[Structure]] = [[] for _ in range(min(processes, len(structures)))]
    for structure in sorted(structures, key=len, reverse=True):
        min(lots, key=lambda lot: sum(map(len, lot))).append(structure)
    return lots


def main(folder: Path | None, atoms: list[int], radius: float, processes: int) -> int:
    print(f"{'structure':>20s} {'atoms':>9s}" + "".join(f"{name:>12s}" for name in COLUMNS))
    total, count = np.zeros(len(COLUMNS)), 0
    structures = [*(helix_crystal(number) for number in atoms), *(files(folder) if folder else ())]
    for structure in structures:
        spent = np.array(measure(structure, radius))
        total, count = total + spent, count + len(structure)
        speeds = "".join(f"{len(structure) / each:12,.0f}" for each in spent)
        print(f"{structure.source[-20:]:>20s} {len(structure):9,d}{speeds}")
    print(
        f"{'all, atoms/s':>20s} {count:9,d}" + "".join(f"{count / each:12,.0f}" for each in total)
    )
    return int(graph_rate(structures, radius, processes) < LIMIT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "folder", nargs="?", type=Path, help="structure files, searched recursively"
    )
    parser.add_argument("--atoms", type=int, nargs="*", default=[4_000, 40_000])
    parser.add_argument("--radius", type=float, default=5.0, help="Å")
    parser.add_argument("--processes", type=int, default=2, help="that build graphs")
    arguments = parser.parse_args()
    sys.exit(main(arguments.folder, arguments.atoms, arguments.radius, arguments.processes))
