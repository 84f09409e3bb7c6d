"""A family that training must not see: found by identifiers, words and a profile of its domain."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from debye.dataset.curate.build_recipe import FamilyConfig
from debye.dataset.curate.clusters import Chains
from debye.dataset.curate.mmseqs import search
from debye.dataset.curate.scan import Candidate
from debye.errors import StoreError


def family_evidence(
    entries: Sequence[Candidate], chains: Chains, family: FamilyConfig, *, threads: int = 1
) -> dict[str, dict[str, str]]:
    """Return what points to the family, by entry: ``id``, ``profile``, ``title`` and a text each.

    The profile search starts from the domains of :attr:`FamilyConfig.sequences` and adds, round by round, what it
    finds among the chains. Without domains it starts from the chains of the listed entries.
    """
    listed = read_ids(family.ids) if family.ids else frozenset()
    evidence: dict[str, dict[str, str]] = {entry.id: {} for entry in entries}
    for entry in entries:
        if entry.id in listed:
            evidence[entry.id]["id"] = "listed"
        text = f"{entry.title} {entry.keywords}".lower()
        words = [word for word in family.title_words if word.lower() in text]
        if words:
            evidence[entry.id]["title"] = ", ".join(words)
    domains = read_fasta(family.sequences) if family.sequences else chains.of(sorted(listed))
    for entry_id, text in _profile(domains, chains, family, threads).items():
        if entry_id in evidence:
            evidence[entry_id]["profile"] = text
    return {entry_id: found for entry_id, found in evidence.items() if found}


def read_ids(path: Path) -> frozenset[str]:
    """Read identifiers: the column ``id`` of a CSV file, or one a line."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        raise StoreError(
            str(path), problem=f"cannot be read ({error.strerror})", remedy="Give a list of ids"
        ) from error
    has_header = bool(rows) and "id" in rows[0]
    column = rows[0].index("id") if has_header else 0
    return frozenset(row[column].strip().lower() for row in rows[has_header:] if len(row) > column)


def read_fasta(path: Path) -> dict[str, str]:
    """Read a FASTA file: sequence by the first word of its header.

    Raises:
        StoreError: the file cannot be read, or holds no sequence.
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
        raise StoreError(
            str(path), problem=f"cannot be read ({error})", remedy="Give a FASTA file"
        ) from error
    found = {name: "".join(lines) for name, lines in sequences.items() if lines}
    if not found:
        raise StoreError(str(path), problem="no sequence is in it", remedy="Give a FASTA file")
    return found


def _profile(
    domains: Mapping[str, str], chains: Chains, family: FamilyConfig, threads: int
) -> dict[str, str]:
    """Return the best hit of each entry, as text."""
    hits = search(
        domains,
        chains.sequences,
        coverage=family.coverage,
        largest_evalue=family.largest_evalue,
        iterations=family.iterations,
        threads=threads,
    )
    best = {hit.target: hit for hit in sorted(hits, key=lambda hit: (-hit.evalue, hit.query))}
    found = {}
    for entry, names in chains.names.items():
        own = [
            (best[name].evalue, chain, best[name]) for chain, name in names.items() if name in best
        ]
        if own:
            evalue, chain, hit = min(own, key=lambda item: item[:2])
            found[entry] = (
                f"chain {chain}, {hit.query}, e = {evalue:.1e}, {hit.coverage:.0%} covered"
            )
    return found
