"""Which entries have similar chains: sequence clusters, groups of linked entries, and the members of a family."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from debye.archives.catalog import read_ids
from debye.dataset.curate.build_recipe import BuildRecipe, ClusterConfig, FamilyConfig
from debye.dataset.curate.candidates import Candidate
from debye.dataset.curate.mmseqs import SearchLimits, SequenceComparison
from debye.errors import StoreError


@dataclass(frozen=True, slots=True)
class Chains:
    """Protein chains of entries; equal sequences are stored and compared once."""

    sequences: dict[str, str]
    """Sequence by name, longest first."""
    names: dict[str, dict[str, str]]
    """Name of the sequence, by entry and chain; sorted by entry, longest chain first."""

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


def entry_clusters(
    chains: Chains, recipe: BuildRecipe, comparison: SequenceComparison
) -> dict[str, list[str]]:
    """Return the clusters of each entry, that of its longest chain (RCSB: first entity) first.

    A cluster is named after the first chain, in the order of the entries, that has the representative's sequence
    (RCSB: after its first entity).
    """
    config = recipe.clusters
    if config.source == "rcsb" and config.file is not None:
        return rcsb_clusters(config.file, chains.names)
    representative = comparison.cluster(
        chains.sequences,
        identity=config.identity,
        coverage=config.coverage,
        sensitivity=config.sensitivity,
    )
    label = {name: "_".join(places[0]) for name, places in chains.places(chains.names).items()}
    return {
        entry: list(dict.fromkeys(label[representative[name]] for name in names.values()))
        for entry, names in chains.names.items()
    }


def rcsb_clusters(path: Path, entries: Iterable[str]) -> dict[str, list[str]]:
    """Read the clusters of some entries from a file of the RCSB, that of the first entity first.

    Args:
        path: ``clusters-by-entity-<identity>.txt``: one cluster a line, entities such as ``1ABC_1``. A cluster is
            named after its first entity. Entities of computed models (``AF_…``) are skipped.
        entries: Identifiers in lower case; entries that are not in the file have no cluster.

    Raises:
        StoreError: the file cannot be read, or contains no entity.
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
            str(path), f"cannot be read ({error})", "Download the file again"
        ) from error
    if not entities:
        remedy = "Give clusters-by-entity-<identity>.txt of the RCSB"
        raise StoreError(str(path), "no entity such as 1ABC_1 is in it", remedy)
    return {
        entry: list(dict.fromkeys(numbers[key] for key in sorted(numbers)))
        for entry, numbers in found.items()
    }


def similar_entries(
    names: Collection[str], chains: Chains, recipe: BuildRecipe, comparison: SequenceComparison
) -> dict[str, dict[str, float]]:
    """Return the entries that are similar to each of some entries, and the identity of their most similar chains.

    The looser of the limits for clusters and for leakage apply. Entries that share a cluster of an RCSB file are
    similar, too.
    """
    clusters, leakage = recipe.clusters, recipe.leakage
    limits = SearchLimits(
        identity=min(clusters.identity, leakage.identity),
        coverage=min(clusters.coverage, leakage.coverage),
        largest_evalue=leakage.largest_evalue,
        sensitivity=max(clusters.sensitivity, leakage.sensitivity),
    )
    own, all_places = chains.of(names), chains.places(chains.names)
    identity = {(name, name): 1.0 for name in own}
    # In both directions, because the prefilter of a search is not symmetric.
    for queries, targets in ((own, chains.sequences), (chains.sequences, own)):
        for hit in comparison.search(queries, targets, limits):
            pair = (hit.query, hit.target) if queries is own else (hit.target, hit.query)
            identity[pair] = max(hit.identity, identity.get(pair, 0.0))
    places = chains.places(names)
    pairs = [
        (entry, other, alike)
        for (name, similar), alike in identity.items()
        for entry, _ in places[name]
        for other, _ in all_places[similar]
    ]
    if clusters.source == "rcsb" and clusters.file is not None:
        labels = rcsb_clusters(clusters.file, chains.names)
        members: dict[str, list[str]] = {}
        for entry, own_labels in labels.items():
            for label in own_labels:
                members.setdefault(label, []).append(entry)
        for entry in names:
            pairs += [(entry, o, 0.0) for label in labels.get(entry, ()) for o in members[label]]
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for entry, other, alike in pairs:
        if other != entry:
            found[entry][other] = max(alike, found[entry].get(other, 0.0))
    return found


def linked_groups(clusters: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return the group of each entry: entries that share a cluster, directly or through others.

    A group is named after its first entry in alphabetical order.

    Example:
        >>> linked_groups({"1a": ["x"], "1b": ["x", "y"], "1c": ["y"], "1d": ["z"]})
        {'1a': '1a', '1b': '1a', '1c': '1a', '1d': '1d'}
    """
    if not clusters:
        return {}
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


def family_evidence(
    entries: Sequence[Candidate],
    chains: Chains,
    family: FamilyConfig,
    comparison: SequenceComparison,
) -> dict[str, dict[str, str]]:
    """Return the evidence that entries belong to the family: ``id``, ``profile`` or ``title``, with a text each.

    The profile search starts from the domains of :attr:`FamilyConfig.sequences` and adds in each round the chains
    that it finds. Without domains it starts from the chains of the listed entries.
    """
    listed = {row["id"].lower() for row in read_ids(family.ids)} if family.ids else set()
    domains = read_fasta(family.sequences) if family.sequences else chains.of(sorted(listed))
    profile = _profile_hits(domains, chains, family, comparison)
    evidence: dict[str, dict[str, str]] = {}
    for entry in entries:
        text = f"{entry.title} {entry.keywords}".lower()
        found = {
            "id": "listed" if entry.id in listed else "",
            "title": ", ".join(word for word in family.title_words if word.lower() in text),
            "profile": profile.get(entry.id, ""),
        }
        if any(found.values()):
            evidence[entry.id] = {kind: what for kind, what in found.items() if what}
    return evidence


def read_fasta(path: Path) -> dict[str, str]:
    """Read a FASTA file: sequence by the first word of its header.

    Raises:
        StoreError: the file cannot be read, or contains no sequence.
    """
    sequences: dict[str, list[str]] = {}
    name = ""
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(">"):
                name = (line[1:].split() or [f"sequence{len(sequences)}"])[0]
                sequences[name] = []
            elif name and line.strip():
                sequences[name].append(line.strip().upper().replace("-", ""))
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(str(path), f"cannot be read ({error})", "Give a FASTA file") from error
    found = {name: "".join(lines) for name, lines in sequences.items() if lines}
    if not found:
        raise StoreError(str(path), "no sequence is in it", "Give a FASTA file")
    return found


def _profile_hits(
    domains: Mapping[str, str],
    chains: Chains,
    family: FamilyConfig,
    comparison: SequenceComparison,
) -> dict[str, str]:
    """Return the best hit of each entry, as text."""
    limits = SearchLimits(
        coverage=family.coverage,
        largest_evalue=family.largest_evalue,
        iterations=family.iterations,
    )
    hits = comparison.search(domains, chains.sequences, limits)
    best = {hit.target: hit for hit in sorted(hits, key=lambda hit: (-hit.evalue, hit.query))}
    found = {}
    for entry, names in chains.names.items():
        own = [(best[name], chain) for chain, name in names.items() if name in best]
        if own:
            hit, chain = min(own, key=lambda item: (item[0].evalue, item[1]))
            found[entry] = (
                f"chain {chain}, {hit.query}, e = {hit.evalue:.1e}, {hit.coverage:.0%} covered"
            )
    return found
