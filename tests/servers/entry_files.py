"""Files of entries that this project builds itself, as the archives serve them."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import gemmi
import msgpack

from debye.structure.structure import Structure
from debye.structure.write import cif_text


def entry_cif(structure: Structure, entry_id: str) -> bytes:
    """Return a structure as the mmCIF file of an entry."""
    return cif_text(replace(structure, entry=replace(structure.entry, id=entry_id))).encode()


def entry_bcif(structure: Structure, entry_id: str) -> bytes:
    """Return a structure as the BinaryCIF file of an entry, every column as text."""
    block = gemmi.cif.read_string(entry_cif(structure, entry_id)).sole_block()
    categories = []
    for name in block.get_mmcif_category_names():
        columns = block.get_mmcif_category(name, raw=True)
        rows = [
            _column(tag, [gemmi.cif.as_string(value) for value in values])
            for tag, values in columns.items()
        ]
        categories.append({"name": name.rstrip("."), "rowCount": 0, "columns": rows})
    document = {
        "version": "0.3.0",
        "encoder": "test",
        "dataBlocks": [{"header": entry_id.upper(), "categories": categories}],
    }
    return msgpack.packb(document)


def zipped(content: bytes) -> bytes:
    """Return the same bytes for the same content."""
    return gzip.compress(content, mtime=0)


def _column(name: str, values: list[str]) -> dict[str, Any]:
    strings = list(dict.fromkeys(values))
    ends = [0]
    for text in strings:
        ends.append(ends[-1] + len(text))
    integers = [{"kind": "ByteArray", "type": 3}]
    data = {
        "data": b"".join(strings.index(text).to_bytes(4, "little") for text in values),
        "encoding": [
            {
                "kind": "StringArray",
                "dataEncoding": integers,
                "stringData": "".join(strings),
                "offsetEncoding": integers,
                "offsets": b"".join(end.to_bytes(4, "little") for end in ends),
            }
        ],
    }
    return {"name": name, "data": data, "mask": None}
