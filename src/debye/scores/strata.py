"""What is scored, and how results are broken down: values of one structure, classes of atoms, ranges of resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.chemistry import BACKBONE, COFACTORS, STANDARD_RESIDUES
from debye.structure.structure import EntityKind
from debye.targets.target import Per, Target

if TYPE_CHECKING:
    from debye.structure.structure import Structure


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureValues:
    """True and predicted values of the items of one structure, in the unit of the target.

    An item is an atom, a residue or the structure, as ``target.per`` says; row ``i`` of every array
    describes item ``i``. An item is scored if both values are finite; one that lacks only the prediction
    is counted.
    """

    id: str
    """Entry identifier, unique within a split."""
    target: Target
    """Unit, kind of item, and the smallest true value that percentage errors cover."""
    true: NDArray[np.float32]
    """(items,) NaN where there is no usable value."""
    predicted: NDArray[np.float32]
    """(items,) NaN where the model gives no value."""
    entity_kind: NDArray[np.int8]
    """(items,) a :class:`debye.structure.structure.EntityKind`."""
    is_backbone: NDArray[np.bool_]
    """(items,) True for N, CA, C, O and OXT of protein residues."""
    residue_name: NDArray[np.str_]
    """(items,) component identifier, e.g. ``ALA``, ``ATP``."""
    residue_index: NDArray[np.int32]
    """(items,) residue, or single ligand, of each item."""
    chain_index: NDArray[np.int32]
    """(items,) chain of each item."""
    lower: NDArray[np.float32] | None = None
    """(items,) lower bound of the 90 % interval; None if the model gives no bounds."""
    upper: NDArray[np.float32] | None = None
    """(items,) upper bound of the 90 % interval."""
    resolution: float | None = None
    """High-resolution limit, Å; None if unknown."""
    cluster: str = ""
    """Sequence cluster; structures of one cluster are not independent. Empty: a cluster of its own."""
    group: str = ""
    """Free label of the structure, for example its protein family."""
    has_crystal: bool = False
    """Symmetry mates were included in the prediction."""
    is_profile: bool = False
    """``predicted`` has no unit, because the model does not predict the level: only correlations count."""

    def __post_init__(self) -> None:
        items = len(self.true)
        for column in fields(self):
            value = getattr(self, column.name)
            if isinstance(value, np.ndarray) and value.shape != (items,):
                problem = f"{items} true values, but {column.name} has shape {value.shape}"
                raise StructureError(self.id, problem, "Build every array from the same items")
        if (self.lower is None) != (self.upper is None):
            problem = "only one of the two bounds is given"
            raise StructureError(self.id, problem, "Give lower and upper, or neither")

    def __len__(self) -> int:
        return len(self.true)


LIGAND_SIZE = 7
"""Heavy atoms that make a non-polymer component a ligand; smaller ones are mostly buffer and cryoprotectant."""
LIGAND_ATOMS = 10
"""Usable atoms that the ligands of a structure must have in all; with fewer, none of them is scored."""


def is_protein_backbone(structure: Structure) -> NDArray[np.bool_]:
    """Return (atoms,) whether each atom is N, CA, C, O or OXT of a protein residue."""
    protein = structure.entity_kind == EntityKind.PROTEIN
    return protein & np.isin(structure.atom_name, BACKBONE)


def is_ligand(entity_kind: NDArray, residue_index: NDArray) -> NDArray[np.bool_]:
    """Return (atoms,) whether each atom is in a non-polymer component of at least :data:`LIGAND_SIZE` atoms."""
    size = np.bincount(residue_index, minlength=1)[residue_index]
    return (entity_kind == EntityKind.LIGAND) & (size >= LIGAND_SIZE)


class ErrorClass(IntEnum):
    """Disjoint classes of atoms with bounds of their own; the numbers are part of checkpoint headers."""

    BACKBONE = 0
    SIDE_CHAIN = 1
    OTHER = 2
    """Sugars, ions and small components; in older files ligands and nucleic acids too."""
    NUCLEIC = 3
    LIGAND = 4
    """Components of at least :data:`LIGAND_SIZE` heavy atoms."""


def error_classes(structure: Structure, per: Per = Per.ATOM) -> NDArray[np.int8]:
    """Return the :class:`ErrorClass` of each item; that of its first atom for a residue or structure.

    Example:
        >>> from debye.testing.peptide import build_peptide
        >>> error_classes(build_peptide("A")).tolist()
        [0, 0, 0, 0, 1, 0]
    """
    kind = structure.entity_kind
    classes = np.full(len(structure), ErrorClass.OTHER, np.int8)
    classes[kind == EntityKind.NUCLEIC] = ErrorClass.NUCLEIC
    classes[is_ligand(kind, structure.residue_index)] = ErrorClass.LIGAND
    classes[kind == EntityKind.PROTEIN] = ErrorClass.SIDE_CHAIN
    classes[is_protein_backbone(structure)] = ErrorClass.BACKBONE
    return classes[first_atoms(structure, per)]


def first_atoms(structure: Structure, per: Per) -> NDArray[np.intp]:
    """Return the row of the first atom of each item."""
    if per is Per.ATOM:
        return np.arange(len(structure))
    group = structure.residue_index if per is Per.RESIDUE else np.zeros(len(structure), np.int32)
    return np.unique(group, return_index=True)[1]


def _of_kind(*kinds: EntityKind) -> Callable[[StructureValues], NDArray[np.bool_]]:
    return lambda values: np.isin(values.entity_kind, kinds)


def _backbone(values: StructureValues) -> NDArray[np.bool_]:
    return (values.entity_kind == EntityKind.PROTEIN) & values.is_backbone


def _side_chain(values: StructureValues) -> NDArray[np.bool_]:
    return (values.entity_kind == EntityKind.PROTEIN) & ~values.is_backbone


def _ligand(values: StructureValues) -> NDArray[np.bool_]:
    ligand = is_ligand(values.entity_kind, values.residue_index)
    return ligand & ((ligand & np.isfinite(values.true)).sum() >= LIGAND_ATOMS)


def _cofactor(values: StructureValues) -> NDArray[np.bool_]:
    named = np.isin(values.residue_name, list(COFACTORS))
    return (values.entity_kind == EntityKind.LIGAND) & named


def _modified(values: StructureValues) -> NDArray[np.bool_]:
    polymer = np.isin(values.entity_kind, (EntityKind.PROTEIN, EntityKind.NUCLEIC))
    return polymer & ~np.isin(values.residue_name, list(STANDARD_RESIDUES))


def _protein_beside_ligand(values: StructureValues) -> NDArray[np.bool_]:
    return (values.entity_kind == EntityKind.PROTEIN) & _ligand(values).any()


def _protein_and_ligand(values: StructureValues) -> NDArray[np.bool_]:
    return _protein_beside_ligand(values) | _ligand(values)


@dataclass(frozen=True, slots=True)
class AtomClass:
    """One row of the table of atom classes; they may overlap."""

    name: str
    summary: str
    minimum: int
    """Usable items below which a structure's own measures are NaN."""
    select: Callable[[StructureValues], NDArray[np.bool_]]
    """Structure to (items,) mask."""
    of_residues: bool = True
    """Whether whole residues are in the class or not: then it has figures for a target per residue too."""


