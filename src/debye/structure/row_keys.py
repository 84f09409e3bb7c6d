"""One exact integer a row, for columns of text and numbers: atoms are grouped and joined by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_KEY_BITS = 63
_CHARACTER_BITS = 7
_PACKED_CHARACTERS = _KEY_BITS // _CHARACTER_BITS


def text_numbers(column: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return one integer a text: equal where the texts are equal, and in the same order.

    Up to nine ASCII characters are packed, which is many times faster than sorting texts.

    Example:
        >>> a, b, c = text_numbers(np.array(["CA", "CB", "CA"]))
        >>> bool(a == c), bool(a < b)
        (True, True)
    """
    width = column.dtype.itemsize // 4
    if len(column) == 0 or width == 0:
        return np.zeros(len(column), np.int64)
    characters = np.ascontiguousarray(column).view(np.uint32).reshape(len(column), width)
    if width > _PACKED_CHARACTERS or characters.max() >= 1 << _CHARACTER_BITS:
        return np.unique(column, return_inverse=True)[1].astype(np.int64)
    key = characters[:, 0].astype(np.int64)
    for position in range(1, width):
        key <<= _CHARACTER_BITS
        key |= characters[:, position]
    return key


def row_keys(*columns: NDArray) -> NDArray[np.int64]:
    """Return one integer a row: equal exactly where all columns are equal.

    Earlier columns sort first. Keys of two calls cannot be compared: join the columns first.

    Args:
        columns: At least one array of texts, integers or truth values, all of one length.

    Example:
        >>> first, second, third = row_keys(np.array(["A", "B", "A"]), np.array([7, 7, 7]))
        >>> bool(first == third), bool(first < second)
        (True, True)
    """
    key, used = _compact(columns[0])
    for column in columns[1:]:
        values, width = _compact(column)
        if used + width > _KEY_BITS:
            key, used = _ranks(key)
        if used + width > _KEY_BITS:
            values, width = _ranks(values)
        key = (key << width) | values
        used += width
    return key


def changes(*columns: NDArray) -> NDArray[np.intp]:
    """Return the rows at which a new run starts: where any column differs from the row before.

    Args:
        columns: At least one array of texts, integers or truth values, all of one length.

    Example:
        >>> changes(np.array([5, 5, 7, 5])).tolist()
        [0, 2, 3]
    """
    rows = len(columns[0])
    new = np.zeros(rows, bool)
    new[:1] = True
    for column in columns:
        for part in _words(column):
            new[1:] |= part[1:] != part[:-1]
    return np.flatnonzero(new)


def equal_text(column: NDArray[np.str_], text: str) -> NDArray[np.bool_]:
    """Return ``column == text``, several times faster for short texts.

    Example:
        >>> equal_text(np.array(["N", "CA", "C"]), "C").tolist()
        [False, False, True]
    """
    width = column.dtype.itemsize // 4
    if len(text) > width:
        return np.zeros(len(column), bool)
    if not text and width:
        return np.ascontiguousarray(column).view(np.uint32)[::width] == 0
    parts = _words(column)
    wanted = _words(np.array([text], column.dtype))
    equal = parts[0] == wanted[0]
    for part, value in zip(parts[1:], wanted[1:], strict=True):
        equal &= part == value
    return equal


def equals_start(column: NDArray, starts: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which rows are equal to the first row of their run.

    Args:
        column: (rows,) texts, integers or truth values.
        starts: (runs,) first row of each run.

    Example:
        >>> equals_start(np.array(["N", "CA", "N", "C"]), np.array([0, 3])).tolist()
        [True, False, True, True]
    """
    equal = np.ones(len(column), bool)
    for part in _words(column):
        equal &= part == spread(part[starts], starts, len(column))
    return equal


def spread(per_run: NDArray, starts: NDArray[np.intp], rows: int) -> NDArray:
    """Repeat one value a run over the rows of each run.

    Example:
        >>> spread(np.array([8, 9]), np.array([0, 2]), 5).tolist()
        [8, 8, 9, 9, 9]
    """
    lengths = np.empty(len(starts), np.intp)
    lengths[:-1] = starts[1:] - starts[:-1]
    lengths[-1:] = rows - starts[-1:]
    return np.repeat(per_run, lengths)


def _words(column: NDArray) -> list[NDArray]:
    """Return integer arrays that are equal where the column is; texts are compared as machine words."""
    if column.dtype.kind != "U":
        return [column]
    words, rest = divmod(column.dtype.itemsize, 8)
    column = np.ascontiguousarray(column)
    if rest:
        table = column.view(np.uint32).reshape(len(column), 2 * words + 1)
    else:
        table = column.view(np.uint64).reshape(len(column), words)
    return list(table.T)


def _compact(column: NDArray) -> tuple[NDArray[np.int64], int]:
    """Return non-negative integers and how many bits the largest needs."""
    values = text_numbers(column) if column.dtype.kind == "U" else column.astype(np.int64)
    if len(values) == 0:
        return values, 0
    lowest = values.min()
    if lowest:
        values = values - lowest
    return values, int(values.max()).bit_length()


def _ranks(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return the rank of each value among the distinct ones, and how many bits that needs."""
    distinct, rank = np.unique(values, return_inverse=True)
    return rank.astype(np.int64), len(distinct).bit_length()
