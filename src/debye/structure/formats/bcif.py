"""BinaryCIF: its atoms and facts, and its categories as mmCIF text with new B-factors.

Every column is decoded once, when it is first needed. Format: Sehnal et al. (2020), PLoS Comput. Biol. 16,
e1008247, and https://github.com/molstar/BinaryCIF.
"""

# Arrow makes its compute functions on import, where type checkers do not see them.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from debye.errors import FormatError
from debye.structure.facts import CategoryFacts
from debye.structure.formats.columns import PlainColumn, atom_columns
from debye.structure.formats.mmcif import (
    CONTRADICTING,
    B,
    no_atoms,
    unmatched_anisotropic,
)
from debye.structure.formats.new_text import (
    MASKED,
    TEXT,
    Edited,
    category_text,
    check_rows,
    format_b,
    number_text,
    word_text,
)
from debye.structure.records import AtomRecords

_BYTE_TYPES = {1: "<i1", 2: "<i2", 3: "<i4", 4: "<u1", 5: "<u2", 6: "<u4", 32: "<f4", 33: "<f8"}
_UNKNOWN = pa.scalar(MASKED[2], TEXT)
_DAMAGE = (ValueError, KeyError, TypeError, IndexError, AttributeError, msgpack.UnpackException)
_TEXT_KEYS = ("header", "name", "kind", "stringData")


class BinaryColumn:
    """One column, decoded on first use and kept."""

    def __init__(self, stored: Mapping[str, Any], source: str) -> None:
        self._stored, self._source = stored, source

    def __len__(self) -> int:
        return len(self._decoded[1])

    def texts(self) -> NDArray[np.str_]:
        """Return texts, ``""`` where absent."""
        return self._plain().texts()

    def numbers(self, absent: float = np.nan) -> NDArray[np.float64]:
        """Return numbers, with the given value where absent."""
        return self._plain().numbers(absent)

    def cif_text(self) -> pa.Array:
        """Return the values as CIF text that reads back the same."""
        words, values, mask = self._decoded
        return number_text(values, mask) if words is None else word_text(words, values, mask)

    def check(self) -> None:
        """Raise :class:`FormatError` if the column is damaged."""
        _ = self._decoded

    def _plain(self) -> PlainColumn:
        words, values, mask = self._decoded
        return PlainColumn(values if words is None else np.array(words, np.str_)[values], mask)

    @cached_property
    def _decoded(self) -> tuple[list[str] | None, NDArray, NDArray | None]:
        """Distinct words and the row of each value in them, or None and numbers; and the mask."""
        try:
            data, encodings = self._stored["data"]["data"], self._stored["data"]["encoding"]
            mask = self._stored.get("mask")
            mask = None if mask is None else decode(mask["data"], mask["encoding"])
            if encodings[0]["kind"] == "StringArray":
                stored: Any = decode(data, encodings[1:])
                return (*decode_words(stored, encodings[0]), mask)
            return None, decode(data, encodings), mask
        except _DAMAGE as error:
            raise damaged(self._source, error) from error


class BcifFile:
    """The first data block with atoms of an uncompressed BinaryCIF file; ``source`` is named in error messages."""

    def __init__(self, raw: bytes, source: str) -> None:
        self._source = source
        try:
            block = _block_with_atoms(raw)
            self._header = block["header"]
            self._stored = {
                item["name"].removeprefix("_"): item["columns"] for item in block["categories"]
            }
        except _DAMAGE as error:
            raise damaged(source, error) from error
        self._names = {name.lower(): name for name in self._stored}
        self._read: dict[str, dict[str, BinaryColumn]] = {}

    def category(self, name: str) -> dict[str, BinaryColumn]:
        """Return the columns of a category by lower-case names; empty if there is none."""
        columns = self._columns(self._names.get(name, "")).items()
        return {item.lower(): column for item, column in reversed(columns)}

    def column(self, category: str, item: str) -> BinaryColumn | None:
        """Return a column by its names in lower case; None if it is missing or damaged."""
        try:
            column = self.category(category).get(item)
            if column is not None:
                column.check()
            return column
        except FormatError:
            return None

    def has_category(self, start: str) -> bool:
        """Return whether the name of any category begins so, in lower case."""
        return any(name.startswith(start) for name in self._names)

    def records(self) -> AtomRecords:
        """Return the atoms and facts; an error if there are no atoms or a column that is needed is damaged."""
        site = self.category("atom_site")
        if not site:
            raise no_atoms(self._source)
        columns = atom_columns(site, self.category("atom_site_anisotrop"), self._source)
        facts = CategoryFacts(self)
        return AtomRecords(columns, facts.partners(), facts.header())

    def annotated(self, b: NDArray[np.floating]) -> Edited:
        """Return the block as mmCIF text with new B-factors.

        Every category is kept, except for anisotropic rows of replaced atoms; isotropic U and tensors of
        these in atom_site become unknown. Numbers read back the same. ``b`` (records,) is as for
        :meth:`debye.structure.formats.mmcif.MmcifFile.annotated`.
        """
        texts = {name: self._texts(name) for name in self._stored}
        texts = {name: columns for name, columns in texts.items() if _rows(columns)}
        atoms = texts.get(self._names.get("atom_site", ""), {})
        if not atoms:
            raise no_atoms(self._source)
        check_rows(_rows(atoms), b, "rows of _atom_site", self._source)
        new = np.isfinite(b)
        dropped = 0
        anisotropic = self._names.get("atom_site_anisotrop", "")
        if (tensors := texts.get(anisotropic)) and new.any():
            if "id" not in atoms or "id" not in tensors:
                raise unmatched_anisotropic(self._source)
            replaced = atoms["id"].filter(pa.array(new))
            kept = pc.invert(pc.is_in(tensors["id"], value_set=replaced))
            texts[anisotropic] = {item: text.filter(kept) for item, text in tensors.items()}
            dropped = len(kept) - _rows(texts[anisotropic])
        _replace_b(atoms, b, new)
        parts = [f"data_{self._header or 'unnamed'}\n".encode()]
        for name, columns in texts.items():
            parts.append(b"#\n")
            if _rows(columns):
                is_loop = len(next(iter(self._columns(name).values()))) != 1
                parts.append(category_text(f"_{name}", columns, is_loop=is_loop))
        data = b"".join([*parts, b"#\n"])
        return Edited(data, int(new.sum()), int((~new).sum()), dropped)

    def _columns(self, name: str) -> dict[str, BinaryColumn]:
        """Return the columns of a category by their names in the file."""
        if name not in self._read:
            try:
                self._read[name] = {
                    item["name"]: BinaryColumn(item, self._source)
                    for item in self._stored.get(name, [])
                }
            except _DAMAGE as error:
                raise damaged(self._source, error) from error
        return self._read[name]

    def _texts(self, name: str) -> dict[str, pa.Array]:
        """Return the columns of a category as CIF text."""
        texts = {item: column.cif_text() for item, column in self._columns(name).items()}
        lengths = {len(text) for text in texts.values()}
        if len(lengths) > 1:
            error = ValueError(f"columns of _{name} have {sorted(lengths)} rows")
            raise damaged(self._source, error)
        return texts


