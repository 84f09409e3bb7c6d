"""Name of a residue as typed by the user → the residue of the structure, or a message with the choices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.structure import EntityKind, Structure

MOST_LISTED = 20
"""Most runs of residues, or ligands, in an error message."""


@dataclass(frozen=True, slots=True, kw_only=True)
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


def list_residues(structure: Structure) -> list[Residue]:
    """Return every residue of a structure, by its index."""
    indices, first = np.unique(structure.residue_index, return_index=True)
    return [
        Residue(
            index=int(index),
            chain=str(structure.chain[row]),
            number=int(structure.residue_number[row]),
            insertion_code=str(structure.insertion_code[row]),
            name=str(structure.residue_name[row]),
            kind=EntityKind(int(structure.entity_kind[row])),
        )
        for index, row in zip(indices, first, strict=True)
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
    residues = list_residues(chosen)
    chain, place = _parts(text, residues, chosen.source)
    found = [residue for residue in residues if residue.chain == chain and _is(residue, place)]
    if len(found) == 1:
        return found[0]
    if found:
        problem = f"{text} stands for {len(found)} residues: {_names(found)}"
        raise StructureError(chosen.source, problem, f"Give the name too, e.g. {found[0]}")
    problem = f"there is no residue {text}{_left_out(chain, place, whole)}"
    raise StructureError(chosen.source, problem, _choices(chain, place, residues))


def atom_rows(structure: Structure, residue: Residue, atom: str | None = None) -> NDArray[np.intp]:
    """Return the rows of a residue's atoms, or of the named one.

    Raises:
        StructureError: the residue has no such atom; the message lists its atoms.
    """
    rows = np.flatnonzero(structure.residue_index == residue.index)
    if atom is None:
        return rows
    named = rows[structure.atom_name[rows] == atom]
    if not len(named):
        named = rows[np.char.upper(structure.atom_name[rows]) == atom.upper()]
    if not len(named):
        problem = f"{residue} has no atom {atom} that gets a prediction"
        remedy = f"Choose from {', '.join(structure.atom_name[rows].tolist())}"
        raise StructureError(structure.source, problem, remedy)
    return named


def runs(numbers: Iterable[int]) -> list[str]:
    """Write numbers as runs without gaps.

    Example:
        >>> runs([1, 2, 7, 3])
        ['1-3', '7']
    """
    ends: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if ends and number == ends[-1][1] + 1:
            ends[-1] = (ends[-1][0], number)
        else:
            ends.append((number, number))
    return [f"{first}-{last}" if last > first else str(first) for first, last in ends]


def _parts(text: str, residues: list[Residue], source: str) -> tuple[str, str]:
    chain, colon, place = text.strip().rpartition(":")
    chains = sorted({residue.chain for residue in residues})
    if not colon and len(chains) == 1:
        chain = chains[0]
    if not place or (not colon and len(chains) > 1):
        example = f"{residues[0].chain}:{residues[0].place}"
        remedy = f"Give CHAIN:NUMBER, e.g. {example}; the chains are {', '.join(chains)}"
        raise StructureError(source, f"{text!r} does not name a residue", remedy)
    return chain, place


def _is(residue: Residue, place: str) -> bool:
    spellings = (residue.place, f"{residue.name}{residue.place}")
    return place.upper() in {spelling.upper() for spelling in spellings}


def _names(residues: Iterable[Residue]) -> str:
    names = [str(residue) for residue in residues]
    more = f", … ({len(names)} in all)" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more


def _left_out(chain: str, place: str, whole: Structure | None) -> str:
    """Explain that a residue is in the file but has no prediction; empty if it is not in the file."""
    if whole is None:
        return ""
    for residue in list_residues(whole):
        if residue.chain == chain and _is(residue, place):
            what = "a water" if residue.kind == EntityKind.WATER else "in the file"
            return f" with a prediction ({residue} is {what}, but none of its atoms gets one)"
    return ""


def _choices(chain: str, place: str, residues: list[Residue]) -> str:
    own = [residue for residue in residues if residue.chain == chain]
    if not own:
        chains = sorted({residue.chain or "without a name" for residue in residues})
        return f"There is no chain {chain!r}: the chains are {', '.join(chains)}"
    digits = "".join(letter for letter in place if letter.isdigit())
    same = [residue for residue in own if digits and str(abs(residue.number)) == digits]
    if same:
        return f"Did you mean {_names(same)}"
    numbers = runs(residue.number for residue in own if residue.kind.is_polymer)
    others = [residue for residue in own if not residue.kind.is_polymer]
    more = ", …" if len(numbers) > MOST_LISTED else ""
    parts = [f"residues {', '.join(numbers[:MOST_LISTED])}{more}"] if numbers else []
    parts += [_names(others)] if others else []
    return f"Chain {chain} has {' and '.join(parts)}"
