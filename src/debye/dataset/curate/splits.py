"""Candidates, and the entries of a store if there is one → the split of each entry, or why it is in none.

A build and an append to a store follow the same rules, in this order; each of them only takes entries away, and says
why:

1. Filter: resolution, size, one model, all copies and, for a B-factor as target, the B column.
2. Similarity: entries that share a cluster are linked, and all that are linked form a group. If there is a store, its
   entries count as they are: candidates that are similar to each other are linked, and a group belongs where the
   entries of the store are to which it is similar.
3. Family: members go to a split of their own; what is linked to them goes to none.
4. Draw: a group that is similar to nothing in the store is drawn by a hash of seed and name.
5. Limits: the best-resolved entries of a group (validation, test) or of a cluster (training) are taken.
6. Leakage: no training chain may be similar to a chain of another split; this is repeated until nothing is found.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from debye.dataset.curate.build_recipe import BuildRecipe, FamilyConfig, SplitConfig
from debye.dataset.curate.candidates import Assignment, Candidate, refusals
from debye.dataset.curate.clusters import (
    Chains,
    chain_sequences,
    entry_clusters,
    family_evidence,
    linked_groups,
    similar_entries,
    unique_chains,
)
from debye.dataset.curate.leakage import Leak, find_leaks
from debye.dataset.curate.mmseqs import SequenceComparison

TRAIN, VALIDATION, TEST = "train", "val", "test"
UNREADABLE = "file could not be read"
Sequences = Mapping[str, Mapping[str, str]]
"""Sequences of entries, by chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedSplits:
    """The result of :func:`assign_splits`."""

    assignments: dict[str, Assignment]
    """Of every candidate and unreadable file, by id in alphabetical order. An entry of the store whose revision is
    refused keeps its assignment."""
    refused: dict[str, str]
    """Why candidates are in no split, or revisions are not used; by id."""
    leaks: tuple[Leak, ...]
    """Pairs of training and another split that were found; all but those that remain are resolved."""
    sequences: Sequences
    """Of the candidates that were compared."""


def assign_splits(
    candidates: Sequence[Candidate],
    recipe: BuildRecipe,
    comparison: SequenceComparison,
    *,
    existing: Iterable[Assignment] = (),
    sequences: Sequences | None = None,
    failures: Iterable[Mapping[str, str]] = (),
    given: Mapping[str, str] | None = None,
) -> AssignedSplits:
    """Assign every candidate to a split or to none.

    Args:
        candidates: Facts of the entries. A candidate that the store has in a split is a revision: it stays there.
        recipe: The rules.
        comparison: Compares sequences.
        existing: Entries of the store, which keep their splits; none if a store is built.
        sequences: Their sequences.
        failures: Files that could not be read: ``id`` and ``reason``.
        given: Splits to use instead of drawing, by id.
    """
    state = _State(recipe, {item.id: item for item in existing if item.split})
    for failure in failures:
        state.refuse(failure["id"], UNREADABLE, failure["reason"])
    kept = [entry for entry in candidates if _passes_filter(entry, state)]
    own = {entry.id: chain_sequences(entry, recipe.clusters) for entry in kept}
    chains = unique_chains({**(sequences or {}), **own})
    _compare(kept, chains, state, comparison)
    kept = [entry for entry in kept if entry.id not in state.reason]
    fresh = [entry for entry in kept if entry.id not in state.stored]
    _check_revisions([entry.id for entry in kept if entry.id in state.stored], state)
    free = _assign_family(fresh, chains, state, comparison)
    alone = _assign_groups(fresh, free, chains, state)
    if given is None:
        drawn = draw_groups(alone, state.links, recipe, one_by_one=bool(state.stored))
        state.split |= {entry.id: drawn[state.links[entry.id]] for entry in alone}
        _limit(free, state)
    else:
        _take_given(alone, given, state)
    leaks = _exclude_leaks(chains, state, comparison)
    best = _representatives(fresh, state)
    facts = {entry.id: entry for entry in candidates}
    names = sorted({entry.id for entry in kept} | state.reason.keys())
    return AssignedSplits(
        assignments={
            name: _assignment(name, facts.get(name), name in best, state) for name in names
        },
        refused={
            name: f"{reason}: {state.detail[name]}" if reason == UNREADABLE else reason
            for name, reason in sorted(state.reason.items())
        },
        leaks=tuple(leaks),
        sequences=own,
    )


