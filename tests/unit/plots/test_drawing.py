from __future__ import annotations

import numpy as np

from debye.plots.drawing import BLUE, RED, WHITE, b_colors, color_limits


def test_blue_white_red():
    colors = b_colors(np.array([0.0, 10.0, 20.0]), limits=(0.0, 20.0))
    np.testing.assert_allclose(colors, [BLUE, WHITE, RED])


def test_a_few_wild_atoms_do_not_stretch_the_scale():
    b = np.concatenate([np.linspace(10, 30, 1000), [500.0, 900.0]])
    low, high = color_limits(b)
    assert 10 < low < 12
    assert 28 < high < 31
    np.testing.assert_allclose(b_colors(b)[-1], RED)


def test_missing_and_constant_values_are_gray_and_white():
    np.testing.assert_allclose(b_colors(np.array([20.0, np.nan]))[1], 0.6)
    np.testing.assert_allclose(b_colors(np.array([20.0, 20.0]))[0], WHITE)
    assert color_limits(np.array([np.nan])) == (0.0, 1.0)
