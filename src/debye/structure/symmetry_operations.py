"""The symmetry operation that makes a copy, and its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float, Int

from debye.structure.crystal import operators, space_group
from debye.structure.structure import Crystal

NEAR = 0.02
"""Å. A copy is this near to where its operation puts it; float32 rounds to 1e-4 Å at most."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A motion of the whole crystal onto itself, or by a non-crystallographic operator."""

    name: str
    """Fractional coordinates of the copy, e.g. ``-x+1,y-1/2,-z``; ``NCS 1`` goes before where one is used."""
    rotation: Float[np.ndarray, "3 3"]
    """On Cartesian coordinates."""
    shift: Float[np.ndarray, " 3"]
    """After the rotation, Å."""

    def apply(self, position: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "atoms 3"]:
        """Return the copies of some atoms, Å, float32."""
        moved = position.astype(np.float64) @ self.rotation.T + self.shift
        return moved.astype(np.float32)


def find_operations(
    crystal: Crystal, original: Float[np.ndarray, "atoms 3"], copy: Float[np.ndarray, "atoms 3"]
) -> tuple[list[Operation], Int[np.ndarray, " atoms"]]:
    """Find the operation that makes each copy of an atom; if two do (on an axis), the first.

    Args:
        crystal: One in which :func:`debye.structure.crystal.crystal_problem` sees no problem.
        original: Atoms, Å.
        copy: A copy of each of them, Å.

    Returns:
        The operations that occur, and for each atom which of them; -1 if none fits.
    """
    cell = gemmi.UnitCell(*crystal.cell)
    to_fractional = np.array(cell.frac.mat.tolist())
    to_cartesian = np.array(cell.orth.mat.tolist())
    original = original.astype(np.float64)
    place = copy.astype(np.float64) @ to_fractional.T
    key = np.full((len(original), 4), -1)
    rotations, shifts = operators(crystal)
    for number, (rotation, shift) in enumerate(zip(rotations, shifts, strict=True)):
        difference = place - original @ rotation.T - shift
        cells = np.round(difference)
        distance = np.linalg.norm((difference - cells) @ to_cartesian.T, axis=1)
        found = (distance < NEAR) & (key[:, 0] < 0)
        key[found] = np.column_stack([np.full(int(found.sum()), number), cells[found]])
    known = key[:, 0] >= 0
    distinct, which = np.unique(key[known], axis=0, return_inverse=True)
    index = np.full(len(original), -1)
    index[known] = which.reshape(-1)
    names = list(_triplets(crystal))
    found = [
        Operation(
            name=_name(names[number][0], names[number][1], cells),
            rotation=to_cartesian @ rotations[number],
            shift=to_cartesian @ (shifts[number] + cells),
        )
        for number, *cells in distinct.tolist()
    ]
    return found, index


def _name(prefix: str, operation: gemmi.Op, cells: list[int]) -> str:
    """Name an operation that is followed by a shift of whole cells."""
    shifted = gemmi.Op(operation.triplet())
    shifted.tran = [
        part + count * shifted.DEN for part, count in zip(operation.tran, cells, strict=True)
    ]
    return prefix + shifted.triplet()


def _triplets(crystal: Crystal) -> Iterator[tuple[str, gemmi.Op]]:
    """Yield the prefix of the name and the group's operation, in the order of the operators."""
    group = space_group(crystal)
    if group is None:
        return
    for ncs in range(1 + len(crystal.ncs_operators)):
        for operation in group.operations():
            yield (f"NCS {ncs}, " if ncs else ""), operation