@dataclass(slots=True)
class _State:
    """What is assigned so far: a candidate is in a split, or has a reason, or neither yet."""

    recipe: BuildRecipe
    stored: dict[str, Assignment]
    """Entries of the store that are in a split."""
    split: dict[str, str] = field(default_factory=dict)
    reason: dict[str, str] = field(default_factory=dict)
    detail: dict[str, str] = field(default_factory=dict)
    neighbors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Entries similar to each candidate, and their identity; only if there is a store."""
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What similar candidates have in common: clusters or, if there is a store, a label a pair."""
    links: dict[str, str] = field(default_factory=dict)
    """Group of linked candidates, named after its first entry."""
    clusters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each candidate, that of its longest chain first."""
    group: dict[str, str] = field(default_factory=dict)
    """As ``links``, but with the name of the group in the store that it joins."""

    def refuse(self, entry: str, reason: str, detail: str = "") -> None:
        self.split.pop(entry, None)
        self.reason[entry] = reason
        if detail:
            self.detail[entry] = detail

    def held_out(self) -> set[str]:
        """Return the splits that training must not resemble."""
        family = self.recipe.family
        used = {item.split for item in self.stored.values()} | set(self.split.values())
        named = used | {VALIDATION, TEST} | ({family.split} if family else set())
        return set(self.recipe.leakage.held_out or named) - {TRAIN}

    def similar_stored(self, name: str, splits: set[str]) -> list[str]:
        """Return the entries of some splits of the store that are similar to a candidate, sorted."""
        similar = self.neighbors.get(name, {})
        return sorted(o for o in similar if o in self.stored and self.stored[o].split in splits)


def _passes_filter(entry: Candidate, state: _State) -> bool:
    found = refusals(entry, state.recipe)
    if found:
        (reason, value), *others = found
        more = [f"{name} ({text})" if text else name for name, text in others]
        state.refuse(entry.id, reason, "; ".join([*([value] if value else []), *more]))
    return not found


def _compare(
    kept: Sequence[Candidate], chains: Chains, state: _State, comparison: SequenceComparison
) -> None:
    """Find similar entries; refuse entries without a chain that can be compared."""
    names = [entry.id for entry in kept]
    if state.stored:
        found = similar_entries(names, chains, state.recipe, comparison)
        fresh = set(names) - state.stored.keys()
        state.neighbors = found
        state.labels = {
            name: [
                name,
                *("|".join(sorted((name, other))) for other in found[name] if other in fresh),
            ]
            for name in names
            if chains.names[name]
        }
    else:
        state.labels = entry_clusters(chains, state.recipe, comparison)
    for name in names:
        if not state.labels.get(name):
            state.refuse(name, "no chain that is in a cluster")


def _check_revisions(names: Iterable[str], state: _State) -> None:
    """Refuse revisions that are similar to entries on the other side of a split."""
    held_out = state.held_out()
    for name in names:
        own = state.stored[name].split
        forbidden = held_out if own == TRAIN else {TRAIN} if own in held_out else set()
        if crossed := state.similar_stored(name, forbidden):
            text = f"{crossed[0]} ({state.stored[crossed[0]].split})"
            state.refuse(name, "revision is similar to an entry of another split", text)


def _assign_family(
    fresh: Sequence[Candidate], chains: Chains, state: _State, comparison: SequenceComparison
) -> list[Candidate]:
    """Put members of the family into its split and what only resembles them into none; return the rest."""
    family = state.recipe.family
    if family is None:
        return list(fresh)
    evidence = family_evidence(fresh, chains, family, comparison)
    free = []
    for entry in fresh:
        name, found = entry.id, evidence.get(entry.id, {})
        text = "; ".join(f"{kind}: {what}" for kind, what in found.items())
        if not found:
            free.append(entry)
        elif not found.keys() & set(family.members):
            state.refuse(name, f"like {family.split}, but no member", text)
        elif trained := state.similar_stored(name, {TRAIN}):
            state.refuse(name, f"of {family.split}, but similar to training", trained[0])
        else:
            state.split[name], state.detail[name] = family.split, text
    return free


def _assign_groups(
    fresh: Sequence[Candidate], free: Sequence[Candidate], chains: Chains, state: _State
) -> list[Candidate]:
    """Group what is linked; send each group where similar entries are; return the entries of all other groups.

    An entry that is similar to two splits is in none, and does not link the entries that are similar to it.
    """
    family = state.recipe.family
    touched = _touched_splits(fresh, family, state)
    state.links = linked_groups(
        {
            name: state.labels[name]
            for name, splits in touched.items()
            if len(splits) < 2 or name in state.split
        }
    )
    reached: dict[str, set[str]] = {}
    for name, group in state.links.items():
        reached.setdefault(group, set()).update(touched[name])
    if state.stored:
        _name_after_stored(chains, state)
    else:
        state.clusters = {entry.id: tuple(state.labels[entry.id]) for entry in fresh}
        state.group = state.links
    alone = []
    for entry in free:
        group = state.links.get(entry.id, "")
        splits = reached.get(group, touched[entry.id])
        if len(splits) > 1:
            state.refuse(entry.id, f"links {' and '.join(sorted(splits))}")
        elif family is not None and splits == {family.split}:
            state.refuse(entry.id, f"shares a cluster with {family.split}", group)
        elif splits:
            (state.split[entry.id],) = splits
        else:
            alone.append(entry)
    return alone


def _touched_splits(
    fresh: Sequence[Candidate], family: FamilyConfig | None, state: _State
) -> dict[str, set[str]]:
    """Return the splits that each candidate is directly similar to: those of the store, and the family's."""
    sides = {TRAIN, *state.held_out()}
    touched = {
        entry.id: {state.stored[other].split for other in state.similar_stored(entry.id, sides)}
        for entry in fresh
    }
    if family is not None:
        members = [entry.id for entry in fresh if state.split.get(entry.id) == family.split]
        linked = {label for name in members for label in state.labels[name]}
        for name, splits in touched.items():
            if linked.intersection(state.labels[name]):
                splits.add(family.split)
    return touched


