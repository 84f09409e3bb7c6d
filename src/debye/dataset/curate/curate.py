"""Candidates and a recipe → which entry is in which split, and why every other one is in none."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from debye.dataset.curate.build_recipe import BuildRecipe
from debye.dataset.curate.clusters import (
    Chains,
    chain_sequences,
    linked_groups,
    mmseqs_clusters,
    rcsb_clusters,
    unique_chains,
)
from debye.dataset.curate.families import family_evidence
from debye.dataset.curate.leakage import Leak, find_leaks
from debye.dataset.curate.scan import Candidate, refusals
from debye.dataset.curate.splits import TRAIN, best_first, draw_groups, limit_entries
from debye.dataset.store.index import IndexRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of one candidate."""

    id: str
    state: str = ""
    """``apo`` or ``holo``."""
    split: str = ""
    """Empty: in none."""
    representative: bool = False
    """The best-resolved entry of its cluster in its split."""
    cluster: str = ""
    """Of its longest chain."""
    clusters: tuple[str, ...] = ()
    """Of all its chains."""
    group: str = ""
    """Entries that clusters link; never in two splits."""
    resolution: float | None = None
    """Å."""
    n_protein_residues: int = 0
    n_atoms: int = 0
    mean_b: float = 0.0
    """Å²."""
    reason: str = ""
    """Why it is in no split; empty if it is in one."""
    detail: str = ""
    """The value behind the reason, further reasons, and what points to the family."""
    digest: str = ""
    """SHA-256 of its arrays and facts in the store."""
    revised: str = ""
    """Date of the last revision that was looked at, taken or not, where the index has a column ``revised``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curation:
    """Every candidate's decision, sorted by id, and what leaked on the way."""

    decisions: tuple[Decision, ...]
    leaks: tuple[Leak, ...]
    chains: Chains

    @property
    def reasons(self) -> dict[str, int]:
        """Entries left out, by reason, most frequent first."""
        return count_reasons(self.decisions)


@dataclass(slots=True)
class _Draft:
    """The decisions while they are made: an entry is in a split, or has a reason."""

    split: dict[str, str] = field(default_factory=dict)
    reason: dict[str, str] = field(default_factory=dict)
    detail: dict[str, str] = field(default_factory=dict)

    def refuse(self, entry: str, reason: str, detail: str = "") -> None:
        self.split.pop(entry, None)
        self.reason[entry] = reason
        if detail:
            self.detail[entry] = detail


def curate(
    candidates: Sequence[Candidate],
    failures: Iterable[Mapping[str, str]],
    recipe: BuildRecipe,
    given: Mapping[str, str],
    *,
    threads: int = 1,
) -> Curation:
    """Decide on every candidate.

    Filter, clusters, groups, family, draw, at most so many entries a cluster, leakage: each step only takes away,
    and says from whom and why.

    Args:
        candidates: What :func:`debye.dataset.curate.scan.scan` found.
        failures: Files that could not be read.
        recipe: The settings.
        given: Split of each entry in the index, used if ``splits.source`` is ``index``.
        threads: Threads of MMseqs2.
    """
    draft = _Draft()
    for failure in failures:
        draft.refuse(failure["id"], "file could not be read", failure["reason"])
    kept = _filter(candidates, recipe, draft)
    chains = unique_chains({entry.id: chain_sequences(entry, recipe.clusters) for entry in kept})
    clusters = entry_clusters(chains, recipe, threads=threads)
    for entry in kept:
        if not clusters.get(entry.id):
            draft.refuse(entry.id, "no chain that is in a cluster")
    kept = [entry for entry in kept if entry.id not in draft.reason]
    groups = linked_groups({entry.id: clusters[entry.id] for entry in kept})
    free = _keep_family_apart(kept, chains, groups, recipe, draft, threads)
    if recipe.splits.source == "index":
        _take_given(free, given, recipe, draft)
    else:
        drawn = draw_groups(free, groups, recipe.splits, recipe.seed)
        draft.split |= {entry.id: drawn[groups[entry.id]] for entry in free}
        limited = limit_entries(free, draft.split, groups, clusters, recipe.splits)
        for entry, reason in limited.items():
            draft.refuse(entry, reason)
    leaks = _keep_leaks_out(chains, recipe, draft, threads)
    best = _representatives(kept, draft.split, clusters)
    facts = {entry.id: entry for entry in candidates}
    decisions = [
        _decision(name, facts.get(name), draft, clusters, groups, name in best)
        for name in sorted(draft.split.keys() | draft.reason.keys())
    ]
    return Curation(decisions=tuple(decisions), leaks=tuple(leaks), chains=chains)


def entry_clusters(
    chains: Chains, recipe: BuildRecipe, *, threads: int = 1
) -> dict[str, list[str]]:
    """Return the clusters of each entry, from the source that the recipe names."""
    if recipe.clusters.source == "rcsb" and recipe.clusters.file is not None:
        return rcsb_clusters(recipe.clusters.file, chains.names)
    return mmseqs_clusters(chains, recipe.clusters, threads=threads)


def count_reasons(decisions: Iterable[Decision]) -> dict[str, int]:
    """Return how many entries were left out, by reason, most frequent first."""
    found = Counter(decision.reason for decision in decisions if decision.reason)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def with_facts(decision: Decision, entry: Candidate) -> Decision:
    """Return a decision with what its file holds."""
    return replace(
        decision,
        state=entry.state,
        resolution=entry.resolution,
        n_protein_residues=entry.n_protein_residues,
        n_atoms=entry.n_atoms,
        mean_b=entry.mean_b,
    )


