from __future__ import annotations

import numpy as np
import pytest

from debye.structure.row_keys import changes, row_keys, text_numbers

COLUMNS = {
    "short": ["A", "B", ""],
    "four": ["CA", "HG11", "N", ""],
    "long": ["ABCDEFGHIJKLM", "ABCDEFGHIJKLN", "A"],
    "other letters": ["α", "A", "β"],
    "numbers": [-5, 0, 99999],
    "truth": [True, False],
}


@pytest.mark.parametrize(
    "names", [["short"], ["four", "numbers"], ["long", "short"], list(COLUMNS)]
)
def test_keys_are_equal_exactly_where_rows_are(names):
    generator = np.random.default_rng(0)
    columns = [np.array(generator.choice(COLUMNS[name], 300)) for name in names]
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    key = row_keys(*columns)
    assert (
        len(set(zip(key.tolist(), rows, strict=True))) == len(set(rows)) == len(set(key.tolist()))
    )
    assert sorted(range(300), key=lambda i: (key[i], i)) == sorted(
        range(300), key=lambda i: (rows[i], i)
    )


@pytest.mark.parametrize("name", ["short", "four", "long", "other letters"])
def test_texts_keep_their_order(name):
    texts = np.array(COLUMNS[name])
    assert np.argsort(text_numbers(texts)).tolist() == np.argsort(texts).tolist()


def test_runs():
    text, number = np.array(["A", "A", "A", "B"]), np.array([1, 1, 2, 2])
    assert changes(text, number).tolist() == [0, 2, 3]


def test_no_rows():
    empty = np.zeros(0, "U3")
    assert row_keys(empty, np.zeros(0, int)).tolist() == changes(empty).tolist() == []
