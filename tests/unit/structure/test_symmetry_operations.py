"""Every copy gets the operation that made it, by the name that gemmi gives to the same motion."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from debye.structure.crystal import copies_near, find_operations
from debye.structure.structure import Crystal

CRYSTALS = {
    "P 1": (20.0, 24.0, 36.0, 82.0, 97.0, 104.0),
    "P 21 21 21": (31.0, 17.0, 30.0, 90.0, 90.0, 90.0),
    "P 31 2 1": (34.0, 34.0, 36.0, 90.0, 90.0, 120.0),
    "C 1 2 1": (41.0, 23.0, 30.0, 90.0, 97.0, 90.0),
}


@pytest.mark.parametrize("group", CRYSTALS)
def test_names_and_motions_are_those_of_gemmi(peptide, group):
    crystal = Crystal(cell=CRYSTALS[group], space_group=group)
    mates = copies_near(crystal, peptide.position, 6.0)
    original = peptide.position[mates.source]
    operations, which = find_operations(crystal, original, mates.position)
    assert len(mates) > 20
    assert (which >= 0).all()
    assert len({operation.name for operation in operations}) == len(operations) > 1
    cell = gemmi.UnitCell(*crystal.cell)
    for number, operation in enumerate(operations):
        rows = which == number
        np.testing.assert_allclose(operation.apply(original[rows]), mates.position[rows], atol=2e-3)
        named = gemmi.Op(operation.name)
        for here, there in zip(original[rows][:3], mates.position[rows][:3], strict=True):
            place = cell.fractionalize(gemmi.Position(*map(float, here)))
            moved = named.apply_to_xyz([place.x, place.y, place.z])
            np.testing.assert_allclose(
                cell.orthogonalize(gemmi.Fractional(*moved)).tolist(), there, atol=2e-3
            )


def test_a_noncrystallographic_operator_is_named(peptide):
    turn = np.array([[[-1.0, 0, 0, 0], [0, -1, 0, 18], [0, 0, 1, 4]]])
    crystal = Crystal(
        cell=(90.0, 90.0, 90.0, 90.0, 90.0, 90.0), space_group="P 1", ncs_operators=turn
    )
    copy = peptide.position @ turn[0, :, :3].T + turn[0, :, 3]
    operations, which = find_operations(crystal, peptide.position, copy.astype(np.float32))
    assert [operation.name for operation in operations] == ["NCS 1, x,y,z"]
    assert (which == 0).all()


def test_what_no_operation_makes_is_told_apart(peptide):
    crystal = Crystal(cell=CRYSTALS["P 21 21 21"], space_group="P 21 21 21")
    operations, which = find_operations(crystal, peptide.position, peptide.position + 1.0)
    assert operations == []
    assert (which == -1).all()
