"""Columns of an mmCIF category, text or binary → columns of :class:`Sites`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError
from debye.structure.element_names import clean_symbols
from debye.structure.row_keys import equal_text


class Column(Protocol):
    """One column of a category."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def texts(self) -> NDArray[np.str_]:
        """Return texts, ``""`` for ``.`` and ``?``."""
        ...

    def numbers(self, absent: float = np.nan) -> NDArray[np.float64]:
        """Return numbers, with the given value for ``.``, ``?`` and what is no number."""
        ...


@dataclass(frozen=True, slots=True)
class PlainColumn:
    """A column in memory: values, and which of them the file does not give."""

    values: NDArray
    """(rows,) numbers or texts; meaningless where masked."""
    mask: NDArray[np.uint8] | None = None
    """(rows,) 0 present, 1 ``.``, 2 ``?``; None: all present."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def absent(self) -> NDArray[np.bool_]:
        """(rows,) True where the file has ``.`` or ``?``, also as plain text."""
        if self.mask is not None:
            return self.mask != 0
        if self.values.dtype.kind == "U":
            return equal_text(self.values, ".") | equal_text(self.values, "?")
        return np.zeros(len(self.values), bool)

    def texts(self) -> NDArray[np.str_]:
        """Return texts, ``""`` where absent.

        Example:
            >>> PlainColumn(np.array(["A", ""]), np.array([0, 1], np.uint8)).texts().tolist()
            ['A', '']
        """
        texts = self.values if self.values.dtype.kind == "U" else self.values.astype(np.str_)
        absent = self.absent
        return np.where(absent, "", texts) if absent.any() else texts

    def numbers(self, absent: float = np.nan) -> NDArray[np.float64]:
        """Return floating-point numbers, with the given value where absent or not a number.

        Example:
            >>> PlainColumn(np.array(["1.5", "?"])).numbers().tolist()
            [1.5, nan]
        """
        if self.values.dtype.kind == "U":
            numbers = numbers_from(self.values, absent)
        else:
            numbers = self.values.astype(np.float64)
        if self.mask is not None:
            numbers[self.mask != 0] = absent
        return numbers


AnyColumn = TypeVar("AnyColumn", bound=Column)
Category = Mapping[str, Column]
"""Columns by their names without the category, e.g. ``Cartn_x``."""


_SITE_NAMES = {
    name.lower(): name
    for name in (
        "group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id",
        "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy", "B_iso_or_equiv",
        "auth_seq_id", "auth_comp_id", "auth_asym_id", "auth_atom_id", "pdbx_PDB_model_num",
    )
}  # fmt: skip
"""The columns of atom_site that are read, by their names in lower case."""
_LARGEST_INTEGER = np.iinfo(np.int32).max


def usual_names(site: Mapping[str, AnyColumn]) -> dict[str, AnyColumn]:
    """Return the columns of atom_site by their usual names: CIF does not tell upper from lower case.

    Example:
        >>> list(usual_names({"cartn_x": PlainColumn(np.ones(1))}))
        ['Cartn_x']
    """
    return {_SITE_NAMES.get(name.lower(), name): column for name, column in site.items()}


def atom_columns(site: Category, source: str) -> dict[str, NDArray]:
    """Return the columns of :class:`Sites`; a missing author's value is the label's.

    Args:
        site: The atom_site category.
        source: Named in error messages.

    Raises:
        FormatError: A number of a residue or model is no integer.
    """
    rows = len(site["Cartn_x"])
    position = np.empty((rows, 3), np.float32)
    for axis, name in enumerate(("Cartn_x", "Cartn_y", "Cartn_z")):
        position[:, axis] = site[name].numbers()
    group = texts_of(site, rows, "group_PDB")
    return {
        "model": integers_of(site, rows, "pdbx_PDB_model_num", source=source, absent=1),
        "chain": texts_of(site, rows, "auth_asym_id", "label_asym_id"),
        "chain_label": texts_of(site, rows, "label_asym_id"),
        "residue_number": integers_of(site, rows, "auth_seq_id", "label_seq_id", source=source),
        "insertion_code": texts_of(site, rows, "pdbx_PDB_ins_code"),
        "residue_name": texts_of(site, rows, "auth_comp_id", "label_comp_id"),
        "atom_name": texts_of(site, rows, "auth_atom_id", "label_atom_id"),
        "altloc": texts_of(site, rows, "label_alt_id"),
        "element": clean_symbols(texts_of(site, rows, "type_symbol")),
        "position": position,
        "occupancy": numbers_of(site, rows, "occupancy", absent=1.0).astype(np.float32),
        "b_iso": numbers_of(site, rows, "B_iso_or_equiv").astype(np.float32),
        "is_hetero": equal_text(group, "HETATM"),
    }


def texts_of(site: Category, rows: int, *names: str) -> NDArray[np.str_]:
    """Return the texts of the first column there is, filled up from the others."""
    texts = None
    for name in names:
        if name not in site:
            continue
        if texts is None:
            texts = site[name].texts()
        elif (empty := equal_text(texts, "")).any():
            texts = np.where(empty, site[name].texts(), texts)
    return np.zeros(rows, "U1") if texts is None else texts


def integers_of(
    site: Category, rows: int, *names: str, source: str, absent: int = 0
) -> NDArray[np.int32]:
    """Return the integers of the first column there is, filled up from the others.

    Raises:
        FormatError: A value that is needed is no integer of 32 bits.
    """
    integers = np.full(rows, np.nan)
    for name in names:
        # A residue number that is no number must not become that of another numbering.
        if name in site and (missing := np.isnan(integers)).any():
            integers = np.where(missing, _whole_numbers(site[name], name, source), integers)
    return np.where(np.isnan(integers), absent, integers).astype(np.int32)


def _whole_numbers(column: Column, name: str, source: str) -> NDArray[np.float64]:
    """Return whole numbers, NaN where absent."""
    values = column.numbers()
    odd = np.flatnonzero(~((np.rint(values) == values) & (np.abs(values) <= _LARGEST_INTEGER)))
    if len(odd):
        given = odd[~equal_text(column.texts()[odd], "")]
        if len(given):
            raise FormatError(
                source,
                problem=f"{name} of row {given[0] + 1} is {str(column.texts()[given[0]])!r}, "
                f"no integer up to {_LARGEST_INTEGER}",
                remedy="Repair it, or give '?' where there is none",
            )
    return values


def numbers_of(
    site: Category, rows: int, *names: str, absent: float = np.nan
) -> NDArray[np.float64]:
    """Return the numbers of the first column there is, filled up from the others."""
    numbers = None
    for name in names:
        if name not in site:
            continue
        if numbers is None:
            numbers = site[name].numbers()
        elif np.isnan(numbers).any():
            numbers = np.where(np.isnan(numbers), site[name].numbers(), numbers)
    numbers = np.full(rows, np.nan) if numbers is None else numbers
    return numbers if np.isnan(absent) else np.where(np.isnan(numbers), absent, numbers)


def numbers_from(texts: NDArray[np.str_], absent: float = np.nan) -> NDArray[np.float64]:
    """Read texts one by one; a standard uncertainty in parentheses is left out.

    Example:
        >>> numbers_from(np.array(["1.5", "1.25(3)", ""])).tolist()
        [1.5, 1.25, nan]
    """
    return np.array([_number(text, absent) for text in texts.tolist()], np.float64)


def _number(text: str, absent: float) -> float:
    try:
        return float(text.split("(")[0])  # 1.23(4) carries its standard uncertainty
    except ValueError:
        return absent
