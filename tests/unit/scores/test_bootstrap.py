from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from debye.scores.bootstrap import cluster_draws, percentile_interval, structure_draws
from debye.scores.summary import weighted_mean


def test_draws_follow_the_generator():
    first = structure_draws(20, 5, np.random.default_rng(7))
    np.testing.assert_array_equal(first, structure_draws(20, 5, np.random.default_rng(7)))
    assert (first != structure_draws(20, 5, np.random.default_rng(8))).any()


def test_clusters_come_and_go_as_a_whole():
    draws = cluster_draws(["a", "b", "a", "a", "c"], 200, np.random.default_rng(0))
    np.testing.assert_array_equal(draws[:, 0], draws[:, 2])
    np.testing.assert_array_equal(draws[:, 0], draws[:, 3])
    np.testing.assert_array_equal(draws[:, [0, 1, 4]].sum(axis=1), 3)


def test_structures_without_a_cluster_stand_for_themselves():
    draws = cluster_draws(["", "", ""], 100, np.random.default_rng(0))
    assert (draws[:, 0] != draws[:, 1]).any()
    np.testing.assert_array_equal(draws.sum(axis=1), 3)


def test_no_structures_are_no_error():
    assert structure_draws(0, 3, np.random.default_rng(0)).shape == (3, 0)
    assert cluster_draws([], 3, np.random.default_rng(0)).shape == (3, 0)


def test_interval_of_the_mean_equals_scipy():
    values = np.random.default_rng(1).normal(0.7, 0.1, 80)
    draws = structure_draws(80, 5000, np.random.default_rng(2))
    mine = percentile_interval(weighted_mean(values, draws))
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    # Both are random: 5,000 draws fix an end to about 2 % of the width of the interval, 0.044.
    assert mine[0] == pytest.approx(theirs.low, abs=0.004)
    assert mine[1] == pytest.approx(theirs.high, abs=0.004)


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(4)
    held = 0
    for _ in range(300):
        values = random.normal(0.5, 0.2, 60)
        low, high = percentile_interval(weighted_mean(values, structure_draws(60, 400, random)))
        held += low <= 0.5 <= high
    # Binomial: 300 x 0.95 = 285 with a standard deviation of 3.8; small samples lose a little more.
    assert 265 <= held <= 298


def test_near_copies_widen_the_interval_of_clusters_only():
    values = np.repeat(np.random.default_rng(0).normal(0.6, 0.1, 12), 20)
    names = np.repeat([f"c{number}" for number in range(12)], 20).tolist()
    alone = percentile_interval(
        weighted_mean(values, structure_draws(240, 2000, np.random.default_rng(0)))
    )
    whole = percentile_interval(
        weighted_mean(values, cluster_draws(names, 2000, np.random.default_rng(0)))
    )
    assert whole[1] - whole[0] > 3 * (alone[1] - alone[0])


def test_undefined_draws_are_left_out():
    assert percentile_interval(np.array([np.nan, 1.0, 1.0]))[0] == 1.0
    assert np.isnan(percentile_interval(np.array([np.nan]))[0])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_impossible_levels_are_refused(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile_interval(np.ones(3), level)
