"""Columns of a file → columns of :class:`~debye.structure.records.AtomRecords`.

Fields of fixed width are arrays of shape (characters, rows), with which numpy is ten times faster than with
(rows, characters). Fields in an unusual notation are read one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError, StructureError
from debye.structure.chemistry import clean_symbols

AXES = ("cartn_x", "cartn_y", "cartn_z")
_LARGEST_INTEGER = np.iinfo(np.int32).max
_SPACE, _MINUS, _POINT, _ZERO = map(ord, " -.0")
_LONE_RETURN = re.compile(rb"\r(?!\n)")


class Column(Protocol):
    """One column of a category."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def texts(self) -> NDArray[np.str_]:
        """Return texts, ``""`` for ``.`` and ``?``."""
        ...

    def numbers(self, absent: float = np.nan) -> NDArray[np.float64]:
        """Return numbers, with the given value for ``.``, ``?`` and anything but a number."""
        ...


Category = Mapping[str, Column]
"""Columns by their names in lower case without the category, e.g. ``cartn_x``: CIF ignores case."""


@dataclass(frozen=True, slots=True)
class PlainColumn:
    """A column in memory: values, and which of them are absent."""

    values: NDArray
    """(rows,) numbers or texts; meaningless where masked."""
    mask: NDArray[np.uint8] | None = None
    """(rows,) 0 present, 1 ``.``, 2 ``?``; None: all present."""

    def __len__(self) -> int:
        return len(self.values)

    def texts(self) -> NDArray[np.str_]:
        """Return texts, ``""`` where absent."""
        texts = self.values if self.values.dtype.kind == "U" else self.values.astype(np.str_)
        # Some writers have no masks and store the marks as plain text.
        absent = np.isin(texts, (".", "?")) if self.mask is None else self.mask != 0
        return np.where(absent, "", texts) if absent.any() else texts

    def numbers(self, absent: float = np.nan) -> NDArray[np.float64]:
        """Return numbers, with the given value where absent or not a number."""
        is_text = self.values.dtype.kind == "U"
        numbers = numbers_from(self.values, absent) if is_text else self.values.astype(np.float64)
        if self.mask is not None:
            numbers[self.mask != 0] = absent
        return numbers


def atom_columns(site: Category, anisotropic: Category, source: str) -> dict[str, NDArray | None]:
    """Return the columns of the atom records; the label replaces a missing author's value.

    Raises:
        FormatError: A residue or model number is not an integer.
        StructureError: A Cartesian coordinate is missing.
    """
    missing = [f"Cartn_{name[-1]}" for name in AXES if name not in site]
    if missing:
        problem = f"atom_site has no {', '.join(missing)}"
        raise StructureError(source, problem, "Give Cartesian coordinates, not fractional ones")
    rows = len(site["cartn_x"])
    position = np.empty((rows, 3), np.float32)
    for axis, name in enumerate(AXES):
        position[:, axis] = site[name].numbers()
    occupancy, b_iso = (
        site[name].numbers() if name in site else np.full(rows, np.nan)
        for name in ("occupancy", "b_iso_or_equiv")
    )
    return {
        "model": _integers(site, rows, "pdbx_PDB_model_num", source=source, absent=1),
        "chain": _texts(site, rows, "auth_asym_id", "label_asym_id"),
        "chain_label": _texts(site, rows, "label_asym_id"),
        "residue_number": _integers(site, rows, "auth_seq_id", "label_seq_id", source=source),
        "insertion_code": _texts(site, rows, "pdbx_PDB_ins_code"),
        "residue_name": _texts(site, rows, "auth_comp_id", "label_comp_id"),
        "atom_name": _texts(site, rows, "auth_atom_id", "label_atom_id"),
        "altloc": _texts(site, rows, "label_alt_id"),
        "element": clean_symbols(_texts(site, rows, "type_symbol")),
        "position": position,
        "occupancy": np.where(np.isnan(occupancy), 1.0, occupancy).astype(np.float32),
        "b_iso": b_iso.astype(np.float32),
        "is_hetero": _texts(site, rows, "group_PDB") == "HETATM",
        "u_aniso": _tensors(site, anisotropic, rows),
    }


def _texts(site: Category, rows: int, *names: str) -> NDArray[np.str_]:
    """Return the texts of the first column that exists, filled up from the next ones."""
    texts = np.zeros(rows, "U1")
    for name in names:
        if name.lower() in site and (empty := texts == "").any():
            found = site[name.lower()].texts()
            texts = found if empty.all() else np.where(empty, found, texts)
    return texts


