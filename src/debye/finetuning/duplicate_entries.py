"""Entries that are the same structure, whatever their files are called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from debye.dataset.store.store import Store
from debye.finetuning.division import join_groups
from debye.targets.b_factor import B_FACTOR

Fingerprint = frozenset[str]
"""Digests of the coordinates and of the B-factors of an entry, whatever the order of its atoms."""


def fingerprint(store: Store, split: str, row: int) -> Fingerprint:
    """Return digests; a copy of an entry shares at least one of them.

    A copy that was moved keeps its measured B-factors; one that was refined again without moving atoms keeps
    its coordinates. Labels that are computed from a structure are no proof: charges are those of any crystal
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
    return {
        entry.id: fingerprint(store, split, row) for row, entry in enumerate(store.entries(split))
    }


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
    return tuple(
        name for name, own in fingerprints(other, split).items() if name in named or wanted & own
    )


def _digest(values: np.ndarray) -> str:
    # + 0.0: minus zero has other bytes than zero.
    return hashlib.sha256((values + 0.0).astype(np.float32).tobytes()).hexdigest()
