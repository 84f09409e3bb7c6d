"""Edges between residues whose centroids are near each other, in the structure and in its crystal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from debye.graph.neighbors import Neighbors, radius_neighbors
from debye.structure.bonds import Bonds
from debye.structure.crystal import Mates, copies_near
from debye.structure.structure import Structure


@dataclass(frozen=True, slots=True)
class ResidueEdges:
    """Directed edges between residues, sorted by receiver, then sender, then mate, then length."""

    near: Neighbors
    is_bonded: Bool[np.ndarray, " edges"]
    """True where a bond joins the two residues."""

    @classmethod
    def none(cls) -> ResidueEdges:
        """Return no edges."""
        empty = np.zeros(0, np.int32)
        near = Neighbors(empty, empty, np.zeros((0, 3), np.float32), np.zeros(0, bool))
        return cls(near, np.zeros(0, bool))


def find_residue_edges(
    structure: Structure, bonds: Bonds, radius: float, *, in_crystal: bool
) -> ResidueEdges:
    """Connect all residues whose centroids are within a radius (Å), ligands and ions included.

    Args:
        structure: Atoms.
        bonds: Of the structure.
        radius: Largest distance of two centroids, Å (inclusive).
        in_crystal: Symmetry mates send edges too; the crystal must be sound.
    """
    centroid = residue_centroids(structure)
    mates = Mates()
    if in_crystal and structure.crystal is not None:
        mates = copies_near(structure.crystal, centroid, radius)
    near = radius_neighbors(centroid, mates, radius)
    return ResidueEdges(near, _is_bonded(near, structure.residue_index, bonds))


def residue_centroids(structure: Structure) -> Float[np.ndarray, "residues 3"]:
    """Return the mean position of the atoms of each residue, Å, float32."""
    count = np.maximum(np.bincount(structure.residue_index), 1)
    sums = [np.bincount(structure.residue_index, axis) for axis in structure.position.T]
    return (np.stack(sums, axis=1) / count[:, None]).astype(np.float32)


def _is_bonded(
    near: Neighbors, residue_index: Int[np.ndarray, " atoms"], bonds: Bonds
) -> NDArray[np.bool_]:
    n_residues = int(residue_index.max(initial=-1)) + 1
    ends = residue_index[bonds.pairs].astype(np.int64)
    ends = ends[ends[:, 0] != ends[:, 1]]
    keys = np.unique(np.concatenate([ends @ [n_residues, 1], ends @ [1, n_residues]]))
    edges = near.receiver.astype(np.int64) * n_residues + near.sender
    place = np.minimum(np.searchsorted(keys, edges), max(0, len(keys) - 1))
    joined = keys[place] == edges if len(keys) else np.zeros(len(edges), bool)
    return joined & ~near.is_mate
