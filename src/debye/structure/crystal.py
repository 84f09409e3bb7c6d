"""Symmetry mates: the copies of a structure that surround it in its crystal, and the operations that make them."""

from __future__ import annotations

from dataclasses import dataclass, field

import gemmi
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from debye.errors import StructureError
from debye.structure.structure import Crystal, Structure

COINCIDENT = 0.5
"""Å. A copy this near to an atom is that atom again (a special position, a copy that is in the file)."""
CLASH = 1.2
"""Å. No two atoms of a crystal are this near to each other, disorder across an axis aside."""
CLASHING_SHARE = 0.02
"""Largest share of atoms that may clash with a mate before cell and coordinates count as unrelated. Of 410
entries of the PDB the worst has 0.7 %, three whose cell is known to be wrong have 8 % and more."""
STRETCH = 0.01
"""Largest change of a squared length by a symmetry operation: cells are rounded, rotations are not."""
UNMOVED = 1e-6
"""Largest fractional step of an operation that leaves all points where they are."""
POINTS_AT_ONCE = 2_000_000
"""Images of points that are made at once: enough to hide the cost of calls, not of memory."""
MOST_CELLS = 20_000
"""A structure that spans more unit cells than this is not one molecule in a crystal."""
NEAR = 0.02
"""Å. A copy is this near to where its operation puts it; float32 rounds to 1e-4 Å at most."""
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
    """Return why a crystal cannot be built around its atoms; None if it can.

    Args:
        crystal: Cell and symmetry of the file.
        n_atoms: Heavy atoms of the asymmetric unit; 0 leaves the density unchecked.

    Example:
        >>> crystal_problem(Crystal(cell=(1, 1, 1, 90, 90, 90), space_group="P 1"))
        'the cell 1 × 1 × 1 Å, 90° 90° 90° is a placeholder'
        >>> crystal_problem(Crystal(cell=(50, 60, 70, 90, 90, 90), space_group="P 21 21 21"))
    """
    if crystal is None:
        return "no unit cell in file"
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
    if space_group(crystal) is None:
        return f"no space group is called {crystal.space_group!r}"
    if _stretch(crystal) > STRETCH:
        return f"the cell {cell} contradicts the space group {crystal.space_group}"
    volume = volume_per_atom(crystal, max(1, n_atoms))
    if n_atoms and volume < SMALLEST_ATOM_VOLUME:
        return (
            f"the cell {cell} in {crystal.space_group} leaves {volume:.2g} Å³ to each of "
            f"{n_atoms} atoms, less than the {SMALLEST_ATOM_VOLUME:g} Å³ that matter needs"
        )
    return None


def volume_per_atom(crystal: Crystal, n_atoms: int) -> float:
    """Return the volume of a sound crystal for each heavy atom of its asymmetric unit, Å³."""
    copies = len(_operations(crystal)) * (1 + len(crystal.ncs_operators))
    return gemmi.UnitCell(*crystal.cell).volume / (copies * n_atoms)


def symmetry_mates(structure: Structure, radius: float) -> Mates:
    """Find every copy of an atom within a radius of an atom, sorted by operator, then by source.

    Copies come from all space-group operations, all cell translations (the pure ones too) and all
    non-crystallographic operators whose copies the file leaves out. A copy nearer than :data:`COINCIDENT` to an
    atom of the file is not a mate: it is the atom itself on a special position, or a symmetry copy that the file
    already contains. Of copies that coincide with each other, that of the first operator stays. So the result
    does not depend on the order of the atoms.

    Args:
        structure: Atoms with a crystal.
        radius: Largest distance from a mate to the nearest atom, Å (inclusive).

    Raises:
        StructureError: The crystal cannot be built; the message gives the reason.
    """
    if radius <= 0:
        raise ValueError(f"radius must be positive (Å), got {radius}")
    crystal = structure.crystal
    problem = crystal_problem(crystal, len(structure))
    if crystal is None or problem is not None:
        raise _unusable(structure.source, str(problem))
    mates, distance = _copies(
        crystal, structure.position, radius, structure.position, structure.source
    )
    clashing = np.unique(mates.source[distance < CLASH])
    if len(clashing) > CLASHING_SHARE * len(structure):
        problem = f"{len(clashing)} of {len(structure)} atoms clash with a mate: the cell and the coordinates"
        raise _unusable(structure.source, f"{problem} do not belong together")
    return mates


def copies_near(
    crystal: Crystal,
    points: Float[np.ndarray, "points 3"],
    radius: float,
    around: Float[np.ndarray, "atoms 3"] | None = None,
) -> Mates:
    """Find the copies of any points, e.g. centroids of residues; rules as :func:`symmetry_mates`.

    The crystal must be sound; lengths in Å. ``around`` are the atoms near which copies are wanted, else the points
    themselves. If given, some farther copies are found too, which costs less than leaving them out.
    """
    return _copies(crystal, points, radius, points if around is None else around, "crystal")[0]


