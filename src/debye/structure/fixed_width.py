"""Columns of a fixed-width text, as bytes → texts and numbers, many rows at a time.

Fields that are not written in the usual way are read one by one, so that speed never costs a value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_SPACE = ord(" ")
_MINUS = ord("-")
_ZERO = ord("0")


def texts(fields: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Return texts without the spaces around them.

    Args:
        fields: (rows, width) characters.

    Example:
        >>> texts(np.frombuffer(b" CA HG11", np.uint8).reshape(2, 4)).tolist()
        ['CA', 'HG11']
    """
    characters = fields.astype(np.uint32)
    width = characters.shape[1]
    for _ in range(width - 1):
        leading = characters[:, 0] == _SPACE
        if not leading.any() or (characters[leading] == _SPACE).all():
            break
        shifted = np.full_like(characters, _SPACE)
        shifted[:, :-1] = characters[:, 1:]
        characters = np.where(leading[:, None], shifted, characters)
    trailing = np.ones(len(characters), bool)
    for column in reversed(range(width)):
        trailing &= characters[:, column] == _SPACE
        characters[:, column] *= ~trailing
    while width > 1 and not characters[:, width - 1].any():
        width -= 1
    return np.ascontiguousarray(characters[:, :width]).view(f"U{width}").reshape(-1)


def whole_numbers(
    fields: NDArray[np.uint8], other: Callable[[str], float]
) -> NDArray[np.float64]:
    """Return right-aligned integers, exact up to 2**53.

    Args:
        fields: (rows, width) characters.
        other: Reads a text that is no right-aligned integer.

    Example:
        >>> whole_numbers(np.frombuffer(b"  12  -37   ", np.uint8).reshape(3, 4), float).tolist()
        [12.0, -3.0, 7.0]
    """
    value, regular = _signed(fields)
    for row in np.flatnonzero(~regular).tolist():
        value[row] = other(_text(fields[row]))
    return value


def decimals(
    fields: NDArray[np.uint8], places: int, other: Callable[[str], float]
) -> NDArray[np.float64]:
    """Return right-aligned numbers with a fixed number of decimal places.

    Args:
        fields: (rows, width) characters.
        places: Digits behind the point.
        other: Reads a text that is not such a number.

    Example:
        >>> decimals(np.frombuffer(b"  1.250 -0.500", np.uint8).reshape(2, 7), 3, float).tolist()
        [1.25, -0.5]
    """
    point = fields.shape[1] - 1 - places
    whole = np.delete(fields, point, axis=1)
    value, regular = _signed(whole)
    # Every digit behind the point, and one before it, is written.
    regular &= fields[:, point] == ord(".")
    regular &= (fields[:, point - 1] >= _ZERO) & (fields[:, point - 1] <= _ZERO + 9)
    result = value / 10.0**places
    for row in np.flatnonzero(~regular).tolist():
        result[row] = other(_text(fields[row]))
    return result


def _signed(fields: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return integers (exact up to 2**53), and where they are written as spaces, sign and digits."""
    width = fields.shape[1]
    digit = fields - np.uint8(_ZERO)
    is_digit = digit <= 9
    minus = fields == _MINUS
    regular = is_digit[:, -1].copy()
    for column in range(width - 1):
        # Behind a digit or a sign there are digits only; before them, spaces.
        regular &= is_digit[:, column] <= is_digit[:, column + 1]
        regular &= is_digit[:, column] | (fields[:, column] == _SPACE) | minus[:, column]
        regular &= minus[:, column] <= is_digit[:, column + 1]
    weights = 10.0 ** np.arange(width - 1, -1, -1)
    value = np.where(is_digit, digit, 0).astype(np.float64) @ weights
    return np.where(minus.any(axis=1), -value, value), regular


def _text(field: NDArray[np.uint8]) -> str:
    return field.tobytes().decode("latin-1").strip()
