"""Neighbors: edges between atoms by radius or rank, edges between residues, contact numbers and densities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import DTypeLike, NDArray
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]
from scipy.spatial.distance import cdist

from debye.structure.bonds import Bonds
from debye.structure.crystal import Mates, copies_near
from debye.structure.structure import Structure

NEAREST = 1.0
"""Å. Nearer atoms count as this near in 1/d²: one misplaced atom must not outweigh all others."""
LUMPED = 5.0
"""Å. Beyond this distance the weighted contact number counts residues, not atoms."""
FADING, REACH = 20.0, 25.0
"""Å. Between these distances the weight of residues in the weighted contact number falls to 0."""
BLOCK = 128
"""Atoms whose distances to their neighbors are computed at once; more do not fit the cache."""
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

    def take(self, rows: NDArray[np.integer]) -> Neighbors:
        """Return some of the edges."""
        columns = self.sender, self.receiver, self.vector, self.is_mate
        return Neighbors(*(column[rows] for column in columns))


NOTHING = np.zeros(0, np.int32)
NO_NEIGHBORS = Neighbors(NOTHING, NOTHING, np.zeros((0, 3), np.float32), np.zeros(0, bool))


def merge(kinds: Sequence[Neighbors]) -> tuple[Neighbors, NDArray[np.int64]]:
    """Return edges of several kinds in one order, and which row of all of them each was."""
    every = [NO_NEIGHBORS, *kinds]
    joined = Neighbors(
        sender=np.concatenate([kind.sender for kind in every]),
        receiver=np.concatenate([kind.receiver for kind in every]),
        vector=np.concatenate([kind.vector for kind in every]),
        is_mate=np.concatenate([kind.is_mate for kind in every]),
    )
    length = (joined.vector**2).sum(axis=1)
    order = np.lexsort((length, joined.is_mate, joined.sender, joined.receiver))
    return joined.take(order), order


def radius_neighbors(
    position: Float[np.ndarray, "atoms 3"], mates: Mates, radius: float
) -> Neighbors:
    """Connect every atom to all atoms and mates within a radius (Å, inclusive).

    Mates send but do not receive. There is no cap on the number of neighbors: with a cap the graph depends on the
    order of the atoms.

    Example:
        >>> edges = radius_neighbors(np.array([[0.0, 0, 0], [1, 0, 0], [9, 0, 0]]), Mates(), 2.0)
        >>> edges.sender.tolist(), edges.receiver.tolist()
        ([1, 0], [0, 1])
    """
    _check_radius(mates, radius)
    inner, outer = _pairs(position, mates, radius)
    sender = np.concatenate([inner[:, 1], inner[:, 0], outer[:, 1] + len(position)])
    receiver = np.concatenate([inner[:, 0], inner[:, 1], outer[:, 0]])
    return _sorted(position, mates, sender, receiver)


def nearest_neighbors(position: Float[np.ndarray, "atoms 3"], mates: Mates, k: int) -> Neighbors:
    """Connect every atom to its nearest atoms and mates, and to all that are as near as the last one.

    Atoms as near as the last one (within :data:`TIE`) all count, so that the order of the atoms does not.
    Beyond ``mates.radius`` no mates are known: choose it larger than the distances that matter.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    everything = np.concatenate([position, mates.position])
    tree = cKDTree(everything)
    receiver = np.arange(len(position))
    senders, receivers = [], []
    searched = k + 4
    while len(receiver):
        distance, sender = tree.query(position[receiver], k=searched + 1)
        # The atom itself first: among atoms at one place it may be another one.
        distance[sender == receiver[:, None]] = -1.0
        order = np.argsort(distance, axis=1, kind="stable")
        distance = np.take_along_axis(distance, order, axis=1)[:, 1:]
        sender = np.take_along_axis(sender, order, axis=1)[:, 1:]
        limit = distance[:, k - 1] + TIE
        complete = (distance[:, -1] > limit) | ~np.isfinite(distance[:, -1])
        wanted = (distance <= limit[:, None]) & np.isfinite(distance) & complete[:, None]
        senders.append(sender[wanted])
        receivers.append(np.repeat(receiver, wanted.sum(axis=1)))
        receiver = receiver[~complete]
        searched *= 2
    sender, receiver = (np.concatenate([np.zeros(0, int), *each]) for each in (senders, receivers))
    return _sorted(position, mates, sender, receiver)


