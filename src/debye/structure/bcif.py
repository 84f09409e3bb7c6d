"""BinaryCIF → columns: the decoder for the categories that are asked for, and no others.

Format: Sehnal et al. (2020), PLoS Comput. Biol. 16, e1008247, and https://github.com/molstar/BinaryCIF.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError
from debye.structure.columns import PlainColumn

_BYTE_TYPES = {1: "<i1", 2: "<i2", 3: "<i4", 4: "<u1", 5: "<u2", 6: "<u4", 32: "<f4", 33: "<f8"}


def read_categories(
    raw: bytes, names: Iterable[str], *, source: str, needed: str | None = None
) -> tuple[dict[str, dict[str, PlainColumn]], set[str]]:
    """Decode some categories of a BinaryCIF file.

    Args:
        raw: The uncompressed file.
        names: Categories without underscore, e.g. ``atom_site``; those that the file lacks are left out.
        source: Named in error messages.
        needed: The data block to read is the first that has this category; None: the first block.

    Returns:
        Columns by category and name, and the names of all categories of that block.

    Raises:
        FormatError: The bytes are no BinaryCIF, or are damaged.
    """
    try:
        document = msgpack.unpackb(raw, strict_map_key=False)
        blocks = [
            {item["name"].removeprefix("_"): item["columns"] for item in block["categories"]}
            for block in document["dataBlocks"]
        ]
        block = next((found for found in blocks if needed is None or needed in found), {})
        wanted = {name: block[name] for name in names if name in block}
        decoded = {
            name: {column["name"]: decode_column(column) for column in columns}
            for name, columns in wanted.items()
        }
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        msgpack.UnpackException,
    ) as e:
        raise FormatError(
            source,
            problem=f"damaged or no BinaryCIF ({type(e).__name__}: {e})",
            remedy="Download the file again",
        ) from e
    return decoded, set(block)


def decode_column(column: Mapping[str, Any]) -> PlainColumn:
    """Decode the values and the mask of one column of a data block."""
    mask = column.get("mask")
    return PlainColumn(
        decode(column["data"]["data"], column["data"]["encoding"]),
        None if mask is None else decode(mask["data"], mask["encoding"]),
    )


def decode(data: bytes, encodings: list[Mapping[str, Any]]) -> NDArray:
    """Undo a chain of encodings, last one first.

    Args:
        data: What the file stores.
        encodings: As the file lists them, in the order in which they were applied.

    Raises:
        ValueError: An encoding is not one of BinaryCIF 0.3.

    Example:
        >>> decode(
        ...     b"\\x02\\x03",
        ...     [
        ...         {"kind": "Delta", "origin": 10, "srcType": 3},
        ...         {"kind": "ByteArray", "type": 1},
        ...     ],
        ... ).tolist()
        [12, 15]
    """
    values: Any = data
    for encoding in reversed(encodings):
        kind = encoding["kind"]
        if kind not in _DECODERS:
            raise ValueError(f"encoding {kind!r} is none of {', '.join(_DECODERS)}")
        values = _DECODERS[kind](values, encoding)
    return values


def _byte_array(data: bytes, encoding: Mapping[str, Any]) -> NDArray:
    return np.frombuffer(data, _BYTE_TYPES[encoding["type"]])


def _fixed_point(data: NDArray, encoding: Mapping[str, Any]) -> NDArray:
    return data / np.float64(encoding["factor"])


def _interval_quantization(data: NDArray, encoding: Mapping[str, Any]) -> NDArray:
    step = (encoding["max"] - encoding["min"]) / (encoding["numSteps"] - 1)
    return encoding["min"] + data * np.float64(step)


def _run_length(data: NDArray, encoding: Mapping[str, Any]) -> NDArray:
    return np.repeat(data[::2], data[1::2])


def _delta(data: NDArray, encoding: Mapping[str, Any]) -> NDArray:
    return np.cumsum(data, dtype=np.int64) + encoding["origin"]


def _integer_packing(data: NDArray, encoding: Mapping[str, Any]) -> NDArray:
    """A value at the limit of its type is continued by the next one."""
    limits = np.iinfo(data.dtype)
    ends = data != limits.max
    if not encoding["isUnsigned"]:
        ends &= data != limits.min
    if ends.all():
        return data
    if not ends[-1]:
        raise ValueError("packed integers end in the middle of a value")
    starts = np.flatnonzero(ends)
    starts = np.concatenate([[0], starts[:-1] + 1])
    return np.add.reduceat(data.astype(np.int64), starts)


def decode_words(data: bytes, encoding: Mapping[str, Any]) -> tuple[list[str], NDArray[np.integer]]:
    """Undo the encoding StringArray: the different texts, and which of them each value is.

    The last text is empty, so that the index -1 of an absent text finds it.
    """
    text = encoding["stringData"]
    offsets = decode(encoding["offsets"], encoding["offsetEncoding"]).tolist()
    strings = [text[a:b] for a, b in pairwise(offsets)] + [""]
    row = decode(data, encoding["dataEncoding"])
    return strings, np.where(row < 0, len(strings) + row, row) if (row < 0).any() else row


def _string_array(data: bytes, encoding: Mapping[str, Any]) -> NDArray[np.str_]:
    strings, row = decode_words(data, encoding)
    return np.array(strings, np.str_)[row]


_DECODERS = {
    "ByteArray": _byte_array,
    "FixedPoint": _fixed_point,
    "IntervalQuantization": _interval_quantization,
    "RunLength": _run_length,
    "Delta": _delta,
    "IntegerPacking": _integer_packing,
    "StringArray": _string_array,
}