PRIMARY, EVERY_ATOM = "protein", "all"
"""The class of the primary metric, and that of everything (the only one of a target per structure)."""

ATOM_CLASSES = {
    row.name: row
    for row in (
        AtomClass(PRIMARY, "protein heavy atoms", 10, _of_kind(EntityKind.PROTEIN)),
        AtomClass("backbone", "N, CA, C, O, OXT of protein residues", 10, _backbone, False),
        AtomClass("side chain", "other protein atoms", 10, _side_chain, False),
        AtomClass("modified residue", "residues of chains other than the 20 amino acids and 8 nucleotides",
                  5, _modified),
        AtomClass("nucleic", "nucleotides", 10, _of_kind(EntityKind.NUCLEIC)),
        AtomClass("ligand", f"components of at least {LIGAND_SIZE} heavy atoms, where a structure has "
                  f"{LIGAND_ATOMS} such atoms in all", LIGAND_ATOMS, _ligand, False),
        AtomClass("cofactor", "ligands that enzymes work with: heme, NAD, ATP, …", 10, _cofactor),
        AtomClass("sugar", "saccharides", 10, _of_kind(EntityKind.SUGAR)),
        AtomClass("ion", "single-atom components but water", 3, _of_kind(EntityKind.ION)),
        AtomClass("protein + ligand", "protein and ligand atoms of structures that have ligands",
                  10, _protein_and_ligand, False),
        AtomClass("protein beside ligand", "protein atoms of the same structures",
                  10, _protein_beside_ligand, False),
        AtomClass(EVERY_ATOM, "every scored atom", 10, lambda values: np.ones(len(values), bool)),
    )
}  # fmt: skip


def classes_of(target: Target) -> tuple[str, ...]:
    """Return the classes that a target has figures for; the first is the primary one."""
    if target.per is Per.STRUCTURE:
        return (EVERY_ATOM,)
    rows = ATOM_CLASSES.values()
    return tuple(row.name for row in rows if target.per is Per.ATOM or row.of_residues)


EVERY_STRATUM = "all"
RESOLUTION_EDGES = (1.5, 2.0, 2.5)
"""Å; a stratum includes its lower edge and not its upper one."""
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