def _integers(
    site: Category, rows: int, *names: str, source: str, absent: int = 0
) -> NDArray[np.int32]:
    """Return the integers of the first column that exists, filled up from the next ones."""
    integers = np.full(rows, np.nan)
    for name in names:
        # An invalid residue number must not become that of another numbering.
        if name.lower() in site and (missing := np.isnan(integers)).any():
            numbers = _whole_numbers(site[name.lower()], name, source)
            integers = np.where(missing, numbers, integers)
    return np.where(np.isnan(integers), absent, integers).astype(np.int32)


def _whole_numbers(column: Column, name: str, source: str) -> NDArray[np.float64]:
    """Return whole numbers, NaN where absent."""
    values = column.numbers()
    odd = np.flatnonzero(~((np.rint(values) == values) & (np.abs(values) <= _LARGEST_INTEGER)))
    for row, value in zip(
        odd.tolist(), column.texts()[odd].tolist() if len(odd) else (), strict=True
    ):
        if value:
            problem = f"{name} of row {row + 1} is {value!r}, no integer up to {_LARGEST_INTEGER}"
            raise FormatError(source, problem, "Repair it, or give '?' if there is none")
    return values


def number_from(text: str, absent: float = np.nan) -> float:
    """Return a number without its standard uncertainty in parentheses, ``absent`` if the text is not one.

    Example:
        >>> [number_from(text) for text in ("1.5", "1.25(3)", "")]
        [1.5, 1.25, nan]
    """
    try:
        return float(text.split("(")[0])
    except ValueError:
        return absent


def numbers_from(texts: NDArray[np.str_], absent: float) -> NDArray[np.float64]:
    """Return numbers, read one by one with :func:`number_from`."""
    return np.array([number_from(text, absent) for text in texts.tolist()], np.float64)


def _tensors(site: Category, anisotropic: Category, rows: int) -> NDArray[np.float32] | None:
    """Return (atoms, 6) anisotropic tensors, Å², joined to the atoms by identifier; None without any."""
    items = [f"u[{i}][{j}]" for i, j in ("11", "22", "33", "12", "13", "23")]
    if not {"id", *items} <= set(anisotropic) or "id" not in site:
        return None
    row_of = {identifier: row for row, identifier in enumerate(site["id"].texts().tolist())}
    row = np.array([row_of.get(name, -1) for name in anisotropic["id"].texts().tolist()], np.int64)
    values = np.full((rows, 6), np.nan, np.float32)
    tensors = np.column_stack([anisotropic[item].numbers() for item in items])
    values[row[row >= 0]] = tensors[row >= 0]
    return None if np.isnan(values).all() else values


def with_line_feeds(raw: bytes) -> bytes:
    """Return the text with line feeds for carriage returns that end a line alone; no byte moves.

    Example:
        >>> with_line_feeds(b"TITLE\\rTER\\r\\nEND\\r")
        b'TITLE\\nTER\\r\\nEND\\n'
    """
    if b"\r" not in raw or raw.count(b"\r") == raw.count(b"\r\n"):
        return raw
    return _LONE_RETURN.sub(b"\n", raw)


def fixed_texts(field: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Return the texts of a field (characters, rows) without the spaces around them.

    Example:
        >>> fixed_texts(np.frombuffer(b" CA HG11", np.uint8).reshape(2, 4).T).tolist()
        ['CA', 'HG11']
    """
    width, rows = field.shape
    for _ in range(width - 1):
        leading = field[0] == _SPACE
        if not leading.any():
            break
        following = np.concatenate([field[1:], np.full((1, rows), _SPACE, np.uint8)])
        field = np.where(leading, following, field)
    # Behind the last character of each text come zeros.
    field = field * np.logical_or.accumulate(field[::-1] != _SPACE)[::-1]
    width = max(1, int(field.any(axis=1).sum()))
    return np.ascontiguousarray(field[:width].T, np.uint32).view(f"U{width}").reshape(-1)


def fixed_numbers(
    field: NDArray[np.uint8], places: int, other: Callable[[str], float]
) -> NDArray[np.float64]:
    """Return right-aligned numbers with a fixed number of decimal places.

    Args:
        field: (characters, rows); at most ten characters, so that the digits fit into 32 bits.
        places: Digits behind the point; 0: integers without a point.
        other: Reads a text that is not such a number.

    Example:
        >>> lines = np.frombuffer(b"  1.250 -0.500    1e3", np.uint8).reshape(3, 7)
        >>> fixed_numbers(lines.T, 3, float).tolist()
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