def _unusable(source: str, problem: str) -> StructureError:
    remedy = "Correct CRYST1 / _cell and _symmetry, or go without crystal contacts (--crystal off)"
    return StructureError(source, problem, remedy)


def _closes(angles: NDArray[np.float64]) -> bool:
    """Return whether three angles (degrees) can meet in a corner of positive volume."""
    a, b, c = np.cos(np.radians(angles))
    return bool(1 - a * a - b * b - c * c + 2 * a * b * c > 1e-3)


def space_group(crystal: Crystal) -> gemmi.SpaceGroup | None:
    """Return the space group in the setting of the cell, None where no group has the crystal's symbol."""
    # The angles distinguish hexagonal from rhombohedral settings if the symbol does not.
    alpha, _, gamma = crystal.cell[3:]
    return gemmi.find_spacegroup_by_name(crystal.space_group.strip(), alpha, gamma)


def _operations(crystal: Crystal) -> list[gemmi.Op]:
    group = space_group(crystal)
    assert group is not None  # crystal_problem has looked
    return list(group.operations())


def _matrices(crystal: Crystal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (3, 3) matrices to fractional and to Cartesian coordinates."""
    cell = gemmi.UnitCell(*crystal.cell)
    return np.array(cell.frac.mat.tolist()), np.array(cell.orth.mat.tolist())


def _stretch(crystal: Crystal) -> float:
    """Return how far the operations of the space group are from rotations in this cell."""
    fractional, orthogonal = _matrices(crystal)
    rotations = np.array([np.array(o.rot) / o.DEN for o in _operations(crystal)])
    cartesian = orthogonal @ rotations @ fractional
    return float(np.abs(cartesian.transpose(0, 2, 1) @ cartesian - np.eye(3)).max())


def operators(crystal: Crystal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rotations and shifts, Cartesian to fractional, of all copies up to cell translations.

    The crystal must be sound. The group's operations come first, then these after each NCS operator.
    """
    fractional, operations = _matrices(crystal)[0], _operations(crystal)
    rotation = np.array([o.rot for o in operations]) / gemmi.Op.DEN @ fractional
    shift = np.array([o.tran for o in operations]) / gemmi.Op.DEN
    ncs = [np.eye(3, 4), *crystal.ncs_operators]
    return (
        np.concatenate([rotation @ one[:, :3] for one in ncs]),
        np.concatenate([rotation @ one[:, 3] + shift for one in ncs]),
    )


def _copies(
    crystal: Crystal,
    points: Float[np.ndarray, "points 3"],
    radius: float,
    around: Float[np.ndarray, "atoms 3"],
    name: str,
) -> tuple[Mates, NDArray[np.float64]]:
    """Return the copies within a radius of any atom, and how far each is from the nearest point."""
    if not len(points) or not len(around):
        return Mates(radius=radius), np.zeros(0)
    source, copy, moved = _candidates(crystal, points, radius, around, name)
    # A mate must be where the edges will see it: distances are taken after rounding to float32.
    moved = moved.astype(np.float32)
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)  # for one search
    limit = radius if around is points else COINCIDENT
    # To the nearest atom; infinite beyond the limit.
    distance = tree.query(moved, distance_upper_bound=np.nextafter(limit, np.inf))[0]
    near = distance > COINCIDENT
    if around is points:
        near &= np.isfinite(distance)
    if len(crystal.ncs_operators) or (distance <= COINCIDENT).any():  # it may have twins
        near[near] = _first_of_twins(moved[near], copy[near])
    return Mates(source=source[near], position=moved[near], radius=radius), distance[near]


