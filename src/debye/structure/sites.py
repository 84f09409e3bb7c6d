"""The atom records of a file as columns, before anything is derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.element_names import known_elements
from debye.structure.entities import entity_kinds, residue_index
from debye.structure.file_links import Partner, link_rows
from debye.structure.header import Header, entry_and_crystal
from debye.structure.structure import Structure


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
