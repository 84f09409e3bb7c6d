"""The Chemical Component Dictionary, reduced to classes and heavy-atom bonds.

The table ``components.npz`` is made by ``scripts/make_component_table.py``. It opens on first use and
unpacks only the blocks that a structure needs.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TABLE = Path(__file__).with_name("components.npz")
BLOCK_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 20, "lc": 4, "pb": 0}]
"""Raw LZMA: zlib would make the table a quarter larger."""
ID_WIDTH = 5


class ComponentClass(IntEnum):
    """What kind of molecule a component is, from ``_chem_comp.type`` of the dictionary."""

    UNKNOWN = 0
    """Not in the dictionary."""
    PEPTIDE = 1
    """An amino acid or a cap that links to a peptide."""
    NUCLEOTIDE = 2
    SACCHARIDE = 3
    WATER = 4
    ION = 5
    """A single heavy atom."""
    OTHER = 6


@dataclass(frozen=True, slots=True)
class Component:
    """Heavy atoms of one component and the bonds between them."""

    atom_names: tuple[str, ...]
    pairs: NDArray[np.int16]
    """(bonds, 2) positions in ``atom_names``, first below second."""
    order: NDArray[np.int8]
    """(bonds,) a :class:`debye.structure.bonds.BondOrder`."""


@dataclass(frozen=True, slots=True)
class ComponentTable:
    """The opened table; its blocks stay packed until one of their components is needed."""

    source: str
    row: dict[str, int]
    """Identifier to row."""
    kind: NDArray[np.uint8]
    """(components,) a :class:`ComponentClass`."""
    names: NDArray[np.str_]
    """(names,) distinct names of heavy atoms."""
    blocks: bytes
    block_starts: NDArray[np.int32]
    """(blocks,) row of the first component of each block."""
    block_ends: NDArray[np.int32]
    """(blocks,) where each block ends in ``blocks``."""


@cache
def open_table() -> ComponentTable:
    """Open the table once; later calls return the same object."""
    with np.load(TABLE, allow_pickle=False) as file:
        packed = file["header"].tobytes()
        header = lzma.decompress(packed, format=lzma.FORMAT_RAW, filters=BLOCK_FILTERS)
        components = len(header) // (ID_WIDTH + 1)
        ids = np.frombuffer(header, f"S{ID_WIDTH}", components).astype(str)
        return ComponentTable(
            source=str(file["source"]),
            row={name.rstrip(): row for row, name in enumerate(ids.tolist())},
            kind=np.frombuffer(header, np.uint8, offset=components * ID_WIDTH),
            names=file["names"].astype(str),
            blocks=file["blocks"].tobytes(),
            block_starts=file["block_starts"],
            block_ends=file["block_ends"],
        )


@lru_cache(maxsize=4096)
def find_component(name: str) -> Component | None:
    """Return a component; None if the dictionary has none of that identifier.

    Example:
        >>> find_component("GLY").atom_names
        ('C', 'CA', 'N', 'O', 'OXT')
        >>> find_component("?") is None
        True
    """
    table = open_table()
    row = table.row.get(name)
    if row is None:
        return None
    block = int(np.searchsorted(table.block_starts, row, side="right")) - 1
    return unpack_block(block)[row - int(table.block_starts[block])]


@lru_cache(maxsize=64)
def unpack_block(block: int) -> _Block:
    """Unpack one block of components."""
    table = open_table()
    first = int(table.block_ends[block - 1]) if block else 0
    packed = table.blocks[first : int(table.block_ends[block])]
    raw = lzma.decompress(packed, format=lzma.FORMAT_RAW, filters=BLOCK_FILTERS)
    components = np.diff(table.block_starts, append=len(table.row))[block]
    return _Block(raw, int(components), table.names)


class _Block:
    """Unpacked columns of some components, cut into a :class:`Component` on demand."""

    def __init__(self, raw: bytes, components: int, names: NDArray[np.str_]) -> None:
        self.atom_ends = np.cumsum(_join_bytes(raw, 0, components))
        self.bond_ends = np.cumsum(_join_bytes(raw, 2 * components, components))
        atoms, bonds = int(self.atom_ends[-1]), int(self.bond_ends[-1])
        self.names = names
        self.name_steps = _join_bytes(raw, 4 * components, atoms)
        start = 4 * components + 2 * atoms
        columns = np.frombuffer(raw, np.uint8, 3 * bonds, start).reshape(3, bonds)
        self.steps, self.spans, self.orders = columns

    def __getitem__(self, row: int) -> Component:
        atoms = slice(self.atom_ends[row - 1] if row else 0, self.atom_ends[row])
        bonds = slice(self.bond_ends[row - 1] if row else 0, self.bond_ends[row])
        first = np.cumsum(self.steps[bonds], dtype=np.int16)
        return Component(
            atom_names=tuple(self.names[np.cumsum(self.name_steps[atoms])].tolist()),
            pairs=np.stack([first, first + self.spans[bonds]], axis=1),
            order=self.orders[bonds].astype(np.int8),
        )


def _join_bytes(raw: bytes, start: int, values: int) -> NDArray[np.int64]:
    """Low bytes first, then high bytes, as ``make_component_table.split_bytes`` wrote them."""
    halves = np.frombuffer(raw, np.uint8, 2 * values, start).reshape(2, values).astype(np.int64)
    return halves[0] + 256 * halves[1]