def write_decisions(decisions: Iterable[Decision], path: Path) -> None:
    """Write decisions as CSV, through a temporary file."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [column.name for column in fields(Decision)]
        writer.writerow(names)
        for decision in decisions:
            writer.writerow(_text(getattr(decision, name)) for name in names)
    os.replace(temporary, path)


def read_decisions(path: Path) -> list[Decision]:
    """Read what :func:`write_decisions` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Decision(
            id=row["id"],
            state=row["state"],
            split=row["split"],
            representative=row["representative"] == "1",
            cluster=row["cluster"],
            clusters=tuple(row["clusters"].split()),
            group=row["group"],
            resolution=float(row["resolution"]) if row["resolution"] else None,
            n_protein_residues=int(row["n_protein_residues"]),
            n_atoms=int(row["n_atoms"]),
            mean_b=float(row["mean_b"]),
            reason=row["reason"],
            detail=row["detail"],
            digest=row["digest"],
            revised=row.get("revised", ""),
        )
        for row in rows
    ]


def with_digests(
    decisions: Iterable[Decision], digests: Mapping[tuple[str, str], str]
) -> list[Decision]:
    """Return the decisions with the digests of stored entries, by split and id."""
    return [
        replace(decision, digest=digests.get((decision.split, decision.id), ""))
        for decision in decisions
    ]


def with_revisions(decisions: Iterable[Decision], rows: Iterable[IndexRow]) -> list[Decision]:
    """Return the decisions with the dates of the revisions that the index knows."""
    revised = {row.id: row.columns.get("revised", "") for row in rows}
    return [
        replace(decision, revised=revised.get(decision.id) or decision.revised)
        for decision in decisions
    ]


def _filter(candidates: Sequence[Candidate], recipe: BuildRecipe, draft: _Draft) -> list[Candidate]:
    kept = []
    for entry in candidates:
        found = refusals(entry, recipe.filter)
        if not found:
            kept.append(entry)
            continue
        (reason, value), *others = found
        more = [f"{name} ({text})" if text else name for name, text in others]
        draft.refuse(entry.id, reason, "; ".join([*([value] if value else []), *more]))
    return kept


def _keep_family_apart(
    entries: Sequence[Candidate],
    chains: Chains,
    groups: Mapping[str, str],
    recipe: BuildRecipe,
    draft: _Draft,
    threads: int,
) -> list[Candidate]:
    """Put members into their split, and what is like them or linked to them into none; return the rest."""
    family = recipe.family
    if family is None:
        return list(entries)
    evidence = family_evidence(entries, chains, family, threads=threads)
    members = {name for name, found in evidence.items() if found.keys() & set(family.members)}
    linked = {groups[name] for name in members}
    free = []
    for entry in entries:
        text = "; ".join(f"{kind}: {what}" for kind, what in evidence.get(entry.id, {}).items())
        if entry.id in members:
            draft.split[entry.id] = family.split
            draft.detail[entry.id] = text
        elif text:
            draft.refuse(entry.id, f"like {family.split}, but no member", text)
        elif groups[entry.id] in linked:
            draft.refuse(entry.id, f"shares a cluster with {family.split}", groups[entry.id])
        else:
            free.append(entry)
    return free


def _take_given(
    entries: Sequence[Candidate], given: Mapping[str, str], recipe: BuildRecipe, draft: _Draft
) -> None:
    for entry in entries:
        split = given.get(entry.id, "")
        if split:
            draft.split[entry.id] = split
        else:
            draft.refuse(entry.id, "the index puts it in no split")


def _keep_leaks_out(chains: Chains, recipe: BuildRecipe, draft: _Draft, threads: int) -> list[Leak]:
    """Return what leaked. Excluded entries change what is searched, so look again until nothing is found."""
    found: list[Leak] = []
    while True:
        train = sorted(name for name, split in draft.split.items() if split == TRAIN)
        held_out = set(recipe.leakage.held_out or draft.split.values()) - {TRAIN}
        others = {name: split for name, split in draft.split.items() if split in held_out}
        leaks = find_leaks(train, others, chains, recipe.leakage, threads=threads)
        if not leaks or recipe.leakage.on_match == "fail":
            return found + leaks
        for leak in leaks:
            draft.refuse(leak.train, f"similar to an entry of {leak.split}", str(leak))
            found.append(replace(leak, outcome="excluded"))


def _representatives(
    entries: Sequence[Candidate], split: Mapping[str, str], clusters: Mapping[str, Sequence[str]]
) -> set[str]:
    first: dict[tuple[str, str], str] = {}
    for entry in best_first(entry for entry in entries if entry.id in split):
        first.setdefault((split[entry.id], clusters[entry.id][0]), entry.id)
    return set(first.values())


def _decision(
    name: str,
    entry: Candidate | None,
    draft: _Draft,
    clusters: Mapping[str, Sequence[str]],
    groups: Mapping[str, str],
    is_best: bool,
) -> Decision:
    own = tuple(clusters.get(name, ()))
    decision = Decision(
        id=name,
        split=draft.split.get(name, ""),
        representative=is_best,
        cluster=own[0] if own else "",
        clusters=own,
        group=groups.get(name, ""),
        reason=draft.reason.get(name, ""),
        detail=draft.detail.get(name, ""),
    )
    return decision if entry is None else with_facts(decision, entry)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return " ".join(value) if isinstance(value, tuple) else str(value)
