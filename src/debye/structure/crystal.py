"""Symmetry mates: the copies of a structure that surround it in its crystal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import gemmi
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from debye.errors import StructureError
from debye.structure.structure import Crystal, Structure

COINCIDENT = 0.5
"""Å. A copy this near to an atom is that atom again (a special position, a copy that is in the file)."""
CLASH = 1.2
"""Å. No two atoms of a crystal are this near to each other, disorder across an axis aside."""
CLASHING_SHARE = 0.05
"""Largest share of atoms that may clash with a mate before cell and coordinates are held unrelated."""
MOST_CELLS = 20_000
"""A structure that spans more unit cells than this is not one molecule in a crystal."""
SMALLEST_ATOM_VOLUME = 5.0
"""Å³ of crystal for each heavy atom; solvent-free protein has 17, ice 30, rock salt 22."""


@dataclass(frozen=True, slots=True)
class Mates:
    """Copies of atoms that crystal or non-crystallographic symmetry puts near the atoms of a file."""

    source: Int[np.ndarray, " mates"] = field(default_factory=lambda: np.zeros(0, np.int32))
    """Row of the original atom, int32."""
    position: Float[np.ndarray, "mates 3"] = field(
        default_factory=lambda: np.zeros((0, 3), np.float32)
    )
    """Where the copy is, Å, float32."""
    radius: float = float("inf")
    """Every copy within this distance (Å) of some atom is here; infinite without a crystal."""

    def __len__(self) -> int:
        return len(self.source)


def crystal_problem(crystal: Crystal | None, n_atoms: int = 0) -> str | None:
    """Say why a crystal cannot be built around its atoms; None if nothing speaks against it.

    Args:
        crystal: Cell and symmetry of the file.
        n_atoms: Heavy atoms of the asymmetric unit; 0 leaves the density unchecked.

    Example:
        >>> crystal_problem(Crystal(cell=(1, 1, 1, 90, 90, 90), space_group="P 1"))
        'the cell 1 × 1 × 1 Å, 90° 90° 90° is a placeholder'
        >>> crystal_problem(Crystal(cell=(50, 60, 70, 90, 90, 90), space_group="P 21 21 21"))
    """
    if crystal is None:
        return "the file describes no crystal"
    lengths, angles = np.array(crystal.cell[:3]), np.array(crystal.cell[3:])
    cell = "{:g} × {:g} × {:g} Å, {:g}° {:g}° {:g}°".format(*crystal.cell)
    if not np.isfinite(crystal.cell).all() or (lengths <= 0).any():
        return f"the cell {cell} is not a cell"
    if (lengths < 3).any():
        return f"the cell {cell} is a placeholder"
    if (angles < 20).any() or (angles > 160).any() or not _closes(angles):
        return f"no cell has the angles of {cell}"
    if crystal.nonstandard_frame:
        return "the coordinates are in a frame of their own, not in that of the cell"
    group = _space_group(crystal)
    if group is None:
        return f"no space group is called {crystal.space_group!r}"
    if not gemmi.UnitCell(*crystal.cell).is_compatible_with_spacegroup(group, eps=0.02):
        return f"the cell {cell} contradicts the space group {crystal.space_group}"
    copies = len(group.operations()) * (1 + len(crystal.ncs_operators))
    volume = gemmi.UnitCell(*crystal.cell).volume / max(1, copies * n_atoms)
    if n_atoms and volume < SMALLEST_ATOM_VOLUME:
        return (
            f"the cell {cell} in {crystal.space_group} leaves {volume:.2g} Å³ to each of "
            f"{n_atoms} atoms, less than the {SMALLEST_ATOM_VOLUME:g} Å³ that matter needs"
        )
    return None


def symmetry_mates(structure: Structure, radius: float) -> Mates:
    """Find every copy of an atom that lies within a radius of an atom of the structure.

    Copies come from all space-group operations, all cell translations (the pure ones too) and all
    non-crystallographic operators whose copies the file leaves out. A copy nearer than
    :data:`COINCIDENT` to an atom of the file is no mate: it is the atom itself on a special position, or
    a symmetry copy that the file already holds. Of copies that coincide with each other, that of
    the first operator stays. So the result does not depend on the order of the atoms.

    Args:
        structure: Atoms with a crystal.
        radius: Largest distance from a mate to the nearest atom, Å (inclusive).

    Returns:
        The mates, sorted by operator, then by source.

    Raises:
        StructureError: the crystal cannot be built; the message says why.
    """
    if radius <= 0:
        raise ValueError(f"radius must be positive (Å), got {radius}")
    crystal = structure.crystal
    problem = crystal_problem(crystal, len(structure))
    if crystal is None or problem is not None:
        raise _unusable(structure.source, str(problem))
    mates, distance = _copies(crystal, structure.position, radius, structure.source)
    clashing = np.unique(mates.source[distance < CLASH])
    if len(clashing) > CLASHING_SHARE * len(structure):
        raise _unusable(
            structure.source,
            f"{len(clashing)} of {len(structure)} atoms clash with a mate: the cell and the "
            "coordinates do not belong together",
        )
    return mates


def copies_near(crystal: Crystal, position: Float[np.ndarray, "points 3"], radius: float) -> Mates:
    """Find the copies of any points, e.g. centroids of residues; rules as :func:`symmetry_mates`.

    Args:
        crystal: One in which :func:`crystal_problem` sees no problem.
        position: Cartesian coordinates, Å.
        radius: Largest distance from a copy to the nearest point, Å (inclusive).
    """
    return _copies(crystal, position, radius, "crystal")[0]


def _unusable(source: str, problem: str) -> StructureError:
    remedy = "Correct CRYST1 / _cell and _symmetry, or go without crystal contacts (--crystal off)"
    return StructureError(source, problem=problem, remedy=remedy)


def _closes(angles: NDArray[np.float64]) -> bool:
    """Tell if three angles (degrees) can meet in a corner of positive volume."""
    a, b, c = np.cos(np.radians(angles))
    return bool(1 - a * a - b * b - c * c + 2 * a * b * c > 1e-3)


def _space_group(crystal: Crystal) -> gemmi.SpaceGroup | None:
    # The angles tell the hexagonal from the rhombohedral setting where the symbol does not.
    alpha, _, gamma = crystal.cell[3:]
    return gemmi.find_spacegroup_by_name(crystal.space_group.strip(), alpha, gamma)


def _operators(crystal: Crystal) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield rotation and shift, Cartesian to fractional, of every copy up to cell translations."""
    group = _space_group(crystal)
    assert group is not None  # crystal_problem has looked
    fractional = np.array(gemmi.UnitCell(*crystal.cell).frac.mat.tolist())
    identity = np.concatenate([np.eye(3), np.zeros((3, 1))], axis=1)
    for ncs in [identity, *crystal.ncs_operators]:
        for operation in group.operations():
            rotation = np.array(operation.rot) / operation.DEN @ fractional
            shift = np.array(operation.tran) / operation.DEN
            yield rotation @ ncs[:, :3], rotation @ ncs[:, 3] + shift


