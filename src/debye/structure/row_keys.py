"""One exact integer a row, for columns of text and numbers: atoms are grouped and joined by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_KEY_BITS, _CHARACTER_BITS = 63, 7


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
    if width > _KEY_BITS // _CHARACTER_BITS or characters.max() >= 1 << _CHARACTER_BITS:
        return np.unique(column, return_inverse=True)[1].astype(np.int64)
    key = characters[:, 0].astype(np.int64)
    for position in range(1, width):
        key <<= _CHARACTER_BITS
        key |= characters[:, position]
    return key


def row_keys(*columns: NDArray) -> NDArray[np.int64]:
    """Return one integer a row of texts, integers or truth values: equal where all columns are equal.

    Earlier columns sort first. Keys of two calls cannot be compared: join the columns first.

    Example:
        >>> first, second, third = row_keys(np.array(["A", "B", "A"]), np.array([7, 7, 7]))
        >>> bool(first == third), bool(first < second)
        (True, True)
    """
    key, used = np.zeros(len(columns[0]), np.int64), 0
    for column in columns:
        values = _integers(column)
        values = values - values.min(initial=np.iinfo(np.int64).max)
        if used + (width := _bits(values)) > _KEY_BITS:
            key = np.unique(key, return_inverse=True)[1]
            used = _bits(key)
        if used + width > _KEY_BITS:
            values = np.unique(values, return_inverse=True)[1]
            width = _bits(values)
        key = (key << width) | values
        used += width
    return key


def changes(*columns: NDArray) -> NDArray[np.intp]:
    """Return the rows at which a new run starts: where any column differs from the row before.

    Example:
        >>> changes(np.array([5, 5, 7, 5])).tolist()
        [0, 2, 3]
    """
    new = np.zeros(len(columns[0]), bool)
    new[:1] = True
    for values in map(_integers, columns):
        new[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(new)


def spread(per_run: NDArray, starts: NDArray[np.intp], rows: int) -> NDArray:
    """Repeat one value a run over the rows of each run.

    Example:
        >>> spread(np.array([8, 9]), np.array([0, 2]), 5).tolist()
        [8, 8, 9, 9, 9]
    """
    return np.repeat(per_run, np.diff(starts, append=rows))


def _integers(column: NDArray) -> NDArray[np.int64]:
    return text_numbers(column) if column.dtype.kind == "U" else column.astype(np.int64)


def _bits(values: NDArray[np.int64]) -> int:
    return int(values.max(initial=0)).bit_length()
