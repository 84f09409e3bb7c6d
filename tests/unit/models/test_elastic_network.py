"""Fluctuations of elastic networks equal those of numpy's dense pseudo-inverse, mode for mode.

ProDy would be the program to compare with; it is published as source alone, needs a compiler, and so cannot
be a development dependency. Its definitions (Kirchhoff and Hessian) are written out densely here instead.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from debye.errors import GraphError
from debye.models.baselines import elastic_network
from debye.models.baselines.elastic_network import (
    anisotropic_network,
    gaussian_network,
    kirchhoff_fluctuations,
    pseudo_inverse_diagonal,
)


def chain(n: int, seed: int = 0) -> NDArray[np.float64]:
    """A random walk that folds back upon itself: one part, of a chain's shape."""
    generator = np.random.default_rng(seed)
    step = generator.normal(size=(n, 3))
    step *= 3.8 / np.linalg.norm(step, axis=1)[:, None]
    return np.cumsum(step, axis=0)


def dense(position: NDArray[np.float64], cutoff: float, dimensions: int) -> NDArray[np.float64]:
    """Diagonal of numpy's pseudo-inverse of the Kirchhoff matrix (1) or the Hessian (3), by nodes."""
    n = len(position)
    matrix = np.zeros((n, dimensions, n, dimensions))
    for i in range(n):
        for j in range(n):
            vector = position[j] - position[i]
            length = np.linalg.norm(vector)
            if i == j or length > cutoff:
                continue
            spring = np.outer(vector, vector) / length**2 if dimensions == 3 else np.eye(1)
            matrix[i, :, j, :] -= spring
            matrix[i, :, i, :] += spring
    flat = matrix.reshape(n * dimensions, n * dimensions)
    inverse = np.linalg.pinv(flat, rcond=1e-10, hermitian=True)
    return inverse.diagonal().reshape(n, dimensions).sum(axis=1)


@pytest.mark.parametrize("n", [2, 12, 400])
def test_gaussian_network_equals_the_dense_pseudo_inverse(n):
    position = chain(n)
    np.testing.assert_allclose(gaussian_network(position), dense(position, 7.0, 1), rtol=1e-8)


@pytest.mark.parametrize("n", [12, 150])
def test_anisotropic_network_equals_the_dense_pseudo_inverse(n):
    position = chain(n)
    found = anisotropic_network(position)
    np.testing.assert_allclose(found, dense(position, 15.0, 3), rtol=1e-6)


def test_small_blocks_change_nothing(monkeypatch):
    position = chain(120)
    expected = gaussian_network(position), anisotropic_network(position)
    monkeypatch.setattr(elastic_network, "BLOCK", 7)
    np.testing.assert_allclose(gaussian_network(position), expected[0], rtol=1e-8)
    np.testing.assert_allclose(anisotropic_network(position), expected[1], rtol=1e-6)


def test_parts_are_at_rest_in_themselves():
    one, two = chain(30), chain(20, seed=1)
    ion = np.array([[500.0, 0, 0]])
    together = np.concatenate([one, ion, two + np.array([0, 300, 0])])
    for network in (gaussian_network, anisotropic_network):
        found = network(together)
        np.testing.assert_allclose(found[:30], network(one), rtol=1e-6)
        np.testing.assert_allclose(found[31:], network(two), rtol=1e-6)
        assert np.isnan(found[30]), "nothing holds the ion"


def test_a_tail_that_is_not_held_is_loose():
    body = chain(30)
    far = body[np.argmax(np.linalg.norm(body - body.mean(axis=0), axis=1))]
    outward = (far - body.mean(axis=0)) / np.linalg.norm(far - body.mean(axis=0))
    # Each bead is within 15 Å of one neighbor on either side: a line turns without any force.
    reach = 14.5 * np.arange(1, 4)[:, None] * outward
    found = anisotropic_network(np.concatenate([body, far + reach]))
    assert np.isnan(found[-2:]).all()
    assert np.isfinite(found[:30]).all()


def test_zero_modes_that_nobody_named_are_left_out_too():
    generator = np.random.default_rng(2)
    half = generator.normal(size=(20, 30))
    matrix = half.T @ half  # ten zero modes, of which one is named
    null = np.linalg.svd(matrix)[0][:, -1:]
    found = pseudo_inverse_diagonal(csr_array(matrix), null)
    expected = np.linalg.pinv(matrix, rcond=1e-10, hermitian=True).diagonal()
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_free_parts_of_a_large_network_are_explained(monkeypatch):
    monkeypatch.setattr(elastic_network, "LARGEST_DENSE", 3)
    # Two pairs that nothing joins, said to be one part.
    matrix = csr_array(np.kron(np.eye(2), [[1.0, -1.0], [-1.0, 1.0]]))
    matrix += csr_array(1e-14 * np.ones((4, 4)))
    with pytest.raises(GraphError, match=r"4 degrees of freedom \(at most 3"):
        pseudo_inverse_diagonal(matrix, np.full((4, 1), 0.5))


def test_contacts_with_two_images_count_twice():
    sender, receiver = np.array([0, 1, 0, 1, 1]), np.array([1, 0, 1, 0, 1])
    # A spring of two between two nodes: half the fluctuation of one; the image of itself exerts no force.
    np.testing.assert_allclose(kirchhoff_fluctuations(2, sender, receiver), [0.125, 0.125])


@pytest.mark.parametrize("network", [gaussian_network, anisotropic_network])
def test_no_nodes(network):
    assert network(np.zeros((0, 3))).shape == (0,)
    assert np.isnan(network(np.zeros((1, 3)))).all()


def test_springs_that_pull_at_one_end_are_refused():
    matrix = csr_array(np.array([[2.0, -2.0], [-1.0, 1.0]]))
    with pytest.raises(ValueError, match="differs from its transpose by 1:"):
        pseudo_inverse_diagonal(matrix, np.full((2, 1), 0.5**0.5))


def test_a_contact_that_one_end_sees_twice_counts_once():
    """As that of an ion on an axis, which sees a node and its image, and is seen once."""
    sender, receiver = np.array([0, 1, 1, 2, 0, 2, 0]), np.array([1, 0, 2, 1, 2, 0, 2])
    laplacian = np.array([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]])
    expected = np.diag(np.linalg.pinv(laplacian))
    np.testing.assert_allclose(kirchhoff_fluctuations(3, sender, receiver), expected)
    np.testing.assert_allclose(kirchhoff_fluctuations(3, 2 - sender, 2 - receiver), expected)


def test_nodes_at_one_place_have_no_contact():
    assert np.isnan(anisotropic_network(np.zeros((2, 3)))).all()