def _copies(
    crystal: Crystal, position: Float[np.ndarray, "points 3"], radius: float, name: str
) -> tuple[Mates, NDArray[np.float64]]:
    """Return the copies within a radius of any point, and how far each is from the nearest."""
    if not len(position):
        return Mates(radius=radius), np.zeros(0)
    source, copy, moved = _candidates(crystal, position.astype(np.float64), radius, name)
    # A mate must be where the edges will see it: distances are taken after rounding to float32.
    moved = moved.astype(np.float32)
    distance, _ = cKDTree(position).query(moved, distance_upper_bound=np.nextafter(radius, np.inf))
    near = np.isfinite(distance) & (distance > COINCIDENT)
    has_twins = len(crystal.ncs_operators) > 0 or bool((distance <= COINCIDENT).any())
    if has_twins:
        near[near] = _first_of_twins(moved[near], copy[near])
    return Mates(source=source[near], position=moved[near], radius=radius), distance[near]


def _candidates(
    crystal: Crystal, position: Float[np.ndarray, "points 3"], radius: float, name: str
) -> tuple[NDArray[np.int32], NDArray[np.int32], Float[np.ndarray, "candidates 3"]]:
    """Return source, copy number and position (Å) of all copies in the voxels near points."""
    unit_cell = gemmi.UnitCell(*crystal.cell)
    to_fractional = np.array(unit_cell.frac.mat.tolist())
    to_cartesian = np.array(unit_cell.orth.mat.tolist())
    original = position @ to_fractional.T
    # A sphere of this radius reaches so far along each fractional axis.
    margin = (radius + 0.01) * np.linalg.norm(to_fractional, axis=1)
    low, high = original.min(axis=0) - margin, original.max(axis=0) + margin
    near = _Voxels(position, radius)
    source, copies, places = [np.zeros(0, np.int32)], [0], [np.zeros((0, 3))]
    for rotation, shift in _operators(crystal):
        image = position @ rotation.T + shift
        is_identity = np.allclose(image, original, rtol=0, atol=1e-6)
        first = np.ceil(low - image.max(axis=0)).astype(int)
        last = np.floor(high - image.min(axis=0)).astype(int)
        if np.prod((last - first + 1.0).clip(0)) > MOST_CELLS:
            raise _unusable(name, "the atoms lie scattered over thousands of cells")
        for cell in product(*(range(a, b + 1) for a, b in zip(first, last, strict=True))):
            if is_identity and not any(cell):
                continue
            moved = image + np.array(cell, float)
            rows = np.flatnonzero(((moved >= low) & (moved <= high)).all(axis=1))
            moved = moved[rows] @ to_cartesian.T
            kept = near.contain(moved)
            source.append(rows[kept].astype(np.int32))
            places.append(moved[kept])
            copies.append(copies[-1] + 1)
    copy = np.repeat(np.array(copies, np.int32), [len(rows) for rows in source])
    return np.concatenate(source), copy, np.concatenate(places)


