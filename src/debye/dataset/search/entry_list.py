"""Candidates → decisions → the list: which entries a data set takes, and why it does not take the others."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from debye.dataset.search.ligands import NO_LIGANDS, LigandState, ligand_state
from debye.dataset.search.rcsb import Entity, EntryMetadata
from debye.dataset.search.recipes import EntryFilter, ProteinGroup, SearchRecipe
from debye.files import write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchDecision:
    """What is known of a candidate, and whether the data set takes it."""

    metadata: EntryMetadata
    entity: Entity | None = None
    """The longest protein that fits the recipe: its cluster is that of the entry."""
    state: LigandState = NO_LIGANDS
    group: str = ""
    """Of the recipe's groups; several, joined by "or", if the search found the protein and its annotations do not say
    which."""
    cluster: str = ""
    clusters: tuple[str, ...] = ()
    """Of all proteins of the entry."""
    decision: Literal["chosen", "passed over", "excluded"]
    reason: str

    @property
    def id(self) -> str:
        """Of the entry."""
        return self.metadata.id


def select_entries(
    candidates: Iterable[EntryMetadata],
    recipe: SearchRecipe,
    clusters: Mapping[str, str],
    hits: Set[str] | None = None,
) -> list[SearchDecision]:
    """Decide on every candidate, in the order of their identifiers.

    Args:
        candidates: Metadata of entries.
        recipe: The filters, the groups and the choice.
        clusters: Cluster of each protein entity; without one, an entity is a cluster of its own.
        hits: Protein entities that a search found; None: there was no search.
    """
    checked = [_checked(entry, recipe, clusters, hits) for entry in candidates]
    fit = [decision for decision in checked if decision.decision != "excluded"]
    unfit = [decision for decision in checked if decision.decision == "excluded"]
    return sorted([*_best_of_each(fit, recipe), *unfit], key=lambda decision: decision.id)


def _checked(
    entry: EntryMetadata, recipe: SearchRecipe, clusters: Mapping[str, str], hits: Set[str] | None
) -> SearchDecision:
    """Apply the filters to one candidate; what passes is "passed over" until it is compared.

    A search has applied the same filters, but lists of identifiers and folders have not passed one.
    """
    entity = longest_fitting(entry, recipe, hits)
    problem = filter_problem(entry, recipe.entries)
    if problem is None and entity is None:
        problem = _no_protein(entry, recipe, hits)
    group = ""
    if entity:
        # The search found it by annotations that may be newer than these.
        group = group_of(entity, recipe.groups) or _names(recipe.groups)
    cluster_of = {protein.id: clusters.get(protein.id, protein.id) for protein in entry.proteins}
    return SearchDecision(
        metadata=entry,
        entity=entity,
        state=ligand_state(entry.components, recipe.ligands),
        group=group,
        cluster=cluster_of[entity.id] if entity else "",
        clusters=tuple(sorted(set(cluster_of.values()))),
        decision="excluded" if problem else "passed over",
        reason=problem or "",
    )


def _no_protein(entry: EntryMetadata, recipe: SearchRecipe, hits: Set[str] | None) -> str:
    """Say why none of the proteins of an entry fits."""
    least = recipe.entries.least_residues
    if not entry.proteins:
        return "has no protein"
    longest = max(protein.length for protein in entry.proteins)
    if longest < least:
        return f"the longest protein has {longest} residues, fewer than {least}"
    if hits is not None:
        return "the search did not find its proteins: it replaces an obsolete entry"
    return f"no {_names(recipe.groups)} of {least} residues or more, by its annotations"


def longest_fitting(
    entry: EntryMetadata, recipe: SearchRecipe, hits: Set[str] | None
) -> Entity | None:
    """Return the longest protein that the search found or, without a search, that passes the filters."""
    fitting = [
        protein
        for protein in entry.proteins
        if protein.length >= recipe.entries.least_residues
        and (
            protein.id in hits
            if hits is not None
            else not recipe.groups or group_of(protein, recipe.groups)
        )
    ]
    return min(fitting, key=lambda protein: (-protein.length, protein.id), default=None)


def filter_problem(entry: EntryMetadata, entries: EntryFilter) -> str | None:
    """Return the first reason why an entry does not pass the filter, or None."""
    if entries.method not in entry.methods:
        return f"method is {'; '.join(entry.methods) or 'not known'}, not {entries.method}"
    best, worst = entries.best_resolution, entries.worst_resolution
    if entry.resolution is None:
        return "resolution is not known"
    if not best <= entry.resolution <= worst:
        return f"resolution {entry.resolution:g} Å is not within {best:g} to {worst:g} Å"
    if entry.polymers and entries.polymers and entry.polymers not in entries.polymers:
        return f"polymers are {entry.polymers}, not {' or '.join(entries.polymers)}"
    if 0 < entries.most_atoms < (entry.n_atoms or 0):
        return f"{entry.n_atoms} atoms, more than {entries.most_atoms}"
    for what, day, first, last in (
        ("released", entry.released, entries.released_from, entries.released_until),
        ("revised", entry.revised, entries.revised_from, None),
    ):
        if first is not None and (not day or day < first.isoformat()):
            return f"{what} {day or 'on an unknown day'}, before {first}"
        if last is not None and (not day or day > last.isoformat()):
            return f"{what} {day or 'on an unknown day'}, after {last}"
    return None


def group_of(protein: Entity, groups: Sequence[ProteinGroup]) -> str:
    """Return the name of the first group that a protein fits; empty if none.

    Example:
        >>> protein = Entity(id="1atp_1", length=350, pfam=("PF00069",), ec=("2.7", "2.7.11"))
        >>> group_of(protein, [ProteinGroup(name="kinase", ec=("2.7.11",))])
        'kinase'
    """
    for group in groups:
        pairs = ((group.pfam, protein.pfam), (group.ec, protein.ec))
        fits = [not set(wanted).isdisjoint(its) for wanted, its in pairs if wanted]
        if any(fits) if group.match == "any" else all(fits):
            return group.name
    return ""


def _names(groups: Sequence[ProteinGroup]) -> str:
    return " or ".join(group.name for group in groups)


def quality_order(entry: EntryMetadata) -> tuple[float, float, int, str, str]:
    """Return the sort key by which the better of two entries comes first.

    Resolution, then R-free (none is worst), then more residues that are built, then the older release and the
    identifier, so that the choice never depends on the order in which a server answers.
    """
    resolution, r_free = (
        float("inf") if value is None else value for value in (entry.resolution, entry.r_free)
    )
    return resolution, r_free, -(entry.n_residues or 0), entry.released, entry.id


def _best_of_each(fit: list[SearchDecision], recipe: SearchRecipe) -> list[SearchDecision]:
    choice = recipe.choose
    similar: defaultdict[tuple[str, str], list[SearchDecision]] = defaultdict(list)
    for decision in fit:
        cluster = decision.cluster if choice.identity else decision.id
        similar[cluster, decision.state.state if choice.by_state else ""].append(decision)
    found = []
    for (cluster, state), members in similar.items():
        members.sort(key=lambda decision: quality_order(decision.metadata))
        where = f"{cluster}, {state}" if state else cluster
        best = members[0].metadata
        for place, member in enumerate(members):
            reason = f"number {place + 1} of {len(members)} in {where}"
            if not choice.per_cluster or place < choice.per_cluster:
                found.append(replace(member, decision="chosen", reason=reason))
            else:
                reason += f": {best.id} is better ({_compared(best, member.metadata)})"
                found.append(replace(member, reason=reason))
    return found


def _compared(best: EntryMetadata, other: EntryMetadata) -> str:
    """Say what decided between two entries."""
    if best.resolution != other.resolution:
        return f"{best.resolution:g} Å to {other.resolution:g} Å"
    if best.r_free != other.r_free:
        other_r = "none" if other.r_free is None else f"{other.r_free:g}"
        return f"equal resolution; R-free {best.r_free:g} to {other_r}"
    if best.n_residues != other.n_residues:
        return f"equal resolution and R-free; {best.n_residues} residues to {other.n_residues}"
    return "equal quality; older, or first by identifier"


COLUMNS: tuple[str, ...] = (
    "id", "split", "state", "cluster", "clusters", "representative", "group", "entity", "resolution", "r_free",
    "n_residues", "n_atoms", "released", "revised", "ligands", "additives", "pfam", "ec", "decision", "reason"
)  # fmt: skip
"""Of the list. ``cluster`` is that of the entry's longest protein, ``clusters`` those of all its proteins: entries that
share one are similar; ``representative`` is 1 for chosen entries; resolution in Å. Values are joined by semicolons."""


def count_decisions(
    decisions: Sequence[SearchDecision], clusters: Container[str] | None
) -> dict[str, int]:
    """Count candidates, decisions, states and groups.

    ``clusters`` are the entities that are in a cluster; None if the recipe uses no clusters.
    """
    kinds = Counter(decision.decision for decision in decisions)
    chosen = [decision for decision in decisions if decision.decision == "chosen"]
    states = Counter(decision.state.state for decision in chosen)
    counts = {"candidates": len(decisions)}
    counts |= {kind: kinds[kind] for kind in ("excluded", "passed over", "chosen")}
    counts |= {state: states[state] for state in ("apo", "holo")}
    if clusters is not None:
        counts["clusters"] = len({decision.cluster for decision in chosen})
        entities = [decision.entity for decision in chosen if decision.entity]
        counts["in no cluster"] = sum(entity.id not in clusters for entity in entities)
    groups = Counter(decision.group for decision in chosen if decision.group)
    return counts | dict(sorted(groups.items()))


def count_reasons(decisions: Sequence[SearchDecision]) -> dict[str, int]:
    """Count the excluded entries by the first words of the reason."""
    excluded = [decision.reason for decision in decisions if decision.decision == "excluded"]
    return dict(Counter(" ".join(reason.split()[:2]).rstrip(":,") for reason in excluded))


def decision_table(decisions: Iterable[SearchDecision], recipe: SearchRecipe) -> str:
    """Return decisions as a CSV table with the columns :data:`COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(decision, recipe) for decision in decisions)
    return text.getvalue()


def _row(decision: SearchDecision, recipe: SearchRecipe) -> dict[str, str]:
    entry, entity, state = decision.metadata, decision.entity, decision.state
    is_chosen = decision.decision == "chosen"
    numbers = ("resolution", "r_free", "n_residues", "n_atoms")
    return {
        "id": entry.id,
        "split": recipe.split if is_chosen else "",
        "state": state.state if entry.proteins else "",
        "cluster": decision.cluster,
        "clusters": ";".join(decision.clusters),
        "representative": str(int(is_chosen)),
        "group": decision.group,
        "entity": entity.id if entity else "",
        **{name: _number(getattr(entry, name)) for name in numbers},
        "released": entry.released,
        "revised": entry.revised,
        "ligands": ";".join(state.ligands),
        "additives": ";".join(state.additives),
        "pfam": ";".join(entity.pfam) if entity else "",
        "ec": ";".join(entity.ec) if entity else "",
        "decision": decision.decision,
        "reason": decision.reason,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def read_record(path: Path) -> dict[str, Any] | None:
    """Return ``recipe`` and ``date`` of the search that made a list, from its record; None if it has none.

    Updates of a store need them, so they are copied from the list to the mirror's index and to the store.
    """
    try:
        content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return {"recipe": dict(content["recipe"]), "date": content["date"][:10]}
    except (OSError, ValueError, TypeError, KeyError):
        return None  # lists are often written by hand, and a file of that name may be anything


def copy_record(path: Path, index: Path) -> None:
    """Copy the record of a list to an index that is made of it; replaces or removes the record of another list."""
    record, target = read_record(path), index.with_suffix(".json")
    if record is not None:
        write_json(target, record, indent=2)
    elif read_record(index) is not None:
        target.unlink()
