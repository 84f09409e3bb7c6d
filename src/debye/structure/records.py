"""The atom records of a file as columns → :class:`Structure`: what is derived from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.chemistry import known_elements
from debye.structure.entities import entity_kinds, residue_index
from debye.structure.facts import Header, Partner, entry_and_crystal
from debye.structure.row_keys import row_keys
from debye.structure.structure import Structure


class AtomRecords(NamedTuple):
    """What a file declares."""

    columns: dict[str, NDArray | None]
    """The fields of :class:`Structure` that a file gives; elements in upper case, ``X`` or empty if unknown."""
    partners: Sequence[tuple[Partner, Partner]]
    header: Header


def structure_from(records: AtomRecords, source: str) -> Structure:
    """Return the structure: residues, kinds and links are derived; an error if no atom has coordinates."""
    tensors = records.columns.get("u_aniso")
    columns = {name: column for name, column in records.columns.items() if column is not None}
    position, atoms = columns["position"], len(columns["position"])
    if not atoms:
        remedy = "Give a file with ATOM records or an atom_site category"
        raise StructureError(source, "there are no atoms in the file", remedy)
    if not np.isfinite(position).all(axis=1).any():
        problem = f"none of the {atoms} atoms has coordinates"
        raise StructureError(source, problem, "Give a file with Cartesian coordinates (Å)")
    names = columns["atom_name"], columns["residue_name"]
    columns["element"] = known_elements(columns["element"], *names)
    columns["residue_index"] = residue_index(columns)
    columns["entity_kind"] = entity_kinds(columns)
    residue = columns["residue_index"]
    entry, crystal = entry_and_crystal(records.header, columns["b_iso"], residue)
    return Structure(
        source=source,
        record=np.arange(atoms, dtype=np.int32),
        links=link_rows(records.partners, columns),
        crystal=crystal,
        entry=entry,
        **{**columns, "u_aniso": tensors},
    )


def link_rows(
    partners: Sequence[tuple[Partner, Partner]], columns: Mapping[str, NDArray]
) -> NDArray[np.int32]:
    """Return the rows of linked atoms, lower row first, sorted and without repetition.

    Links are made in the first model. Altlocs link to equal altlocs and to atoms without one. Links
    whose atoms are not in the file are left out.
    """
    model, altloc = columns["model"], columns["altloc"]
    if not partners or len(model) == 0:
        return np.zeros((0, 2), np.int32)
    ends = [end for pair in partners for end in pair]
    wanted = dict(zip(Partner._fields, map(np.array, zip(*ends, strict=True)), strict=True))
    rows = np.flatnonzero(
        np.isin(columns["residue_number"], wanted["residue_number"]) & (model == model[0])
    )
    names = [name for name in Partner._fields if name != "altloc"]
    key = row_keys(*(np.concatenate([columns[name][rows], wanted[name]]) for name in names))
    by_key: dict[int, list[int]] = {}
    for row, atom in zip(rows.tolist(), key.tolist(), strict=False):
        by_key.setdefault(atom, []).append(row)
    here, there = key[len(rows) :: 2].tolist(), key[len(rows) + 1 :: 2].tolist()
    found = {
        (min(a, b), max(a, b))
        for (first, second), left, right in zip(partners, here, there, strict=True)
        for a in by_key.get(left, ())
        for b in by_key.get(right, ())
        if a != b and _compatible(altloc[a], altloc[b], first.altloc, second.altloc)
    }
    return np.array(sorted(found), np.int32).reshape(-1, 2)


def _compatible(a: str, b: str, wanted_a: str, wanted_b: str) -> bool:
    """Return whether two altlocs may be bonded and are those that the link names."""
    as_wanted = (not wanted_a or a in ("", wanted_a)) and (not wanted_b or b in ("", wanted_b))
    # A link that names both altlocs may join different labels.
    return as_wanted and (bool(wanted_a and wanted_b) or not a or not b or a == b)
