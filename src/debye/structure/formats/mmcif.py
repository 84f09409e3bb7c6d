"""mmCIF text: its atoms and facts, and a copy with new B-factors in which no other byte changes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from debye.errors import FormatError, StructureError
from debye.structure.facts import CategoryFacts
from debye.structure.formats.cif_tokens import CifColumn, CifTable, CifText, numbers_together
from debye.structure.formats.columns import AXES, Column, PlainColumn, atom_columns
from debye.structure.formats.new_text import TEXT, Edited, check_rows, format_b, splice
from debye.structure.records import AtomRecords

B, CONTRADICTING = "b_iso_or_equiv", ("u_iso_or_equiv", "aniso_b", "aniso_u")
"""The B column of atom_site, and the starts of columns that a new B contradicts: they become unknown."""
_TOGETHER = (AXES, ("occupancy", B))
_REST_OF_LINE = re.compile(rb"[ \t]*(?:\r?\n|\Z)")

_Edits = tuple[NDArray[np.int64], NDArray[np.int64], pa.Array]
"""Where ranges of bytes start and end, and what replaces them, see :func:`splice`."""


class MmcifFile:
    """The first data block with atoms of an uncompressed mmCIF file; ``source`` is named in error messages."""

    def __init__(self, raw: bytes, source: str) -> None:
        self._raw, self._source = raw, source
        self._text = CifText(raw, source)
        atoms = self._text.table("atom_site")
        if atoms is None:
            small = b"_atom_site_fract_x" in raw
            problem = "only fractional coordinates of a small molecule" if small else None
            raise no_atoms(source, problem)
        self._atoms = atoms
        self._anisotropic = self._text.table("atom_site_anisotrop")

    def column(self, category: str, item: str) -> Column | None:
        """Return a column by its names in lower case; None if it is missing or its table is damaged."""
        try:
            return self._text.column(category, item)
        except FormatError:
            return None

    def has_category(self, start: str) -> bool:
        """Return whether the name of any category begins so, in lower case."""
        return self._text.has_category(start)

    def records(self) -> AtomRecords:
        """Return the atoms and facts; call it once: what only reading needs is dropped from memory."""
        atoms = self._atoms.columns
        site: dict[str, Column] = {**atoms}
        for group in _TOGETHER:
            if all(name in atoms for name in group):
                numbers = numbers_together([atoms[name] for name in group])
                site.update(zip(group, map(PlainColumn, numbers), strict=True))
        tensors = self._anisotropic.columns if self._anisotropic else {}
        columns = atom_columns(site, tensors, self._source)
        facts = CategoryFacts(self)
        records = AtomRecords(columns, facts.partners(), facts.header())
        self._text.forget()
        written = {B, "id", next(reversed(atoms))}
        written |= {name for name in atoms if name.startswith(CONTRADICTING)}
        self._atoms = self._atoms.with_only(written)
        if self._anisotropic:
            first = next(iter(self._anisotropic.columns))
            self._anisotropic = self._anisotropic.with_only({"id", first})
        return records

    def annotated(self, b: NDArray[np.floating]) -> Edited:
        """Return the file with new values in ``_atom_site.B_iso_or_equiv``; all else stays as it is.

        The rows of replaced atoms in ``_atom_site_anisotrop`` are dropped (the whole table if none is left), and
        isotropic U or anisotropic columns inside ``_atom_site`` become ``?`` for them. A file without a B column
        gets one. Values have no upper limit here. ``b`` (records,) is in file order, Å²; NaN keeps the file's value.
        """
        check_rows(self._atoms.rows, b, "rows of _atom_site", self._source)
        new = np.isfinite(b)
        edits = [_b_edits(self._atoms, b, new)]
        for name, column in self._atoms.columns.items():
            if name.startswith(CONTRADICTING):
                edits.append(_ranges(column, new, ["?"] * int(new.sum())))
        removed, dropped = self._anisotropic_edits(new)
        starts, ends, texts = zip(*edits, removed, strict=True)
        texts = pa.concat_arrays(texts)
        data = splice(self._raw, np.concatenate(starts), np.concatenate(ends), texts)
        return Edited(data, int(new.sum()), int((~new).sum()), dropped)

    def _anisotropic_edits(self, new: NDArray[np.bool_]) -> tuple[_Edits, int]:
        """Edits that drop the anisotropic rows of replaced atoms, and how many rows they drop."""
        table, nothing = self._anisotropic, np.zeros(0, np.int64)
        if table is None or not new.any():
            return (nothing, nothing, _binary([])), 0
        if "id" not in self._atoms.columns or "id" not in table.columns:
            raise unmatched_anisotropic(self._source)
        replaced = self._atoms.columns["id"].texts()[new]
        is_dropped = np.isin(table.columns["id"].texts(), replaced)
        rest = _REST_OF_LINE.match(self._raw, table.end)
        end = rest.end() if rest else table.end
        if is_dropped.all():
            starts, ends = np.array([table.start]), np.array([end])
        else:
            first = next(iter(table.columns.values())).starts
            starts, ends = first[is_dropped], np.append(first[1:], end)[is_dropped]
        return (starts, ends, _binary([""] * len(starts))), int(is_dropped.sum())


def _b_edits(table: CifTable, b: NDArray[np.floating], new: NDArray[np.bool_]) -> _Edits:
    """Edits that put the new values in the place of the old ones, or that add the column."""
    text = format_b(b[new])
    if B in table.columns:
        return _ranges(table.columns[B], new, text)
    last = next(reversed(table.columns.values())).ends
    values = np.full(len(b), "?", object)
    values[new] = text.to_pylist()
    tag = "\n_atom_site.B_iso_or_equiv"
    if not table.is_loop:
        return last, last, _binary([f"{tag} {values[0]}"])
    places = np.append(table.header_end, last)
    return places, places, _binary([tag, *(" " + values)])


def _ranges(column: CifColumn, rows: NDArray[np.bool_], texts: Sequence[str] | pa.Array) -> _Edits:
    return column.starts[rows], column.ends[rows], _binary(texts)


def _binary(texts: Sequence[str] | pa.Array) -> pa.Array:
    return pa.array(texts, TEXT).cast(pa.large_binary())


def no_atoms(source: str, problem: str | None = None) -> StructureError:
    """Return the error for a file without atoms."""
    problem = problem or "there are no atoms in the file"
    return StructureError(source, problem, "Give a file with ATOM records or an atom_site category")


def unmatched_anisotropic(source: str) -> FormatError:
    """Return the error for a file whose anisotropic values cannot be matched to atoms."""
    return FormatError(
        source,
        "_atom_site_anisotrop cannot be matched to its atoms: a column named id is missing",
        "Add the id columns, or remove the table of anisotropic values",
    )
