"""The atom records of a file as columns, before anything is derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import gemmi
import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.entities import entity_kinds, residue_index
from debye.structure.file_links import Partner, link_rows
from debye.structure.header import Header, entry_and_crystal
from debye.structure.row_keys import equal_text
from debye.structure.structure import Structure

SYMBOLS = np.array([gemmi.Element(number).name.upper() for number in range(120)])
"""Chemical symbols by gemmi's element numbers; ``X`` is unknown, ``D`` has a number of its own."""

_KNOWN_SYMBOLS = frozenset(SYMBOLS.tolist()) - {"X"}
_ONE_LETTER = frozenset("HDCNOSPFBIKVWYU")
_ORGANIC = frozenset("HDCNOSPFI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Columns of the atom records, as :class:`Structure` has them, and what else the file says."""

    model: NDArray[np.int32]
    chain: NDArray[np.str_]
    chain_label: NDArray[np.str_]
    residue_number: NDArray[np.int32]
    insertion_code: NDArray[np.str_]
    residue_name: NDArray[np.str_]
    atom_name: NDArray[np.str_]
    altloc: NDArray[np.str_]
    element: NDArray[np.str_]
    """Upper case; ``X`` or empty where the file does not tell."""
    position: NDArray[np.float32]
    occupancy: NDArray[np.float32]
    b_iso: NDArray[np.float32]
    is_hetero: NDArray[np.bool_]
    u_aniso: NDArray[np.float32] | None = None
    partners: Sequence[tuple[Partner, Partner]] = field(default_factory=list)
    header: Header = field(default_factory=Header)


def structure_from(sites: Sites, source: str) -> Structure:
    """Derive residues, kinds, links and facts from what a file says.

    Args:
        sites: Atom records in the order of the file.
        source: Kept in the structure and named in error messages.

    Raises:
        StructureError: There is no atom, or none has coordinates.
    """
    if not len(sites.model):
        raise StructureError(
            source,
            problem="there are no atoms in the file",
            remedy="Give a file with ATOM records or an atom_site category",
        )
    if not _have_coordinates(sites.position):
        raise StructureError(
            source,
            problem=f"none of the {len(sites.model)} atoms has coordinates",
            remedy="Give a file with Cartesian coordinates (Å)",
        )
    element = known_elements(sites.element, sites.atom_name, sites.residue_name)
    residue = residue_index(
        model=sites.model, chain=sites.chain, chain_label=sites.chain_label,
        residue_number=sites.residue_number, insertion_code=sites.insertion_code,
        residue_name=sites.residue_name, atom_name=sites.atom_name, altloc=sites.altloc,
    )  # fmt: skip
    kind = entity_kinds(
        model=sites.model, residue_index=residue, residue_name=sites.residue_name,
        atom_name=sites.atom_name, element=element, is_hetero=sites.is_hetero, position=sites.position,
    )  # fmt: skip
    links = link_rows(
        sites.partners, model=sites.model, chain=sites.chain, residue_number=sites.residue_number,
        insertion_code=sites.insertion_code, residue_name=sites.residue_name,
        atom_name=sites.atom_name, altloc=sites.altloc,
    )  # fmt: skip
    entry, crystal = entry_and_crystal(sites.header, sites.b_iso, residue)
    return Structure(
        source=source, record=np.arange(len(residue), dtype=np.int32), model=sites.model,
        chain=sites.chain, chain_label=sites.chain_label, residue_number=sites.residue_number,
        insertion_code=sites.insertion_code, residue_name=sites.residue_name,
        atom_name=sites.atom_name, altloc=sites.altloc, element=element, position=sites.position,
        occupancy=sites.occupancy, b_iso=sites.b_iso, u_aniso=sites.u_aniso,
        is_hetero=sites.is_hetero, entity_kind=kind, links=links, crystal=crystal, entry=entry,
        residue_index=residue,
    )  # fmt: skip


def _have_coordinates(position: NDArray[np.float32]) -> bool:
    """Tell whether any atom has all three coordinates; as a rule the first has."""
    return bool(np.isfinite(position[0]).all() or np.isfinite(position).all(axis=1).any())


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
        >>> element_of("CA", "GLY"), element_of("ZN", "ZN"), element_of("FE1", "SF4"), element_of("UNK", "UNX")
        ('C', 'ZN', 'FE', 'X')
    """
    letters = "".join(character for character in atom_name.upper() if character.isalpha())
    component = residue_name.upper().rstrip("0123456789")
    if residue_name.upper() in ("UNX", "UNL", "DUM") or not letters:
        return "X"
    if letters == component and letters in _KNOWN_SYMBOLS:
        return letters
    if letters[0] in _ORGANIC:
        return _two_letters(letters, residue_name)
    if letters[:2] in _KNOWN_SYMBOLS:
        return letters[:2]
    return letters[0] if letters[0] in _ONE_LETTER else "X"


def _two_letters(letters: str, residue_name: str) -> str:
    """Tell FE, SE and CL of cofactors and modified residues from F, S and C atoms."""
    if letters[:2] in ("FE", "CL") or (letters[:2] == "SE" and residue_name.upper() in ("MSE", "SEC")):
        return letters[:2]
    return letters[0]
