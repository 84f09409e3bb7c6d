"""Sequence clusters of chains, and the groups of entries that they link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from debye.dataset.curate.build_recipe import ClusterConfig
from debye.dataset.curate.mmseqs import cluster
from debye.dataset.curate.scan import Candidate
from debye.errors import StoreError


@dataclass(frozen=True, slots=True)
class Chains:
    """Protein chains of entries; equal sequences are kept, and compared, once."""

    sequences: dict[str, str]
    """Sequence by name, longest first."""
    names: dict[str, dict[str, str]]
    """Name of the sequence, by entry and chain; entries in order, longest chain first."""

    def of(self, entries: Iterable[str]) -> dict[str, str]:
        """Return the sequences of some entries, by name."""
        wanted = {name for entry in entries for name in self.names.get(entry, {}).values()}
        return {name: text for name, text in self.sequences.items() if name in wanted}

    def places(self, entries: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
        """Return which chains of some entries have each sequence: (entry, chain) by name."""
        found: dict[str, list[tuple[str, str]]] = {}
        for entry in entries:
            for chain, name in self.names.get(entry, {}).items():
                found.setdefault(name, []).append((entry, chain))
        return found


def chain_sequences(entry: Candidate, config: ClusterConfig) -> dict[str, str]:
    """Return the sequences of an entry's chains that are long enough to be compared."""
    chains = dict(entry.observed)
    if config.sequences == "deposited":
        chains |= {name: entry.deposited[name] for name in chains if name in entry.deposited}
    return {name: text for name, text in chains.items() if len(text) >= config.fewest_residues}


def unique_chains(entries: Mapping[str, Mapping[str, str]]) -> Chains:
    """Name the different sequences of entries (sequence by chain); the names do not depend on the order.

    Example:
        >>> unique_chains({"1a": {"A": "MK", "B": "MKW"}, "1b": {"A": "MK"}})
        Chains(sequences={'s0': 'MKW', 's1': 'MK'}, names={'1a': {'B': 's0', 'A': 's1'}, '1b': {'A': 's1'}})
    """
    texts = {
        entry: dict(sorted(entries[entry].items(), key=lambda item: (-len(item[1]), item[0])))
        for entry in sorted(entries)
    }
    unique = sorted({text for chains in texts.values() for text in chains.values()})
    unique.sort(key=len, reverse=True)
    name = {text: f"s{number}" for number, text in enumerate(unique)}
    return Chains(
        sequences={name[text]: text for text in unique},
        names={
            entry: {chain: name[text] for chain, text in chains.items()}
            for entry, chains in texts.items()
        },
    )


def mmseqs_clusters(
    chains: Chains, config: ClusterConfig, *, threads: int = 1
) -> dict[str, list[str]]:
    """Cluster chains; return the clusters of each entry, that of its longest chain first.

    A cluster is called by the first chain, in the order of the entries, that has the representative's sequence.
    """
    representative = cluster(
        chains.sequences,
        identity=config.identity,
        coverage=config.coverage,
        sensitivity=config.sensitivity,
        threads=threads,
    )
    label = {
        name: "_".join(places[0]) for name, places in chains.places(sorted(chains.names)).items()
    }
    return {
        entry: list(dict.fromkeys(label[representative[name]] for name in names.values()))
        for entry, names in chains.names.items()
    }


def rcsb_clusters(path: Path, entries: Iterable[str]) -> dict[str, list[str]]:
    """Read the clusters of some entries from a file of the RCSB, that of the first entity first.

    Args:
        path: ``clusters-by-entity-<identity>.txt``: one cluster a line, entities such as ``1ABC_1``. A cluster is
            called by its first entity. Entities of computed models (``AF_…``) are passed over.
        entries: Identifiers in lower case; those that the file lacks have no cluster.

    Raises:
        StoreError: the file cannot be read, or holds no entity.
    """
    wanted = set(entries)
    found: dict[str, dict[int, str]] = {}
    entities = 0
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                members = line.split()
                for member in members:
                    entry, _, number = member.lower().rpartition("_")
                    entities += bool(entry) and number.isdigit()
                    if entry in wanted and number.isdigit():
                        found.setdefault(entry, {})[int(number)] = members[0]
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            str(path), problem=f"cannot be read ({error})", remedy="Download the file again"
        ) from error
    if not entities:
        raise StoreError(
            str(path),
            problem="no entity such as 1ABC_1 is in it",
            remedy="Give clusters-by-entity-<identity>.txt of the RCSB",
        )
    return {
        entry: list(dict.fromkeys(numbers[key] for key in sorted(numbers)))
        for entry, numbers in found.items()
    }


def linked_groups(clusters: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return the group of each entry: entries that share a cluster, directly or through others.

    A group is called by its first entry in alphabetical order.

    Example:
        >>> linked_groups({"1a": ["x"], "1b": ["x", "y"], "1c": ["y"], "1d": ["z"]})
        {'1a': '1a', '1b': '1a', '1c': '1a', '1d': '1d'}
    """
    entries = sorted(clusters)
    pairs = [(row, label) for row, entry in enumerate(entries) for label in clusters[entry]]
    labels, column = np.unique([label for _, label in pairs], return_inverse=True)
    size = len(entries) + len(labels)
    rows = np.array([row for row, _ in pairs], np.int64)
    graph = coo_matrix((np.ones(len(rows)), (rows, len(entries) + column)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    return {
        entry: first.setdefault(int(number), entry)
        for entry, number in zip(entries, component[: len(entries)], strict=True)
    }
