from __future__ import annotations

import msgpack
import numpy as np
import pytest

from debye.errors import FormatError
from debye.structure.facts import CategoryFacts
from debye.structure.formats.bcif import BcifFile, BinaryColumn, decode


def bytes_of(values, dtype: str) -> bytes:
    return np.array(values, dtype).tobytes()


def byte_array(number: int) -> dict:
    return {"kind": "ByteArray", "type": number}


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        (1, "<i1"),
        (2, "<i2"),
        (3, "<i4"),
        (4, "<u1"),
        (5, "<u2"),
        (6, "<u4"),
        (32, "<f4"),
        (33, "<f8"),
    ],
)
def test_byte_arrays_of_every_type(number, dtype):
    values = [0, 1, 100]
    assert decode(bytes_of(values, dtype), [byte_array(number)]).tolist() == values


def test_fixed_point_gives_the_nearest_number():
    encoding = [{"kind": "FixedPoint", "factor": 1000, "srcType": 33}, byte_array(3)]
    assert decode(bytes_of([1234, -567], "<i4"), encoding).tolist() == [1.234, -0.567]


def test_interval_quantization_reaches_both_ends():
    encoding = [
        {"kind": "IntervalQuantization", "min": 1.0, "max": 2.0, "numSteps": 5, "srcType": 33},
        byte_array(1),
    ]
    assert decode(bytes_of([0, 1, 4], "<i1"), encoding).tolist() == [1.0, 1.25, 2.0]


def test_run_length_and_delta():
    run_length = [{"kind": "RunLength", "srcType": 3, "srcSize": 5}, byte_array(3)]
    assert decode(bytes_of([7, 2, -1, 3], "<i4"), run_length).tolist() == [7, 7, -1, -1, -1]
    delta = [{"kind": "Delta", "origin": 100, "srcType": 3}, byte_array(1)]
    assert decode(bytes_of([0, 1, -3], "<i1"), delta).tolist() == [100, 101, 98]


@pytest.mark.parametrize(
    ("stored", "dtype", "number", "unsigned", "expected"),
    [
        ([1, 2, 3], "<i1", 1, False, [1, 2, 3]),
        ([127, 1, -128, -2, 5], "<i1", 1, False, [128, -130, 5]),
        ([127, 127, 0, -128, 0], "<i1", 1, False, [254, -128]),
        ([255, 255, 1, 3], "<u1", 4, True, [511, 3]),
        ([32767, 1], "<i2", 2, False, [32768]),
    ],
)
def test_integer_packing_continues_at_the_limits(stored, dtype, number, unsigned, expected):
    encoding = [
        {
            "kind": "IntegerPacking",
            "byteCount": 1,
            "isUnsigned": unsigned,
            "srcSize": len(expected),
        },
        byte_array(number),
    ]
    assert decode(bytes_of(stored, dtype), encoding).tolist() == expected


def string_array(texts: str, offsets: list[int]) -> dict:
    return {
        "kind": "StringArray",
        "stringData": texts,
        "offsets": bytes_of(offsets, "<i4"),
        "offsetEncoding": [byte_array(3)],
        "dataEncoding": [byte_array(1)],
    }


def test_strings_and_masks():
    data = {"data": bytes_of([1, 0, -1, 0], "<i1"), "encoding": [string_array("CACB", [0, 2, 4])]}
    mask = {"data": bytes_of([0, 0, 1, 2], "<u1"), "encoding": [byte_array(4)]}
    column = BinaryColumn({"data": data, "mask": mask}, "x")
    assert column.texts().tolist() == ["CB", "CA", "", ""]
    assert column.cif_text().to_pylist() == ["CB", "CA", ".", "?"]


def test_masked_numbers_are_absent_numbers():
    data = {"data": bytes_of([5, 0], "<i4"), "encoding": [byte_array(3)]}
    mask = {"data": bytes_of([0, 2], "<u1"), "encoding": [byte_array(4)]}
    column = BinaryColumn({"data": data, "mask": mask}, "x")
    np.testing.assert_array_equal(column.numbers(), [5, np.nan])
    assert column.numbers(absent=-1).tolist() == [5, -1]


def document(*blocks: list[dict]) -> bytes:
    content = [{"header": str(i), "categories": block} for i, block in enumerate(blocks)]
    return msgpack.packb({"version": "0.3.0", "encoder": "test", "dataBlocks": content})


def category(name: str, **columns) -> dict:
    packed = [
        {
            "name": key,
            "data": {"data": bytes_of(v, "<i4"), "encoding": [byte_array(3)]},
            "mask": None,
        }
        for key, v in columns.items()
    ]
    return {"name": f"_{name}", "rowCount": 1, "columns": packed}


def test_the_first_block_with_atoms_counts():
    raw = document(
        [category("entry", id=[1])], [category("a", x=[1, 2]), category("atom_site", id=[3])]
    )
    file = BcifFile(raw, "x")
    assert file.category("entry") == {}
    assert file.category("a")["x"].numbers().tolist() == [1, 2]


def test_a_damaged_category_does_no_harm_until_it_is_needed():
    broken = category("b", y=[3])
    broken["columns"][0]["data"]["encoding"] = [{"kind": "Zigzag"}]
    file = BcifFile(document([category("a", x=[1]), broken]), "x")
    facts = CategoryFacts(file)
    assert facts.numbers("a", "x") == [1]
    assert facts.numbers("b", "y") == facts.texts("b", "y") == []
    with pytest.raises(FormatError, match="Zigzag"):
        file.category("b")["y"].texts()


def test_text_that_is_stored_as_bytes_is_read():
    def as_bytes(value):
        if isinstance(value, dict):
            return {key.encode(): as_bytes(item) for key, item in value.items()}
        if isinstance(value, list):
            return [as_bytes(item) for item in value]
        return value.encode() if isinstance(value, str) else value

    raw = document([category("atom_site", id=[3])])
    raw = msgpack.packb(as_bytes(msgpack.unpackb(raw)))
    assert BcifFile(raw, "x").category("atom_site")["id"].numbers().tolist() == [3]


@pytest.mark.parametrize("keep", [1, 20, 60])
def test_truncated_files_are_named(keep):
    with pytest.raises(FormatError, match=r"1abc\.bcif: damaged or not BinaryCIF"):
        BcifFile(document([category("a", x=[1, 2])])[:keep], "1abc.bcif")
