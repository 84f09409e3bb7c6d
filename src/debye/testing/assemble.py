"""Structures made by code: from named atoms, moved as rigid bodies, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from debye.errors import StructureError
from debye.structure.structure import Crystal, EntityKind, Entry, Structure


def from_atoms(
    atoms: Sequence[tuple[str, str, ArrayLike]],
    *,
    residue_name: ArrayLike,
    residue_number: ArrayLike,
    chain: str = "A",
    chain_label: str | None = None,
    kind: EntityKind = EntityKind.LIGAND,
    source: str = "built",
) -> Structure:
    """Make a structure of one chain, fully occupied and without B-factors (NaN).

    Args:
        atoms: Atom name, element and position (Å) of each atom.
        residue_name: One component identifier for all atoms, or one for each.
        residue_number: One number for all atoms, or one for each; a new number is a new residue.
        chain: Name of the chain as authors give it.
        chain_label: The same as mmCIF gives it; None: ``chain``.
        kind: What the atoms belong to; everything but proteins and nucleic acids becomes HETATM.
        source: Named in error messages.

    Example:
        >>> zinc = from_atoms([("ZN", "ZN", (0, 0, 0))], residue_name="ZN", residue_number=1)
        >>> len(zinc), str(zinc.residue_name[0]), bool(zinc.is_hetero[0])
        (1, 'ZN', True)
    """
    names, elements, position = zip(*atoms, strict=True)
    count = len(names)
    numbers = np.broadcast_to(np.asarray(residue_number, np.int32), count).copy()
    changes = np.diff(numbers, prepend=numbers[:1]) != 0
    empty = np.full(count, "")
    return Structure(
        source=source,
        record=np.arange(count, dtype=np.int32),
        model=np.ones(count, np.int32),
        chain=np.full(count, chain),
        chain_label=np.full(count, chain if chain_label is None else chain_label),
        residue_number=numbers,
        insertion_code=empty,
        residue_name=np.broadcast_to(np.asarray(residue_name, np.str_), count).copy(),
        atom_name=np.array(names),
        altloc=empty.copy(),
        element=np.char.upper(np.array(elements)),
        position=np.array(position, np.float32),
        occupancy=np.ones(count, np.float32),
        b_iso=np.full(count, np.nan, np.float32),
        is_hetero=np.full(count, kind not in (EntityKind.PROTEIN, EntityKind.NUCLEIC)),
        entity_kind=np.full(count, kind, np.int8),
        residue_index=np.cumsum(changes).astype(np.int32),
    )


def moved(structure: Structure, rotation: ArrayLike, shift: ArrayLike) -> Structure:
    """Rotate all atoms about the origin, then shift them; the crystal stays as it is.

    Args:
        structure: Any structure.
        rotation: (3, 3) orthogonal matrix.
        shift: (3,) Å.
    """
    turn: NDArray[np.float64] = np.asarray(rotation, np.float64)
    position = structure.position.astype(np.float64) @ turn.T + np.asarray(shift, np.float64)
    return replace(structure, position=position.astype(np.float32))


def combine(
    parts: Sequence[Structure],
    *,
    source: str | None = None,
    entry: Entry | None = None,
    crystal: Crystal | None = None,
) -> Structure:
    """Put structures one after the other into one: records, residues and links are counted on.

    ANISOU is dropped; entry and crystal are those given, not those of the parts.

    Args:
        parts: At least one structure.
        source: Name of the result; None: that of the first part.
        entry: Facts about the whole; None: none.
        crystal: Cell and symmetry of the whole; None: none.

    Raises:
        StructureError: There is nothing to combine.
    """
    if not parts:
        raise StructureError(
            source or "combine", problem="no parts to combine", remedy="Give at least one structure"
        )
    shared = [
        item.name
        for item in fields(Structure)
        if isinstance(getattr(parts[0], item.name), np.ndarray)
        and item.name not in ("links", "record", "residue_index", "u_aniso")
    ]
    atoms = np.cumsum([0, *(len(part) for part in parts)])
    residues = np.cumsum([0, *(part.n_residues for part in parts)])
    index = [part.residue_index + start for part, start in zip(parts, residues, strict=False)]
    links = [part.links + start for part, start in zip(parts, atoms, strict=False)]
    return Structure(
        source=source or parts[0].source,
        record=np.arange(atoms[-1], dtype=np.int32),
        residue_index=np.concatenate(index).astype(np.int32),
        links=np.concatenate(links).astype(np.int32),
        entry=entry or Entry(),
        crystal=crystal,
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in shared},
    )
