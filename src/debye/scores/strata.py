"""The groups that results are broken down by: classes of atoms, ranges of resolution."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debye.scores.values import StructureValues
from debye.structure.chemistry import COFACTORS, STANDARD_RESIDUES
from debye.structure.structure import EntityKind

LIGAND_SIZE = 7
"""Heavy atoms that make a non-polymer component a ligand; smaller ones are mostly buffer and cryoprotectant."""
LIGAND_ATOMS = 10
"""Usable atoms that the ligands of a structure must have in all; with fewer, none of them is scored."""


def _of_kind(*kinds: EntityKind) -> Callable[[StructureValues], NDArray[np.bool_]]:
    return lambda values: np.isin(values.entity_kind, kinds)


def _backbone(values: StructureValues) -> NDArray[np.bool_]:
    return (values.entity_kind == EntityKind.PROTEIN) & values.is_backbone


def _side_chain(values: StructureValues) -> NDArray[np.bool_]:
    return (values.entity_kind == EntityKind.PROTEIN) & ~values.is_backbone


def _ligand(values: StructureValues) -> NDArray[np.bool_]:
    if not len(values):
        return np.zeros(0, bool)
    size = np.bincount(values.residue_index)[values.residue_index]
    ligand = (values.entity_kind == EntityKind.LIGAND) & (size >= LIGAND_SIZE)
    enough = (ligand & np.isfinite(values.deposited)).sum() >= LIGAND_ATOMS
    return ligand & enough


def _cofactor(values: StructureValues) -> NDArray[np.bool_]:
    return (values.entity_kind == EntityKind.LIGAND) & _named(values, COFACTORS)


def _modified(values: StructureValues) -> NDArray[np.bool_]:
    polymer = np.isin(values.entity_kind, (EntityKind.PROTEIN, EntityKind.NUCLEIC))
    return polymer & ~_named(values, STANDARD_RESIDUES)


def _named(values: StructureValues, names: Iterable[str]) -> NDArray[np.bool_]:
    return np.isin(values.residue_name, list(names))


def _protein_beside_ligand(values: StructureValues) -> NDArray[np.bool_]:
    return (values.entity_kind == EntityKind.PROTEIN) & _ligand(values).any()


def _protein_and_ligand(values: StructureValues) -> NDArray[np.bool_]:
    return _protein_beside_ligand(values) | _ligand(values)


@dataclass(frozen=True, slots=True)
class AtomClass:
    """One row of the table of atom classes."""

    name: str
    summary: str
    minimum: int
    """Usable atoms below which a structure's own measures are NaN."""
    select: Callable[[StructureValues], NDArray[np.bool_]]
    """Structure to (atoms,) mask."""


PRIMARY = "protein"
"""The class of the primary metric."""

ATOM_CLASSES = {
    row.name: row
    for row in (
        AtomClass(PRIMARY, "protein heavy atoms", 10, _of_kind(EntityKind.PROTEIN)),
        AtomClass("backbone", "N, CA, C, O, OXT of protein residues", 10, _backbone),
        AtomClass("side chain", "other protein atoms", 10, _side_chain),
        AtomClass(
            "modified residue",
            "residues of chains other than the 20 amino acids and 8 nucleotides",
            5,
            _modified,
        ),
        AtomClass("nucleic", "nucleotides", 10, _of_kind(EntityKind.NUCLEIC)),
        AtomClass(
            "ligand",
            f"components of at least {LIGAND_SIZE} heavy atoms, where a structure has "
            f"{LIGAND_ATOMS} such atoms in all",
            LIGAND_ATOMS,
            _ligand,
        ),
        AtomClass("cofactor", "ligands that enzymes work with: heme, NAD, ATP, …", 10, _cofactor),
        AtomClass("sugar", "saccharides", 10, _of_kind(EntityKind.SUGAR)),
        AtomClass("ion", "single-atom components but water", 3, _of_kind(EntityKind.ION)),
        AtomClass(
            "protein + ligand",
            "protein and ligand atoms of structures that have ligands",
            10,
            _protein_and_ligand,
        ),
        AtomClass(
            "protein beside ligand",
            "protein atoms of the same structures",
            10,
            _protein_beside_ligand,
        ),
        AtomClass("all", "every scored atom", 10, lambda values: np.ones(len(values), bool)),
    )
}

RESOLUTION_EDGES = (1.5, 2.0, 2.5)
"""Å; a stratum holds its lower edge and not its upper one."""

RESOLUTION_STRATA = ("< 1.5 Å", "1.5-2.0 Å", "2.0-2.5 Å", "≥ 2.5 Å", "unknown")


def resolution_stratum(resolution: float | None) -> str:
    """Name the range that a resolution (Å) falls into.

    Example:
        >>> resolution_stratum(2.0), resolution_stratum(None)
        ('2.0-2.5 Å', 'unknown')
    """
    if resolution is None or not np.isfinite(resolution):
        return RESOLUTION_STRATA[-1]
    return RESOLUTION_STRATA[int(np.searchsorted(RESOLUTION_EDGES, resolution, side="right"))]
