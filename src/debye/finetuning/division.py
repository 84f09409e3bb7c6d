"""Divisions of entries into training, choice of the epoch and report, so that no copy is in two parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from debye.dataset.store.store import Store
from debye.errors import ConfigError
from debye.targets.b_factor import B_FACTOR

LEAVE_ONE_OUT = 20
"""Most groups that are left out one by one."""
MANY_FOLDS = 10
"""Parts of a larger family."""
Ids = tuple[str, ...]
Fingerprint = frozenset[str]
"""Digests of the coordinates and of the B-factors of an entry, whatever the order of its atoms."""


class Fold(NamedTuple):
    """One part of a family that is left out."""

    name: str
    train: Ids
    left_out: Ids


def divide(groups: Sequence[Sequence[str]], hold_out: float, seed: int) -> tuple[Ids, Ids, Ids]:
    """Hold out a share of the groups: half of them choose the epoch, half are reported.

    Groups are ids that must stay together: clusters, joined where they share copies of a structure.

    Returns:
        Ids for training, to choose the epoch and calibrate the bounds, and for the report.

    Raises:
        ConfigError: too few groups.

    Example:
        >>> train, choose, report = divide([["a"], ["b"], ["c", "d"], ["e"]], 0.5, seed=1)
        >>> len(choose), len(report), sorted(train + choose + report)
        (1, 1, ['a', 'b', 'c', 'd', 'e'])
    """
    each = max(1, round(hold_out * len(groups) / 2))
    if len(groups) < 2 * each + 1:
        uses = f"training, choice of the epoch and report (hold_out {hold_out})"
        problem = f"{len(groups)} groups of new entries cannot be divided into {uses}"
        remedy = (
            "Name splits with --val and --report, or use --family for a few crystals of one protein"
        )
        raise ConfigError("finetune", problem, remedy)
    choose, report, train = _draw(groups, seed, each, 2 * each)
    return train, choose, report


def halve(groups: Sequence[Sequence[str]], seed: int) -> tuple[Ids, Ids]:
    """Divide held-out groups into those that choose the epoch and those that are reported.

    Raises:
        ConfigError: there is only one.
    """
    if len(groups) < 2:
        uses = "both choose the epoch and be reported"
        problem = f"the held-out entries are 1 group, which cannot {uses}"
        raise ConfigError("finetune", problem, "Name a split with --report")
    choose, report = _draw(groups, seed, len(groups) // 2)
    return choose, report


def make_folds(groups: Sequence[Sequence[str]], folds: int | None, seed: int) -> list[Fold]:
    """Leave out every group of copies once, one by one or in parts of nearly equal size.

    Without a number of folds there is one for each group up to :data:`LEAVE_ONE_OUT`, else :data:`MANY_FOLDS`.

    Raises:
        ConfigError: fewer than two groups, or more parts than groups.

    Example:
        >>> [fold.left_out for fold in make_folds([["a"], ["b", "c"]], None, seed=1)]
        [('a',), ('b', 'c')]
    """
    count = folds or (len(groups) if len(groups) <= LEAVE_ONE_OUT else MANY_FOLDS)
    if len(groups) < 2 or count > len(groups):
        problem = f"{len(groups)} different structures cannot be divided into {max(count, 2)} parts"
        remedy = "Give more structures, or a smaller number with --folds"
        raise ConfigError("finetune --family", problem, remedy)
    order = np.arange(len(groups))
    if count < len(groups):
        order = np.random.default_rng([seed, len(groups)]).permutation(order)
    parts = [_ids_of(groups, order[number::count]) for number in range(count)]
    all_ids = _ids_of(groups, order)
    rest = [tuple(name for name in all_ids if name not in part) for part in parts]
    return [
        Fold(f"fold-{number:02d}", *fold)
        for number, fold in enumerate(zip(rest, parts, strict=True), start=1)
    ]


def join_groups(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> list[list[str]]:
    """Merge two groupings: ids that share a group in either of them share one in the result.

    Example:
        >>> join_groups([["a", "b"], ["c"], ["d"]], [["b", "c"]])
        [['a', 'b', 'c'], ['d']]
    """
    joined: list[set[str]] = []
    for group in (*first, *second):
        touched = [other for other in joined if not other.isdisjoint(group)]
        joined = [other for other in joined if other not in touched]
        joined.append(set(group).union(*touched))
    return sorted(sorted(group) for group in joined)


def fingerprint(store: Store, split: str, row: int) -> Fingerprint:
    """Return digests; a copy of an entry shares at least one of them.

    A copy that was moved keeps its measured B-factors; one that was refined again without moving atoms keeps
    its coordinates. Labels that are computed from a structure prove nothing: charges are those of any crystal
    of the same protein.
    """
    position = np.rint(store.values(split, row, "position").astype(np.float64) * 100)
    found = {f"position {_digest(position[np.lexsort(position.T)])}"}
    labels = store.labels(split, row, B_FACTOR)
    if labels.usable.any():
        b = np.rint(np.nan_to_num(labels.value.astype(np.float64)) * 100)
        found.add(f"b {_digest(np.sort(b))}")
    return frozenset(found)


def fingerprints(store: Store, split: str) -> dict[str, Fingerprint]:
    """Return the fingerprint of every entry of a split, by id."""
    entries = store.entries(split)
    return {entry.id: fingerprint(store, split, row) for row, entry in enumerate(entries)}


def group_copies(names: Sequence[str], prints: Sequence[Fingerprint]) -> list[list[str]]:
    """Put entries that are copies of each other into one group; in the order of the names.

    Example:
        >>> group_copies(["a", "b", "c"], [frozenset("x1"), frozenset("y2"), frozenset("z1")])
        [['a', 'c'], ['b']]
    """
    sharing: dict[str, list[str]] = {}
    for name, found in zip(names, prints, strict=True):
        for digest in found:
            sharing.setdefault(digest, []).append(name)
    return join_groups([[name] for name in names], list(sharing.values()))


def find_copies(
    prints: Iterable[Fingerprint], other: Store, split: str, ids: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the entries of another store's split that are copies of the given ones, or have such an id."""
    wanted, named = frozenset[str]().union(*prints), set(ids)
    found = fingerprints(other, split).items()
    return tuple(name for name, own in found if name in named or wanted & own)


def _digest(values: np.ndarray) -> str:
    # + 0.0: minus zero has other bytes than zero.
    return hashlib.sha256((values + 0.0).astype(np.float32).tobytes()).hexdigest()


def _ids_of(groups: Sequence[Sequence[str]], places: Iterable[int]) -> Ids:
    return tuple(sorted(name for place in places for name in groups[int(place)]))


def _draw(groups: Sequence[Sequence[str]], seed: int, *ends: int) -> list[Ids]:
    """Return the ids of the groups in random order, cut after some numbers of groups."""
    order = np.random.default_rng([seed, len(groups)]).permutation(len(groups))
    return [_ids_of(groups, part) for part in np.split(order, ends)]