def _name_after_stored(chains: Chains, state: _State) -> None:
    """Name clusters and groups after the most similar entries of the store; new ones after their first entry."""
    nearest = {}
    for name in state.links:
        known = [(-alike, o) for o, alike in state.neighbors[name].items() if o in state.stored]
        if known:
            nearest[name] = state.stored[min(known)[1]]
    joined: dict[str, Assignment] = {}
    for name in sorted(nearest):
        joined.setdefault(state.links[name], nearest[name])
    for name, group in state.links.items():
        near = nearest.get(name) or joined.get(group) or Assignment(id="")
        own = f"{group}_{next(iter(chains.names[group]), '')}"
        state.clusters[name] = (near.cluster or own,)
        state.group[name] = near.group or group


def _take_given(free: Iterable[Candidate], given: Mapping[str, str], state: _State) -> None:
    for entry in free:
        if given.get(entry.id):
            state.split[entry.id] = given[entry.id]
        else:
            state.refuse(entry.id, "the index puts it in no split")


def draw_groups(
    entries: Iterable[Candidate],
    groups: Mapping[str, str],
    recipe: BuildRecipe,
    *,
    one_by_one: bool = False,
) -> dict[str, str]:
    """Return the split of each group.

    Groups that are not too large and have an entry suitable for evaluation are sorted by a hash of seed and name; the
    first of them are validation, the next test. So the draw of one group depends little on the other groups.

    Args:
        entries: Of the groups.
        groups: Group of each entry.
        recipe: Shares, seed, and what is suitable for evaluation.
        one_by_one: Compare each hash with the shares, so that the other groups have no influence at all.
    """
    config = recipe.splits
    fit: dict[str, bool] = {}
    size: Counter[str] = Counter()
    for entry in entries:
        group = groups[entry.id]
        size[group] += 1
        fit[group] = fit.get(group, False) or is_fit_for_evaluation(entry, config)
    limit = config.largest_evaluation_group
    number = {
        name: draw(recipe.seed, name)
        for name in fit
        if fit[name] and (limit is None or size[name] <= limit)
    }
    order = sorted(number, key=lambda name: (number[name], name))
    if one_by_one:
        validation = sum(number[name] < config.validation for name in order)
        held_out = sum(number[name] < config.validation + config.test for name in order)
    else:
        validation = round(config.validation * len(order))
        held_out = validation + round(config.test * len(order))
    drawn = dict.fromkeys(fit, TRAIN)
    drawn |= dict.fromkeys(order[:validation], VALIDATION)
    return drawn | dict.fromkeys(order[validation:held_out], TEST)


