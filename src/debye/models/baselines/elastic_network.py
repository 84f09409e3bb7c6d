"""Elastic networks: mean-square fluctuations of nodes that springs join, from all modes that meet a force.

Each connected part has a null space of its own, its rigid motions. Units are kT over the spring constant, which the
scale of B-factors absorbs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.sparse import bsr_array, coo_array, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from debye.errors import GraphError

GNM_CUTOFF = 7.0  # Å, between Cα atoms
ANM_CUTOFF = 15.0  # Å, between Cα atoms
COINCIDENT = 1e-3  # Å
HELD = 0.01
"""Spring constants. A node whose contacts are weaker than this in some direction is loose. A choice, not fitted: three
contacts within 3° of one plane are about this strong across it."""
BLOCK = 128
"""Rows that a block has at least: smaller ones cost more calls than arithmetic."""
ANCHOR = 0.01
"""Smallest singular value, over the largest, of the zero modes at the rows that are held."""
ASYMMETRIC = 1e-9
"""A difference from the transpose below this share of the mean diagonal is rounding."""
FLOPPY = 1e-9
"""A pivot or eigenvalue below this share of the mean diagonal counts as zero."""
LARGEST_DENSE = 6_000
"""Rows of the largest matrix with unexpected zero modes: solved densely, in 0.6 GB."""


def gaussian_network(
    position: Float[np.ndarray, "nodes 3"], cutoff: float = GNM_CUTOFF
) -> Float[np.ndarray, " nodes"]:
    """Return the fluctuations of a Gaussian network model; NaN for a node without contacts.

    Nodes are usually Cα atoms; positions and the largest distance of a contact (inclusive) in Å.
    Reference: Bahar, Atilgan & Erman (1997), doi:10.1016/S1359-0278(97)00024-2.

    Example:
        >>> ends, middle = gaussian_network(np.array([[0.0, 0, 0], [6, 0, 0], [12, 0, 0]]))[[0, 1]]
        >>> round(float(ends), 4), round(float(middle), 4)
        (0.5556, 0.2222)
    """
    pairs = contacts(position, cutoff)
    sender, receiver = np.concatenate([pairs, pairs[:, ::-1]]).T
    return kirchhoff_fluctuations(len(position), sender, receiver)


def kirchhoff_fluctuations(
    n_nodes: int, sender: Int[np.ndarray, " contacts"], receiver: Int[np.ndarray, " contacts"]
) -> Float[np.ndarray, " nodes"]:
    """Return the diagonal of the pseudo-inverse of a Kirchhoff matrix; NaN for a node without contacts.

    Contacts are listed in both directions. One that is listed twice (with two images of a node) counts twice, one of
    a node with its own image exerts no force. If the directions differ the smaller number counts: a node on a symmetry
    element, whose images are itself, has contacts with both images of a node that has one contact with it.
    """
    other = sender != receiver
    ones = np.ones(int(other.sum()))
    shape = (n_nodes, n_nodes)
    count = coo_array((ones, (receiver[other], sender[other])), shape=shape).tocsr()
    count = csr_array(count.minimum(count.T.tocsr()))
    kirchhoff = csr_array(-count)
    kirchhoff.setdiag(count.sum(axis=1))
    found = np.full(n_nodes, np.nan)
    for nodes in _parts(count):
        null = np.full((len(nodes), 1), len(nodes) ** -0.5)
        found[nodes] = pseudo_inverse_diagonal(kirchhoff[nodes][:, nodes], null)
    return found


def anisotropic_network(
    position: Float[np.ndarray, "nodes 3"], cutoff: float = ANM_CUTOFF
) -> Float[np.ndarray, " nodes"]:
    """Return the fluctuations of an anisotropic network model, summed over x, y, z; NaN for loose nodes.

    Arguments are those of :func:`gaussian_network`. Two nodes at one place have no direction, and so no contact. A node
    is loose if its contacts with other nodes than loose ones do not keep it in place in three directions (:data:`HELD`).
    Reference: Atilgan, Durell, Jernigan, Demirel, Keskin & Bahar (2001), doi:10.1016/S0006-3495(01)76033-X.
    """
    place = np.asarray(position, np.float64)
    pairs = contacts(place, cutoff)
    pairs = pairs[np.linalg.norm(place[pairs[:, 1]] - place[pairs[:, 0]], axis=1) > COINCIDENT]
    vector = place[pairs[:, 1]] - place[pairs[:, 0]]
    spring = vector[:, :, None] * vector[:, None, :] / (vector**2).sum(axis=1)[:, None, None]
    held = np.ones(len(place), bool)
    while True:
        kept = held[pairs].all(axis=1)
        pairs, spring = pairs[kept], spring[kept]
        hold = np.zeros((len(place), 3, 3))
        np.add.at(hold, pairs[:, 0], spring)
        np.add.at(hold, pairs[:, 1], spring)
        loose = held & (np.linalg.eigvalsh(hold)[:, 0] < HELD)
        if not loose.any():
            break
        held[loose] = False
    found = np.full(len(place), np.nan)
    hessian = _hessian(pairs, spring, hold)
    ones = np.ones(len(pairs))
    for nodes in _parts(coo_array((ones, pairs.T), shape=(len(place), len(place))).tocsr()):
        rows = (3 * nodes[:, None] + np.arange(3)).ravel()
        null = _rigid_motions(place[nodes])
        diagonal = pseudo_inverse_diagonal(hessian[rows][:, rows], null)
        found[nodes] = diagonal.reshape(-1, 3).sum(axis=1)
    return found


def contacts(position: NDArray[np.floating], cutoff: float) -> Int[np.ndarray, "contacts 2"]:
    """Return the pairs of nodes within a distance (Å, inclusive), each once."""
    if not len(position):
        return np.zeros((0, 2), np.int64)
    return cKDTree(position).query_pairs(cutoff, output_type="ndarray").astype(np.int64)


def _parts(count: csr_array) -> list[NDArray[np.intp]]:
    """Return the nodes of each connected part of more than one."""
    _, label = connected_components(count, directed=False)
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(label))[:-1])
    return [part for part in parts if len(part) > 1]


def _hessian(
    pairs: NDArray[np.int64], spring: NDArray[np.float64], hold: Float[np.ndarray, "nodes 3 3"]
) -> csr_array:
    nodes = np.arange(len(hold))
    row = np.concatenate([pairs[:, 0], pairs[:, 1], nodes])
    column = np.concatenate([pairs[:, 1], pairs[:, 0], nodes])
    block = np.concatenate([-spring, -spring, hold])
    order = np.lexsort((column, row))
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(hold)))])
    size = (3 * len(hold), 3 * len(hold))
    return csr_array(bsr_array((block[order], column[order], start), shape=size).tocsr())


def _rigid_motions(position: NDArray[np.float64]) -> Float[np.ndarray, "coordinates 6"]:
    """Return an orthonormal basis of the shifts and turns of a body that is not a line."""
    centered = position - position.mean(axis=0)
    turns = [np.cross(axis, centered).ravel() for axis in np.eye(3)]
    shifts = [np.tile(axis, len(position)) for axis in np.eye(3)]
    return np.linalg.qr(np.stack([*shifts, *turns], axis=1)).Q


def pseudo_inverse_diagonal(
    matrix: csr_array, null: Float[np.ndarray, "rows zero_modes"]
) -> Float[np.ndarray, " rows"]:
    r"""Return the diagonal of the Moore-Penrose inverse of a connected, positive semidefinite matrix.

    With :math:`D = U U^T` of the rank of the null space, acting on a few rows, :math:`G = (A + D)^{-1}` is a
    generalized inverse of :math:`A`, and :math:`A^+ = P G P`, where :math:`P` projects the null space out.
    The rows are ordered in shells about one of them, so that :math:`A` is block tridiagonal; of :math:`G`
    only the diagonal blocks are computed. Memory grows with rows times the size of a shell. A matrix with more zero
    modes than ``null`` (an orthonormal basis) is solved densely.

    Raises:
        ValueError: the matrix is not symmetric.
        GraphError: further zero modes in a matrix of more than :data:`LARGEST_DENSE` rows.
    """
    apart = abs(matrix - matrix.T).max()
    if apart > ASYMMETRIC * matrix.diagonal().mean():
        raise ValueError(
            f"the matrix differs from its transpose by {apart:g}: a spring pulls at both of its ends alike"
        )
    try:
        return _in_shells(matrix, null)
    except np.linalg.LinAlgError:  # there are further zero modes
        rows = len(matrix.indptr) - 1
    if rows > LARGEST_DENSE:
        raise GraphError(
            "elastic network",
            f"parts of it can move freely, and it has {rows} degrees of freedom "
            f"(at most {LARGEST_DENSE} where parts are free)",
            "Raise the cutoff, so that every part is held",
        )
    value, vector = eigh(matrix.toarray())
    kept = value > FLOPPY * matrix.diagonal().mean()
    return (vector[:, kept] ** 2) @ (1 / value[kept])


def _in_shells(matrix: csr_array, null: NDArray[np.float64]) -> NDArray[np.float64]:
    blocks = _blocks(matrix, null)
    order = np.concatenate(blocks)
    edge = np.cumsum([0, *map(len, blocks)])
    null = null[order]
    factors = _factorize(matrix[order][:, order], edge, null[: edge[1]])
    solved = factors.solve(null)
    diagonal = factors.inverse_diagonal()
    # diag(P G P) with P = 1 - N N^T
    diagonal -= 2 * (null * solved).sum(axis=1)
    diagonal += ((null @ (null.T @ solved)) * null).sum(axis=1)
    result = np.empty_like(diagonal)
    result[order] = diagonal
    return result


def _blocks(matrix: csr_array, null: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return the rows in shells, neighbors at most one shell apart; the first can hold the zero modes."""
    ones = np.ones(len(matrix.data))
    coupled = csr_array((ones, matrix.indices, matrix.indptr), shape=matrix.shape)
    distance = dijkstra(coupled, unweighted=True, indices=0)
    for _ in range(2):  # from an end of the molecule the shells are small
        distance = dijkstra(coupled, unweighted=True, indices=int(distance.argmax()))
    distance = distance.astype(np.int64)
    shells = np.split(np.argsort(distance, kind="stable"), np.cumsum(np.bincount(distance))[:-1])
    blocks: list[NDArray[np.intp]] = []
    for shell in shells:
        full = bool(blocks) and len(blocks[-1]) >= BLOCK
        if full and (len(blocks) > 1 or _holds(null[blocks[0]])):
            blocks.append(shell)
        else:
            blocks[-1:] = [np.concatenate([*blocks[-1:], shell])]
    return blocks


