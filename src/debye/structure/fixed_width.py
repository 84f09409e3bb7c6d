"""Columns of a fixed-width text, as bytes → texts and numbers, many rows at a time.

Here one character of all rows lies together, ``(characters, rows)``: this way round numpy is ten times faster.
Fields that are not written in the usual way are read one by one, so that speed never costs a value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_SPACE = ord(" ")
_MINUS = ord("-")
_POINT = ord(".")
_ZERO = ord("0")


def texts(field: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Return texts without the spaces around them.

    Args:
        field: (characters, rows).

    Example:
        >>> texts(np.frombuffer(b" CA HG11", np.uint8).reshape(2, 4).T).tolist()
        ['CA', 'HG11']
    """
    width, rows = field.shape
    characters = list(field)
    for _ in range(width - 1):
        leading = characters[0] == _SPACE
        if not leading.any():
            break
        following = [*characters[1:], np.full(rows, _SPACE, np.uint8)]
        characters = [np.where(leading, b, a) for a, b in zip(characters, following, strict=True)]
    trailing = np.ones(rows, bool)
    for position in reversed(range(width)):
        trailing &= characters[position] == _SPACE
        characters[position] = characters[position] * ~trailing
        if position and trailing.all():
            width = position
    table = np.empty((rows, width), np.uint32)
    for position in range(width):
        table[:, position] = characters[position]
    return table.view(f"U{width}").reshape(-1)


def numbers(
    field: NDArray[np.uint8], places: int, other: Callable[[str], float]
) -> NDArray[np.float64]:
    """Return right-aligned numbers with a fixed number of decimal places.

    Args:
        field: (characters, rows); at most ten characters, so that the digits fit into 32 bits.
        places: Digits behind the point; 0: integers without a point.
        other: Reads a text that is not such a number.

    Example:
        >>> lines = np.frombuffer(b"  1.250 -0.500    1e3", np.uint8).reshape(3, 7)
        >>> numbers(lines.T, 3, float).tolist()
        [1.25, -0.5, 1000.0]
    """
    width, rows = field.shape
    point = width - 1 - places if places else -1
    first_digit = width - (places + 2 if places else 1)
    digit = field - np.uint8(_ZERO)
    is_digit = digit <= 9
    digit *= is_digit
    whole = np.zeros(rows, np.int32)
    odd = np.zeros(rows, bool)
    minus = np.zeros(rows, bool)
    for position in range(width):
        if position == point:
            odd |= field[position] != _POINT
            continue
        if position >= first_digit:
            odd |= ~is_digit[position]
        else:
            sign = field[position] == _MINUS
            minus |= sign
            begun = is_digit[position] | sign
            # Behind a digit or a sign there are digits only; before them, spaces.
            odd |= begun & ~is_digit[position + 1]
            odd |= ~(begun | (field[position] == _SPACE))
        whole *= 10
        whole += digit[position]
    value = np.where(minus, -whole, whole) / 10.0**places
    for row in np.flatnonzero(odd).tolist():
        value[row] = other(field[:, row].tobytes().decode("latin-1").strip())
    return value