def damaged(source: str, error: Exception) -> FormatError:
    """Return the error for a file that cannot be decoded."""
    problem = f"damaged or not BinaryCIF ({type(error).__name__}: {error})"
    return FormatError(source, problem, "Download the file again")


def _block_with_atoms(raw: bytes) -> dict[str, Any]:
    """Unpack a file and return its first block with atoms, or else its first block."""
    document = msgpack.unpackb(raw, strict_map_key=False)
    if "dataBlocks" not in document:  # some writers store text as bytes
        document = msgpack.unpackb(raw, strict_map_key=False, object_pairs_hook=_with_text)
    blocks = document["dataBlocks"]
    for block in blocks:
        if any(item["name"].lower() in ("_atom_site", "atom_site") for item in block["categories"]):
            return block
    return blocks[0] if blocks else {"header": "", "categories": []}


def _with_text(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    found = {key.decode() if isinstance(key, bytes) else key: value for key, value in pairs}
    texts = {key: found[key].decode() for key in _TEXT_KEYS if isinstance(found.get(key), bytes)}
    return found | texts


def _rows(columns: Mapping[str, pa.Array]) -> int:
    return len(next(iter(columns.values()), ()))


def _replace_b(atoms: dict[str, pa.Array], b: NDArray[np.floating], new: NDArray[np.bool_]) -> None:
    """Put in the new values, or add the column; isotropic U and tensors of the atoms become ``?``."""
    items, is_new = {item.lower(): item for item in atoms}, pa.array(new)
    item = items.get(B, "B_iso_or_equiv")
    old = atoms.get(item, pa.repeat(_UNKNOWN, len(new)))
    atoms[item] = pc.replace_with_mask(old, is_new, format_b(b[new]))
    for name, contradicting in items.items():
        if name.startswith(CONTRADICTING):
            atoms[contradicting] = pc.replace_with_mask(atoms[contradicting], is_new, _UNKNOWN)


def decode(data: bytes, encodings: list[Mapping[str, Any]]) -> NDArray:
    """Undo a chain of encodings, last one first.

    Raises :class:`ValueError` for an encoding that is not one of BinaryCIF 0.3.

    Example:
        >>> chain = [
        ...     {"kind": "Delta", "origin": 10, "srcType": 3},
        ...     {"kind": "ByteArray", "type": 1},
        ... ]
        >>> decode(b"\\x02\\x03", chain).tolist()
        [12, 15]
    """
    values: Any = data
    for encoding in reversed(encodings):
        kind = encoding["kind"]
        if kind not in _DECODERS:
            raise ValueError(f"encoding {kind!r} is none of {', '.join(_DECODERS)}")
        values = _DECODERS[kind](values, encoding)
    return values


def _interval_quantization(data: NDArray, encoding: Mapping[str, Any]) -> NDArray:
    step = (encoding["max"] - encoding["min"]) / (encoding["numSteps"] - 1)
    return encoding["min"] + data * np.float64(step)


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
    """Undo the encoding StringArray: return the distinct texts, and the row of each value in them.

    The last text is empty: the index -1, which stands for an absent text, finds it.
    """
    text = encoding["stringData"]
    offsets = decode(encoding["offsets"], encoding["offsetEncoding"]).tolist()
    strings = [text[a:b] for a, b in pairwise(offsets)] + [""]
    row = decode(data, encoding["dataEncoding"])
    return strings, np.where(row < 0, len(strings) + row, row) if (row < 0).any() else row


def _string_array(data: bytes, encoding: Mapping[str, Any]) -> NDArray[np.str_]:
    strings, row = decode_words(data, encoding)
    return np.array(strings, np.str_)[row]


_DECODERS: dict[str, Callable[[Any, Mapping[str, Any]], NDArray]] = {
    "ByteArray": lambda data, encoding: np.frombuffer(data, _BYTE_TYPES[encoding["type"]]),
    "FixedPoint": lambda data, encoding: data / np.float64(encoding["factor"]),
    "IntervalQuantization": _interval_quantization,
    "RunLength": lambda data, _: np.repeat(data[::2], data[1::2]),
    "Delta": lambda data, encoding: np.cumsum(data, dtype=np.int64) + encoding["origin"],
    "IntegerPacking": _integer_packing,
    "StringArray": _string_array,
}
