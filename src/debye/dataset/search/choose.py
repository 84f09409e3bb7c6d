"""Candidates → decisions: which entries a data set takes, and for every other one the reason why not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Literal

from debye.dataset.search.ligands import LigandState, ligand_state
from debye.dataset.search.rcsb import Entity, EntryFacts
from debye.dataset.search.recipes import EntryFilter, KinaseFilter, SearchRecipe

PROTEIN_KINASE = "protein-kinase"
SMALL_MOLECULE_KINASE = "small-molecule-kinase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is known of a candidate, and whether the data set takes it."""

    facts: EntryFacts
    entity: Entity | None
    """The longest protein that fits the recipe: its cluster is that of the entry."""
    state: LigandState
    group: str
    """``protein-kinase`` or ``small-molecule-kinase``; ``kinase`` where the search found one and its annotations do not
    say of which kind; empty where no kinases were asked for."""
    cluster: str
    clusters: tuple[str, ...]
    """Of all proteins of the entry."""
    decision: Literal["chosen", "passed over", "excluded"]
    reason: str


def decide(
    candidates: Iterable[EntryFacts],
    recipe: SearchRecipe,
    clusters: Mapping[str, str],
    hits: Set[str] | None = None,
) -> list[Decision]:
    """Decide on every candidate, in the order of their identifiers.

    Args:
        candidates: Facts of entries.
        recipe: What is asked for.
        clusters: Cluster of each protein entity; without one, an entity is a cluster of its own.
        hits: Protein entities that a search found; None: there was no search.
    """
    judged = [judge(facts, recipe, clusters, hits) for facts in candidates]
    fit = [decision for decision in judged if decision.decision != "excluded"]
    unfit = [decision for decision in judged if decision.decision == "excluded"]
    return sorted([*_best_of_each(fit, recipe), *unfit], key=lambda decision: decision.facts.id)


def judge(
    facts: EntryFacts,
    recipe: SearchRecipe,
    clusters: Mapping[str, str],
    hits: Set[str] | None = None,
) -> Decision:
    """Hold one candidate against the filters; what passes is "passed over" until it is compared.

    A search has applied the same filters, but lists of identifiers and folders have not passed one.
    """
    entity = longest_fitting(facts, recipe, hits)
    problem = entry_problem(facts, recipe.entries)
    if problem is None and entity is None:
        problem = _no_protein(facts, recipe, hits)
    return Decision(
        facts=facts,
        entity=entity,
        state=ligand_state(facts.components, recipe.ligands),
        # What the search found as a kinase is one, by annotations that may be newer than these.
        group=(kinase_group(entity, recipe.kinases) or _found_as(recipe.kinases))
        if entity and recipe.kinases
        else "",
        cluster=clusters.get(entity.id, entity.id) if entity else "",
        clusters=tuple(
            sorted({clusters.get(protein.id, protein.id) for protein in facts.proteins})
        ),
        decision="excluded" if problem else "passed over",
        reason=problem or "",
    )


def _found_as(kinases: KinaseFilter) -> str:
    return "kinase" if kinases.small_molecule else PROTEIN_KINASE


def _no_protein(facts: EntryFacts, recipe: SearchRecipe, hits: Set[str] | None) -> str:
    """Say why none of the proteins of an entry fits."""
    least = recipe.entries.least_residues
    if not facts.proteins:
        return "has no protein"
    longest = max(protein.length for protein in facts.proteins)
    if longest < least:
        return f"the longest protein has {longest} residues, fewer than {least}"
    if hits is not None:
        return "the search did not find its proteins: it came in place of an obsolete entry"
    return f"no kinase of {least} residues or more, by its annotations"


def longest_fitting(
    facts: EntryFacts, recipe: SearchRecipe, hits: Set[str] | None
) -> Entity | None:
    """Return the longest protein that the search found or, without one, that the filters let pass."""
    fitting = [
        protein
        for protein in facts.proteins
        if protein.length >= recipe.entries.least_residues
        and (
            protein.id in hits
            if hits is not None
            else recipe.kinases is None or kinase_group(protein, recipe.kinases)
        )
    ]
    return min(fitting, key=lambda protein: (-protein.length, protein.id), default=None)


