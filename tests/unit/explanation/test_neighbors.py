"""Neighbors against brute force, each of the right kind."""

from __future__ import annotations

import gemmi
import numpy as np
from scipy.spatial.distance import cdist

from debye.explanation.neighbors import Kind, find_neighbors

REACH = 7.0


def rows_of(structure, index):
    return np.flatnonzero(structure.residue_index == index)


def test_neighbors_of_the_file_equal_brute_force(in_crystal):
    own = rows_of(in_crystal, 4)
    found = find_neighbors(in_crystal, own, REACH, in_crystal=False)
    distance = cdist(in_crystal.position[own], in_crystal.position).min(axis=0)
    expected = {
        index: distance[rows_of(in_crystal, index)].min()
        for index in range(13)
        if index != 4 and distance[rows_of(in_crystal, index)].min() <= REACH
    }
    assert {near.residue.index for near in found} == set(expected)
    for near in found:
        assert abs(near.distance - expected[near.residue.index]) < 1e-4
        assert near.rows.tolist() == rows_of(in_crystal, near.residue.index).tolist()
    assert [near.distance for near in found] == sorted(near.distance for near in found)


def test_mates_equal_brute_force_over_operations_and_cells(in_crystal):
    own = rows_of(in_crystal, 4)
    found = find_neighbors(in_crystal, own, REACH, in_crystal=True)
    mates = {(near.residue.index, near.operation): near for near in found if near.kind == Kind.MATE}
    cell = gemmi.UnitCell(*in_crystal.crystal.cell)
    expected = {}
    to_fractional, to_cartesian = np.array(cell.frac.mat.tolist()), np.array(cell.orth.mat.tolist())
    fractional = in_crystal.position.astype(float) @ to_fractional.T
    for operation in gemmi.SpaceGroup("P 21 21 21").operations():
        for shift in np.ndindex(5, 5, 5):
            named = gemmi.Op(operation.triplet())
            cells = [part - 2 for part in shift]
            named.tran = [t + 24 * c for t, c in zip(operation.tran, cells, strict=True)]
            if named.triplet() == "x,y,z":
                continue
            turn = np.array(named.rot) / 24
            moved = (fractional @ turn.T + np.array(named.tran) / 24) @ to_cartesian.T
            distance = cdist(in_crystal.position[own], moved).min(axis=0)
            for index in range(13):
                nearest = distance[rows_of(in_crystal, index)].min()
                if nearest <= REACH:
                    expected[index, named.triplet()] = nearest, moved[rows_of(in_crystal, index)]
    assert set(mates) == set(expected)
    assert len(expected) > 3
    for key, (nearest, place) in expected.items():
        assert abs(mates[key].distance - nearest) < 1e-3
        np.testing.assert_allclose(mates[key].position, place, atol=1e-3)


def test_kinds(in_crystal):
    kinds = {
        near.residue.index: near.kind
        for near in find_neighbors(in_crystal, rows_of(in_crystal, 5), 30.0, in_crystal=False)
    }
    # 5 is bonded to 4 and 6, chain A ends with it, 12 is called a ligand.
    assert kinds[4] == kinds[6] == Kind.BONDED
    assert kinds[2] == Kind.SAME_CHAIN
    assert kinds[8] == Kind.OTHER_CHAIN
    assert kinds[12] == Kind.LIGAND
