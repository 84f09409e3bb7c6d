"""Elements told by their symbols, or else by the names of atoms."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from debye.structure.row_keys import equal_text, text_numbers

SYMBOLS = np.array([gemmi.Element(number).name.upper() for number in range(120)])
"""Chemical symbols by gemmi's element numbers; ``X`` is unknown, ``D`` has a number of its own."""

_SYMBOLS = frozenset(SYMBOLS.tolist()) - {"X"}
_ONE_LETTER = frozenset("HDCNOSPFBIKVWYU")
_ORGANIC = frozenset("HDCNOSPFI")


def clean_symbols(symbols: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return symbols in upper case, without charges; ``X`` for what is no symbol.

    Example:
        >>> clean_symbols(np.array(["C", "Zn2+", "", "Q"])).tolist()
        ['C', 'ZN', '', 'X']
    """
    words = text_numbers(symbols)
    distinct = np.unique(words)
    clean = []
    for word in distinct.tolist():
        text = str(symbols[np.argmax(words == word)])
        letters = "".join(character for character in text if character.isalpha()).upper()
        clean.append(letters if not letters or letters in _SYMBOLS else "X")
    return np.array(clean, np.str_)[np.searchsorted(distinct, words)]


def known_elements(
    element: NDArray[np.str_], atom_name: NDArray[np.str_], residue_name: NDArray[np.str_]
) -> NDArray[np.str_]:
    """Return the elements, with those that the file does not tell taken from the atom names.

    Args:
        element: (atoms,) upper case; ``X`` or empty where unknown.
        atom_name: (atoms,).
        residue_name: (atoms,).

    Example:
        >>> known_elements(
        ...     np.array(["C", "X", "", ""]),
        ...     np.array(["CA", "CA", "CA", "1HB"]),
        ...     np.array(["ALA", "ALA", "CA", "ALA"]),
        ... ).tolist()
        ['C', 'C', 'CA', 'H']
    """
    unknown = np.flatnonzero(equal_text(element, "X") | equal_text(element, ""))
    if len(unknown) == 0:
        return element
    element = element.astype("U2")
    pairs = zip(atom_name[unknown].tolist(), residue_name[unknown].tolist(), strict=True)
    element[unknown] = [element_of(name, residue) for name, residue in pairs]
    return element


def element_of(atom_name: str, residue_name: str) -> str:
    """Return the element that an atom name stands for, ``X`` if it does not tell.

    The first letter decides, except in components of one atom, which are named after their element, and where
    only two letters make an element.

    Example:
        >>> (
        ...     element_of("CA", "GLY"),
        ...     element_of("ZN", "ZN"),
        ...     element_of("FE1", "SF4"),
        ...     element_of("UNK", "UNX"),
        ... )
        ('C', 'ZN', 'FE', 'X')
    """
    letters = "".join(character for character in atom_name.upper() if character.isalpha())
    component = residue_name.upper().rstrip("0123456789")
    if residue_name.upper() in ("UNX", "UNL", "DUM") or not letters:
        return "X"
    if letters == component and letters in _SYMBOLS:
        return letters
    if letters[0] in _ORGANIC:
        return _two_letters(letters, residue_name)
    if letters[:2] in _SYMBOLS:
        return letters[:2]
    return letters[0] if letters[0] in _ONE_LETTER else "X"


def _two_letters(letters: str, residue_name: str) -> str:
    """Tell FE, SE and CL of cofactors and modified residues from F, S and C atoms."""
    if letters[:2] in ("FE", "CL") or (
        letters[:2] == "SE" and residue_name.upper() in ("MSE", "SEC")
    ):
        return letters[:2]
    return letters[0]


def element_of_padded_name(name: str) -> str:
    """Return the element of an atom name in its four columns, ``X`` if it does not tell.

    Symbols are aligned to the second column, so that " CA " is carbon and "CA  " calcium; names of four
    characters are hydrogens ("HG11") or start with their symbol.

    Example:
        >>> [element_of_padded_name(name) for name in (" CA ", "CA  ", "HG11", "1HB ", "FE1 ")]
        ['C', 'CA', 'H', 'H', 'FE']
    """
    name = name.upper()
    one, two = name[1], name[:2]
    if name[0] == " " or name[0].isdigit():
        return one if one in _SYMBOLS else "X"
    if not one.isalpha() or (name[3] != " " and name[0] in "HD"):
        return name[0] if name[0] in _SYMBOLS else "X"
    if two in _SYMBOLS:
        return two
    return name[0] if name[0] in _SYMBOLS else "X"
