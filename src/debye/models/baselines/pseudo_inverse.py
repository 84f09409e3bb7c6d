"""The diagonal of the pseudo-inverse of a sparse matrix, exactly: every mode of a network of springs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from debye.errors import GraphError

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


def pseudo_inverse_diagonal(
    matrix: csr_array, null: Float[np.ndarray, "rows zero_modes"]
) -> Float[np.ndarray, " rows"]:
    r"""Return the diagonal of the Moore-Penrose inverse of a connected, positive semidefinite matrix.

    With :math:`D = U U^T` of the rank of the null space, acting on a few rows, :math:`G = (A + D)^{-1}` is a
    generalized inverse of :math:`A`, and :math:`A^+ = P G P`, where :math:`P` projects the null space out.
    The rows are ordered in shells about one of them, so that :math:`A` is block tridiagonal; of :math:`G`
    only the diagonal blocks are computed. Memory grows with rows times the size of a shell.

    Args:
        matrix: Symmetric; its graph is connected.
        null: Orthonormal basis of its null space. Where there are further zero modes the matrix is solved
            densely, and these are left out too.

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
    except np.linalg.LinAlgError:
        return _densely(matrix)


def _densely(matrix: csr_array) -> NDArray[np.float64]:
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
    coupled = csr_array(
        (np.ones(len(matrix.data)), matrix.indices, matrix.indptr), shape=matrix.shape
    )
    start = 0
    for _ in range(2):  # from an end of the molecule the shells are small
        start = int(dijkstra(coupled, unweighted=True, indices=start).argmax())
    distance = dijkstra(coupled, unweighted=True, indices=start).astype(np.int64)
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
    """Factorize the matrix plus springs that hold the first block.

    Raises:
        LinAlgError: there are more zero modes than ``null`` has columns.
    """
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