class _Voxels:
    """A coarse map of the space around points, to discard far copies before any distance is taken."""

    LARGEST = 4_000_000
    """Voxels; a sparse structure gets larger voxels instead of more of them."""

    def __init__(self, position: Float[np.ndarray, "points 3"], radius: float) -> None:
        self.origin = position.min(axis=0) - radius - 0.01
        extent = position.max(axis=0) + radius + 0.01 - self.origin
        self.size = max(radius / 2, float(np.prod(extent) / self.LARGEST) ** (1 / 3))
        shape = np.floor(extent / self.size).astype(int) + 1
        occupied = np.zeros(shape, bool)
        occupied[tuple(((position - self.origin) / self.size).astype(int).T)] = True
        reach = int(np.ceil(radius / self.size))
        for axis in range(3):
            occupied = _dilated(occupied, axis, reach)
        self.near = occupied

    def contain(self, position: Float[np.ndarray, "points 3"]) -> Bool[np.ndarray, " points"]:
        """Tell which points may lie within the radius."""
        voxel = np.floor((position - self.origin) / self.size).astype(int)
        inside = ((voxel >= 0) & (voxel < self.near.shape)).all(axis=1)
        inside[inside] = self.near[tuple(voxel[inside].T)]
        return inside


def _dilated(occupied: NDArray[np.bool_], axis: int, reach: int) -> NDArray[np.bool_]:
    occupied = np.moveaxis(occupied, axis, 0)
    wider = occupied.copy()
    for step in range(1, min(reach, len(occupied) - 1) + 1):
        wider[step:] |= occupied[:-step]
        wider[:-step] |= occupied[step:]
    return np.moveaxis(wider, 0, axis)


def _first_of_twins(
    position: Float[np.ndarray, "mates 3"], copy: NDArray[np.int32]
) -> Bool[np.ndarray, " mates"]:
    """Keep, of mates that coincide, the one of the first operator."""
    first, second = cKDTree(position).query_pairs(COINCIDENT, output_type="ndarray").T
    kept = np.ones(len(position), bool)
    kept[np.where(copy[first] > copy[second], first, second)[copy[first] != copy[second]]] = False
    return kept
