"""Residues as a user names them, and the neighbors of one: residues in the file, and symmetry mates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from debye.errors import StructureError
from debye.structure.bonds import find_bonds
from debye.structure.crystal import find_operations, symmetry_mates
from debye.structure.structure import EntityKind, Structure

MOST_LISTED = 20
"""Most runs of residues, or ligands, in an error message."""
LIGANDS = (EntityKind.LIGAND, EntityKind.ION, EntityKind.SUGAR)


@dataclass(frozen=True, slots=True)
class Residue:
    """A residue, ligand or ion, as named by the authors of the entry."""

    index: int
    """Its number in :attr:`Structure.residue_index`."""
    chain: str
    number: int
    insertion_code: str
    name: str
    kind: EntityKind

    @property
    def place(self) -> str:
        """Number and insertion code, e.g. ``27A``."""
        return f"{self.number}{self.insertion_code}"

    def __str__(self) -> str:
        return f"{self.chain}:{self.name}{self.place}"

    def is_called(self, chain: str, place: str) -> bool:
        """Whether it is in a chain and has a number, with or without its name before it."""
        spellings = (self.place.upper(), f"{self.name}{self.place}".upper())
        return self.chain == chain and place.upper() in spellings


class Kind(StrEnum):
    """Relation of a neighbor to the residue; the first that applies."""

    MATE = "symmetry mate"
    BONDED = "covalent neighbor"
    LIGAND = "ligand"
    SAME_CHAIN = "same chain"
    OTHER_CHAIN = "other chain"


@dataclass(frozen=True, slots=True)
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


def list_residues(structure: Structure) -> list[Residue]:
    """Return every residue of a structure, by its index."""
    indices, first = np.unique(structure.residue_index, return_index=True)
    names = ("chain", "residue_number", "insertion_code", "residue_name", "entity_kind")
    columns = [getattr(structure, name)[first].tolist() for name in names]
    return [
        Residue(index, chain, number, code, name, EntityKind(kind))
        for index, chain, number, code, name, kind in zip(indices.tolist(), *columns, strict=True)
    ]


def find_residue(text: str, chosen: Structure, whole: Structure | None = None) -> Residue:
    """Find a residue by its name.

    Args:
        text: ``CHAIN:NUMBER``, optionally with an insertion code (``A:27A``) or the name (``A:ATP301``);
            ``CHAIN:`` may be omitted if there is only one chain.
        chosen: Atoms that get a prediction.
        whole: All atoms of the file, to explain why a residue is not among the chosen.

    Raises:
        StructureError: no such residue, or several; the message lists the choices.
    """
    residues, source = list_residues(chosen), chosen.source
    chain, colon, place = text.strip().rpartition(":")
    chains = sorted({residue.chain for residue in residues})
    if not colon and len(chains) == 1:
        chain = chains[0]
    if not place or (not colon and len(chains) > 1):
        example = f"{residues[0].chain}:{residues[0].place}"
        remedy = f"Give CHAIN:NUMBER, e.g. {example}; the chains are {', '.join(chains)}"
        raise StructureError(source, f"{text!r} does not name a residue", remedy)
    found = [residue for residue in residues if residue.is_called(chain, place)]
    if len(found) == 1:
        return found[0]
    if found:
        problem = f"{text} stands for {len(found)} residues: {_names(found)}"
        raise StructureError(source, problem, f"Give the name too, e.g. {found[0]}")
    problem = f"there is no residue {text}"
    for residue in [] if whole is None else list_residues(whole):
        if residue.is_called(chain, place):
            what = "a water" if residue.kind == EntityKind.WATER else "in the file"
            problem += f" with a prediction ({residue} is {what}, but none of its atoms gets one)"
            break
    raise StructureError(source, problem, _choices(chain, place, residues))


def atom_rows(structure: Structure, residue: Residue, atom: str | None = None) -> NDArray[np.intp]:
    """Return the rows of a residue's atoms, or of the named one.

    Raises:
        StructureError: the residue has no such atom; the message lists its atoms.
    """
    rows = np.flatnonzero(structure.residue_index == residue.index)
    if atom is None:
        return rows
    names = structure.atom_name[rows]
    for same in (names == atom, np.char.upper(names) == atom.upper()):
        if same.any():
            return rows[same]
    problem = f"{residue} has no atom {atom} that gets a prediction"
    raise StructureError(structure.source, problem, f"Choose from {', '.join(names.tolist())}")


def runs(numbers: Iterable[int]) -> list[str]:
    """Write numbers as runs without gaps.

    Example:
        >>> runs([1, 2, 7, 3])
        ['1-3', '7']
    """
    ordered = np.unique(np.fromiter(numbers, int))
    parts = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    return [str(part[0]) + (f"-{part[-1]}" if len(part) > 1 else "") for part in parts if len(part)]


def _names(residues: list[Residue]) -> str:
    more = f", … ({len(residues)} in all)" if len(residues) > MOST_LISTED else ""
    return ", ".join(map(str, residues[:MOST_LISTED])) + more


def _choices(chain: str, place: str, residues: list[Residue]) -> str:
    own = [residue for residue in residues if residue.chain == chain]
    if not own:
        chains = sorted({residue.chain or "without a name" for residue in residues})
        return f"There is no chain {chain!r}: the chains are {', '.join(chains)}"
    digits = "".join(filter(str.isdigit, place))
    same = [residue for residue in own if digits and str(abs(residue.number)) == digits]
    if same:
        return f"Did you mean {_names(same)}"
    numbers = runs(residue.number for residue in own if residue.kind.is_polymer)
    others = [residue for residue in own if not residue.kind.is_polymer]
    more = ", …" if len(numbers) > MOST_LISTED else ""
    parts = [f"residues {', '.join(numbers[:MOST_LISTED])}{more}"] if numbers else []
    parts += [_names(others)] if others else []
    return f"Chain {chain} has {' and '.join(parts)}"


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
    own = residues[int(structure.residue_index[rows[0]])]
    around, furthest = cKDTree(structure.position[rows]), np.nextafter(reach, np.inf)
    distance = around.query(structure.position, distance_upper_bound=furthest)[0]
    near = np.unique(structure.residue_index[np.isfinite(distance)])
    ends = structure.residue_index[find_bonds(structure).pairs]
    bonded = set(ends[(ends == own.index).any(axis=1)].ravel().tolist())
    found = []
    for residue in (residues[index] for index in near.tolist() if index != own.index):
        kind = Kind.SAME_CHAIN if residue.chain == own.chain else Kind.OTHER_CHAIN
        kind = Kind.LIGAND if residue.kind in LIGANDS else kind
        kind = Kind.BONDED if residue.index in bonded else kind
        members = atom_rows(structure, residue)
        nearest = float(distance[members].min())
        found.append(Neighbor(residue, kind, nearest, members, structure.position[members]))
    if in_crystal:
        found += _mates(structure, residues, around, reach)
    return sorted(found, key=lambda item: (item.distance, item.residue.index, item.operation))


def _mates(
    structure: Structure, residues: list[Residue], around: cKDTree, reach: float
) -> list[Neighbor]:
    """Return each symmetry copy of a residue with an atom within reach."""
    if structure.crystal is None:
        return []
    mates = symmetry_mates(structure, reach)
    distance = around.query(mates.position, distance_upper_bound=np.nextafter(reach, np.inf))[0]
    near = np.isfinite(distance)
    source, distance = mates.source[near], distance[near]
    originals = structure.position[source]
    operations, which = find_operations(structure.crystal, originals, mates.position[near])
    keys = np.column_stack([structure.residue_index[source], which])
    found = []
    for index, number in np.unique(keys[which >= 0], axis=0).tolist():
        members = atom_rows(structure, residues[index])
        nearest = float(distance[(keys == [index, number]).all(axis=1)].min())
        position = operations[number].apply(structure.position[members])
        name = operations[number].name
        found.append(Neighbor(residues[index], Kind.MATE, nearest, members, position, name))
    return found
