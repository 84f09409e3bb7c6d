"""Helices and strands from the trace of Cα atoms.

The criteria of P-SEA, without its count of contacts of short strands. Labesse et al. (1997),
doi:10.1093/bioinformatics/13.3.291.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from debye.structure.structure import EntityKind, Structure

LONGEST_STEP = 4.5
"""Å between the Cα of neighbors in a chain; what is farther apart is not bonded."""
HELIX_RUN, STRAND_RUN = 5, 3
"""Fewest residues in a row."""
Range = tuple[float, float]
"""Middle, and largest deviation."""
HELIX: dict[str, Range] = {"3": (5.3, 0.5), "4": (6.4, 0.6), "angle": (89, 12), "torsion": (50, 20)}
STRAND: dict[str, Range] = {
    "2": (6.7, 0.6),
    "3": (9.9, 0.9),
    "4": (12.4, 1.1),
    "angle": (124, 14),
    "torsion": (-170, 45),
}
"""Distances of Cα two, three and four residues apart (Å), angle of three and torsion of four of them (degrees)."""


class SecondaryStructure(IntEnum):
    """What the backbone does at a residue."""

    NONE = 0
    """No protein, or no Cα."""
    COIL = 1
    HELIX = 2
    STRAND = 3


def secondary_structure(structure: Structure) -> Int[NDArray, " atoms"]:
    """Return the :class:`SecondaryStructure` of the residue of each atom."""
    is_trace = (structure.entity_kind == EntityKind.PROTEIN) & (structure.atom_name == "CA")
    _, first = np.unique(structure.residue_index[is_trace], return_index=True)
    rows = np.flatnonzero(is_trace)[first]
    found = _along(structure.position[rows].astype(np.float64), structure.chain[rows])
    of_residue = np.full(structure.n_residues, SecondaryStructure.NONE, np.int64)
    of_residue[structure.residue_index[rows]] = found
    return of_residue[structure.residue_index]


def _along(
    trace: Float[NDArray, "residues 3"], chain: NDArray[np.str_]
) -> Int[NDArray, " residues"]:
    """Assign the residues of chains, one after the other."""
    found = np.full(len(trace), SecondaryStructure.COIL, np.int64)
    step = np.linalg.norm(np.diff(trace, axis=0), axis=1)
    broken = (step > LONGEST_STEP) | (chain[1:] != chain[:-1])
    bounds = [0, *(np.flatnonzero(broken) + 1).tolist(), len(trace)]
    for start, stop in pairwise(bounds):
        piece = trace[start:stop]
        if len(piece) < STRAND_RUN + 2:
            continue
        shape = _shape(piece)
        strand = _within(shape, STRAND, ("2", "3", "4")) | _within(
            shape, STRAND, ("angle", "torsion")
        )
        helix = _within(shape, HELIX, ("3", "4")) | _within(shape, HELIX, ("angle", "torsion"))
        near_helix = _within(shape, HELIX, ("3",)) | _within(shape, HELIX, ("angle",))
        mine = found[start:stop]
        mine[_grown(_runs(strand, STRAND_RUN), _within(shape, STRAND, ("3",)))] = (
            SecondaryStructure.STRAND
        )
        mine[_grown(_runs(helix, HELIX_RUN), near_helix)] = SecondaryStructure.HELIX
    return found


def _shape(trace: Float[NDArray, "residues 3"]) -> dict[str, Float[NDArray, " residues"]]:
    """Measure the trace at each residue, from the one before it onwards; NaN where it ends too soon."""
    shape = {str(apart): _from_before(trace, apart) for apart in (2, 3, 4)}
    bond = np.diff(trace, axis=0)
    length = np.linalg.norm(bond, axis=1)
    shape["angle"] = np.full(len(trace), np.nan)
    cosine = -(bond[:-1] * bond[1:]).sum(1) / (length[:-1] * length[1:])
    shape["angle"][1:-1] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    shape["torsion"] = np.full(len(trace), np.nan)
    normal = np.cross(bond[:-1], bond[1:])
    sine = length[1:-1] * (bond[:-2] * normal[1:]).sum(1)
    shape["torsion"][1:-2] = np.degrees(np.arctan2(sine, (normal[:-1] * normal[1:]).sum(1)))
    return shape


def _from_before(trace: Float[NDArray, "residues 3"], apart: int) -> Float[NDArray, " residues"]:
    distance = np.full(len(trace), np.nan)
    if len(trace) > apart:
        distance[1 : len(trace) - apart + 1] = np.linalg.norm(
            trace[apart:] - trace[:-apart], axis=1
        )
    return distance


def _within(
    shape: dict[str, Float[NDArray, " residues"]], ranges: dict[str, Range], names: tuple[str, ...]
) -> Bool[NDArray, " residues"]:
    """Tell where all of some measures are within their ranges; torsions go round."""
    inside = np.ones(len(shape["angle"]), bool)
    for name in names:
        middle, deviation = ranges[name]
        off = shape[name] - middle
        if name == "torsion":
            off = (off + 180) % 360 - 180
        inside &= np.abs(off) <= deviation  # False for NaN
    return inside


def _runs(mask: Bool[NDArray, " residues"], fewest: int) -> Bool[NDArray, " residues"]:
    """Keep what is true in so many residues in a row.

    Example:
        >>> _runs(np.array([True, True, False, True]), 2).tolist()
        [True, True, False, False]
    """
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    kept = np.zeros(len(mask), bool)
    for start, stop in zip(starts, stops, strict=True):
        kept[start:stop] = stop - start >= fewest
    return kept


def _grown(
    mask: Bool[NDArray, " residues"], allowed: Bool[NDArray, " residues"]
) -> NDArray[np.bool_]:
    """Add the residue before and after each run, where it is allowed to."""
    beside = np.zeros(len(mask), bool)
    beside[1:] |= mask[:-1]
    beside[:-1] |= mask[1:]
    return mask | (beside & allowed)
