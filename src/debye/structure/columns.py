"""Columns of an mmCIF category, text or binary → columns of :class:`Sites`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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


Category = Mapping[str, Column]
"""Columns by their names without the category, e.g. ``Cartn_x``."""


def atom_columns(site: Category) -> dict[str, NDArray]:
    """Return the columns of :class:`Sites`; a missing author's value is the label's."""
    rows = len(site["Cartn_x"])
    position = np.empty((rows, 3), np.float32)
    for axis, name in enumerate(("Cartn_x", "Cartn_y", "Cartn_z")):
        position[:, axis] = site[name].numbers()
    group = texts_of(site, rows, "group_PDB")
    return {
        "model": integers_of(site, rows, "pdbx_PDB_model_num", absent=1),
        "chain": texts_of(site, rows, "auth_asym_id", "label_asym_id"),
        "chain_label": texts_of(site, rows, "label_asym_id"),
        "residue_number": integers_of(site, rows, "auth_seq_id", "label_seq_id"),
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


def integers_of(site: Category, rows: int, *names: str, absent: int = 0) -> NDArray[np.int32]:
    """Return the integers of the first column there is, filled up from the others."""
    return numbers_of(site, rows, *names, absent=absent).astype(np.int32)


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
