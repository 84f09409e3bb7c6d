"""Small replacements in the bytes of a file: everything that is not named stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
    clipped: int
    """New values that do not fit the columns of the format and were cut to its limit."""


def splice(data: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Replace byte ranges of ``data``; ranges must not overlap, and may come in any order.

    Example:
        >>> splice(b"B is 20.00 here", [(5, 10, b"31.5")])
        b'B is 31.5 here'
    """
    pieces: list[bytes | memoryview] = []
    done = 0
    view = memoryview(data)
    for start, end, text in sorted(edits):
        pieces.append(view[done:start])
        pieces.append(text)
        done = end
    pieces.append(view[done:])
    return b"".join(pieces)


def format_b(b: NDArray[np.floating] | Sequence[float]) -> list[bytes]:
    """Write B-factors with two decimals, as the PDB does, without a negative zero.

    Example:
        >>> format_b([12.346, -0.001, 1234.5])
        [b'12.35', b'0.00', b'1234.50']
    """
    values = np.round(np.asarray(b, np.float64), 2) + 0.0
    return ("%.2f\n" * len(values) % tuple(values.tolist())).encode().split()