def entry_problem(facts: EntryFacts, entries: EntryFilter) -> str | None:
    """Return the first reason why an entry does not pass the filter, or None."""
    if entries.method not in facts.methods:
        return f"method is {'; '.join(facts.methods) or 'not known'}, not {entries.method}"
    best, worst = entries.best_resolution, entries.worst_resolution
    if facts.resolution is None:
        return "resolution is not known"
    if not best <= facts.resolution <= worst:
        return f"resolution {facts.resolution:g} Å is not within {best:g} to {worst:g} Å"
    if facts.polymers and entries.polymers and facts.polymers not in entries.polymers:
        return f"polymers are {facts.polymers}, not {' or '.join(entries.polymers)}"
    if 0 < entries.most_atoms < (facts.n_atoms or 0):
        return f"{facts.n_atoms} atoms, more than {entries.most_atoms}"
    for what, day, first, last in (
        ("released", facts.released, entries.released_from, entries.released_until),
        ("revised", facts.revised, entries.revised_from, None),
    ):
        if first is not None and (not day or day < first.isoformat()):
            return f"{what} {day or 'on an unknown day'}, before {first}"
        if last is not None and (not day or day > last.isoformat()):
            return f"{what} {day or 'on an unknown day'}, after {last}"
    return None


def kinase_group(protein: Entity, kinases: KinaseFilter) -> str:
    """Return which kind of kinase a protein is, empty if none that is asked for.

    Example:
        >>> protein = Entity(id="1atp_1", length=350, pfam=("PF00069",), ec=("2.7", "2.7.11"))
        >>> kinase_group(protein, KinaseFilter())
        'protein-kinase'
    """
    found = (not set(kinases.pfam).isdisjoint(protein.pfam), _is_in(protein, kinases.ec))
    if any(found) if kinases.match == "any" else all(found):
        return PROTEIN_KINASE
    small = kinases.small_molecule and _is_in(protein, kinases.small_molecule_ec)
    return SMALL_MOLECULE_KINASE if small else ""


def quality_order(facts: EntryFacts) -> tuple[float, float, int, str, str]:
    """Return the sort key by which the better of two entries comes first.

    Resolution, then R-free (none given is worst), then more residues that are built, then the older release and the
    identifier, so that the choice never depends on the order in which a server answers.
    """
    return (
        facts.resolution if facts.resolution is not None else float("inf"),
        facts.r_free if facts.r_free is not None else float("inf"),
        -(facts.n_residues or 0),
        facts.released,
        facts.id,
    )


def _best_of_each(fit: list[Decision], recipe: SearchRecipe) -> list[Decision]:
    choice = recipe.choose
    alike: defaultdict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in fit:
        cluster = decision.cluster if choice.identity else decision.facts.id
        alike[cluster, decision.state.state if choice.by_state else ""].append(decision)
    found = []
    for (cluster, state), members in alike.items():
        members.sort(key=lambda decision: quality_order(decision.facts))
        where = f"{cluster}, {state}" if state else cluster
        best = members[0].facts
        for place, member in enumerate(members):
            if not choice.per_cluster or place < choice.per_cluster:
                reason = f"number {place + 1} of {len(members)} in {where}"
                found.append(replace(member, decision="chosen", reason=reason))
            else:
                reason = (
                    f"number {place + 1} of {len(members)} in {where}: "
                    f"{best.id} is better ({_compared(best, member.facts)})"
                )
                found.append(replace(member, reason=reason))
    return found


def _compared(best: EntryFacts, other: EntryFacts) -> str:
    """Say what decided between two entries."""
    if best.resolution != other.resolution:
        return f"{best.resolution:g} Å to {other.resolution:g} Å"
    if best.r_free != other.r_free:
        other_r = "none" if other.r_free is None else f"{other.r_free:g}"
        return f"equal resolution; R-free {best.r_free:g} to {other_r}"
    if best.n_residues != other.n_residues:
        return f"equal resolution and R-free; {best.n_residues} residues to {other.n_residues}"
    return "equal quality; older, or first by identifier"


def _is_in(protein: Entity, classes: tuple[str, ...]) -> bool:
    return not set(classes).isdisjoint(protein.ec)