def draw(seed: int, name: str) -> float:
    """Return a number from 0 to 1 that depends on seed and name alone.

    Example:
        >>> (
        ...     round(draw(1, "1abc"), 3) == round(draw(1, "1abc"), 3),
        ...     draw(1, "1abc") == draw(2, "1abc"),
        ... )
        (True, False)
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def is_fit_for_evaluation(entry: Candidate, config: SplitConfig) -> bool:
    """Return whether an entry may be in validation or test."""
    limit = config.evaluation_resolution
    resolved = limit is None or (entry.resolution is not None and entry.resolution <= limit)
    whole = not config.evaluation_crystal or (entry.has_crystal and entry.has_header)
    return resolved and whole


def best_first(entries: Iterable[Candidate]) -> list[Candidate]:
    """Sort entries: stated resolution before none, better before worse, then by id."""
    return sorted(
        entries, key=lambda entry: (entry.resolution is None, entry.resolution or 0.0, entry.id)
    )


def _limit(free: Iterable[Candidate], state: _State) -> None:
    """Take the best-resolved entries of each group (validation and test) or cluster (training)."""
    config = state.recipe.splits
    most = {
        TRAIN: config.train_per_cluster,
        VALIDATION: config.evaluation_per_group,
        TEST: config.evaluation_per_group,
    }

    def pool(split: str, group: str, cluster: str) -> tuple[str, str]:
        return split, cluster if split == TRAIN else group or cluster

    taken = Counter(pool(item.split, item.group, item.cluster) for item in state.stored.values())
    for entry in best_first(entry for entry in free if entry.id in state.split):
        split = state.split[entry.id]
        if split in (VALIDATION, TEST) and not is_fit_for_evaluation(entry, config):
            state.refuse(entry.id, f"not fit for {split}: resolution, crystal or header")
            continue
        key = pool(split, state.group[entry.id], state.clusters[entry.id][0])
        limit = most.get(split)
        if limit is not None and taken[key] >= limit:
            state.refuse(entry.id, f"{split} has {taken[key]} of its cluster")
        else:
            taken[key] += 1


def _exclude_leaks(chains: Chains, state: _State, comparison: SequenceComparison) -> list[Leak]:
    """Return what leaked. Excluded entries change what is searched, so search again until nothing is found."""
    config = state.recipe.leakage
    found: list[Leak] = []
    while True:
        new, held_out = dict(state.split), state.held_out()
        where = {name: item.split for name, item in state.stored.items()} | new
        train = {name for name, split in where.items() if split == TRAIN}
        others = {name: split for name, split in where.items() if split in held_out}
        new_others = {name: split for name, split in others.items() if name in new}
        leaks = find_leaks(train & new.keys(), others, chains, config, comparison)
        leaks += find_leaks(train - new.keys(), new_others, chains, config, comparison)
        if not leaks or (config.on_match == "fail" and not state.stored):
            return found + leaks
        for leak in leaks:
            if leak.train in new:
                state.refuse(leak.train, f"similar to an entry of {leak.split}", str(leak))
            else:
                state.refuse(leak.other, f"similar to an entry of {TRAIN}", str(leak))
            found.append(replace(leak, outcome="excluded"))


def _representatives(fresh: Iterable[Candidate], state: _State) -> set[str]:
    """Return the best-resolved entry of each cluster that is new to its split."""
    known = {(item.split, item.cluster) for item in state.stored.values()}
    best: dict[tuple[str, str], str] = {}
    for entry in best_first(entry for entry in fresh if entry.id in state.split):
        best.setdefault((state.split[entry.id], state.clusters[entry.id][0]), entry.id)
    return {name for key, name in best.items() if key not in known}


def _assignment(name: str, entry: Candidate | None, is_best: bool, state: _State) -> Assignment:
    if name in state.stored:
        old = state.stored[name]
        return old if entry is None or name in state.reason else old.with_facts(entry)
    own = state.clusters.get(name, ())
    found = Assignment(
        id=name,
        split=state.split.get(name, ""),
        representative=is_best,
        cluster=own[0] if own else "",
        clusters=own,
        group=state.group.get(name, ""),
        reason=state.reason.get(name, ""),
        detail=state.detail.get(name, ""),
    )
    return found if entry is None else found.with_facts(entry)
