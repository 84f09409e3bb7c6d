"""Pairs of equal atoms in two chains of the same protein."""

from __future__ import annotations

import re
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from debye.structure.structure import EntityKind, Structure


@dataclass(frozen=True, slots=True)
class ChainMatch:
    """Atoms of two chains, paired by aligned residue and atom name."""

    first: NDArray[np.intp]
    """(pairs,) rows of the first structure."""
    second: NDArray[np.intp]
    """(pairs,) rows of the second structure."""
    identity: float
    """Share of the aligned residues that have the same name; 0 if none is aligned."""

    def __len__(self) -> int:
        return len(self.first)


def match_chains(
    first: Structure, first_chain: str, second: Structure, second_chain: str
) -> ChainMatch:
    """Pair the protein atoms of two chains, as the authors name these.

    The observed residues are aligned from end to end, by name alone; a modified residue counts as the
    one that it is made from (selenomethionine as methionine).
    Only atoms of the same name in aligned residues are paired, in the order of the first chain.
    """
    mine, theirs = _residues(first, first_chain), _residues(second, second_chain)
    aligned = align_residues([name for name, _ in mine], [name for name, _ in theirs])
    pairs: list[tuple[int, int]] = []
    same = 0
    for left, right in aligned:
        same += mine[left][0] == theirs[right][0]
        atoms = theirs[right][1]
        pairs += [(row, atoms[name]) for name, row in mine[left][1].items() if name in atoms]
    rows = np.array(pairs, np.intp).reshape(-1, 2)
    return ChainMatch(rows[:, 0], rows[:, 1], same / len(aligned) if aligned else 0.0)


def align_residues(first: list[str], second: list[str]) -> list[tuple[int, int]]:
    """Align two lists of residue names from end to end; return the positions that are paired.

    Example:
        >>> align_residues(["MET", "ALA", "GLY", "SER"], ["ALA", "GLY", "TRP", "SER"])
        [(1, 0), (2, 1), (3, 3)]
    """
    if not first or not second:
        return []
    cigar = gemmi.align_string_sequences(first, second, []).cigar_str()
    pairs, left, right = [], 0, 0
    for count, kind in re.findall(r"(\d+)([MID])", cigar):
        length = int(count)
        if kind == "M":
            pairs += [(left + step, right + step) for step in range(length)]
        left += length if kind in "MI" else 0
        right += length if kind in "MD" else 0
    return pairs


def _residues(structure: Structure, chain: str) -> list[tuple[str, dict[str, int]]]:
    """Return name, and row of each atom by its name, of every protein residue of a chain, in order."""
    rows = np.flatnonzero(
        (structure.chain == chain) & (structure.entity_kind == EntityKind.PROTEIN)
    )
    found: dict[int, tuple[str, dict[str, int]]] = {}
    columns = (structure.residue_index, structure.residue_name, structure.atom_name)
    for row, residue, name, atom in zip(
        rows.tolist(), *(column[rows].tolist() for column in columns), strict=True
    ):
        _, atoms = found.setdefault(residue, (_parent(name), {}))
        atoms.setdefault(atom, row)
    return list(found.values())


def _parent(name: str) -> str:
    """Return the one-letter code of the residue that this one is, or is made from; else its name.

    Example:
        >>> _parent("MSE"), _parent("MET"), _parent("XYZ")
        ('M', 'M', 'XYZ')
    """
    code = gemmi.find_tabulated_residue(name).one_letter_code.strip()
    return code.upper() or name
