"""Which entries are one and the same structure, whatever their files are called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from debye.dataset.store.store import Store

Fingerprint = tuple[str, str]
"""Digests of all coordinates, and of all B-factors, of an entry, whatever the order of its atoms."""


def fingerprint(store: Store, split: str, row: int) -> Fingerprint:
    """Return what a copy of an entry shares with it: coordinates, or B-factors, or both.

    A copy that was moved keeps its B-factors; one that was refined again without moving atoms keeps its
    coordinates.
    """
    position = np.rint(store.values(split, row, "position").astype(np.float64) * 100)
    b_iso = np.rint(np.nan_to_num(store.values(split, row, "b_iso").astype(np.float64)) * 100)
    ordered = position[np.lexsort(position.T)]
    return _digest(ordered), _digest(np.sort(b_iso))


def group_copies(names: Sequence[str], prints: Sequence[Fingerprint]) -> list[list[str]]:
    """Put entries that are copies of each other into one group; in the order of the names.

    Example:
        >>> group_copies(["a", "b", "c"], [("x", "1"), ("y", "2"), ("z", "1")])
        [['a', 'c'], ['b']]
    """
    groups: list[tuple[set[str], list[str]]] = []
    for name, found in zip(names, prints, strict=True):
        same = [group for group in groups if group[0] & _keys(found)]
        merged = (_keys(found).union(*(keys for keys, _ in same)), [])
        for group in same:
            merged[1].extend(group[1])
            groups.remove(group)
        merged[1].append(name)
        groups.append(merged)
    return sorted(sorted(members) for _, members in groups)


def find_copies(
    prints: Iterable[Fingerprint], other: Store, split: str, ids: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the entries of another store's split that are copies of the given ones, or have such an id."""
    wanted: set[str] = set().union(*map(_keys, prints))
    named = set(ids)
    return tuple(
        entry.id
        for row, entry in enumerate(other.entries(split))
        if entry.id in named or wanted & _keys(fingerprint(other, split, row))
    )


def _keys(found: Fingerprint) -> set[str]:
    return {f"position {found[0]}", f"b {found[1]}"}


def _digest(values: np.ndarray) -> str:
    # + 0.0: minus zero has other bytes than zero.
    return hashlib.sha256((values + 0.0).astype(np.float32).tobytes()).hexdigest()
