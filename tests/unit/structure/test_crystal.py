"""Symmetry mates: all of them, each once, and a reason where there can be none."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from debye.errors import StructureError
from debye.structure.crystal import COINCIDENT, Mates, copies_near, crystal_problem, symmetry_mates
from debye.structure.structure import Crystal, Structure
from debye.testing.peptide import from_atoms

RIGHT = (90.0, 90.0, 90.0)
GROUPS = {
    "P 1": (25.0, 28.0, 30.0, 82.0, 97.0, 104.0),
    "P 1 21 1": (31.0, 47.0, 41.0, 90.0, 103.0, 90.0),
    "C 1 2 1": (61.0, 33.0, 40.0, 90.0, 97.0, 90.0),
    "P 21 21 21": (30.0, 42.0, 53.0, *RIGHT),
    "I 2 2 2": (40.0, 52.0, 61.0, *RIGHT),
    "P 31 2 1": (44.0, 44.0, 66.0, 90.0, 90.0, 120.0),
    "H 3": (58.0, 58.0, 71.0, 90.0, 90.0, 120.0),
    "R 3 2": (45.0, 45.0, 45.0, 75.0, 75.0, 75.0),
    "F 4 3 2": (120.0, 120.0, 120.0, *RIGHT),
}


def cloud(
    crystal: Crystal | None, atoms: int = 60, extent: float = 22.0, seed: int = 1
) -> Structure:
    """Atoms at least 2.5 Å from each other, as in a molecule but without chemistry."""
    generator = np.random.default_rng(seed)
    found = [generator.uniform(0, extent, 3)]
    while len(found) < atoms:
        place = generator.uniform(0, extent, 3)
        if np.linalg.norm(np.array(found) - place, axis=1).min() > 2.5:
            found.append(place)
    return at(np.add(found, [3.0, -7.0, 11.0]), crystal)


def at(position: np.ndarray, crystal: Crystal | None) -> Structure:
    atoms = [("C1", "C", place) for place in position]
    structure = from_atoms(
        atoms, residue_name="UNL", residue_number=np.arange(len(atoms)), source="cloud"
    )
    return replace(structure, crystal=crystal)


def every_copy(structure: Structure, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Apply each operation and each of 7³ translations to every atom, without any shortcut."""
    crystal = structure.crystal
    assert crystal is not None
    cell = gemmi.UnitCell(*crystal.cell)
    group = gemmi.find_spacegroup_by_name(crystal.space_group, crystal.cell[3], crystal.cell[5])
    translations = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)
    orthogonal = np.array(cell.orth.mat.tolist())
    sources, places = [], []
    for row, place in enumerate(structure.position.tolist()):
        fractional = cell.fractionalize(gemmi.Position(*place)).tolist()
        for operation in group.operations():
            moved = (operation.apply_to_xyz(fractional) + translations) @ orthogonal.T
            distance = cdist(moved, structure.position).min(axis=1)
            places.append(moved[(distance > COINCIDENT) & (distance <= radius)])
            sources.append(np.full(len(places[-1]), row))
    return np.concatenate(sources), np.concatenate(places)


@pytest.mark.parametrize("name", GROUPS)
def test_every_copy_is_found_once(name):
    # None of these atoms is on a special position; those have tests of their own.
    structure = cloud(Crystal(cell=GROUPS[name], space_group=name), atoms=12, seed=2)
    # A cloud is no packing: let copies interpenetrate, as the molecules of a crystal do not.
    mates = copies_near(structure.crystal, structure.position, 14.0)
    source, place = every_copy(structure, 14.0)
    assert len(mates) == len(source) > 0
    distance = cdist(place, mates.position) + 99.0 * (source[:, None] != mates.source)
    match = distance.argmin(axis=1)
    assert len(set(match)) == len(source)
    # float32 coordinates below 128 Å are exact to 8e-6 Å.
    assert distance.min(axis=1).max() < 1e-4


def test_pure_translations_are_mates():
    structure = at(np.array([[1.0, 2.0, 3.0]]), Crystal(cell=(6, 7, 30, *RIGHT), space_group="P 1"))
    mates = symmetry_mates(structure, 7.0)
    moves = {tuple(move) for move in np.round(mates.position - structure.position[0]).astype(int)}
    assert moves == {(6, 0, 0), (-6, 0, 0), (0, 7, 0), (0, -7, 0)}, "the radius is inclusive"
    assert mates.source.dtype == np.int32
    assert mates.position.dtype == np.float32


