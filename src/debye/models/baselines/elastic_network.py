"""Elastic networks: mean-square fluctuations of nodes that springs join, from all modes.

No mode is left out but those without any force: a connected part moves as a whole, and its parts turn and
shift against each other where nothing joins them. Each connected part therefore has a null space of its own,
and is at rest in itself. Units are those of kT over the spring constant, which a B-factor's scale absorbs.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import bsr_array, coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from debye.models.baselines.pseudo_inverse import pseudo_inverse_diagonal

GNM_CUTOFF = 7.0  # Å, between Cα atoms
ANM_CUTOFF = 15.0  # Å, between Cα atoms
COINCIDENT = 1e-3  # Å
HELD = 0.01
"""Spring constants. A node whose contacts are weaker than this in some direction counts as loose. A choice, not fitted:
three contacts within 3° of one plane are about this strong across it."""


def gaussian_network(
    position: Float[np.ndarray, "nodes 3"], cutoff: float = GNM_CUTOFF
) -> Float[np.ndarray, " nodes"]:
    """Return the fluctuations of a Gaussian network model; NaN for a node without contacts.

    Reference: Bahar, Atilgan & Erman (1997), doi:10.1016/S1359-0278(97)00024-2.

    Args:
        position: Of the nodes, usually Cα atoms, Å.
        cutoff: Largest distance of a contact, Å (inclusive).

    Example:
        >>> ends, middle = gaussian_network(np.array([[0.0, 0, 0], [6, 0, 0], [12, 0, 0]]))[[0, 1]]
        >>> round(float(ends), 4), round(float(middle), 4)
        (0.5556, 0.2222)
    """
    first, second = contacts(position, cutoff).T
    return kirchhoff_fluctuations(
        len(position), np.concatenate([first, second]), np.concatenate([second, first])
    )


def kirchhoff_fluctuations(
    n_nodes: int, sender: Int[np.ndarray, " contacts"], receiver: Int[np.ndarray, " contacts"]
) -> Float[np.ndarray, " nodes"]:
    """Return the diagonal of the pseudo-inverse of a Kirchhoff matrix; NaN for a node without contacts.

    Args:
        n_nodes: Number of nodes.
        sender: Of each contact, both directions listed. A contact listed twice (with two images of one
            node) counts twice; one of a node with its own image exerts no force. Where the directions differ the
            smaller number counts: a node on a symmetry element, whose images are itself, sees both images of a
            node that sees it once.
        receiver: Of each contact.
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

    Two nodes at one place have no direction, and so no contact. A node is loose where its contacts do not
    hold it in three directions (:data:`HELD`), contacts with loose nodes not counted: it can leave its place
    without any force.

    Reference: Atilgan, Durell, Jernigan, Demirel, Keskin & Bahar (2001),
    doi:10.1016/S0006-3495(01)76033-X.

    Args:
        position: Of the nodes, usually Cα atoms, Å.
        cutoff: Largest distance of a contact, Å (inclusive).
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
        hold = _holds(len(place), pairs, spring)
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


def _holds(
    n_nodes: int, pairs: NDArray[np.int64], spring: NDArray[np.float64]
) -> Float[np.ndarray, "nodes 3 3"]:
    hold = np.zeros((n_nodes, 3, 3))
    np.add.at(hold, pairs[:, 0], spring)
    np.add.at(hold, pairs[:, 1], spring)
    return hold


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
    """Return an orthonormal basis of the shifts and turns of a body that is no line."""
    centered = position - position.mean(axis=0)
    turns = [np.cross(axis, centered).ravel() for axis in np.eye(3)]
    shifts = [np.tile(axis, len(position)) for axis in np.eye(3)]
    return np.linalg.qr(np.stack([*shifts, *turns], axis=1)).Q
