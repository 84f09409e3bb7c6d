"""New text of files, through Arrow: whole categories, and replacements that leave all other bytes."""

# Arrow makes its compute functions on import, where type checkers do not see them.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from debye.errors import StructureError

NEVER_FIRST = frozenset("_#$'\"[];")
"""Characters that a bare word of CIF must not begin with."""
TEXT = pa.large_string()
"""Type of all text: 64-bit offsets, for files beyond 2 GiB."""
LINE_END, BLANK, NOTHING = (pa.scalar(text, TEXT) for text in ("\n", " ", ""))
RESERVED = ("loop_", "stop_", "global_", "data_", "save_")
MASKED = {1: ".", 2: "?"}
ORDINARY = (1e-3, 1e6)
"""Numbers of this size, and zero, have the same shortest text in Arrow as in Python."""


def category_text(name: str, columns: Mapping[str, pa.Array], *, is_loop: bool) -> bytes:
    """Write one category with a line feed at its end: a loop, or one item a line for a single row.

    Columns are values as CIF text by item name, e.g. from :func:`number_text`; at least one.

    Example:
        >>> cell = {"length_a": pa.array(["50.1"]), "Z_PDB": pa.array(["4"])}
        >>> print(category_text("_cell", cell, is_loop=False).decode(), end="")
        _cell.length_a   50.1
        _cell.Z_PDB      4
    """
    if not is_loop:
        width = max(map(len, columns)) + len(name) + 4
        items = [f"{f'{name}.{item}':{width}}{text[0]}\n" for item, text in columns.items()]
        return "".join(items).encode()
    head = "".join(f"\n{name}.{item}" for item in columns)
    *others, last = columns.values()
    lines = pc.binary_join_element_wise(last, LINE_END, NOTHING)
    if others:
        lines = pc.binary_join_element_wise(*others, lines, BLANK)
    return f"loop_{head}\n".encode() + joined(lines)


def joined(texts: pa.Array) -> bytes:
    """Return the texts of an Arrow array without gaps, one after the other, as bytes.

    Example:
        >>> joined(pa.array(["a", "", "bc"], TEXT))
        b'abc'
    """
    if not len(texts):
        return b""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data)[ends[0] : ends[-1]].tobytes() if data else b""


def word_text(
    words: Sequence[str], row: NDArray[np.integer], mask: NDArray[np.integer] | None
) -> pa.Array:
    """Write a column of texts, each of which is one of a few words.

    Args:
        words: Distinct texts.
        row: (rows,) which word each value is.
        mask: (rows,) 1 where the item is not applicable, 2 where it is unknown; None: all given.

    Example:
        >>> word_text(["O5'", "two words", ""], np.array([1, 0, 2]), None).to_pylist()
        ["'two words'", "O5'", "''"]
    """
    # Some writers have no masks and store the marks as plain text.
    quoted = [word if mask is None and word in MASKED.values() else quote(word) for word in words]
    if mask is not None and mask.any():
        for number, (code, mark) in enumerate(MASKED.items()):
            row = np.where(mask == code, len(words) + number, row)
            quoted.append(mark)
    return pa.array(quoted, TEXT).take(pa.array(row))


def number_text(values: NDArray, mask: NDArray[np.integer] | None) -> pa.Array:
    """Write a column of numbers so that they read back the same; masks as in :func:`word_text`.

    Whole numbers get no fraction.

    Example:
        >>> number_text(np.array([1.5, 2.0, 1e-9]), np.array([0, 2, 0])).to_pylist()
        ['1.5', '?', '1e-09']
    """
    size = np.abs(values)
    is_ordinary = ((size >= ORDINARY[0]) & (size < ORDINARY[1])) | (values == 0)
    if values.dtype.kind == "f" and not is_ordinary.all():
        text = pa.array([_float_text(value) for value in values], TEXT)
    else:
        text = pa.array(values).cast(TEXT)
    if mask is not None and mask.any():
        for code, mark in MASKED.items():
            text = pc.replace_with_mask(text, pa.array(mask == code), pa.scalar(mark, TEXT))
    return text


