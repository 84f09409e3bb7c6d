"""Columns of a fixed-width text, as bytes → texts and numbers, many rows at a time.

Arrays have the shape (characters, rows), with which numpy is ten times faster than with (rows, characters).
Fields in an unusual notation are read one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_SPACE = ord(" ")
_MINUS = ord("-")
_POINT = ord(".")
_ZERO = ord("0")
_LONE_RETURN = re.compile(rb"\r(?!\n)")


def with_line_feeds(raw: bytes) -> bytes:
    """Return the text with line feeds for carriage returns that end a line alone; no byte moves.

    Example:
        >>> with_line_feeds(b"TITLE\\rTER\\r\\nEND\\r")
        b'TITLE\\nTER\\r\\nEND\\n'
    """
    if b"\r" not in raw or raw.count(b"\r") == raw.count(b"\r\n"):
        return raw
    return _LONE_RETURN.sub(b"\n", raw)


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
    width = len(field)
    point = width - 1 - places if places else width
    first_digit = width - (places + 2 if places else 1)
    digit = field - np.uint8(_ZERO)
    is_digit = digit <= 9
    digit *= is_digit
    # From the last digit in front of the point on, all but the point are digits.
    odd = ~is_digit[first_digit:point].all(axis=0)
    odd |= ~is_digit[point + 1 :].all(axis=0)
    if places:
        odd |= field[point] != _POINT
    whole = np.zeros(field.shape[1], np.int32)
    for position in range(width):
        if position != point:
            whole *= 10
            whole += digit[position]
    if first_digit > 0:
        leading, begun = field[:first_digit], is_digit[:first_digit]
        sign = leading == _MINUS
        odd |= ~(begun | sign | (leading == _SPACE)).all(axis=0)
        # Behind a digit or a sign there are digits only; before them, spaces.
        odd |= ((begun | sign) & ~is_digit[1 : first_digit + 1]).any(axis=0)
        if sign.any():
            whole[sign.any(axis=0)] *= -1
    value = whole / 10.0**places
    for row in np.flatnonzero(odd).tolist():
        value[row] = other(field[:, row].tobytes().decode("latin-1").strip())
    return value
