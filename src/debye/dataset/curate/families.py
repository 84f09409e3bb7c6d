"""A family that must not be in training: found by identifiers, words and a profile of its domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from debye.archives.catalog import read_ids
from debye.dataset.curate.build_recipe import FamilyConfig
from debye.dataset.curate.candidates import Candidate
from debye.dataset.curate.clusters import Chains
from debye.dataset.curate.mmseqs import SearchLimits, SequenceComparison
from debye.errors import StoreError


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