def find_residue_edges(
    structure: Structure, bonds: Bonds, radius: float, *, in_crystal: bool
) -> tuple[Neighbors, Bool[np.ndarray, " edges"]]:
    """Connect all residues whose centroids are within a radius (Å, inclusive), ligands and ions included.

    With ``in_crystal`` symmetry mates send edges too; the crystal must be sound.

    Returns:
        Edges between residues, and whether a bond joins the two.
    """
    centroid, mates = residue_centroids(structure), Mates()
    if in_crystal and structure.crystal is not None:
        mates = copies_near(structure.crystal, centroid, radius)
    near = radius_neighbors(centroid, mates, radius)
    ends = structure.residue_index[bonds.pairs].astype(np.int64)
    ends = ends[ends[:, 0] != ends[:, 1]]
    bonded = np.concatenate([ends @ [len(centroid), 1], ends @ [1, len(centroid)]])
    edges = near.receiver.astype(np.int64) * len(centroid) + near.sender
    return near, np.isin(edges, bonded) & ~near.is_mate


def residue_centroids(structure: Structure) -> Float[np.ndarray, "residues 3"]:
    """Return the mean position of the atoms of each residue, Å, float32."""
    count = np.maximum(np.bincount(structure.residue_index), 1)
    sums = [np.bincount(structure.residue_index, axis) for axis in structure.position.T]
    return (np.stack(sums, axis=1) / count[:, None]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Packing:
    """Contact number and density of each atom."""

    contacts: Float[np.ndarray, "atoms radii"]
    """Number of atoms within each radius, float32."""
    density: Float[np.ndarray, "atoms radii"]
    """Sum of 1/d² over the atoms within each radius, Å⁻², float32."""


def packing(
    position: Float[np.ndarray, "atoms 3"], mates: Mates, radii: Sequence[float]
) -> tuple[Packing, Packing]:
    """Count the neighbors of every atom within several radii (Å, inclusive): in isolation, then in the crystal.

    Time and memory grow linearly with the number of atoms. Distances below :data:`NEAREST` count as that.

    Example:
        >>> isolated, _ = packing(
        ...     np.array([[0.0, 0, 0], [2, 0, 0], [4, 0, 0]]), Mates(), [2.0, 9.0]
        ... )
        >>> isolated.contacts.tolist(), isolated.density[0].tolist()
        ([[1.0, 2.0], [2.0, 2.0], [1.0, 2.0]], [0.25, 0.3125])
    """
    _check_radius(mates, max(radii))
    atoms = len(position)
    contacts = np.zeros((2, atoms, len(radii)), np.float32)
    density = np.zeros((2, atoms, len(radii)), np.float32)
    scratch = _Scratch()
    for kind, others in enumerate((position, mates.position)):
        for rows, near in _blocks(position, others, max(radii)):
            shape = len(rows), len(near)
            squared = scratch.array("squared", shape, np.float64)
            weight = scratch.array("weight", shape)
            within = scratch.array("within", shape)
            cdist(position[rows], others[near], "sqeuclidean", out=squared)
            np.maximum(squared, NEAREST**2, out=weight, casting="same_kind")
            np.reciprocal(weight, out=weight)
            for column, radius in enumerate(radii):
                np.less_equal(squared, radius**2, out=within)
                contacts[kind, rows, column] = np.einsum("ij->i", within)
                density[kind, rows, column] = np.einsum("ij,ij->i", weight, within)
    contacts[0] -= 1  # every atom has found itself, at distance 0
    density[0] -= NEAREST**-2
    return (
        Packing(contacts=contacts[0], density=density[0]),
        Packing(contacts=contacts.sum(axis=0), density=density.sum(axis=0)),
    )


def weighted_contact_number(
    structure: Structure, mates: Mates
) -> tuple[Float[np.ndarray, " atoms"], Float[np.ndarray, " atoms"]]:
    r"""Return the weighted contact number of every atom (Å⁻²): in isolation, then in the crystal.

    .. math:: w_i = \sum_{j \ne i} 1 / d_{ij}^2

    Atoms within :data:`LUMPED` count one by one, farther ones in the centroid of their residue, up to :data:`REACH`.
    So the time is linear in the number of atoms, and the result depends on neither pose nor order, as that of a grid
    would. ``mates`` are those up to at least :data:`LUMPED`.

    Reference: Lin, Shih, Hwang, Kao, Lee & Chen (2008), Proteins 72, 929-935.
    """
    _check_radius(mates, LUMPED)
    position = structure.position
    inner, outer = _pairs(position, mates, LUMPED)
    weight = _near_kernel(position[inner[:, 0]] - position[inner[:, 1]])
    # bincount of nothing is of integers, weights or not
    isolated = np.bincount(inner[:, 0], weight, minlength=len(position)).astype(np.float64)
    isolated += np.bincount(inner[:, 1], weight, minlength=len(position))
    weight = _near_kernel(position[outer[:, 0]] - mates.position[outer[:, 1]])
    contacts = np.bincount(outer[:, 0], weight, minlength=len(position)).astype(np.float64)

    count, centroid = np.bincount(structure.residue_index), residue_centroids(structure)
    isolated += _far_field(position, centroid, count) - LUMPED**-2
    if structure.crystal is not None and np.isfinite(mates.radius):
        copies = copies_near(structure.crystal, centroid, REACH, around=position)
        contacts += _far_field(position, copies.position, count[copies.source])
    return isolated.astype(np.float32), (isolated + contacts).astype(np.float32)


def copy_contact_number(
    position: Float[np.ndarray, "atoms 3"], copy: Float[np.ndarray, "copies 3"]
) -> Float[np.ndarray, " atoms"]:
    """Return the contribution of one symmetry copy of a residue to the weighted contact numbers, Å⁻²."""
    near = cKDTree(position).sparse_distance_matrix(cKDTree(copy), LUMPED, output_type="ndarray")
    weight = _near_kernel(position[near["i"]] - copy[near["j"]])
    added = np.bincount(near["i"], weight, minlength=len(position))
    centroid = copy.mean(axis=0, keepdims=True).astype(np.float32)
    return (added + _far_field(position, centroid, np.array([len(copy)]))).astype(np.float32)


def _near_kernel(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1/d² less its value at the end of the near field, which the far field contains."""
    squared = np.einsum("ij,ij->i", vector, vector)
    return 1 / np.maximum(squared, NEAREST**2) - LUMPED**-2


def _far_field(
    position: Float[np.ndarray, "atoms 3"],
    centroid: Float[np.ndarray, "centroids 3"],
    count: Int[np.ndarray, " centroids"],
) -> NDArray[np.float32]:
    """Sum 1/d² over the atoms of residues, each in its centroid; constant in the near field."""
    total = np.zeros(len(position), np.float32)
    weight = count.astype(np.float32)
    scratch = _Scratch()
    for rows, near in _blocks(position, centroid, REACH):
        origin = position[rows[0]]  # local coordinates: the expanded square is exact to 1e-4 Å²
        here, there = position[rows] - origin, centroid[near] - origin
        left = np.ones((len(here), 5), np.float32)
        left[:, :3], left[:, 3] = -2 * here, np.einsum("ij,ij->i", here, here)
        right = np.ones((5, len(there)), np.float32)
        right[:3], right[4] = there.T, np.einsum("ij,ij->i", there, there)
        # einsum, not matmul: a BLAS that starts threads for products this small takes 10 times as long.
        kernel = scratch.array("kernel", (len(here), len(there)))
        np.einsum("ik,kj->ij", left, right, out=kernel)
        # 1/d², level in the near field, times a line in d² that falls from 1 to 0: a step at the
        # reach would make the sum depend on the rounding of coordinates.
        fade = scratch.array("fade", kernel.shape)
        np.subtract(REACH**2, kernel, out=fade)
        np.clip(fade, 0, REACH**2 - FADING**2, out=fade)
        np.clip(kernel, LUMPED**2, None, out=kernel)
        np.divide(fade, kernel, out=kernel)
        total[rows] = np.einsum("ij,j->i", kernel, weight[near])
    return total / np.float32(REACH**2 - FADING**2)


class _Scratch:
    """Reused arrays: to allocate arrays of this size takes longer than to fill them."""

    def __init__(self) -> None:
        self.buffers: dict[str, NDArray] = {}

    def array(self, name: str, shape: tuple[int, int], dtype: DTypeLike = np.float32) -> NDArray:
        """Return an array of any content, valid until the next call with this name."""
        size = shape[0] * shape[1]
        if name not in self.buffers or len(self.buffers[name]) < size:
            self.buffers[name] = np.empty(size + size // 2, dtype)
        return self.buffers[name][:size].reshape(shape)


def _blocks(
    position: Float[np.ndarray, "atoms 3"], others: Float[np.ndarray, "others 3"], radius: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield compact groups of atoms, each with all others that may be within a radius of one of them, if any.

    Distances inside a block are dense arrays: for hundreds of neighbors per atom several times faster than lists.
    """
    if not len(position) or not len(others):
        return
    rows, low, high = _boxes(position)
    columns, other_low, other_high = (rows, low, high) if others is position else _boxes(others)
    largest = np.linalg.norm(high - low, axis=1).max()
    largest += np.linalg.norm(other_high - other_low, axis=1).max()
    pairs = cKDTree((low + high) / 2).sparse_distance_matrix(
        cKDTree((other_low + other_high) / 2), radius + largest / 2 + 0.01, output_type="ndarray"
    )
    first, second = pairs["i"], pairs["j"]
    gap = np.maximum(other_low[second] - high[first], low[first] - other_high[second]).clip(0)
    near = np.einsum("ij,ij->i", gap, gap) <= (radius + 0.01) ** 2
    first, second = first[near], second[near]
    order = np.argsort(first, kind="stable")
    low32, high32, reach = low.astype(np.float32), high.astype(np.float32), (radius + 0.01) ** 2
    ends = np.cumsum(np.bincount(first, minlength=len(rows)))
    for block, chosen in enumerate(np.split(second[order], ends[:-1])):
        if not len(chosen):
            continue
        candidates = np.concatenate([columns[column] for column in chosen])
        place = others[candidates]
        gap = np.maximum(low32[block] - place, place - high32[block])
        np.clip(gap, 0, None, out=gap)
        found = candidates[np.einsum("ij,ij->i", gap, gap) <= reach]
        # Nothing is yielded for empty sums: those of einsum were NaN, rarely.
        if len(found):
            yield rows[block], found


def _boxes(
    position: Float[np.ndarray, "atoms 3"],
) -> tuple[list[NDArray[np.intp]], NDArray[np.float64], NDArray[np.float64]]:
    """Return the rows of each leaf of a k-d tree, and the low and high corner of its box."""
    tree = cKDTree(position, leafsize=BLOCK)
    starts, nodes = [], [tree.tree]
    while nodes:
        node = nodes.pop()
        if node.split_dim == -1:
            starts.append(node.start_idx)
        else:
            nodes += [node.greater, node.lesser]  # the lesser is next: rows ascend
    sorted_position = tree.data[tree.indices]
    return (
        np.split(tree.indices, starts[1:]),
        np.minimum.reduceat(sorted_position, starts),
        np.maximum.reduceat(sorted_position, starts),
    )


def _check_radius(mates: Mates, radius: float) -> None:
    if not 0 < radius <= mates.radius:
        raise ValueError(
            f"radius must be positive and at most {mates.radius:g} Å, up to which mates were "
            f"searched, got {radius}"
        )


def _pairs(
    position: Float[np.ndarray, "atoms 3"], mates: Mates, radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of every two atoms, and of every atom and mate, within a radius."""
    # Faster to build, and good enough for two searches.
    tree = cKDTree(position, balanced_tree=False, compact_nodes=False)
    inner = tree.query_pairs(radius, output_type="ndarray")
    if not len(mates):
        return inner, np.zeros((0, 2), np.intp)
    outer = tree.sparse_distance_matrix(cKDTree(mates.position), radius, output_type="ndarray")
    return inner, np.stack([outer["i"], outer["j"]], axis=1)


def _sorted(
    position: Float[np.ndarray, "atoms 3"],
    mates: Mates,
    sender: NDArray[np.integer],
    receiver: NDArray[np.integer],
) -> Neighbors:
    """Sort edges whose senders are numbered on through the mates, and add their vectors."""
    atoms = len(position)
    # Atoms and their mates in the order of senders: plain numbers are sorted fast, and twice as fast with 32 bits.
    origin = np.concatenate([np.arange(atoms, dtype=np.int32), mates.source])
    by_origin = np.argsort(origin, kind="stable")
    whole = np.int32 if atoms * len(origin) < 2**31 else np.int64
    rank = np.empty(len(origin), whole)
    rank[by_origin] = np.arange(len(origin), dtype=whole)
    key = receiver.astype(whole) * whole(len(origin))
    key += rank.take(sender)
    key.sort()
    receiver = key // whole(max(1, len(origin)))
    key -= receiver * whole(len(origin))
    image = by_origin.take(key)
    place = np.concatenate([position, mates.position]).astype(np.float32, copy=False)
    vector = place.take(image, axis=0)
    vector -= place.take(receiver, axis=0)
    sender, receiver = origin.take(image), receiver.astype(np.int32, copy=False)
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
