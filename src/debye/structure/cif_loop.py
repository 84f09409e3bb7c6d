"""The rows of one loop of CIF text → columns, all tokens at once.

gemmi reads a million atoms in a second, and half of that goes into objects that would become arrays again. A loop
whose values have no spaces in them, as atoms have, is cut at the spaces instead. Where that is not certain,
:func:`find_loop` returns None and the reader takes gemmi's slower and general way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debye.structure.columns import numbers_from
from debye.structure.fixed_width import numbers

_SPACE = ord(" ")
_NEWLINE = ord("\n")
_PLAIN, _QUOTE, _SPECIAL = range(3)
_NO_ROW = re.compile(rb"#|_|loop_|data_|save_", re.IGNORECASE)
"""What a line starts with that ends the rows of a loop."""


def _token_kinds() -> NDArray[np.uint8]:
    """(256,) what a token is by its first character: a comment, tag or text field is special."""
    kinds = np.full(256, _PLAIN, np.uint8)
    kinds[list(b"#_;$[]")] = _SPECIAL
    kinds[list(b"'\"")] = _QUOTE
    return kinds


_TOKEN_KINDS = _token_kinds()


@dataclass(frozen=True, slots=True, eq=False)
class LoopColumn:
    """One column of a loop: where its tokens lie in the text."""

    content: NDArray[np.uint8]
    """The text of the loop's rows, with a space behind it."""
    starts: NDArray[np.intp]
    """(rows,) first character of each token."""
    ends: NDArray[np.intp]
    """(rows,) behind the last character of each token."""

    first: NDArray[np.uint8]
    """(rows,) first character of each token."""
    width: int
    """Characters of the longest token."""

    def __len__(self) -> int:
        return len(self.starts)

    def texts(self) -> NDArray[np.str_]:
        """Return texts without quotes, ``""`` for ``.`` and ``?``."""
        table = self._characters(right_aligned=False, fill=0)
        values = np.ascontiguousarray(table.T, np.uint32).view(f"U{self.width}").reshape(-1)
        quoted = _TOKEN_KINDS[self.first] == _QUOTE
        if quoted.any():
            values[quoted] = [value[1:-1] for value in values[quoted].tolist()]
        absent = (self.first == ord("?")) | (self.first == ord("."))
        if absent.any():
            values[absent & (self.ends - self.starts == 1)] = ""
        return values

    def numbers(self, absent: float = np.nan) -> NDArray[np.float64]:
        """Return numbers, with the given value for ``.``, ``?`` and what is no number."""
        field = self._characters(right_aligned=True, fill=_SPACE)
        first = field[:, 0].tobytes()
        places = len(first) - 1 - first.rfind(b".") if b"." in first else 0
        odd: list[str] = []
        values = (
            numbers(field, places, lambda text: odd.append(text) or np.nan)
            if len(field) <= 9
            else None
        )
        if values is not None and not odd:
            return values
        # Digits vary from row to row, or values are absent.
        padded = np.full((len(self), len(field) + 1), _SPACE, np.uint8)
        padded[:, :-1] = field.T
        text = padded.tobytes()
        if text.isascii() and not text.translate(None, b"0123456789+-.eE \n"):
            with suppress(ValueError):  # of a lonely point
                return np.array(text.split(), "S").astype(np.float64)
        return numbers_from(self.texts(), absent)

    def _characters(self, *, right_aligned: bool, fill: int) -> NDArray[np.uint8]:
        """(characters, rows) of the tokens, filled up to equal width."""
        if self.width == 1:
            return self.first[None]
        origin = self.ends - self.width if right_aligned else self.starts
        where = origin + np.arange(self.width)[:, None]
        inside = where >= self.starts if right_aligned else where < self.ends
        # Out of bounds can only be what is not inside.
        return np.where(inside, np.take(self.content, where, mode="clip"), np.uint8(fill))


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop and where it is in the text."""

    columns: dict[str, LoopColumn]
    """By their names without the category."""
    start: int
    """First byte of ``loop_``."""
    end: int
    """Behind the last byte of the rows."""


def numbers_together(columns: Sequence[LoopColumn]) -> list[NDArray[np.float64]]:
    """Return the numbers of columns of one loop, NaN where absent; in one go, which small loops gain from.

    Args:
        columns: At least one, best of those that are written with the same number of decimals.
    """
    joined = LoopColumn(
        columns[0].content,
        np.concatenate([column.starts for column in columns]),
        np.concatenate([column.ends for column in columns]),
        np.concatenate([column.first for column in columns]),
        max(column.width for column in columns),
    )
    return np.split(joined.numbers(), len(columns))


def find_loop(raw: bytes, category: str) -> Loop | None:
    """Return the loop of a category, or None where the text has to be read in the general way.

    That is: no such loop, or values with spaces, line breaks or comments between them. Only the first loop of
    that category is looked for.

    Args:
        raw: CIF text.
        category: With underscore and point, e.g. ``_atom_site.``.

    Example:
        >>> loop = find_loop(b"data_x\\nloop_\\n_a.id\\n_a.b\\n1 C\\n2 'N'\\n#\\n", "_a.")
        >>> loop.columns["b"].texts().tolist(), loop.columns["id"].numbers().tolist()
        (['C', 'N'], [1.0, 2.0])
    """
    prefix = b"\n" + category.encode()
    first = raw.find(prefix) + 1
    start = raw.rfind(b"\n", 0, max(first - 1, 0)) + 1
    if not first or raw[start : first - 1].strip().lower() != b"loop_":
        return None
    names = []
    rows = first
    while raw.startswith(prefix[1:], rows):
        line_end = raw.find(b"\n", rows)
        if line_end < 0:
            return None
        names.append(raw[rows + len(prefix) - 1 : line_end].strip().decode("latin-1"))
        rows = line_end + 1
    content = np.frombuffer(raw, np.uint8)
    end = _end_of_rows(content, rows)
    if any(" " in name for name in names):
        return None
    columns = _columns(content[rows:end], names)
    return None if columns is None else Loop(columns, start, end)


def _end_of_rows(content: NDArray[np.uint8], rows: int) -> int:
    """Return where the next line starts that is no row."""
    starts = np.flatnonzero(content[rows - 1 : -1] == _NEWLINE) + rows
    first = content[starts]
    # Rows of atoms start with the letters A and H; others are looked at one by one.
    for start in starts[(first != ord("A")) & (first != ord("H"))].tolist():
        if _NO_ROW.match(content[start : start + 5].tobytes()):
            return start
    return len(content)


def _columns(content: NDArray[np.uint8], names: list[str]) -> dict[str, LoopColumn] | None:
    """Cut rows into tokens, and tell whether that is certainly right."""
    if not len(content) or not names:
        return None
    blank = content <= _SPACE
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    if not blank[0]:
        edges = np.concatenate([[0], edges])
    if not blank[-1]:
        edges = np.append(edges, len(content))
    starts, ends = edges[::2], edges[1::2]
    if len(starts) == 0 or len(starts) % len(names):
        return None
    first = content[starts]
    kind = np.take(_TOKEN_KINDS, first)
    quoted = np.flatnonzero(kind)
    if len(quoted):
        closed = content[ends[quoted] - 1] == first[quoted]
        closed &= ends[quoted] - starts[quoted] >= 2
        if not closed.all() or (kind[quoted] == _SPECIAL).any():
            return None
    starts, ends, first = (
        np.ascontiguousarray(tokens.reshape(-1, len(names)).T) for tokens in (starts, ends, first)
    )
    widths = (ends - starts).max(axis=1).tolist()
    columns = zip(names, starts, ends, first, widths, strict=True)
    # Reversed, since of a tag that occurs twice the first counts.
    return {name: LoopColumn(content, *tokens) for name, *tokens in reversed(list(columns))}
