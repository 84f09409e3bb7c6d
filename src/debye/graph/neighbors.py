"""Who is near whom: edges by radius or rank, and how tightly each atom is packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from debye.structure.crystal import Mates

TIE = 1e-3
"""Å. Distances this similar are equal: coordinate files round to 0.001 Å."""


@dataclass(frozen=True, slots=True)
class Neighbors:
    """Directed edges, sorted by receiver, then sender, then mate, then length."""

    sender: Int[np.ndarray, " edges"]
    """Row of the (original of the) atom that sends, int32."""
    receiver: Int[np.ndarray, " edges"]
    """Row of the atom that receives, int32."""
    vector: Float[np.ndarray, "edges 3"]
    """From the receiver to the (image of the) sender, Å, float32."""
    is_mate: Bool[np.ndarray, " edges"]
    """True where the sender is a symmetry mate."""

    def __len__(self) -> int:
        return len(self.sender)


def radius_neighbors(
    position: Float[np.ndarray, "atoms 3"], mates: Mates, radius: float
) -> Neighbors:
    """Connect every atom to all atoms and mates within a radius.

    There is no cap on the number of neighbors: with a cap the graph depends on the order of the atoms.

    Args:
        position: Cartesian coordinates, Å.
        mates: Symmetry mates; they send but do not receive.
        radius: Largest distance that still makes an edge, Å (inclusive).

    Example:
        >>> edges = radius_neighbors(np.array([[0.0, 0, 0], [1, 0, 0], [9, 0, 0]]), Mates(), 2.0)
        >>> edges.sender.tolist(), edges.receiver.tolist()
        ([1, 0], [0, 1])
    """
    _check_radius(mates, radius)
    tree = cKDTree(position)
    pairs = tree.query_pairs(radius, output_type="ndarray")
    first, second = pairs[:, 0], pairs[:, 1]
    sender, receiver = [second, first], [first, second]
    if len(mates):
        found = tree.sparse_distance_matrix(
            cKDTree(mates.position), radius, output_type="ndarray"
        )
        sender.append(found["j"] + len(position))
        receiver.append(found["i"])
    return _sorted(position, mates, np.concatenate(sender), np.concatenate(receiver))


def nearest_neighbors(position: Float[np.ndarray, "atoms 3"], mates: Mates, k: int) -> Neighbors:
    """Connect every atom to its nearest atoms and mates, and to all that are as near as the last one.

    Atoms as near as the last one (within :data:`TIE`) all count, so that the order of the atoms does not.
    Beyond ``mates.radius`` no mates are known: choose it larger than the distances that matter.

    Args:
        position: Cartesian coordinates, Å.
        mates: Symmetry mates; they send but do not receive.
        k: Neighbors of each atom; fewer where the structure has fewer.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    everything = np.concatenate([position, mates.position])
    tree = cKDTree(everything)
    receiver = np.arange(len(position))
    senders, receivers = [], []
    asked = k + 4
    while len(receiver):
        distance, sender = tree.query(position[receiver], k=asked + 1)
        distance[sender == receiver[:, None]] = -1.0  # the atom itself: not always the first of equals
        order = np.argsort(distance, axis=1, kind="stable")
        distance = np.take_along_axis(distance, order, axis=1)[:, 1:]
        sender = np.take_along_axis(sender, order, axis=1)[:, 1:]
        limit = distance[:, k - 1] + TIE
        complete = (distance[:, -1] > limit) | ~np.isfinite(distance[:, -1])
        wanted = (distance <= limit[:, None]) & np.isfinite(distance) & complete[:, None]
        senders.append(sender[wanted])
        receivers.append(np.repeat(receiver, wanted.sum(axis=1)))
        receiver = receiver[~complete]
        asked *= 2
    empty = np.zeros(0, int)
    return _sorted(
        position, mates, np.concatenate([empty, *senders]), np.concatenate([empty, *receivers])
    )


def _check_radius(mates: Mates, radius: float) -> None:
    if not 0 < radius <= mates.radius:
        raise ValueError(
            f"radius must be positive and at most {mates.radius:g} Å, up to which mates were "
            f"searched, got {radius}"
        )


def _sorted(
    position: Float[np.ndarray, "atoms 3"],
    mates: Mates,
    sender: NDArray[np.integer],
    receiver: NDArray[np.integer],
) -> Neighbors:
    """Sort edges whose senders count on through the mates, and give each its vector."""
    atoms = len(position)
    # Atoms and their mates in the order in which they shall send: sorting plain numbers is fast.
    origin = np.concatenate([np.arange(atoms, dtype=np.int32), mates.source])
    by_origin = np.argsort(origin, kind="stable")
    rank = np.empty(len(origin), np.int64)
    rank[by_origin] = np.arange(len(origin))
    key = receiver * np.int64(len(origin))
    key += rank[sender]
    key.sort()
    receiver = key // max(1, len(origin))
    key -= receiver * len(origin)
    image = by_origin[key]
    place = np.concatenate([position, mates.position]).astype(np.float32, copy=False)
    vector = place[image]
    vector -= place[receiver]
    sender, receiver = origin[image], receiver.astype(np.int32)
    is_mate = image >= atoms
    _sort_images_by_length(sender, receiver, vector, is_mate)
    return Neighbors(sender=sender, receiver=receiver, vector=vector, is_mate=is_mate)


def _sort_images_by_length(
    sender: NDArray[np.int32],
    receiver: NDArray[np.int32],
    vector: NDArray[np.float32],
    is_mate: NDArray[np.bool_],
) -> None:
    """Order, in place, the few edges between the same two atoms by length."""
    again = is_mate[1:] & is_mate[:-1]
    again &= (sender[1:] == sender[:-1]) & (receiver[1:] == receiver[:-1])
    rows = np.unique(np.flatnonzero(again)[:, None] + [0, 1])
    length = np.linalg.norm(vector[rows], axis=1)
    order = np.lexsort((length, sender[rows], receiver[rows]))
    vector[rows] = vector[rows[order]]
