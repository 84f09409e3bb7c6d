"""BinaryCIF → mmCIF text with new B-factors and every other category and column."""

# Arrow makes its compute functions on import, where type checkers do not see them.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from debye.errors import FormatError
from debye.structure.bcif import decode, decode_words
from debye.structure.cif_text import MASKED, TEXT, category_text, number_text, word_text
from debye.structure.edits import Edited, check_rows, format_b
from debye.structure.write_mmcif import B_TAG, CONTRADICTING, unmatched_anisotropic

ATOMS, ANISOTROPIC = "_atom_site", "_atom_site_anisotrop"
UNKNOWN = pa.scalar(MASKED[2], TEXT)


@dataclass(slots=True)
class _Category:
    """One category on its way to text."""

    name: str
    """With the underscore."""
    columns: dict[str, pa.Array]
    """Item name → values as CIF text; all of one length."""
    is_loop: bool

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def tags(self) -> dict[bytes, str]:
        """Item names by their lower-case tags: CIF does not tell upper from lower case."""
        return {f"{self.name}.{item}".lower().encode(): item for item in self.columns}


def replace_b_bcif(data: bytes, b: NDArray[np.floating], source: str) -> Edited:
    """Return the block of a BinaryCIF file that holds the atoms as mmCIF text with new B-factors.

    Every category is kept, anisotropic rows of replaced atoms and what else contradicts them treated as
    by :func:`debye.structure.write_mmcif.replace_b_mmcif`. Numbers get as many digits as they need to come
    back the same; masked values become ``.`` (not applicable) and ``?`` (unknown).

    Args:
        data: The file, uncompressed.
        b: (records,) new B-factor of each row of ``_atom_site`` in file order, Å²; NaN keeps the
            file's value.
        source: Name for error messages.
    """
    header, categories = _block_with_atoms(data, source)
    atoms = next(category for category in categories if category.name == ATOMS)
    check_rows(atoms.rows, b, "rows of _atom_site", source)
    new = np.isfinite(b)
    dropped = sum(
        _drop_rows(category, atoms, new, source)
        for category in categories
        if category.name == ANISOTROPIC
    )
    _replace_b(atoms, b, new)
    parts = [f"data_{header or 'unnamed'}\n".encode()]
    for category in categories:
        parts.append(b"#\n")
        if category.rows:
            parts.append(category_text(category.name, category.columns, is_loop=category.is_loop))
    return Edited(
        data=b"".join([*parts, b"#\n"]),
        replaced=int(new.sum()),
        kept=int((~new).sum()),
        dropped_anisotropic=dropped,
        clipped=0,
    )


def _block_with_atoms(data: bytes, source: str) -> tuple[str, list[_Category]]:
    """Return the header and the categories of the first block that has atoms, empty ones left out."""
    try:
        blocks = msgpack.unpackb(data, strict_map_key=False)["dataBlocks"]
        block = next(
            block
            for block in blocks
            if any(category["name"] == ATOMS for category in block["categories"])
        )
        categories = [_category(item) for item in block["categories"]]
        return block["header"], [category for category in categories if category.rows]
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


def _category(item: Mapping[str, Any]) -> _Category:
    columns = {column["name"]: _column_text(column) for column in item["columns"]}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"columns of {item['name']} have {sorted(lengths)} rows")
    return _Category(item["name"], columns, is_loop=lengths != {1})


def _column_text(column: Mapping[str, Any]) -> pa.Array:
    data, mask = column["data"], column.get("mask")
    hidden = None if mask is None else decode(mask["data"], mask["encoding"])
    if data["encoding"][0]["kind"] == "StringArray":
        words, row = decode_words(data["data"], data["encoding"][0])
        return word_text(words, row, hidden)
    return number_text(decode(data["data"], data["encoding"]), hidden)


def _drop_rows(
    anisotropic: _Category, atoms: _Category, new: NDArray[np.bool_], source: str
) -> int:
    """Drop the anisotropic rows of replaced atoms and return how many there were."""
    if not new.any():
        return 0
    if "id" not in atoms.columns or "id" not in anisotropic.columns:
        raise unmatched_anisotropic(source)
    replaced = atoms.columns["id"].filter(pa.array(new))
    kept = pc.invert(pc.is_in(anisotropic.columns["id"], value_set=replaced))
    rows = anisotropic.rows
    anisotropic.columns = {
        name: column.filter(kept) for name, column in anisotropic.columns.items()
    }
    return rows - anisotropic.rows


def _replace_b(atoms: _Category, b: NDArray[np.floating], new: NDArray[np.bool_]) -> None:
    """Put in the new values, or add the column; isotropic U and tensors of the atoms become ``?``."""
    tags, is_new = atoms.tags(), pa.array(new)
    item = tags.get(B_TAG, "B_iso_or_equiv")
    old = atoms.columns.get(item, pa.repeat(UNKNOWN, len(new)))
    atoms.columns[item] = pc.replace_with_mask(old, is_new, format_b(b[new]))
    for tag, contradicting in tags.items():
        if tag.startswith(CONTRADICTING):
            atoms.columns[contradicting] = pc.replace_with_mask(
                atoms.columns[contradicting], is_new, UNKNOWN
            )
