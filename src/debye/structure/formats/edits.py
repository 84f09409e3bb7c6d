"""Small replacements in the bytes of a file: all other bytes stay as they are."""

# Arrow makes its compute functions on import, where type checkers do not see them.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from debye.errors import StructureError
from debye.structure.formats.cif_text import TEXT, joined


@dataclass(frozen=True, slots=True)
class Edited:
    """A file's bytes with new B-factors, and what was done to them."""

    data: bytes
    replaced: int
    """Atoms whose B was replaced."""
    kept: int
    """Atoms whose B was left as the file gives it."""
    dropped_anisotropic: int
    """Anisotropic records dropped because they would contradict the new B."""
    clipped: int = 0
    """New values that do not fit the columns of the format and were cut to its limit."""


def check_rows(rows: int, b: NDArray[np.floating], what: str, source: str) -> None:
    """Refuse new B-factors that are not one for each atom record of a file.

    Args:
        rows: Atom records of the file.
        b: New B-factors.
        what: What the file calls its records, in the plural.
        source: Name for the error message.
    """
    if rows != len(b):
        problem = f"the file has {rows} {what}, but {len(b)} B-factors were given"
        raise StructureError(
            source, problem, "Give one value for each, NaN to keep the file's value"
        )


def splice(
    data: bytes, starts: ArrayLike, ends: ArrayLike, texts: Sequence[bytes] | pa.Array
) -> bytes:
    """Replace byte ranges of ``data``; ranges must not overlap, and may come in any order.

    Args:
        data: The bytes of a file.
        starts: (edits,) offset of the first byte that each edit replaces.
        ends: (edits,) offset after the last byte that each edit replaces.
        texts: (edits,) what comes in its place.

    Example:
        >>> splice(b"B is 20.00 here", [5], [10], [b"31.5"])
        b'B is 31.5 here'
    """
    starts, ends = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
    if not len(starts):
        return data
    order = np.lexsort((ends, starts))
    # Kept and replaced pieces in turn, as one Arrow array over the bytes where they are.
    borders = np.zeros(2 * len(order) + 1, np.int64)
    borders[1::2], borders[2::2] = starts[order], ends[order]
    pieces = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), 2 * len(order), [None, pa.py_buffer(borders), pa.py_buffer(data)]
    )
    kept = pieces.take(pa.array(np.arange(0, len(pieces), 2)))
    texts = pa.array(texts, pa.large_binary()).take(pa.array(order))
    return (
        joined(pc.binary_join_element_wise(kept, texts, pa.scalar(b"", pa.large_binary())))
        + data[borders[-1] :]
    )


def format_b(b: NDArray[np.floating] | Sequence[float]) -> pa.Array:
    """Write B-factors with two decimals, as the PDB does, without a negative zero.

    Example:
        >>> format_b([12.346, -0.001, 1234.5]).to_pylist()
        ['12.35', '0.00', '1234.50']
    """
    values = np.round(np.asarray(b, np.float64), 2) + 0.0
    return pa.array(values).cast(pa.decimal128(38, 2)).cast(TEXT)
