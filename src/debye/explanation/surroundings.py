"""Surroundings of a residue: its neighbors in the file, and symmetry mates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from debye.explanation.residues import Residue, list_residues
from debye.structure.bonds import find_bonds
from debye.structure.crystal import find_operations, symmetry_mates
from debye.structure.structure import EntityKind, Structure

LIGANDS = (EntityKind.LIGAND, EntityKind.ION, EntityKind.SUGAR)


class Kind(StrEnum):
    """Relation of a neighbor to the residue; the first that applies."""

    MATE = "symmetry mate"
    BONDED = "covalent neighbor"
    LIGAND = "ligand"
    SAME_CHAIN = "same chain"
    OTHER_CHAIN = "other chain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbor:
    """A residue, ligand or ion near the explained one, or one symmetry copy of it."""

    residue: Residue
    kind: Kind
    distance: float
    """Between the nearest two atoms, Å."""
    rows: NDArray[np.intp]
    """(atoms,) its rows in the structure; for a mate, those of the original."""
    position: Float[np.ndarray, "atoms 3"]
    """Its coordinates; for a mate, those of the copy, Å."""
    operation: str = ""
    """Symmetry operation of the copy, e.g. ``-x+1,y-1/2,-z``; empty for a residue of the file."""


def find_neighbors(
    structure: Structure, rows: NDArray[np.intp], reach: float, *, in_crystal: bool
) -> list[Neighbor]:
    """Return all residues with an atom within reach of some atoms, the nearest first.

    Args:
        structure: Atoms that the model sees.
        rows: Atoms of one residue; its symmetry copies are neighbors, it itself is not.
        reach: Å (inclusive).
        in_crystal: Include symmetry mates.
    """
    residues = list_residues(structure)
    own = int(structure.residue_index[rows[0]])
    around = cKDTree(structure.position[rows])
    distance = around.query(structure.position, distance_upper_bound=np.nextafter(reach, np.inf))[0]
    near = np.unique(structure.residue_index[np.isfinite(distance)])
    bonded = _bonded(structure, own)
    found = [
        Neighbor(
            residue=residues[index],
            kind=_kind(residues[index], residues[own], bonded),
            distance=float(distance[members].min()),
            rows=members,
            position=structure.position[members],
        )
        for index in near[near != own].tolist()
        for members in [np.flatnonzero(structure.residue_index == index)]
    ]
    if in_crystal:
        found += _mates(structure, residues, around, reach)
    return sorted(found, key=lambda item: (item.distance, item.residue.index, item.operation))


def _bonded(structure: Structure, own: int) -> set[int]:
    """Return the residues that are bonded to this one."""
    ends = structure.residue_index[find_bonds(structure).pairs]
    joined = ends[(ends == own).any(axis=1)]
    return set(joined.ravel().tolist()) - {own}


def _kind(residue: Residue, own: Residue, bonded: set[int]) -> Kind:
    if residue.index in bonded:
        return Kind.BONDED
    if residue.kind in LIGANDS:
        return Kind.LIGAND
    return Kind.SAME_CHAIN if residue.chain == own.chain else Kind.OTHER_CHAIN


def _mates(
    structure: Structure, residues: list[Residue], around: cKDTree, reach: float
) -> list[Neighbor]:
    """Return each symmetry copy of a residue with an atom within reach."""
    crystal = structure.crystal
    if crystal is None:
        return []
    mates = symmetry_mates(structure, reach)
    distance = around.query(mates.position, distance_upper_bound=np.nextafter(reach, np.inf))[0]
    near = np.isfinite(distance)
    source, distance = mates.source[near], distance[near]
    operations, which = find_operations(crystal, structure.position[source], mates.position[near])
    keys = np.column_stack([structure.residue_index[source], which])
    found = []
    for index, number in np.unique(keys[which >= 0], axis=0).tolist():
        members = np.flatnonzero(structure.residue_index == index)
        of_copy = (keys == [index, number]).all(axis=1)
        found.append(
            Neighbor(
                residue=residues[index],
                kind=Kind.MATE,
                distance=float(distance[of_copy].min()),
                rows=members,
                position=operations[number].apply(structure.position[members]),
                operation=operations[number].name,
            )
        )
    return found