def test_atom_on_an_axis_is_not_its_own_mate_and_is_repeated_once():
    # The twofold axis of P 1 2 1 is the y axis. The second atom is 0.2 Å off it: one atom, not two.
    crystal = Crystal(cell=(20, 8, 20, *RIGHT), space_group="P 1 2 1")
    structure = at(np.array([[0.0, 1, 0], [0.2, 4, 0], [3.0, 3, 3]]), crystal)
    mates = symmetry_mates(structure, 8.0)
    for row in (0, 1):
        images = mates.position[mates.source == row]
        assert len(images) == 2, "one cell up and one cell down the axis"
        assert set(np.round(images[:, 1] - structure.position[row, 1])) == {-8.0, 8.0}
    general = mates.position[mates.source == 2]
    assert np.linalg.norm(general - structure.position[2], axis=1).min() > COINCIDENT
    assert [-3.0, 3.0, -3.0] in general.round(4).tolist()


def test_copies_that_the_file_holds_are_not_repeated():
    crystal = Crystal(cell=GROUPS["P 21 21 21"], space_group="P 21 21 21")
    half = cloud(crystal, atoms=25, extent=14.0)
    # The operation -x+1/2, -y, z+1/2.
    twin = half.position * [-1, -1, 1] + [crystal.cell[0] / 2, 0, crystal.cell[2] / 2]
    whole = at(np.concatenate([half.position, twin]), crystal)
    mates = copies_near(crystal, whole.position, 25.0)
    assert len(mates) > 50
    assert cdist(mates.position, whole.position).min() > COINCIDENT
    distance = cdist(mates.position, mates.position) + np.eye(len(mates))
    assert distance.min() > COINCIDENT, "a copy of the copy is where another copy is"


def test_missing_ncs_copies_are_mates_inside_and_outside_the_asymmetric_unit():
    crystal = Crystal(cell=(60, 60, 90, *RIGHT), space_group="P 1 21 1")
    full = cloud(crystal, atoms=40, extent=15.0)
    rotation = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    operator = np.concatenate([rotation, [[24.0], [2.0], [1.0]]], axis=1)
    copy = full.position @ rotation.T + operator[:, 3]
    crystal = replace(crystal, ncs_operators=operator[None])
    mates = copies_near(crystal, full.position, 40.0)
    inside = cdist(copy, mates.position)
    assert inside.min(axis=1).max() < 1e-4, "each atom of the missing copy is a mate"
    # The same crystal with both copies in the file has the same atoms around the first one.
    both = at(
        np.concatenate([full.position, copy]), replace(crystal, ncs_operators=np.zeros((0, 3, 4)))
    )
    around = np.concatenate([copies_near(both.crystal, both.position, 40.0).position, copy])
    near = cdist(around, full.position).min(axis=1) <= 12.0
    expected = around[near]
    found = mates.position[cdist(mates.position, full.position).min(axis=1) <= 12.0]
    assert len(found) == len(expected)
    assert cdist(expected, found).min(axis=1).max() < 1e-4


def test_ncs_operators_whose_copies_are_in_the_file_add_nothing():
    crystal = Crystal(cell=(60, 60, 90, *RIGHT), space_group="P 1 21 1")
    structure = cloud(crystal, atoms=30)
    identity = np.concatenate([np.eye(3), np.zeros((3, 1))], axis=1)
    given = replace(crystal, ncs_operators=identity[None])
    one, two = (copies_near(c, structure.position, 12.0) for c in (crystal, given))
    np.testing.assert_array_equal(one.source, two.source)
    np.testing.assert_allclose(one.position, two.position, atol=1e-5)


def test_order_of_atoms_does_not_matter():
    structure = cloud(Crystal(cell=GROUPS["C 1 2 1"], space_group="C 1 2 1"))
    order = np.random.default_rng(0).permutation(len(structure))
    one = copies_near(structure.crystal, structure.position, 6.0)
    two = copies_near(structure.crystal, structure.position[order], 6.0)

    def rows(source, position):
        return sorted([*p, s] for p, s in zip(position.tolist(), source.tolist(), strict=True))

    assert rows(one.source, one.position) == rows(order[two.source], two.position)


