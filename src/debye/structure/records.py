"""The atom records of a file as columns, before anything is derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.chemistry import known_elements
from debye.structure.declared_links import Partner, link_rows
from debye.structure.entities import entity_kinds, residue_index
from debye.structure.facts import Header, entry_and_crystal
from debye.structure.structure import Structure


@dataclass(frozen=True, slots=True, kw_only=True)
class AtomRecords:
    """Columns of the atom records, as in :class:`Structure`, and the facts of the file."""

    model: NDArray[np.int32]
    chain: NDArray[np.str_]
    chain_label: NDArray[np.str_]
    residue_number: NDArray[np.int32]
    insertion_code: NDArray[np.str_]
    residue_name: NDArray[np.str_]
    atom_name: NDArray[np.str_]
    altloc: NDArray[np.str_]
    element: NDArray[np.str_]
    """Upper case; ``X`` or empty if the file does not give it."""
    position: NDArray[np.float32]
    occupancy: NDArray[np.float32]
    b_iso: NDArray[np.float32]
    is_hetero: NDArray[np.bool_]
    u_aniso: NDArray[np.float32] | None = None
    partners: Sequence[tuple[Partner, Partner]] = field(default_factory=list)
    header: Header = field(default_factory=Header)


def structure_from(records: AtomRecords, source: str) -> Structure:
    """Return the structure: residues, kinds and links are derived from the records.

    Args:
        records: In the order of the file.
        source: Kept in the structure and named in error messages.

    Raises:
        StructureError: There is no atom, or none has coordinates.
    """
    atoms = len(records.model)
    if not atoms:
        remedy = "Give a file with ATOM records or an atom_site category"
        raise StructureError(source, "there are no atoms in the file", remedy)
    if not _have_coordinates(records.position):
        problem = f"none of the {atoms} atoms has coordinates"
        raise StructureError(source, problem, "Give a file with Cartesian coordinates (Å)")
    columns: dict[str, Any] = {
        item.name: getattr(records, item.name)
        for item in fields(records)
        if item.name not in ("partners", "header")
    }
    columns["element"] = known_elements(records.element, records.atom_name, records.residue_name)

    def some(*names: str) -> dict[str, Any]:
        return {name: columns[name] for name in names}

    place = ("model", "chain", "residue_number", "insertion_code")
    name = ("residue_name", "atom_name", "altloc")
    columns["residue_index"] = residue_index(**some(*place, "chain_label", *name))
    columns["entity_kind"] = entity_kinds(
        **some("model", "residue_index", *name[:2], "element", "is_hetero", "position")
    )
    links = link_rows(records.partners, **some(*place, *name))
    entry, crystal = entry_and_crystal(records.header, records.b_iso, columns["residue_index"])
    return Structure(
        source=source,
        record=np.arange(atoms, dtype=np.int32),
        links=links,
        crystal=crystal,
        entry=entry,
        **columns,
    )


def _have_coordinates(position: NDArray[np.float32]) -> bool:
    """Return whether any atom has all three coordinates; usually the first has."""
    return bool(np.isfinite(position[0]).all() or np.isfinite(position).all(axis=1).any())
