"""A BinaryCIF file as mmCIF text, with every category and column."""

from __future__ import annotations

import msgpack
import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError
from debye.structure.bcif import decode_column

NEVER_FIRST = frozenset("_#$'\"[];")
"""Characters that a bare word of CIF must not begin with."""
RESERVED = ("loop_", "stop_", "global_", "data_", "save_")
MASKED = {1: ".", 2: "?"}


def bcif_to_mmcif(data: bytes, source: str) -> bytes:
    """Write the block of a BinaryCIF file that holds the atoms as mmCIF text, every category kept.

    Numbers get as many digits as they need to come back the same; masked values become ``.``
    (not applicable) and ``?`` (unknown).

    Args:
        data: The file, uncompressed.
        source: Name for error messages.
    """
    try:
        blocks = msgpack.unpackb(data, strict_map_key=False)["dataBlocks"]
        block = next(
            block
            for block in blocks
            if any(category["name"] == "_atom_site" for category in block["categories"])
        )
        parts = [f"data_{block['header'] or 'unnamed'}"]
        for category in block["categories"]:
            decoded = {column["name"]: decode_column(column) for column in category["columns"]}
            columns = {
                name: column_text(column.values, column.mask) for name, column in decoded.items()
            }
            if columns and len(next(iter(columns.values()))):
                parts.append(category_text(category["name"], columns))
    except StopIteration:
        raise FormatError(
            source, "no block has an _atom_site category", "Give a file with coordinates"
        ) from None
    except (ValueError, KeyError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise FormatError(
            source,
            problem=f"damaged or no BinaryCIF ({type(error).__name__}: {error})",
            remedy="Download the file again",
        ) from error
    return ("\n#\n".join(parts) + "\n#\n").encode()


def category_text(name: str, columns: dict[str, list[str]]) -> str:
    """Write one category: items for a single row, else a loop.

    Args:
        name: Category with its underscore, e.g. ``_cell``.
        columns: Item name → values, already quoted.
    """
    rows = len(next(iter(columns.values())))
    if rows != 1:
        head = "".join(f"\n{name}.{item}" for item in columns)
        body = "\n".join(map(" ".join, zip(*columns.values(), strict=True)))
        return f"loop_{head}\n{body}"
    width = max(map(len, columns)) + len(name) + 4
    return "\n".join(f"{f'{name}.{item}':{width}}{value[0]}" for item, value in columns.items())


def column_text(values: NDArray, mask: NDArray[np.integer] | None) -> list[str]:
    """Write the values of a column so that they read back the same.

    Args:
        values: (rows,) numbers or text.
        mask: (rows,) 1 where the item is not applicable, 2 where it is unknown; None: all given.

    Example:
        >>> column_text(np.array([1.5, 2.0]), np.array([0, 2]))
        ['1.5', '?']
        >>> column_text(np.array(["O5'", "two words", ""]), None)
        ["O5'", "'two words'", "''"]
    """
    if values.dtype.kind in "iub":
        text = list(map(str, values.tolist()))
    elif values.dtype.kind == "f":
        text = _float_text(values)
    else:
        # Few different strings fill most columns: quote each once.
        quoted = {value: quote(value) for value in set(values.tolist())}
        if mask is None:
            # Some writers have no masks and store the marks as plain text.
            quoted |= {".": ".", "?": "?"}
        text = [quoted[value] for value in values.tolist()]
    if mask is not None and mask.any():
        text = [
            MASKED.get(hidden, value) for value, hidden in zip(text, mask.tolist(), strict=True)
        ]
    return text


def _float_text(values: NDArray[np.floating]) -> list[str]:
    """Shortest decimal text that gives the same number; whole numbers without a fraction."""
    if values.dtype == np.float32:
        # float32 has its own shortest text: 0.1 is not 0.10000000149011612.
        text = np.char.mod("%s", values.astype("U")).tolist()
    else:
        text = list(map(repr, values.tolist()))
    return [number.removesuffix(".0") for number in text]


def quote(value: str) -> str:
    r"""Quote a value as CIF asks for.

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
