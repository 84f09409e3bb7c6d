"""Helices and strands from the trace of Cα atoms.

The criteria of P-SEA, without its count of contacts of short strands. Labesse et al. (1997),
doi:10.1093/bioinformatics/13.3.291.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from debye.structure.structure import EntityKind, Structure

SHORTEST_STEP, LONGEST_STEP = 2.0, 4.5
"""Å between the Cα of neighbors in a chain; others are not bonded."""
HELIX_RUN, STRAND_RUN = 5, 3
"""Fewest residues in a row."""
Measure = TypeVar("Measure")


@dataclass(frozen=True, slots=True)
class Shape(Generic[Measure]):
    """Of a trace, from the Cα before a residue onwards: (residues,) measures, or their limits."""

    second: Measure
    """Å to the Cα two residues on; ``third`` and ``fourth``: three and four residues on."""
    third: Measure
    fourth: Measure
    angle: Measure
    """Of three Cα, degrees."""
    torsion: Measure
    """Of four Cα, degrees."""


HELIX, HELIX_DEVIATION = Shape(5.5, 5.3, 6.4, 89, 50), Shape(0.5, 0.5, 0.6, 12, 20)
STRAND, STRAND_DEVIATION = Shape(6.7, 9.9, 12.4, 124, -170), Shape(0.6, 0.9, 1.1, 14, 45)


class SecondaryStructure(IntEnum):
    """Shape of the backbone at a residue."""

    NONE = 0
    """Not a protein, or without Cα."""
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
    broken = (step < SHORTEST_STEP) | (step > LONGEST_STEP) | (chain[1:] != chain[:-1])
    bounds = [0, *(np.flatnonzero(broken) + 1).tolist(), len(trace)]
    for start, stop in pairwise(bounds):
        if stop - start >= 4:  # Fewer have no torsion.
            shape, mine = _shape(trace[start:stop]), found[start:stop]
            strand = _within(shape, STRAND, STRAND_DEVIATION)
            helix = _within(shape, HELIX, HELIX_DEVIATION)
            of_strand = strand.second & strand.third & strand.fourth | strand.angle & strand.torsion
            of_helix = helix.third & helix.fourth | helix.angle & helix.torsion
            mine[_grown(_runs(of_strand, STRAND_RUN), strand.third)] = SecondaryStructure.STRAND
            mine[_grown(_runs(of_helix, HELIX_RUN), helix.third | helix.angle)] = (
                SecondaryStructure.HELIX
            )
    return found


def _shape(trace: Float[NDArray, "residues 3"]) -> Shape[NDArray[np.float64]]:
    """Measure a trace; NaN where it ends too soon."""
    bond = np.diff(trace, axis=0)
    length = np.linalg.norm(bond, axis=1)
    angle = np.full(len(trace), np.nan)
    cosine = -(bond[:-1] * bond[1:]).sum(1) / (length[:-1] * length[1:])
    angle[1:-1] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    torsion = np.full(len(trace), np.nan)
    normal = np.cross(bond[:-1], bond[1:])
    sine = length[1:-1] * (bond[:-2] * normal[1:]).sum(1)
    torsion[1:-2] = np.degrees(np.arctan2(sine, (normal[:-1] * normal[1:]).sum(1)))
    second, third, fourth = (_from_before(trace, apart) for apart in (2, 3, 4))
    return Shape(second, third, fourth, angle, torsion)


def _from_before(trace: Float[NDArray, "residues 3"], apart: int) -> Float[NDArray, " residues"]:
    distance = np.full(len(trace), np.nan)
    distance[1 : len(trace) - apart + 1] = np.linalg.norm(trace[apart:] - trace[:-apart], axis=1)
    return distance


def _within(
    shape: Shape[NDArray[np.float64]], middle: Shape[float], deviation: Shape[float]
) -> Shape[NDArray[np.bool_]]:
    """Return for each measure where it is allowed; torsions are periodic."""
    off = {
        item.name: getattr(shape, item.name) - getattr(middle, item.name) for item in fields(Shape)
    }
    off["torsion"] = (off["torsion"] + 180) % 360 - 180
    # False for NaN.
    return Shape(**{name: np.abs(value) <= getattr(deviation, name) for name, value in off.items()})


def _runs(mask: Bool[NDArray, " residues"], fewest: int) -> Bool[NDArray, " residues"]:
    """Keep runs of at least ``fewest`` residues.

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
    next_to = np.zeros(len(mask), bool)
    next_to[1:] |= mask[:-1]
    next_to[:-1] |= mask[1:]
    return mask | (next_to & allowed)
