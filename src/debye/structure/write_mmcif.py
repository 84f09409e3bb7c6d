"""New B-factors in an mmCIF file: only the tokens change, so layout and comments survive."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from debye.errors import FormatError
from debye.structure.cif_text import TEXT
from debye.structure.cif_tokens import Table, find_table, find_table_near
from debye.structure.edits import Edited, check_rows, format_b, splice

B_TAG = b"_atom_site.b_iso_or_equiv"
CONTRADICTING = (b"_atom_site.u_iso_or_equiv", b"_atom_site.aniso_b", b"_atom_site.aniso_u")
"""Columns of the atom table that say the same as B; the replaced atoms' values become unknown."""

Edits = tuple[NDArray[np.int64], NDArray[np.int64], pa.Array]
"""Where ranges of bytes start and end, and what comes in their place, see :func:`splice`."""

REST_OF_LINE = re.compile(rb"[ \t]*(?:\r?\n|\Z)")


def replace_b_mmcif(data: bytes, b: NDArray[np.floating], source: str) -> Edited:
    """Return the mmCIF file with new tokens in ``_atom_site.B_iso_or_equiv``.

    Every other category, comment and blank stays as it is. The rows of replaced atoms in
    ``_atom_site_anisotrop`` are dropped (the whole table, if none is left), and isotropic U or
    anisotropic columns inside ``_atom_site`` become ``?`` for them. A file without a B column gets
    one. Values have no upper limit here.

    Args:
        data: The file, uncompressed.
        b: (records,) new B-factor of each row of ``_atom_site`` in file order, Å²; NaN keeps the
            file's value.
        source: Name for error messages.
    """
    table = find_table(data, b"_atom_site.", source)
    if table is None:
        raise FormatError(source, "there is no _atom_site table", "Give a file with coordinates")
    check_rows(len(table.starts), b, "rows of _atom_site", source)
    new = np.isfinite(b)
    edits = [_b_edits(table, b, new), *_unknown_edits(table, new)]
    removed, dropped = _anisotropic_edits(data, table, new, source)
    starts, ends, texts = zip(*edits, removed, strict=True)
    return Edited(
        data=splice(data, np.concatenate(starts), np.concatenate(ends), pa.concat_arrays(texts)),
        replaced=int(new.sum()),
        kept=int((~new).sum()),
        dropped_anisotropic=dropped,
        clipped=0,
    )


def _b_edits(table: Table, b: NDArray[np.floating], new: NDArray[np.bool_]) -> Edits:
    """Edits that put the new values where the old tokens are, or that add the column."""
    text = format_b(b[new])
    if B_TAG in table.tags:
        column = table.tags.index(B_TAG)
        return table.starts[new, column], table.ends[new, column], _binary(text)
    last = table.ends[:, -1]
    values = np.full(len(b), "?", object)
    values[new] = text.to_pylist()
    tag = "\n_atom_site.B_iso_or_equiv"
    if not table.is_loop:
        return last, last, _binary([f"{tag} {values[0]}"])
    places = np.append(table.header_end, last)
    return places, places, _binary([tag, *(" " + values)])


def _unknown_edits(table: Table, new: NDArray[np.bool_]) -> Iterator[Edits]:
    """Edits that make what contradicts the new values unknown."""
    for column, tag in enumerate(table.tags):
        if tag.startswith(CONTRADICTING):
            texts = _binary(["?"] * int(new.sum()))
            yield table.starts[new, column], table.ends[new, column], texts


def _anisotropic_edits(
    data: bytes, atoms: Table, new: NDArray[np.bool_], source: str
) -> tuple[Edits, int]:
    """Edits that drop the anisotropic rows of replaced atoms, and how many rows they drop."""
    nothing = np.zeros(0, np.int64)
    table = find_table_near(data, b"_atom_site_anisotrop.", source, near=atoms)
    if table is None or not new.any():
        return (nothing, nothing, _binary([])), 0
    if b"_atom_site.id" not in atoms.tags or b"_atom_site_anisotrop.id" not in table.tags:
        raise unmatched_anisotropic(source)
    replaced = set(_column(data, atoms, b"_atom_site.id", new))
    is_dropped = np.array(
        [atom in replaced for atom in _column(data, table, b"_atom_site_anisotrop.id")], bool
    )
    rest = REST_OF_LINE.match(data, table.end)
    end = rest.end() if rest else table.end
    if is_dropped.all():
        starts, ends = np.array([table.start]), np.array([end])
    else:
        first = table.starts[:, 0]
        starts, ends = first[is_dropped], np.append(first[1:], end)[is_dropped]
    return (starts, ends, _binary([""] * len(starts))), int(is_dropped.sum())


def unmatched_anisotropic(source: str) -> FormatError:
    """Make the error for a file whose anisotropic values have no atoms."""
    return FormatError(
        source,
        problem="_atom_site_anisotrop cannot be matched to its atoms: a column named id is missing",
        remedy="Add the id columns, or remove the table of anisotropic values",
    )


def _binary(texts: Sequence[str] | pa.Array) -> pa.Array:
    return pa.array(texts, TEXT).cast(pa.large_binary())


def _column(
    data: bytes, table: Table, tag: bytes, rows: NDArray[np.bool_] | slice = slice(None)
) -> list[bytes]:
    """Tokens of one column, as they stand in the file."""
    column = table.tags.index(tag)
    starts, ends = table.starts[rows, column].tolist(), table.ends[rows, column].tolist()
    return [data[start:end] for start, end in zip(starts, ends, strict=True)]
