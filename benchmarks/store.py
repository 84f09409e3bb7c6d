"""Speed of building and reading the data store and the graph cache.

    python benchmarks/store.py STORE [--split train] [--entries 200]

Prints, for the first entries of a split: structures read from the store, graphs built anew, graphs read
from the cache (with and without the crystal), and batches with targets; each in ms per entry and atoms
per second. The limit of reading is a copy of the cached bytes, which is printed last.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from debye.dataset.batches.graph_cache import GraphBuilder, open_graph_cache
from debye.dataset.batches.loader import LoaderConfig, make_loader
from debye.dataset.store.store import Store
from debye.graph.config import GraphConfig
from debye.targets.target import find_target


def report(name: str, entries: int, atoms: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print(f"{name:34s} {1000 * seconds / entries:8.2f} ms/entry {atoms / seconds:14,.0f} atoms/s")
    return seconds


def main(store_path: Path, split: str, entries: int, folder: Path | None) -> None:
    torch.set_num_threads(1)
    store = Store.open(store_path)
    found = store.entries(split)
    count = min(entries, len(found))
    rows = range(count)
    atoms = sum(entry.n_atoms for entry in found[:count])
    config = GraphConfig()
    builder = GraphBuilder(store, split, config)
    report("structure from store", count, atoms, lambda: [store.structure(split, r) for r in rows])
    report("graph built anew", count, atoms, lambda: [builder.graph(r) for r in rows])
    with tempfile.TemporaryDirectory() as temporary:
        cache = open_graph_cache(store, split, config, folder=folder or Path(temporary), workers=2)
        size = sum(path.stat().st_size for path in cache.path.glob("*.npy"))
        edges = sum(cache.graph(r).n_edges for r in rows)
        print(f"cache: {size / 2**20:,.0f} MiB; {edges / atoms:.1f} edges an atom")
        report("graph from cache", count, atoms, lambda: [cache.graph(r) for r in rows])
        report(
            "graph from cache, crystal hidden",
            count,
            atoms,
            lambda: [cache.graph(r).without_crystal() for r in rows],
        )
        loader = make_loader(
            store, split, find_target("b_factor"), cache, LoaderConfig(hide_crystal=0.4)
        )
        everything = sum(entry.n_atoms for entry in found)
        report("batches with targets, whole split", len(found), everything, lambda: list_of(loader))
        vectors = np.array(np.load(cache.path / "vector.npy", mmap_mode="r"))
        report("limit: copy of all edge vectors", len(found), everything, vectors.copy)


def list_of(loader: object) -> int:
    return sum(batch.graph.n_structures for batch in loader)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--cache", type=Path, help="Folder that keeps the cache.")
    options = parser.parse_args()
    main(options.store, options.split, options.entries, options.cache)