def _float_text(value: np.floating) -> str:
    # float32 has its own shortest text: 0.1 is not 0.10000000149011612.
    text = str(value) if value.dtype == np.float32 else repr(float(value))
    return text.removesuffix(".0")


def quote(value: str) -> str:
    r"""Quote a value as CIF requires.

    Example:
        >>> quote("it's"), quote("a b"), quote("it's a b'"), quote("?"), quote("data_x")
        ("it's", "'a b'", '"it\'s a b\'"', "'?'", "'data_x'")
        >>> quote("two\nlines")
        '\n;two\nlines\n;\n'
    """
    is_bare = (
        value
        and value not in ".?"
        and value[0] not in NEVER_FIRST
        and not value.lower().startswith(RESERVED)
        and not any(letter.isspace() for letter in value)
    )
    if is_bare:
        return value
    if "\n" not in value:
        for mark in "'\"":
            if f"{mark} " not in value and f"{mark}\t" not in value and not value.endswith(mark):
                return mark + value + mark
    # A text field ends at a line that starts with a semicolon: shift such lines by a blank.
    return "\n;" + value.replace("\n;", "\n ;") + "\n;\n"


@dataclass(frozen=True, slots=True)
class Edited:
    """A file's bytes with new B-factors, and what was done to them."""

    data: bytes
    replaced: int
    """Atoms with a new B."""
    kept: int
    """Atoms that keep the file's value, because none was given."""
    dropped_anisotropic: int
    """Anisotropic records (ANISOU, SIGUIJ, ``_atom_site_anisotrop``) that contradicted the new B."""
    clipped: int = 0
    """New values cut to what a PDB file can hold, -99.99 to 999.99 Å²."""


def check_rows(rows: int, b: NDArray[np.floating], what: str, source: str) -> None:
    """Refuse new B-factors that are not one for each of the file's records, which it calls ``what``."""
    if rows != len(b):
        problem = f"the file has {rows} {what}, but {len(b)} B-factors were given"
        remedy = "Give one value for each, NaN to keep the file's value"
        raise StructureError(source, problem, remedy)


def splice(
    data: bytes, starts: ArrayLike, ends: ArrayLike, texts: Sequence[bytes] | pa.Array
) -> bytes:
    """Replace the bytes from ``starts`` to ``ends`` by texts; ranges must not overlap, but may come in any order.

    Example:
        >>> splice(b"B is 20.00 here", [5], [10], [b"31.5"])
        b'B is 31.5 here'
    """
    starts, ends = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
    if not len(starts):
        return data
    order = np.lexsort((ends, starts))
    # Kept and replaced pieces in turn, as one Arrow array over the bytes where they are.
    borders = np.zeros(2 * len(order) + 1, np.int64)
    borders[1::2], borders[2::2] = starts[order], ends[order]
    pieces = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), 2 * len(order), [None, pa.py_buffer(borders), pa.py_buffer(data)]
    )
    kept = pieces.take(pa.array(np.arange(0, len(pieces), 2)))
    texts = pa.array(texts, pa.large_binary()).take(pa.array(order))
    new = pc.binary_join_element_wise(kept, texts, pa.scalar(b"", pa.large_binary()))
    return joined(new) + data[borders[-1] :]


def format_b(b: NDArray[np.floating] | Sequence[float]) -> pa.Array:
    """Write B-factors with two decimals, as the PDB does, without a negative zero.

    Example:
        >>> format_b([12.346, -0.001, 1234.5]).to_pylist()
        ['12.35', '0.00', '1234.50']
    """
    values = np.round(np.asarray(b, np.float64), 2) + 0.0
    return pa.array(values).cast(pa.decimal128(38, 2)).cast(TEXT)
