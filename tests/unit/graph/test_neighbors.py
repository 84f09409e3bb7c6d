"""Edges and packing equal to all distances taken one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from debye.graph.neighbors import (
    FADING,
    LUMPED,
    REACH,
    nearest_neighbors,
    packing,
    radius_neighbors,
    weighted_contact_number,
)
from debye.structure.crystal import Mates, symmetry_mates
from debye.structure.structure import Crystal, Structure
from debye.testing.peptide import build_peptide, from_atoms


@pytest.fixture(scope="module")
def crystal() -> Structure:
    """A helix of 60 residues along c, in a cell small enough that copies touch."""
    peptide = build_peptide("ACDEFGHIKLMNPQRSTVWY" * 3, source="crystal")
    centered = peptide.position - peptide.position.mean(axis=0)
    axes = np.linalg.svd(centered, full_matrices=False)[2]
    position = (centered @ axes[[1, 2, 0]].T + [7.5, 0, 30]).astype(np.float32)
    crystal = Crystal(cell=(30.0, 16.0, 100.0, 90.0, 94.0, 90.0), space_group="P 1 21 1")
    return replace(peptide, position=position, crystal=crystal)


@pytest.fixture(scope="module")
def mates(crystal: Structure) -> Mates:
    found = symmetry_mates(crystal, 12.0)
    assert len(found) > 200
    return found


def dense(position: np.ndarray, mates: Mates) -> np.ndarray:
    """(atoms, atoms + mates) distances, infinite from an atom to itself."""
    distance = cdist(position, np.concatenate([position, mates.position]))
    np.fill_diagonal(distance[:, : len(position)], np.inf)
    return distance


def as_rows(edges, order=None) -> list[tuple]:
    """Edges as sorted tuples, with atoms renamed by ``order``."""
    sender, receiver = edges.sender, edges.receiver
    if order is not None:
        sender, receiver = order[sender], order[receiver]
    length = np.linalg.norm(edges.vector, axis=1).round(3)
    return sorted(
        zip(*(x.tolist() for x in (receiver, sender, edges.is_mate, length)), strict=True)
    )


@pytest.mark.parametrize("radius", [1.6, 5.0, 12.0])
def test_radius_edges_equal_all_distances(crystal, mates, radius):
    edges = radius_neighbors(crystal.position, mates, radius)
    receiver, column = np.nonzero(dense(crystal.position, mates) <= radius)
    origin = np.concatenate([np.arange(len(crystal)), mates.source])
    place = np.concatenate([crystal.position, mates.position])
    vector = place[column] - crystal.position[receiver]
    is_mate = column >= len(crystal)
    length = np.linalg.norm(vector, axis=1)
    order = np.lexsort((length, is_mate, origin[column], receiver))
    np.testing.assert_array_equal(edges.receiver, receiver[order])
    np.testing.assert_array_equal(edges.sender, origin[column][order])
    np.testing.assert_array_equal(edges.is_mate, is_mate[order])
    np.testing.assert_allclose(edges.vector, vector[order], atol=1e-5)
    assert (edges.sender.dtype, edges.receiver.dtype, edges.vector.dtype) == (
        np.int32,
        np.int32,
        np.float32,
    )


def test_several_images_of_one_sender_are_sorted_by_length():
    # In a cell of 4 Å, each atom sees the other one, and itself, again and again.
    mates = Mates(
        source=np.array([1, 0, 1, 0, 1], np.int32),
        position=np.array([[5.0, 0, 0], [4, 0, 0], [-3, 0, 0], [-4, 0, 0], [1, 4, 0]], np.float32),
        radius=9.0,
    )
    edges = radius_neighbors(np.array([[0.0, 0, 0], [1, 0, 0]], np.float32), mates, 5.0)
    mine = edges.receiver == 0
    assert edges.sender[mine].tolist() == [0, 0, 1, 1, 1, 1]
    assert edges.is_mate[mine].tolist() == [True, True, False, True, True, True]
    length = np.linalg.norm(edges.vector[mine], axis=1)
    np.testing.assert_allclose(length, [4, 4, 1, 3, 17**0.5, 5], rtol=1e-6)


def test_order_and_pose_only_rename_edges(crystal, mates):
    generator = np.random.default_rng(3)
    order = generator.permutation(len(crystal))
    new_row = np.argsort(order)
    turned = Rotation.random(rng=generator).as_matrix().T
    shuffled = Mates(
        source=new_row[mates.source[::-1]].astype(np.int32),
        position=(mates.position[::-1] @ turned + 7).astype(np.float32),
        radius=mates.radius,
    )
    position = (crystal.position[order] @ turned + 7).astype(np.float32)
    # 5.0003: no two atoms of this structure are that far from each other within rounding.
    for one, two in (
        (
            radius_neighbors(crystal.position, mates, 5.0003),
            radius_neighbors(position, shuffled, 5.0003),
        ),
        (
            nearest_neighbors(crystal.position, mates, 10),
            nearest_neighbors(position, shuffled, 10),
        ),
    ):
        first, second = np.array(as_rows(one)), np.array(as_rows(two, order))
        np.testing.assert_array_equal(first[:, :3], second[:, :3])
        np.testing.assert_allclose(first[:, 3], second[:, 3], atol=0.0021)


@pytest.mark.parametrize("k", [1, 8, 40])
def test_nearest_edges_equal_all_distances(crystal, mates, k):
    distance = np.sort(dense(crystal.position, mates), axis=1)
    edges = nearest_neighbors(crystal.position, mates, k)
    count = np.bincount(edges.receiver, minlength=len(crystal))
    expected = (distance <= distance[:, k - 1 : k] + 1e-3).sum(axis=1)
    np.testing.assert_array_equal(count, expected)
    length = np.linalg.norm(edges.vector, axis=1)
    farthest = np.zeros(len(crystal))
    np.maximum.at(farthest, edges.receiver, length)
    np.testing.assert_allclose(farthest, distance[np.arange(len(crystal)), count - 1], atol=1e-4)


def test_all_equally_near_atoms_count():
    # A cubic lattice: 6 nearest, then 12, then 8. Asking for 7 gives 18 to the inner atom.
    grid = np.stack(np.meshgrid(*[np.arange(7)] * 3), axis=-1).reshape(-1, 3) * 3.0
    edges = nearest_neighbors(grid, Mates(), 7)
    center = np.flatnonzero((grid == 9.0).all(axis=1))[0]
    assert (edges.receiver == center).sum() == 18


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fewer_atoms_than_neighbors(count):
    position = np.arange(3.0 * count).reshape(count, 3)
    edges = nearest_neighbors(position, Mates(), 8)
    assert len(edges) == count * (count - 1)
    assert not (edges.sender == edges.receiver).any()


def test_atoms_at_one_place_are_neighbors_but_not_of_themselves():
    position = np.array([[1.0, 2, 3], [1, 2, 3], [1, 2, 3], [2, 2, 3]])
    for edges in (
        radius_neighbors(position, Mates(), 3.0),
        nearest_neighbors(position, Mates(), 3),
    ):
        assert len(edges) == 12
        assert not (edges.sender == edges.receiver).any()
    isolated, _ = packing(position, Mates(), [3.0])
    assert isolated.contacts[:, 0].tolist() == [3, 3, 3, 3]
    assert isolated.density[:, 0].tolist() == [3, 3, 3, 3], "nearer than 1 Å counts as 1 Å"


@pytest.mark.parametrize("atoms", [0, 1])
def test_nothing_to_connect(atoms):
    position = np.zeros((atoms, 3), np.float32)
    for edges in (
        radius_neighbors(position, Mates(), 5.0),
        nearest_neighbors(position, Mates(), 4),
    ):
        assert len(edges) == 0
        assert edges.vector.shape == (0, 3)
    for found in packing(position, Mates(), [5.0, 10.0]):
        assert found.contacts.shape == (atoms, 2)
        assert not found.contacts.any()
        assert not found.density.any()


def test_packing_equals_all_distances(crystal, mates):
    distance = dense(crystal.position, mates)
    atoms = len(crystal)
    radii = [3.0, 5.0, 12.0]
    isolated, packed = packing(crystal.position, mates, radii)
    for column, radius in enumerate(radii):
        for found, near in ((isolated, distance[:, :atoms]), (packed, distance)):
            within = near <= radius
            np.testing.assert_array_equal(found.contacts[:, column], within.sum(axis=1))
            density = (np.maximum(near, 1.0) ** -2.0 * within).sum(axis=1)
            np.testing.assert_allclose(found.density[:, column], density, rtol=1e-5)


def test_packing_at_5_angstrom_counts_the_edges(crystal, mates):
    edges = radius_neighbors(crystal.position, mates, 5.0)
    isolated, packed = packing(crystal.position, mates, [5.0])
    for found, counted in ((isolated, ~edges.is_mate), (packed, np.ones(len(edges), bool))):
        count = np.bincount(edges.receiver[counted], minlength=len(crystal))
        np.testing.assert_array_equal(found.contacts[:, 0], count)


def lumped_by_hand(structure: Structure, mates: Mates) -> np.ndarray:
    """The definition, term by term: near atoms, and centroids of residues, images included."""
    position = structure.position.astype(float)
    near = dense(position, mates)
    weight = np.where(near <= LUMPED, np.maximum(near, 1.0) ** -2.0 - LUMPED**-2.0, 0.0)
    total = weight.sum(axis=1) - LUMPED**-2.0
    residues = range(structure.n_residues)
    members = [structure.residue_index == residue for residue in residues]
    centroid = np.array([position[rows].mean(axis=0) for rows in members])
    if structure.crystal is not None and np.isfinite(mates.radius):
        # P 1 21 1, b unique: x, y, z and -x, y + 1/2, -z, in Cartesian coordinates.
        a, b, c, _, beta, _ = structure.crystal.cell
        axes = np.diag([a, b, 0.0])
        axes[2] = [c * np.cos(np.radians(beta)), 0, c * np.sin(np.radians(beta))]
        shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3) @ axes
        both = np.stack([centroid, centroid * [-1, 1, -1] + axes[1] / 2])
        centroid = (both[:, None] + shifts[:, None]).reshape(-1, 3)
    size = np.resize([rows.sum() for rows in members], len(centroid))
    distance = cdist(position, centroid)
    fade = np.clip((REACH**2 - distance**2) / (REACH**2 - FADING**2), 0, 1)
    return total + (size * fade / np.maximum(distance, LUMPED) ** 2).sum(axis=1)


@pytest.mark.slow
def test_weighted_contact_number_follows_its_definition(crystal, mates):
    isolated, packed = weighted_contact_number(crystal, mates)
    np.testing.assert_allclose(isolated, lumped_by_hand(crystal, Mates()), rtol=2e-5)
    np.testing.assert_allclose(packed, lumped_by_hand(crystal, mates), rtol=2e-5)


def test_weighted_contact_number_is_near_the_sum_over_atoms(crystal):
    # The helix reaches further than the sum: compare with the sum to where it fades, and beyond.
    isolated, same = weighted_contact_number(crystal, Mates())
    np.testing.assert_array_equal(isolated, same)
    distance = dense(crystal.position, Mates())
    low, high = (
        (distance**-2.0 * (distance <= reach)).sum(axis=1) for reach in (FADING - 3, REACH + 3)
    )
    assert (isolated > 0.95 * low).all()
    assert (isolated < 1.05 * high).all()
    exact = (distance**-2.0).sum(axis=1)
    assert np.corrcoef(isolated, exact)[0, 1] > 0.99


def test_weighted_contact_number_of_lonely_atoms_is_zero():
    ions = from_atoms(
        [("ZN", "ZN", (60.0 * i, 0, 0)) for i in range(3)],
        residue_name="ZN",
        residue_number=[1, 2, 3],
    )
    isolated, packed = weighted_contact_number(ions, Mates())
    np.testing.assert_allclose(isolated, 0, atol=1e-6)
    np.testing.assert_allclose(packed, 0, atol=1e-6)


def test_features_do_not_depend_on_the_order_of_atoms(crystal):
    order = np.random.default_rng(5).permutation(len(crystal))
    shuffled = crystal.take(order)
    for one, two in zip(
        weighted_contact_number(crystal, symmetry_mates(crystal, 5.0)),
        weighted_contact_number(shuffled, symmetry_mates(shuffled, 5.0)),
        strict=True,
    ):
        np.testing.assert_allclose(one[order], two, rtol=2e-5)


def test_far_from_the_origin_is_as_exact(crystal):
    far = replace(crystal, position=crystal.position + np.float32(4096), crystal=None)
    one, _ = weighted_contact_number(replace(crystal, crystal=None), Mates())
    two, _ = weighted_contact_number(far, Mates())
    # float32 coordinates near 4096 Å are rounded to 2.4e-4 Å.
    np.testing.assert_allclose(one, two, rtol=1e-3)


def test_radius_beyond_that_of_the_mates_is_refused(crystal):
    mates = symmetry_mates(crystal, 4.0)
    for ask in (
        lambda: radius_neighbors(crystal.position, mates, 5.0),
        lambda: packing(crystal.position, mates, [3.0, 5.0]),
        lambda: weighted_contact_number(crystal, mates),
        lambda: radius_neighbors(crystal.position, mates, -1.0),
    ):
        with pytest.raises(ValueError, match="at most 4 Å"):
            ask()
    with pytest.raises(ValueError, match="at least 1"):
        nearest_neighbors(crystal.position, mates, 0)


def test_sums_over_nothing_are_never_asked_for(monkeypatch):
    """Einsum over nothing has returned what was in memory, about once in ten thousand crystals."""
    position = np.random.default_rng(0).normal(0, 3, (200, 3)).astype(np.float32)
    # Far to both sides: the box around the mates holds the atoms, and no mate is near them.
    beside = np.array([[-100, 0, 0], [100, 0, 0]], np.float32)
    mates = Mates(np.zeros(2, np.int32), beside, radius=10.0)
    exact = np.einsum

    def strict(subscripts: str, *arrays: np.ndarray, **options):
        assert all(array.size for array in arrays), subscripts
        return exact(subscripts, *arrays, **options)

    monkeypatch.setattr(np, "einsum", strict)
    isolated, in_crystal = packing(position, mates, [5.0, 10.0])
    assert np.array_equal(in_crystal.contacts, isolated.contacts)
    assert np.array_equal(in_crystal.density, isolated.density)
