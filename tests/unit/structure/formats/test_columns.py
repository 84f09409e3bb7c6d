from __future__ import annotations

import numpy as np
import pytest

from debye.structure.formats.columns import fixed_numbers, fixed_texts


def turned(rows: list[str]) -> np.ndarray:
    return np.array([list(row.encode()) for row in rows], np.uint8).T


def test_random_numbers_are_the_nearest_to_their_decimals():
    values = np.random.default_rng(0).uniform(-999, 9999, 5000)
    rows = [f"{value:8.3f}" for value in values]
    found = fixed_numbers(turned(rows), 3, lambda text: pytest.fail(f"{text} was not read at once"))
    assert found.tolist() == [float(row) for row in rows]


@pytest.mark.parametrize(
    "text",
    ["   1.5  ", "1.500   ", "  -.500 ", "  1 .500", " --1.500", " 1-1.500", "  +1.500", "  1.5000", "        ",
     "  1,500 ", "    .500", "   -.500", "1e3     ", "\t  1.500"],
)  # fmt: skip
def test_unusual_notation_is_handed_over(text):
    seen = []
    fixed_numbers(turned(["   1.500", text]), 3, lambda found: seen.append(found) or 0.0)
    assert seen == [text.strip()]


def test_integers():
    rows = ["   1", " -23", "9999", "   0"]
    assert fixed_numbers(turned(rows), 0, float).tolist() == [1, -23, 9999, 0]


def test_random_texts_lose_the_spaces_around_them():
    generator = np.random.default_rng(0)
    rows = ["".join(generator.choice(list("  AB1'"), 5)) for _ in range(2000)]
    assert fixed_texts(turned(rows)).tolist() == [row.strip() for row in rows]


def test_texts_are_as_wide_as_needed():
    assert fixed_texts(turned([" A  ", " BC "])).dtype == "U2"
    assert fixed_texts(turned(["    ", "    "])).tolist() == ["", ""]