def _holds(null: NDArray[np.float64]) -> bool:
    singular = np.linalg.svd(null, compute_uv=False)
    return len(null) >= null.shape[1] and bool(singular[-1] > ANCHOR * singular[0])


@dataclass(frozen=True, slots=True)
class _Factors:
    """Block Cholesky factors of a block tridiagonal matrix."""

    edge: NDArray[np.int64]
    """(blocks + 1) first row of each block."""
    pivot: list[NDArray[np.float64]]
    """Lower Cholesky factor of the Schur complement of each block."""
    step: list[NDArray[np.float64]]
    """From each block to the next: coupling times the inverse of the pivot."""

    def solve(self, right: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
        parts = np.split(right.copy(), self.edge[1:-1])
        for number, step in enumerate(self.step):
            parts[number + 1] -= step @ parts[number]
        parts[-1] = cho_solve((self.pivot[-1], True), parts[-1])
        for number in reversed(range(len(self.step))):
            alone = cho_solve((self.pivot[number], True), parts[number])
            parts[number] = alone - self.step[number].T @ parts[number + 1]
        return np.concatenate(parts)

    def inverse_diagonal(self) -> Float[np.ndarray, " rows"]:
        inverse = _inverse(self.pivot[-1])
        parts = [inverse.diagonal()]
        for pivot, step in zip(self.pivot[-2::-1], self.step[::-1], strict=True):
            inverse = _inverse(pivot) + step.T @ inverse @ step
            parts.append(inverse.diagonal())
        return np.concatenate(parts[::-1])


def _inverse(pivot: NDArray[np.float64]) -> NDArray[np.float64]:
    return cho_solve((pivot, True), np.eye(len(pivot)), overwrite_b=True)


def _factorize(matrix: csr_array, edge: NDArray[np.int64], null: NDArray[np.float64]) -> _Factors:
    """Factorize the matrix plus springs that hold the first block; LinAlgError if there are further zero modes."""
    scale = matrix.diagonal().mean()
    hold = np.linalg.svd(null, full_matrices=False)[0]
    schur = matrix[: edge[1], : edge[1]].toarray() + scale * hold @ hold.T
    pivots, steps = [], []
    for number in range(len(edge) - 1):
        pivot = np.tril(cho_factor(schur, lower=True)[0])
        if pivot.diagonal().min() ** 2 < FLOPPY * scale:
            raise np.linalg.LinAlgError("a pivot is almost zero")
        pivots.append(pivot)
        if number + 2 == len(edge):
            break
        first, middle, last = edge[number : number + 3]
        coupling = matrix[middle:last, first:middle].toarray()
        steps.append(cho_solve((pivot, True), coupling.T).T)
        schur = matrix[middle:last, middle:last].toarray() - steps[-1] @ coupling.T
    return _Factors(edge, pivots, steps)
