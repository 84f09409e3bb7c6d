"""New entries beside those of a store → their splits: with what they are similar to, or drawn if with nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from debye.dataset.curate.build_recipe import BuildRecipe
from debye.dataset.curate.clusters import Chains, linked_groups, rcsb_clusters
from debye.dataset.curate.curate import Decision
from debye.dataset.curate.families import family_evidence
from debye.dataset.curate.leakage import find_leaks
from debye.dataset.curate.mmseqs import search
from debye.dataset.curate.scan import Candidate
from debye.dataset.curate.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    best_first,
    draw,
    is_fit_for_evaluation,
)

Neighbors = dict[str, dict[str, float]]
"""Similar entries of each new entry, and the identity of the most similar chains."""


@dataclass(slots=True)
class Placement:
    """What was decided of each new entry: a split, or a reason for none."""

    split: dict[str, str] = field(default_factory=dict)
    cluster: dict[str, str] = field(default_factory=dict)
    group: dict[str, str] = field(default_factory=dict)
    representative: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    detail: dict[str, str] = field(default_factory=dict)

    def refuse(self, entry: str, reason: str, detail: str = "") -> None:
        """Put an entry into no split."""
        self.split.pop(entry, None)
        self.representative.discard(entry)
        self.refused[entry] = reason
        if detail:
            self.detail[entry] = detail


def place(
    new: Sequence[Candidate],
    chains: Chains,
    old: Mapping[str, Decision],
    recipe: BuildRecipe,
    *,
    threads: int = 1,
) -> Placement:
    """Decide on new entries; those of the store stay where they are.

    Args:
        new: Entries that passed the filter. One that is in the store is a revision, and keeps its split.
        chains: Of all entries, old and new.
        old: Decisions on the entries of the store.
        recipe: Family, shares, seed, limits, leakage.
        threads: Threads of MMseqs2.
    """
    stored = {name: decision.split for name, decision in old.items() if decision.split}
    placement = Placement()
    neighbors = similar_entries([entry.id for entry in new], chains, recipe, threads=threads)
    for entry in new:
        if entry.id in stored:
            _revise(entry.id, stored, neighbors, recipe, placement)
    fresh = [entry for entry in new if entry.id not in stored]
    free = _place_family(fresh, chains, stored, neighbors, recipe, placement, threads)
    _place_groups(free, chains, old, stored, neighbors, recipe, placement)
    _limit(best_first(free), stored, old, recipe, placement)
    _check_leaks(chains, stored, recipe, placement, threads)
    return placement


def similar_entries(
    new: Collection[str], chains: Chains, recipe: BuildRecipe, *, threads: int = 1
) -> Neighbors:
    """Return what each new entry is similar to, by the looser of the limits for clusters and leakage."""
    clusters, leakage = recipe.clusters, recipe.leakage
    asked, known = chains.of(new), chains.of(chains.names)
    pairs = {(name, name): 1.0 for name in asked}
    for queries, targets in ((asked, known), (known, asked)):
        for hit in search(
            queries,
            targets,
            identity=min(clusters.identity, leakage.identity),
            coverage=min(clusters.coverage, leakage.coverage),
            largest_evalue=leakage.largest_evalue,
            sensitivity=max(clusters.sensitivity, leakage.sensitivity),
            threads=threads,
        ):
            pair = (hit.query, hit.target) if queries is asked else (hit.target, hit.query)
            pairs[pair] = max(hit.identity, pairs.get(pair, 0.0))
    mine, places = chains.places(sorted(new)), chains.places(sorted(chains.names))
    found: Neighbors = {name: {} for name in new}
    for (name, other), identity in pairs.items():
        for entry, _ in mine[name]:
            for neighbor, _ in places[other]:
                if neighbor != entry:
                    best = found[entry].get(neighbor, 0.0)
                    found[entry][neighbor] = max(best, identity)
    if clusters.source == "rcsb" and clusters.file is not None:
        _add_clusters(found, rcsb_clusters(clusters.file, chains.names))
    return found


def _add_clusters(neighbors: Neighbors, clusters: Mapping[str, Sequence[str]]) -> None:
    members: dict[str, list[str]] = {}
    for entry, labels in clusters.items():
        for label in labels:
            members.setdefault(label, []).append(entry)
    for entry, found in neighbors.items():
        for label in clusters.get(entry, ()):
            for other in members[label]:
                if other != entry:
                    found.setdefault(other, 0.0)


def _held_out(stored: dict[str, str], recipe: BuildRecipe) -> set[str]:
    named = {*stored.values(), VALIDATION, TEST, *([recipe.family.split] if recipe.family else [])}
    return set(recipe.leakage.held_out or named) - {TRAIN}


def _revise(
    name: str,
    stored: dict[str, str],
    neighbors: Neighbors,
    recipe: BuildRecipe,
    placement: Placement,
) -> None:
    """Accept a revision unless it would be similar to entries on the other side."""
    held_out = _held_out(stored, recipe)
    forbidden = (
        held_out if stored[name] == TRAIN else {TRAIN} if stored[name] in held_out else set()
    )
    crossed = sorted(other for other in neighbors[name] if stored.get(other) in forbidden)
    if crossed:
        text = f"{crossed[0]} ({stored[crossed[0]]})"
        placement.refuse(name, "revision is similar to an entry of another split", text)


def _place_family(
    fresh: Sequence[Candidate],
    chains: Chains,
    stored: dict[str, str],
    neighbors: Neighbors,
    recipe: BuildRecipe,
    placement: Placement,
    threads: int,
) -> list[Candidate]:
    """Put members of the family into its split, what is like them into none; return the rest."""
    family = recipe.family
    if family is None:
        return list(fresh)
    evidence = family_evidence(fresh, chains, family, threads=threads)
    free = []
    for entry in fresh:
        found = evidence.get(entry.id, {})
        text = "; ".join(f"{kind}: {what}" for kind, what in found.items())
        trained = sorted(name for name in neighbors[entry.id] if stored.get(name) == TRAIN)
        if not found:
            free.append(entry)
        elif not found.keys() & set(family.members):
            placement.refuse(entry.id, f"like {family.split}, but no member", text)
        elif trained:
            placement.refuse(entry.id, f"of {family.split}, but similar to training", trained[0])
        else:
            placement.split[entry.id] = family.split
            placement.detail[entry.id] = text
            placement.cluster[entry.id] = _own_name(entry.id, entry.id, chains)
            placement.group[entry.id] = entry.id
    return free


def _place_groups(
    free: Sequence[Candidate],
    chains: Chains,
    old: Mapping[str, Decision],
    stored: dict[str, str],
    neighbors: Neighbors,
    recipe: BuildRecipe,
    placement: Placement,
) -> None:
    """Send each group of linked new entries to the split of what it is similar to."""
    sides = {TRAIN, *_held_out(stored, recipe)}
    where = stored | placement.split
    touched = {
        entry.id: {where[other] for other in neighbors[entry.id] if other in where} & sides
        for entry in free
    }
    # First those that link splits themselves: they must not drag along what is like them.
    for name in sorted(touched):
        if len(touched[name]) > 1:
            placement.refuse(name, f"links {' and '.join(sorted(touched.pop(name)))}")
    names = touched.keys()
    links = {
        name: [name, *("|".join(sorted((name, o))) for o in neighbors[name] if o in names)]
        for name in sorted(names)
    }
    groups = linked_groups(links) if links else {}
    fit = {entry.id for entry in free if is_fit_for_evaluation(entry, recipe.splits)}
    for group in sorted(set(groups.values())):
        members = [name for name in sorted(names) if groups[name] == group]
        near = _nearest(members, stored, neighbors)
        near_splits = set().union(*(touched[name] for name in members))
        split, reason = _split_of(group, near_splits, bool(fit & set(members)), recipe)
        for name in members:
            if reason:
                placement.refuse(name, reason)
            elif split in (VALIDATION, TEST) and name not in fit:
                reason_not_fit = f"not fit for {split}: resolution, crystal or header"
                placement.refuse(name, reason_not_fit)
            else:
                placement.split[name] = split
            neighbor = near.get(name) or next(iter(near.values()), None)
            cluster = old[neighbor].cluster if neighbor else ""
            placement.cluster[name] = cluster or _own_name(group, group, chains)
            placement.group[name] = (old[neighbor].group if neighbor else "") or group


def _split_of(group: str, touched: set[str], is_fit: bool, recipe: BuildRecipe) -> tuple[str, str]:
    """Return the split of a group, or why it gets none."""
    if len(touched) > 1:
        return "", f"links {' and '.join(sorted(touched))}"
    if touched:
        (split,) = touched
        if recipe.family is not None and split == recipe.family.split:
            return "", f"similar to an entry of {split}"
        return split, ""
    number = draw(recipe.seed, group)
    validation, test = recipe.splits.validation, recipe.splits.test
    if not is_fit or number >= validation + test:
        return TRAIN, ""
    return (VALIDATION if number < validation else TEST), ""


def _nearest(
    members: Iterable[str], stored: dict[str, str], neighbors: Neighbors
) -> dict[str, str]:
    """Return the entry of the store that each is most similar to; those similar to none are left out."""
    found = {}
    for name in members:
        known = [
            (-identity, other) for other, identity in neighbors[name].items() if other in stored
        ]
        if known:
            found[name] = min(known)[1]
    return found


def _own_name(group: str, entry: str, chains: Chains) -> str:
    """Return the name of a new cluster: that of the longest chain of its first entry."""
    return f"{group}_{next(iter(chains.names[entry]), '')}"


def _limit(
    order: Iterable[Candidate],
    stored: dict[str, str],
    old: Mapping[str, Decision],
    recipe: BuildRecipe,
    placement: Placement,
) -> None:
    """Refuse entries of clusters that are full; the best of a cluster that is new to its split represents it."""
    limits = {
        TRAIN: recipe.splits.train_per_cluster,
        VALIDATION: recipe.splits.evaluation_per_group,
        TEST: recipe.splits.evaluation_per_group,
    }
    taken = Counter((split, old[name].cluster) for name, split in stored.items())
    for entry in order:
        split = placement.split.get(entry.id)
        if split is None:
            continue
        key, most = (split, placement.cluster[entry.id]), limits.get(split)
        if most is not None and taken[key] >= most:
            placement.refuse(entry.id, f"{split} has {taken[key]} of its cluster")
            continue
        if not taken[key]:
            placement.representative.add(entry.id)
        taken[key] += 1


def _check_leaks(
    chains: Chains,
    stored: dict[str, str],
    recipe: BuildRecipe,
    placement: Placement,
    threads: int,
) -> None:
    """Refuse new entries until no pair with a new one leaks; the links should have left none."""
    held_out = _held_out(stored, recipe)
    while True:
        where = stored | placement.split
        train = {name for name, split in where.items() if split == TRAIN}
        others = {name: split for name, split in where.items() if split in held_out}
        fresh = {name: split for name, split in others.items() if name in placement.split}
        leaks = find_leaks(
            train & placement.split.keys(), others, chains, recipe.leakage, threads=threads
        )
        leaks += find_leaks(train, fresh, chains, recipe.leakage, threads=threads)
        if not leaks:
            return
        for leak in leaks:
            name = leak.train if leak.train in placement.split else leak.other
            placement.refuse(name, "similar to an entry of another split", str(leak))