@pytest.mark.parametrize(
    ("crystal", "reason"),
    [
        (None, "no unit cell"),
        (Crystal(cell=(1, 1, 1, *RIGHT), space_group="P 1"), "placeholder"),
        (Crystal(cell=(0, 0, 0, *RIGHT), space_group="P 1"), "not a cell"),
        (Crystal(cell=(float("nan"), 40, 40, *RIGHT), space_group="P 1"), "not a cell"),
        (Crystal(cell=(40, 40, 40, 0, 0, 0), space_group="P 1"), "angles"),
        (Crystal(cell=(40, 40, 40, 120, 120, 120), space_group="P 1"), "angles"),
        (Crystal(cell=(40, 50, 60, *RIGHT), space_group=""), "no space group"),
        (Crystal(cell=(40, 50, 60, *RIGHT), space_group="P 7 7 7"), "P 7 7 7"),
        (Crystal(cell=(40, 50, 60, *RIGHT), space_group="P 43 21 2"), "contradicts"),
        (Crystal(cell=(40, 40, 60, *RIGHT), space_group="H 3"), "contradicts"),
        (Crystal(cell=(40, 50, 60, *RIGHT), space_group="P 1", nonstandard_frame=True), "frame"),
    ],
)
def test_unusable_crystals_have_a_reason(crystal, reason):
    assert reason in str(crystal_problem(crystal))
    with pytest.raises(StructureError, match=r"cloud: .*--crystal off"):
        symmetry_mates(cloud(crystal), 5.0)


def test_too_many_atoms_for_the_cell():
    crystal = Crystal(cell=(20, 20, 20, *RIGHT), space_group="P 21 21 21")
    assert crystal_problem(crystal, n_atoms=300) is None
    assert "Å³ to each of 500 atoms" in str(crystal_problem(crystal, n_atoms=500))


def test_cell_of_another_structure_is_noticed():
    # The copies land in the midst of the atoms: 28 Å of molecule in a cell of 25 Å.
    generator = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(*[np.arange(18) * 1.6] * 3), axis=-1).reshape(-1, 3)
    structure = at(
        grid[generator.permutation(len(grid))[:1500]],
        Crystal(cell=(25.3, 26.1, 24.2, *RIGHT), space_group="P 1"),
    )
    with pytest.raises(StructureError, match="do not belong together"):
        symmetry_mates(structure, 5.0)


def test_scattered_atoms_do_not_take_forever():
    position = np.array([[0.0, 0, 0], [9999.0, 9999.0, 9999.0]])
    structure = at(position, Crystal(cell=(40, 50, 60, *RIGHT), space_group="P 21 21 21"))
    with pytest.raises(StructureError, match="scattered"):
        symmetry_mates(structure, 5.0)


@pytest.mark.parametrize("radius", [0.0, -1.0])
def test_radius_must_be_positive(radius):
    with pytest.raises(ValueError, match="must be positive"):
        symmetry_mates(cloud(Crystal(cell=GROUPS["P 1"], space_group="P 1")), radius)


def test_no_mates_is_no_crystal():
    assert len(Mates()) == 0
    lonely = cloud(Crystal(cell=(500, 500, 500, *RIGHT), space_group="P 1"))
    assert len(symmetry_mates(lonely, 10.0)) == 0


def test_symbol_without_setting_follows_the_angles():
    # "R 3" with the angles of a rhombohedral cell has three operations, with 90 90 120 nine.
    for cell in (GROUPS["R 3 2"], GROUPS["H 3"]):
        assert crystal_problem(Crystal(cell=cell, space_group="R 3")) is None


def test_rounded_cells_fit_their_space_group():
    # As deposited for 2A1L: a and b differ in the last digits, where P 43 21 2 wants them equal.
    assert (
        crystal_problem(Crystal(cell=(65.945, 65.948, 133.513, *RIGHT), space_group="P 43 21 2"))
        is None
    )
    assert (
        crystal_problem(Crystal(cell=(65.9, 66.9, 133.5, *RIGHT), space_group="P 43 21 2"))
        is not None
    )
