"""Draw and check folds of the 346 Cα proteins: similar sequences are in the same fold.

    python benchmarks/calpha_folds.py DATA

writes ``calpha_346_folds.csv``. Proteins are similar if MMseqs2 aligns two of their chains with at least
30 % identity over half of either, or if two chains share a stretch: an alignment of a peptide of a dozen residues
never reaches significance.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from calpha_set import CalphaProtein, read_calpha_set, superset_ids

from debye.dataset.curate.clusters import linked_groups, unique_chains
from debye.dataset.curate.mmseqs import MMseqs2, SearchLimits

FOLDS = Path(__file__).with_name("calpha_346_folds.csv")
N_FOLDS, FOLD_SEED = 10, 20261122
IDENTITY, COVERAGE, LARGEST_EVALUE = 0.3, 0.5, 1e-3
LIMITS = SearchLimits(identity=IDENTITY, coverage=COVERAGE, largest_evalue=LARGEST_EVALUE)
PEPTIDE = 40
"""Residues. Half of a shorter chain must not recur, if it is at least this long:"""
SHORTEST_STRETCH, BETWEEN_PEPTIDES = 5, 4
"""Residues. Four in a row are found in some large protein by chance."""
RULE = (
    f"{IDENTITY:.0%} identity over half of either chain (MMseqs2, e < {LARGEST_EVALUE:g}), or a shared stretch "
    f"for peptides (half of a chain below {PEPTIDE} residues, at least {SHORTEST_STRETCH} in a row, or "
    f"{BETWEEN_PEPTIDES} between two such chains)"
)


def share_a_stretch(one: str, other: str) -> bool:
    """Tell whether half of the shorter sequence, a peptide, is found in the other without a gap.

    Example:
        >>> (
        ...     share_a_stretch("MCCNPACAGC", "ECCNPACGRHYSC"),
        ...     share_a_stretch("MCCNPACAGC", "ECCNPARGRHYSC"),
        ... )
        (True, False)
    """
    short, long = sorted((one, other), key=len)
    least = BETWEEN_PEPTIDES if len(long) < PEPTIDE else SHORTEST_STRETCH
    need = max(least, (len(short) + 1) // 2)
    starts = range(len(short) - need + 1)
    return len(short) < PEPTIDE and any(short[i : i + need] in long for i in starts)


def similar_proteins(proteins: Sequence[CalphaProtein]) -> list[tuple[str, ...]]:
    """Return sets of ids whose proteins have a chain in common, or similar ones.

    Raises:
        ConfigError: MMseqs2 is not on PATH.
    """
    chains = unique_chains({protein.id: protein.sequences() for protein in proteins})
    owners = {
        name: {entry for entry, _ in places} for name, places in chains.places(chains.names).items()
    }
    hits = MMseqs2().search(chains.sequences, chains.sequences, LIMITS)
    pairs = {(hit.query, hit.target) for hit in hits} | set(_stretches(chains.sequences))
    alike = [*owners.values(), *(owners[one] | owners[other] for one, other in pairs)]
    return sorted({tuple(sorted(ids)) for ids in alike if len(ids) > 1})


def _stretches(sequences: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for (one, left), (other, right) in combinations(sequences.items(), 2):
        if share_a_stretch(left, right):
            yield one, other


def straddling(proteins: Sequence[CalphaProtein], fold: Mapping[str, int]) -> list[tuple[str, ...]]:
    """Return sets of similar proteins that lie in more than one fold; empty if the folds are valid.

    Raises:
        ConfigError: MMseqs2 is not on PATH.
    """
    return [
        ids for ids in similar_proteins(proteins) if len({fold[protein] for protein in ids}) > 1
    ]


def make_folds(proteins: Sequence[CalphaProtein]) -> list[tuple[str, str, int]]:
    """Return id, group and fold: groups of similar proteins, the largest first into the emptiest fold.

    Raises:
        ConfigError: MMseqs2 is not on PATH.
    """
    chains = unique_chains({protein.id: protein.sequences() for protein in proteins})
    # Beyond what is checked: members of a cluster need not be similar to each other.
    clusters = MMseqs2().cluster(
        chains.sequences, identity=IDENTITY, coverage=COVERAGE, sensitivity=7.5
    )
    links = {
        entry: [clusters[name] for name in names.values()] for entry, names in chains.names.items()
    }
    for ids in similar_proteins(proteins):
        for entry in ids:
            links[entry].append(" ".join(ids))
    group = linked_groups(links)
    names = sorted(set(group.values()))
    members = {name: [entry for entry in sorted(group) if group[entry] == name] for name in names}
    shuffled = np.random.default_rng(FOLD_SEED).permutation(names).tolist()
    size, fold = [0] * N_FOLDS, {}
    for name in sorted(shuffled, key=lambda name: -len(members[name])):
        fold[name] = size.index(min(size))
        size[fold[name]] += len(members[name])
    return [(entry, group[entry], fold[group[entry]]) for entry in sorted(group)]


def main(options: argparse.Namespace) -> None:
    folds = make_folds(read_calpha_set(options.data, superset_ids(options.data)))
    with open(FOLDS, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("id", "group", "fold"), *folds])
    print(f"{len(folds)} proteins in {len({group for _, group, _ in folds})} groups: {FOLDS.name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    main(parser.parse_args())