def _candidates(
    crystal: Crystal,
    points: Float[np.ndarray, "points 3"],
    radius: float,
    around: Float[np.ndarray, "atoms 3"],
    name: str,
) -> tuple[NDArray[np.int32], NDArray[np.int32], Float[np.ndarray, "candidates 3"]]:
    """Return source, copy number and position (Å) of all copies in the voxels near atoms."""
    to_fractional, to_cartesian = _matrices(crystal)
    points, around = points.astype(np.float64), around.astype(np.float64)
    target = around @ to_fractional.T
    # A sphere of this radius reaches so far along each fractional axis.
    margin = (radius + 0.01) * np.linalg.norm(to_fractional, axis=1)
    low, high = target.min(axis=0) - margin, target.max(axis=0) + margin
    near = _Voxels(around, radius)
    found = []
    n_copies = 0
    rotations, shifts = operators(crystal)
    at_once = max(1, POINTS_AT_ONCE // len(points))
    for some in (slice(i, i + at_once) for i in range(0, len(rotations), at_once)):
        image = rotations[some] @ points.T + shifts[some, :, None]
        is_identity = _coincide(image, to_fractional @ points.T)
        operator, row, cell, first, width = _inside(image, low, high, name)
        moved = (image[operator, :, row] + cell) @ to_cartesian.T
        kept = near.contain(moved) & ~(is_identity[operator] & (cell == 0).all(axis=1))
        operator, row, moved = operator[kept], row[kept], moved[kept]
        steps = np.stack([width[:, 1] * width[:, 2], width[:, 2], np.ones_like(width[:, 0])], 1)
        copies = width.prod(axis=1)
        copy = ((cell[kept] - first[operator]) * steps[operator]).sum(axis=1)
        copy += n_copies + (np.cumsum(copies) - copies)[operator]
        n_copies += int(copies.sum())
        order = np.argsort(copy, kind="stable")
        found.append((row[order].astype(np.int32), copy[order].astype(np.int32), moved[order]))
    sources, numbers, places = (np.concatenate(column) for column in zip(*found, strict=True))
    return sources, numbers, places


def _coincide(image: NDArray[np.float64], original: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(operators,) whether an operator leaves all points where they are; all fractional."""
    unmoved = np.asarray((np.abs(image[:, :, 0] - original[:, 0]) <= UNMOVED).all(axis=1))
    for operator in np.flatnonzero(unmoved):
        unmoved[operator] = (np.abs(image[operator] - original) <= UNMOVED).all()
    return unmoved


def _inside(
    image: Float[np.ndarray, "operators 3 points"],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    name: str,
) -> tuple[NDArray[np.intp], ...]:
    """Find all cell shifts that bring points into a box; all fractional.

    Returns operator, point and (3) shift of each hit, by operator and point; then (operators, 3) the lowest shift
    that the operator may need and how many there are along each axis.
    """
    first, last = np.ceil(low[:, None] - image), np.floor(high[:, None] - image)
    lowest = first.min(axis=2)
    width = (last.max(axis=2) - lowest + 1).clip(0)
    if (width.prod(axis=1) > MOST_CELLS).any():
        raise _unusable(name, "the atoms lie scattered over thousands of cells")
    first, last = first.astype(np.intp), last.astype(np.intp)
    counts = np.maximum(last - first + 1, 0)
    operator, row = np.nonzero(counts.all(axis=1))
    first, counts = first[operator, :, row], counts[operator, :, row]
    hits = counts.prod(axis=1)
    start = np.repeat(np.arange(len(hits)), hits)
    number = np.arange(len(start)) - np.repeat(np.cumsum(hits) - hits, hits)
    cell = first[start]
    for axis in (2, 1, 0):
        number, step = np.divmod(number, counts[start, axis])
        cell[:, axis] += step
    lowest, width = lowest.astype(np.intp), width.astype(np.intp)
    return operator[start], row[start], cell, lowest, np.maximum(width, 1)


class _Voxels:
    """A coarse map of the space around atoms, to discard far copies before any distance is taken."""

    LARGEST = 4_000_000
    """Voxels; a sparse structure gets larger voxels instead of more of them."""

    def __init__(self, position: Float[np.ndarray, "atoms 3"], radius: float) -> None:
        self.origin = position.min(axis=0) - radius - 0.01
        extent = position.max(axis=0) + radius + 0.01 - self.origin
        self.size = max(radius / 3, float(np.prod(extent) / self.LARGEST) ** (1 / 3))
        shape = np.floor(extent / self.size).astype(int) + 1
        occupied = np.zeros(shape, bool)
        occupied[tuple(((position - self.origin) / self.size).astype(int).T)] = True
        reach = int(np.ceil(radius / self.size))
        self.near = maximum_filter(occupied, 2 * reach + 1, mode="constant")

    def contain(self, position: Float[np.ndarray, "points 3"]) -> Bool[np.ndarray, " points"]:
        """Return which points may lie within the radius of an atom."""
        voxel = np.floor((position - self.origin) / self.size).astype(int)
        inside = ((voxel >= 0) & (voxel < self.near.shape)).all(axis=1)
        inside[inside] = self.near[tuple(voxel[inside].T)]
        return inside


def _first_of_twins(
    position: Float[np.ndarray, "mates 3"], copy: NDArray[np.int32]
) -> Bool[np.ndarray, " mates"]:
    """Keep, of mates that coincide, the one of the first operator."""
    first, second = cKDTree(position).query_pairs(COINCIDENT, output_type="ndarray").T
    kept = np.ones(len(position), bool)
    kept[np.where(copy[first] > copy[second], first, second)[copy[first] != copy[second]]] = False
    return kept


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

    The crystal must be sound. Returns the operations that occur, and for each atom which of them; -1 if none fits.
    """
    to_fractional, to_cartesian = _matrices(crystal)
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
    operations = _operations(crystal)
    found = []
    for number, *cells in distinct.tolist():
        ncs, row = divmod(number, len(operations))
        moved = gemmi.Op(operations[row].triplet())
        moved.tran = [part + n * moved.DEN for part, n in zip(moved.tran, cells, strict=True)]
        name = (f"NCS {ncs}, " if ncs else "") + moved.triplet()
        rotation, shift = rotations[number], shifts[number] + cells
        found.append(Operation(name, to_cartesian @ rotation, to_cartesian @ shift))
    return found, index
