"""BinaryCIF → mmCIF text with new B-factors: what goes with B, and how values are written."""

from __future__ import annotations

from typing import Any

import gemmi
import msgpack
import numpy as np
import pytest

from debye.errors import FormatError, StructureError
from debye.structure.formats.bcif import BcifFile
from debye.structure.formats.new_text import Edited, number_text

NAN = float("nan")
BYTES = [{"kind": "ByteArray", "type": 33}]


def replace_b_bcif(data: bytes, b: np.ndarray, source: str) -> Edited:
    return BcifFile(data, source).annotated(b)


def numbers(name: str, *values: float) -> dict[str, Any]:
    data = np.array(values, "<f8").tobytes()
    return {"name": name, "data": {"data": data, "encoding": BYTES}, "mask": None}


def bcif(**categories: list[dict[str, Any]]) -> bytes:
    found = [{"name": f"_{name}", "columns": columns} for name, columns in categories.items()]
    return msgpack.packb({"dataBlocks": [{"header": "X", "categories": found}]})


def values(data: bytes, tag: str) -> list[str]:
    return list(gemmi.cif.read_string(data).sole_block().find_values(tag))


ATOMS = [
    numbers("id", 1, 2, 3),
    numbers("B_iso_or_equiv", 10, 20.5, 30),
    numbers("U_iso_or_equiv", 0.1, 0.2, 0.3),
]
TENSORS = [numbers("id", 3, 1), numbers("U[1][1]", 0.3, 0.1)]


def test_what_contradicts_a_new_b_goes() -> None:
    edited = replace_b_bcif(
        bcif(atom_site=ATOMS, atom_site_anisotrop=TENSORS, end=[numbers("x", 1)]),
        np.array([11.006, NAN, NAN]),
        "test",
    )
    assert values(edited.data, "_atom_site.B_iso_or_equiv") == ["11.01", "20.5", "30"]
    assert values(edited.data, "_atom_site.U_iso_or_equiv") == ["?", "0.2", "0.3"]
    assert values(edited.data, "_atom_site_anisotrop.id") == ["3"]
    assert values(edited.data, "_end.x") == ["1"]
    assert (edited.replaced, edited.kept, edited.dropped_anisotropic) == (1, 2, 1)


def test_without_any_anisotropic_row_left_the_category_is_gone() -> None:
    data = bcif(atom_site=ATOMS, atom_site_anisotrop=TENSORS)
    edited = replace_b_bcif(data, np.array([1.0, NAN, 3.0]), "test")
    assert edited.dropped_anisotropic == 2
    assert b"anisotrop" not in edited.data
    assert replace_b_bcif(data, np.full(3, NAN), "test").dropped_anisotropic == 0


def test_an_atom_table_without_b_gets_one() -> None:
    edited = replace_b_bcif(bcif(atom_site=ATOMS[:1]), np.array([1.0, NAN, -0.001]), "test")
    assert values(edited.data, "_atom_site.B_iso_or_equiv") == ["1.00", "?", "0.00"]


def test_what_cannot_be_matched_is_refused() -> None:
    new = np.array([1.0, 2.0, 3.0])
    with pytest.raises(StructureError, match="3 rows of _atom_site, but 1 B-factors"):
        replace_b_bcif(bcif(atom_site=ATOMS), new[:1], "test")
    with pytest.raises(FormatError, match="a column named id is missing"):
        replace_b_bcif(bcif(atom_site=ATOMS[1:], atom_site_anisotrop=TENSORS), new, "test")
    with pytest.raises(StructureError, match="there are no atoms"):
        replace_b_bcif(bcif(cell=ATOMS), new, "test")
    with pytest.raises(FormatError, match=r"damaged.*\[1, 3\] rows"):
        replace_b_bcif(bcif(atom_site=[*ATOMS, numbers("x", 1)]), new, "test")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numbers_read_back_the_same_and_as_python_writes_them(kind: type) -> None:
    generator = np.random.default_rng(0)
    usual = np.round(generator.normal(0, 50, 2_000), 3).astype(kind)
    wild = (10.0 ** generator.uniform(-12, 12, 500)).astype(kind)
    for column in (usual, wild, np.array([0.0, -0.0, 1.0, 999_999.5], kind)):
        texts = number_text(column, None).to_pylist()
        np.testing.assert_array_equal(np.array(texts).astype(kind), column)
        assert texts == [str(value).removesuffix(".0") for value in column]
