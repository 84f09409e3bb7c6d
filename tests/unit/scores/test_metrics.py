from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from debye.scores.metrics import (
    mae,
    mape,
    pearson,
    rrse,
    spearman,
    z_scores,
)

SAMPLES = [
    np.random.default_rng(seed).gamma(4.0, 5.0, size=(2, size))
    for seed, size in enumerate((3, 10, 57, 4000))
]
INTEGERS = [np.random.default_rng(9).integers(0, 6, size=(2, 40)).astype(float)]


@pytest.mark.parametrize("pair", SAMPLES + INTEGERS)
def test_correlations_equal_those_of_scipy(pair):
    assert pearson(*pair) == pytest.approx(scipy.stats.pearsonr(*pair).statistic, abs=1e-12)
    assert spearman(*pair) == pytest.approx(scipy.stats.spearmanr(*pair).statistic, abs=1e-12)


@pytest.mark.parametrize("pair", SAMPLES + INTEGERS)
def test_z_scores_equal_those_of_scipy(pair):
    np.testing.assert_allclose(z_scores(pair[0]), scipy.stats.zscore(pair[0]), rtol=1e-9)


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e2, 1e2), seed=st.integers(0, 2**16))
def test_correlations_ignore_scale_and_shift_and_follow_the_sign(scale, shift, seed):
    first, second = np.random.default_rng(seed).normal(20, 6, size=(2, 30))
    expected = pearson(first, second)
    assert pearson(scale * first + shift, second) == pytest.approx(expected, abs=1e-8)
    assert pearson(-first, second) == pytest.approx(-expected, abs=1e-12)
    # exp is monotonic, so that ranks stay; Pearson does not.
    assert spearman(np.exp(first / 10), second) == pytest.approx(spearman(first, second))


@given(seed=st.integers(0, 2**16))
def test_measures_do_not_depend_on_the_order_of_atoms(seed):
    random = np.random.default_rng(seed)
    first, second = random.gamma(4, 5, size=(2, 25))
    order = random.permutation(25)
    for measure in (pearson, spearman, mae, mape, rrse):
        assert measure(first[order], second[order]) == pytest.approx(
            measure(first, second), rel=1e-9
        )


def test_a_far_offset_costs_no_digits():
    first, second = np.random.default_rng(0).normal(0, 1, size=(2, 1000))
    assert pearson(first + 1e4, second) == pytest.approx(pearson(first, second), abs=1e-9)


@pytest.mark.parametrize("measure", [pearson, spearman])
@pytest.mark.parametrize(
    ("predicted", "true"),
    [
        ([], []),
        ([1, 2], [1, 2]),
        ([5, 5, 5, 5], [1, 2, 3, 4]),
        ([1, 2, 3, 4], [5, 5, 5, 5]),
        # The same number in float32 arithmetic, up to rounding: no correlation with noise.
        (20 + 1e-6 * np.arange(4), [1, 2, 3, 4]),
        ([1, 2, np.nan, np.inf], [1, 2, 3, 4]),
    ],
    ids=["empty", "two", "constant", "constant true", "rounding", "two finite"],
)
def test_correlations_that_are_not_defined_are_nan(measure, predicted, true):
    assert np.isnan(measure(predicted, true))


def test_small_but_real_spread_is_no_constant():
    # B is given to 0.01 Å²: two neighboring values around 100 Å² must count as different.
    assert pearson([100.0, 100.01, 100.02], [1, 2, 3]) == pytest.approx(1.0)


def test_minimum_counts_finite_pairs_only():
    values = np.arange(10.0)
    assert pearson(values, values, minimum=10) == pytest.approx(1.0)
    values[3] = np.nan
    assert np.isnan(pearson(values, values, minimum=10))


def test_errors_by_hand():
    predicted, true = [10, 20, 30, np.nan], [20, 20, 10, 5]
    assert mae(predicted, true) == pytest.approx(10.0)
    assert mape(predicted, true) == pytest.approx(100 * (0.5 + 0 + 2) / 3)
    # Squared errors 100, 0, 400; true 20, 20, 10 has variance 200/9.
    assert rrse(predicted, true) == pytest.approx(np.sqrt((500 / 3) / (200 / 9)))


def test_percentages_leave_out_values_below_one():
    assert mape([2, 2, 2], [1.0, 0.99, 0.0]) == pytest.approx(100.0)
    assert np.isnan(mape([2.0], [0.5]))
    assert mape([2.0], [0.5], floor=0.1) == pytest.approx(300.0)
    assert np.isnan(mape([2.0], [5.0], floor=None))


def test_rrse_of_the_mean_is_one_and_of_a_constant_target_undefined():
    true = np.array([3.0, 8.0, 40.0])
    assert rrse(np.full(3, true.mean()), true) == pytest.approx(1.0)
    assert rrse(true, true) == 0.0
    assert np.isnan(rrse([1, 2], [7, 7]))


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="3 predicted but 2 true"):
        pearson([1, 2, 3], [1, 2])


def test_inputs_are_not_changed():
    first, second = np.arange(5.0), np.arange(5.0)[::-1].copy()
    pearson(first, second)
    spearman(first, second)
    np.testing.assert_array_equal(first, np.arange(5.0))
    np.testing.assert_array_equal(second, np.arange(5.0)[::-1])
