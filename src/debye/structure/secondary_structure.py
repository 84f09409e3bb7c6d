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

from debye.structure.row_keys import changes, spread
from debye.structure.structure import EntityKind, Structure

SHORTEST_STEP, LONGEST_STEP = 2.0, 4.5
"""Å between the Cα of neighbors in a chain; others are not bonded."""
HELIX_RUN, STRAND_RUN = 5, 3
"""Fewest residues in a row."""


MEASURES = ("second", "third", "fourth", "angle", "torsion")
"""Of a trace, from the Cα before a residue onwards: Å to the Cα two, three and four residues on, then degrees
of the angle of three Cα and of the torsion of four."""
HELIX, HELIX_DEVIATION = (5.5, 5.3, 6.4, 89, 50), (0.5, 0.5, 0.6, 12, 20)
STRAND, STRAND_DEVIATION = (6.7, 9.9, 12.4, 124, -170), (0.6, 0.9, 1.1, 14, 45)


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
            measured, mine = _measures(trace[start:stop]), found[start:stop]
            second, third, fourth, angle, torsion = _within(measured, STRAND, STRAND_DEVIATION)
            strand = _runs(second & third & fourth | angle & torsion, STRAND_RUN)
            mine[_grown(strand, third)] = SecondaryStructure.STRAND
            _, third, fourth, angle, torsion = _within(measured, HELIX, HELIX_DEVIATION)
            helix = _runs(third & fourth | angle & torsion, HELIX_RUN)
            mine[_grown(helix, third | angle)] = SecondaryStructure.HELIX
    return found


def _measures(trace: Float[NDArray, "residues 3"]) -> Float[NDArray, "measures residues"]:
    """Return the :data:`MEASURES` of a trace; NaN where it ends too soon."""
    bond = np.diff(trace, axis=0)
    length = np.linalg.norm(bond, axis=1)
    found = np.full((len(MEASURES), len(trace)), np.nan)
    for row, apart in enumerate((2, 3, 4)):
        far = np.linalg.norm(trace[apart:] - trace[:-apart], axis=1)
        found[row, 1 : len(far) + 1] = far
    cosine = -(bond[:-1] * bond[1:]).sum(1) / (length[:-1] * length[1:])
    found[3, 1:-1] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    normal = np.cross(bond[:-1], bond[1:])
    sine = length[1:-1] * (bond[:-2] * normal[1:]).sum(1)
    found[4, 1:-2] = np.degrees(np.arctan2(sine, (normal[:-1] * normal[1:]).sum(1)))
    return found


def _within(
    measured: Float[NDArray, "measures residues"],
    middle: tuple[float, ...],
    deviation: tuple[float, ...],
) -> Bool[NDArray, "measures residues"]:
    """Return for each measure where it is allowed; torsions are periodic."""
    off = measured - np.array(middle)[:, None]
    off[-1] = (off[-1] + 180) % 360 - 180
    return np.abs(off) <= np.array(deviation)[:, None]  # False for NaN


def _runs(mask: Bool[NDArray, " residues"], fewest: int) -> Bool[NDArray, " residues"]:
    """Keep runs of at least ``fewest`` residues.

    Example:
        >>> _runs(np.array([True, True, False, True]), 2).tolist()
        [True, True, False, False]
    """
    starts = changes(mask)
    return mask & (spread(np.diff(starts, append=len(mask)), starts, len(mask)) >= fewest)


def _grown(
    mask: Bool[NDArray, " residues"], allowed: Bool[NDArray, " residues"]
) -> NDArray[np.bool_]:
    """Add the residue before and after each run, where it is allowed to."""
    padded = np.pad(mask, 1)
    return mask | ((padded[:-2] | padded[2:]) & allowed)
