"""New B-factors in an mmCIF file: only the tokens change, so layout and comments survive."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError, StructureError
from debye.structure.cif_tokens import Table, find_table, find_table_near
from debye.structure.edits import Edited, format_b, splice

B_TAG = b"_atom_site.b_iso_or_equiv"
CONTRADICTING = (b"_atom_site.u_iso_or_equiv", b"_atom_site.aniso_b", b"_atom_site.aniso_u")
"""Columns of the atom table that say the same as B; the replaced atoms' values become unknown."""

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
    if len(table.starts) != len(b):
        raise StructureError(
            source,
            problem=f"the file has {len(table.starts)} rows of _atom_site, "
            f"but {len(b)} B-factors were given",
            remedy="Give one value for each atom record of the file, NaN where it is to stay",
        )
    new = np.isfinite(b)
    edits = _b_edits(table, b, new)
    for column, tag in enumerate(table.tags):
        if tag.startswith(CONTRADICTING):
            edits += [
                (start, end, b"?")
                for start, end in zip(
                    table.starts[new, column].tolist(),
                    table.ends[new, column].tolist(),
                    strict=True,
                )
            ]
    removed, dropped = _anisotropic_edits(data, table, new, source)
    return Edited(
        data=splice(data, edits + removed),
        replaced=int(new.sum()),
        kept=int((~new).sum()),
        dropped_anisotropic=dropped,
        clipped=0,
    )


def _b_edits(
    table: Table, b: NDArray[np.floating], new: NDArray[np.bool_]
) -> list[tuple[int, int, bytes]]:
    """Edits that put the new values where the old tokens are, or that add the column."""
    text = format_b(b[new])
    if B_TAG in table.tags:
        column = table.tags.index(B_TAG)
        starts, ends = table.starts[new, column].tolist(), table.ends[new, column].tolist()
        return list(zip(starts, ends, text, strict=True))
    last = table.ends[:, -1]
    if not table.is_loop:
        tag = b"\n_atom_site.B_iso_or_equiv "
        return [(int(last[0]), int(last[0]), tag + (text or [b"?"])[0])]
    values = np.full(len(b), b" ?", object)
    values[new] = [b" " + value for value in text]
    edits = [(end, end, value) for end, value in zip(last.tolist(), values.tolist(), strict=True)]
    return [*edits, (table.header_end, table.header_end, b"\n_atom_site.B_iso_or_equiv")]


def _anisotropic_edits(
    data: bytes, atoms: Table, new: NDArray[np.bool_], source: str
) -> tuple[list[tuple[int, int, bytes]], int]:
    """Edits that drop the anisotropic rows of replaced atoms, and how many rows they drop."""
    table = find_table_near(data, b"_atom_site_anisotrop.", source, near=atoms)
    if table is None or not new.any():
        return [], 0
    if b"_atom_site.id" not in atoms.tags or b"_atom_site_anisotrop.id" not in table.tags:
        raise FormatError(
            source,
            problem="_atom_site_anisotrop cannot be matched to its atoms: "
            "a column named id is missing",
            remedy="Add the id columns, or remove the table of anisotropic values",
        )
    replaced = set(_column(data, atoms, b"_atom_site.id", new))
    is_dropped = np.array(
        [atom in replaced for atom in _column(data, table, b"_atom_site_anisotrop.id")], bool
    )
    rest = REST_OF_LINE.match(data, table.end)
    end = rest.end() if rest else table.end
    if is_dropped.all():
        return [(table.start, end, b"")], len(is_dropped)
    first = table.starts[:, 0]
    after = np.append(first[1:], end)
    edits = [(int(first[row]), int(after[row]), b"") for row in np.flatnonzero(is_dropped)]
    return edits, len(edits)


def _column(
    data: bytes, table: Table, tag: bytes, rows: NDArray[np.bool_] | slice = slice(None)
) -> list[bytes]:
    """Tokens of one column, as they stand in the file."""
    column = table.tags.index(tag)
    starts, ends = table.starts[rows, column].tolist(), table.ends[rows, column].tolist()
    return [data[start:end] for start, end in zip(starts, ends, strict=True)]
