"""Build a data set by a recipe, twice, and compare it with an index that was made independently.

    python scripts/compare_with_index.py DATA WORK [--recipe recipes/build/pdb.toml]

``DATA`` holds ``index.csv`` (id, split, cluster) and ``structures/``. Prints Markdown: speed and memory of a
build, whether the second gives the same bytes, agreement of the clusters, where the entries of each split went,
and which entries of the index's own training set the leakage check flags.
"""

from __future__ import annotations

import argparse
import csv
import filecmp
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from debye.dataset.curate.build_recipe import BuildRecipe, read_build_recipe
from debye.dataset.curate.candidates import Assignment, read_assignments, read_candidates
from debye.dataset.curate.clusters import chain_sequences, unique_chains
from debye.dataset.curate.leakage import Leak, find_leaks
from debye.dataset.curate.mmseqs import MMseqs2
from debye.dataset.store.build import ENTRIES
from debye.dataset.store.index import read_index
from debye.dataset.store.store import Store

ROOT = Path(__file__).parent.parent
HELD_OUT = ("val", "test", "kinase")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a build took."""

    seconds: float
    cpu_seconds: float
    largest_process: float
    """Peak memory of the largest process, GB."""


def main() -> None:
    """Build twice, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "build" / "pdb.toml")
    options = parser.parse_args()
    stores = [options.work / name for name in ("first", "second")]
    costs = [build(options.recipe, options.data / "structures", store) for store in stores]
    assigned = read_assignments(stores[0] / ENTRIES)
    with open(options.data / "index.csv", newline="", encoding="utf-8") as file:
        index = {row["id"]: row for row in csv.DictReader(file)}
    show_builds(stores, costs, len(assigned))
    show_clusters(assigned, index)
    show_splits(assigned, index)
    leaks = index_leaks(options.data, options.work, read_build_recipe(options.recipe))
    show_leaks(leaks, assigned)


def build(recipe: Path, structures: Path, store: Path) -> Cost:
    """Run ``debye data build`` as a process of its own and return what it took."""
    words = ["data", "build", "--recipe", recipe, "--structures", structures, "-o", store]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "debye", *map(str, words), "--overwrite"])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the build of {store} failed")
    return Cost(
        seconds=time.perf_counter() - start,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        largest_process=usage.ru_maxrss / 1e6,
    )


def show_builds(stores: Sequence[Path], costs: Sequence[Cost], entries: int) -> None:
    """Print speed, memory, digests and whether all files are equal."""
    for store, cost in zip(stores, costs, strict=True):
        print(
            f"- {Store.open(store).digest[:16]}: {entries} entries in {cost.seconds:.0f} s "
            f"({cost.cpu_seconds:.0f} s of CPU), {entries / cost.seconds:.1f} entries/s "
            f"({entries / cost.cpu_seconds:.1f} per CPU second), {cost.largest_process:.2f} GB"
        )
    files = sorted(path.relative_to(stores[0]) for path in stores[0].rglob("*") if path.is_file())
    other = sorted(path.relative_to(stores[1]) for path in stores[1].rglob("*") if path.is_file())
    _, differ, failed = filecmp.cmpfiles(*stores, map(str, files), shallow=False)
    same = files == other and not differ and not failed
    print(f"- {len(files)} files, {'all equal' if same else f'different: {differ + failed}'}\n")


def show_clusters(assigned: Sequence[Assignment], index: dict[str, dict[str, str]]) -> None:
    """Print how far own clusters (of the longest chain) agree with those of the index."""
    both = [d for d in assigned if d.cluster and index.get(d.id, {}).get("cluster")]
    own, given = [d.cluster for d in both], [index[d.id]["cluster"] for d in both]
    together = pairs(Counter(zip(own, given, strict=True)).values())
    in_own, in_given = pairs(Counter(own).values()), pairs(Counter(given).values())
    expected = in_own * in_given / pairs([len(both)])
    rand = (together - expected) / ((in_own + in_given) / 2 - expected)
    print(f"- {len(both)} entries: {len(set(own))} clusters, the index has {len(set(given))}")
    print(f"- adjusted Rand index {rand:.3f}")
    print(
        f"- pairs of entries in one cluster: {together} in both, {in_own - together} only here, "
        f"{in_given - together} only in the index\n"
    )


def pairs(sizes: Iterable[int]) -> float:
    """Return how many pairs there are within sets of given sizes."""
    counts = np.array(list(sizes), float)
    return float((counts * (counts - 1) / 2).sum())


def show_splits(assigned: Sequence[Assignment], index: dict[str, dict[str, str]]) -> None:
    """Print, for each split of the index, where its entries went."""
    table: dict[str, Counter[str]] = {}
    for item in assigned:
        given = index.get(item.id, {}).get("split", "not in the index")
        table.setdefault(given, Counter())[item.split or f"none: {item.reason}"] += 1
    for given in sorted(table):
        went = ", ".join(f"{count} {place}" for place, count in table[given].most_common())
        print(f"- {given}: {went}")
    for item in assigned:
        given = index.get(item.id, {}).get("split", "")
        if (item.split == "kinase") != (given == "kinase"):
            print(f"  - {item.id}: {given} → {item.split or item.reason}; {item.detail}")
    print()


def index_leaks(data: Path, work: Path, recipe: BuildRecipe) -> list[Leak]:
    """Check the training set of the index against its held-out splits."""
    rows = sorted(read_index(data / "index.csv"), key=lambda row: row.id)
    candidates, _ = read_candidates(rows, data / "structures", recipe.ligands, work / "scan")
    chains = unique_chains({item.id: chain_sequences(item, recipe.clusters) for item in candidates})
    split = {row.id: row.split for row in rows}
    train = sorted(name for name, where in split.items() if where == "train")
    others = {name: where for name, where in split.items() if where in HELD_OUT}
    return find_leaks(train, others, chains, recipe.leakage, MMseqs2())


def show_leaks(leaks: Sequence[Leak], assigned: Sequence[Assignment]) -> None:
    """Print what the check flags in the index, and what it took out of the own set."""
    print(f"- the check flags {len(leaks)} training entries of the index")
    for leak in leaks:
        print(f"  - {leak}, e = {leak.evalue:.1e}")
    excluded = Counter(d.reason for d in assigned if d.reason.startswith("similar to an entry of"))
    print(f"- excluded from the own training set: {dict(excluded)}")


if __name__ == "__main__":
    main()
