"""Structure → the atoms that models see: heavy, first model, one conformer, no waters."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from debye.structure.entities import HYDROGENS
from debye.structure.row_keys import changes, row_keys, text_numbers
from debye.structure.structure import EntityKind, Structure

_UNKNOWN_ELEMENTS = ("", "X", "*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How many atoms were left out, and why; each atom counts once, for the first reason that fits."""

    other_models: int = 0
    """Atoms of any model but the first of the file."""
    hydrogens: int = 0
    """Hydrogen, deuterium and tritium."""
    waters: int = 0
    no_coordinates: int = 0
    """Atoms without three finite coordinates."""
    unknown_elements: int = 0
    """Atoms without an element, whose name does not imply one."""
    altlocs: int = 0
    """Atoms of conformers that were not chosen."""

    @property
    def total(self) -> int:
        """All atoms left out."""
        return sum(getattr(self, column.name) for column in fields(self))


def select_atoms(structure: Structure) -> tuple[Structure, Selection]:
    """Return the atoms that get a prediction, and how many were left out for which reason.

    Of each residue with alternative locations the conformer of the highest mean occupancy stays, by label where
    two are equal, together with the atoms that have no altloc; of a microheterogeneous residue this leaves one
    residue name. The choice does not depend on the order of the atoms, and rows keep their order.
    """
    left_out: dict[str, int] = {}
    kept = np.ones(len(structure), bool)
    for reason, unwanted in (
        ("other_models", structure.model != structure.model[:1]),
        ("hydrogens", np.isin(structure.element, HYDROGENS)),
        ("waters", structure.entity_kind == EntityKind.WATER),
        ("no_coordinates", ~np.isfinite(structure.position).all(axis=1)),
        ("unknown_elements", np.isin(structure.element, _UNKNOWN_ELEMENTS)),
    ):
        left_out[reason] = int((kept & unwanted).sum())
        kept &= ~unwanted
    unwanted = _other_conformers(structure, kept)
    left_out["altlocs"] = len(unwanted)
    kept[unwanted] = False
    return structure.take(kept), Selection(**left_out)


def _other_conformers(structure: Structure, among: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the rows of the conformers that are not the chosen ones of their residues.

    ``among`` (atoms,) are the atoms to look at, over which occupancies are averaged.
    """
    rows = np.flatnonzero(among & (structure.altloc != ""))
    if len(rows) == 0:
        return rows
    label = row_keys(structure.altloc[rows], text_numbers(structure.residue_name[rows]))
    conformer = row_keys(structure.residue_index[rows], label)
    distinct, conformer = np.unique(conformer, return_inverse=True)
    residue = np.empty(len(distinct), np.int64)
    residue[conformer] = structure.residue_index[rows]
    occupancy = np.nan_to_num(structure.occupancy[rows].astype(np.float64))
    mean = np.bincount(conformer, weights=occupancy) / np.bincount(conformer)
    # Rounded, since a sum in another order of atoms must not break a tie between 0.5 and 0.5.
    order = np.lexsort((np.arange(len(distinct)), -np.round(mean, 4), residue))
    chosen = np.zeros(len(distinct), bool)
    chosen[order[changes(residue[order])]] = True
    return rows[~chosen[conformer]]
