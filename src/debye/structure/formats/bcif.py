"""BinaryCIF: its atoms and facts, and its categories as mmCIF text with new B-factors.

Every column is decoded once, when it is first needed. Format: Sehnal et al. (2020), PLoS Comput. Biol. 16,
e1008247, and https://github.com/molstar/BinaryCIF.
"""

# Arrow makes its compute functions on import, where type checkers do not see them.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Mapping
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
from debye.structure.formats.columns import Category, PlainColumn, atom_columns
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
        return len(self._values[1])

    def texts(self) -> NDArray[np.str_]:
        """Return texts, ``""`` where absent."""
        return self._plain().texts()

    def numbers(self, absent: float = np.nan) -> NDArray[np.float64]:
        """Return numbers, with the given value where absent."""
        return self._plain().numbers(absent)

    def cif_text(self) -> pa.Array:
        """Return the values as CIF text that reads back the same."""
        words, values = self._values
        if words is None:
            return number_text(values, self._mask)
        return word_text(words, values, self._mask)

    def check(self) -> None:
        """Raise :class:`FormatError` if the column is damaged."""
        _ = self._values, self._mask

    def _plain(self) -> PlainColumn:
        words, values = self._values
        return PlainColumn(
            values if words is None else np.array(words, np.str_)[values], self._mask
        )

    @cached_property
    def _values(self) -> tuple[list[str] | None, NDArray]:
        """Distinct words and the row of each value in them, or None and numbers."""
        try:
            data, encodings = self._stored["data"]["data"], self._stored["data"]["encoding"]
            if encodings[0]["kind"] == "StringArray":
                stored: Any = decode(data, encodings[1:])
                return decode_words(stored, encodings[0])
            return None, decode(data, encodings)
        except _DAMAGE as error:
            raise damaged(self._source, error) from error

    @cached_property
    def _mask(self) -> NDArray | None:
        mask = self._stored.get("mask")
        try:
            return None if mask is None else decode(mask["data"], mask["encoding"])
        except _DAMAGE as error:
            raise damaged(self._source, error) from error


class BcifFile:
    """The first data block with atoms of a BinaryCIF file.

    Args:
        raw: The uncompressed file.
        source: Named in error messages.

    Raises:
        FormatError: The bytes are not BinaryCIF, or are damaged.
    """

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

    def category(self, name: str) -> Category:
        """Return the columns of a category by lower-case names; empty if there is none."""
        columns = self._columns(self._names.get(name, ""))
        return {item.lower(): column for item, column in columns.items()}

    def column(self, category: str, item: str) -> BinaryColumn | None:
        """Return a column by its names in lower case; None if it is missing or damaged."""
        try:
            columns = self._columns(self._names.get(category, ""))
            column = next((columns[name] for name in columns if name.lower() == item), None)
            if column is not None:
                column.check()
            return column
        except FormatError:
            return None

    def has_category(self, start: str) -> bool:
        """Return whether the name of any category begins so, in lower case."""
        return any(name.startswith(start) for name in self._names)

    def records(self) -> AtomRecords:
        """Return the atoms and facts.

        Raises:
            FormatError: A column that is needed is damaged.
            StructureError: There are no atoms or no Cartesian coordinates.
        """
        site = self.category("atom_site")
        if not site:
            raise no_atoms(self._source)
        columns = atom_columns(site, self.category("atom_site_anisotrop"), self._source)
        facts = CategoryFacts(self)
        return AtomRecords(columns, facts.partners(), facts.header())

    def annotated(self, b: NDArray[np.floating]) -> Edited:
        """Return the block as mmCIF text with new B-factors.

        Every category is kept, except for anisotropic rows of replaced atoms; isotropic U and tensors of
        these in atom_site become unknown. Numbers get as many digits as they need to read back the
        same; masked values become ``.`` (not applicable) and ``?`` (unknown).

        Args:
            b: (records,) new B-factor of each row of ``_atom_site`` in file order, Å²; NaN keeps the
                file's value.
        """
        texts = {name: self._texts(name) for name in self._stored}
        texts = {name: columns for name, columns in texts.items() if _rows(columns)}
        atoms = texts.get(self._names.get("atom_site", ""), {})
        if not atoms:
            raise no_atoms(self._source)
        check_rows(_rows(atoms), b, "rows of _atom_site", self._source)
        new = np.isfinite(b)
        dropped = 0
        anisotropic = self._names.get("atom_site_anisotrop")
        if anisotropic in texts and new.any():
            kept = self._kept_tensors(texts[anisotropic], atoms, new)
            dropped = len(kept) - int(pc.sum(kept).as_py() or 0)
            filtered = {item: text.filter(kept) for item, text in texts[anisotropic].items()}
            texts[anisotropic] = filtered
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
                columns = {item["name"]: item for item in self._stored.get(name, [])}
            except _DAMAGE as error:
                raise damaged(self._source, error) from error
            self._read[name] = {
                item: BinaryColumn(stored, self._source) for item, stored in columns.items()
            }
        return self._read[name]

    def _texts(self, name: str) -> dict[str, pa.Array]:
        """Return the columns of a category as CIF text."""
        texts = {item: column.cif_text() for item, column in self._columns(name).items()}
        lengths = {len(text) for text in texts.values()}
        if len(lengths) > 1:
            error = ValueError(f"columns of _{name} have {sorted(lengths)} rows")
            raise damaged(self._source, error)
        return texts

    def _kept_tensors(
        self, anisotropic: dict[str, pa.Array], atoms: dict[str, pa.Array], new: NDArray[np.bool_]
    ) -> pa.Array:
        """(rows,) False for the anisotropic rows of replaced atoms."""
        if "id" not in atoms or "id" not in anisotropic:
            raise unmatched_anisotropic(self._source)
        replaced = atoms["id"].filter(pa.array(new))
        return pc.invert(pc.is_in(anisotropic["id"], value_set=replaced))


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

    Args:
        data: What the file stores.
        encodings: As the file lists them, in the order in which they were applied.

    Raises:
        ValueError: An encoding is not one of BinaryCIF 0.3.

    Example:
        >>> decode(
        ...     b"\\x02\\x03",
        ...     [{"kind": "Delta", "origin": 10, "srcType": 3}, {"kind": "ByteArray", "type": 1}],
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


_DECODERS = {
    "ByteArray": _byte_array,
    "FixedPoint": _fixed_point,
    "IntervalQuantization": _interval_quantization,
    "RunLength": _run_length,
    "Delta": _delta,
    "IntegerPacking": _integer_packing,
    "StringArray": _string_array,
}
