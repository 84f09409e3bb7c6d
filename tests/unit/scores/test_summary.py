"""Pooled measures are made of sums per structure; here they meet the atoms themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from debye.scores.metrics import mae, mape, pearson, rrse, z_scores
from debye.scores.scores import score_structure, score_table
from debye.scores.summary import MEASURES, measure, weighted_mean, weighted_quantile


def scores_of(structures):
    return score_table(score_structure(values, ["protein"])[0] for values in structures)


@pytest.fixture(scope="module")
def scores(many_values):
    return scores_of(many_values)


@pytest.fixture(scope="module")
def atoms(many_values):
    """Predicted, true, mean of the structure, and both as z-scores, for all atoms."""
    join = np.concatenate
    return {
        "predicted": join([v.predicted for v in many_values]).astype(float),
        "true": join([v.true for v in many_values]).astype(float),
        "oracle": join([np.full(len(v), v.true.mean(dtype=float)) for v in many_values]),
        "z_predicted": join([z_scores(v.predicted) for v in many_values]),
        "z_true": join([z_scores(v.true) for v in many_values]),
    }


@pytest.mark.parametrize(
    ("name", "function", "predicted", "true"),
    [
        ("pooled_pearson", pearson, "predicted", "true"),
        ("oracle_pooled_pearson", pearson, "oracle", "true"),
        ("pooled_z_pearson", pearson, "z_predicted", "z_true"),
        ("pooled_z_mae", mae, "z_predicted", "z_true"),
        ("pooled_mae", mae, "predicted", "true"),
        ("oracle_pooled_mae", mae, "oracle", "true"),
        ("pooled_mape", mape, "predicted", "true"),
        ("oracle_pooled_mape", mape, "oracle", "true"),
        ("pooled_rrse", rrse, "predicted", "true"),
        ("oracle_pooled_rrse", rrse, "oracle", "true"),
    ],
)
def test_pooled_measures_equal_those_of_all_atoms(scores, atoms, name, function, predicted, true):
    expected = function(atoms[predicted], atoms[true])
    assert measure(scores, name)[0] == pytest.approx(expected, rel=1e-9)


def test_pooled_measures_with_weights_equal_those_of_repeated_structures(scores, many_values):
    counts = np.random.default_rng(0).integers(0, 4, len(scores))
    repeated = scores.loc[scores.index.repeat(counts)]
    for name in MEASURES:
        drawn = measure(scores, name, counts[None].astype(float))[0]
        assert drawn == pytest.approx(measure(repeated, name)[0], rel=1e-9), name


def test_the_pool_rewards_the_level_and_single_structures_do_not(make_values):
    """The trap: right levels and shuffled profiles look skilled when pooled, and only then."""
    random = np.random.default_rng(1)
    structures = []
    for seed in range(20):
        values = make_values(seed, level=15 + 3 * seed)
        shuffled = random.permutation(values.true)
        structures.append(make_values(seed, true=values.true, predicted=shuffled))
    scores = scores_of(structures)
    assert measure(scores, "pooled_pearson")[0] > 0.8
    assert measure(scores, "oracle_pooled_pearson")[0] > measure(scores, "pooled_pearson")[0]
    assert abs(measure(scores, "pearson_mean")[0]) < 0.1
    assert abs(measure(scores, "pooled_z_pearson")[0]) < 0.1


def test_structures_without_r_are_left_out_of_means(make_values):
    good = scores_of([make_values(0), make_values(1)])
    constant = scores_of([make_values(2, predicted=np.full(60, 9, np.float32))])
    assert (
        measure(pd.concat([good, constant]), "pearson_mean")[0] == measure(good, "pearson_mean")[0]
    )
    assert measure(pd.concat([good, constant]), "pooled_mae")[0] > measure(good, "pooled_mae")[0]
    assert np.isnan(measure(constant, "pearson_mean")[0])


def test_one_constant_for_all_has_no_pooled_correlation(make_values):
    constant = [make_values(s, predicted=np.full(60, 21.37, np.float32)) for s in range(5)]
    assert np.isnan(measure(scores_of(constant), "pooled_pearson")[0])


def test_structures_without_usable_atoms_change_nothing(scores, make_values):
    empty = scores_of([make_values(99, true=np.full(60, np.nan, np.float32))])
    for name in MEASURES:
        assert measure(pd.concat([scores, empty]), name)[0] == pytest.approx(
            measure(scores, name)[0]
        ), name


def test_profiles_have_no_pooled_errors(make_values):
    profiles = scores_of([make_values(s, is_profile=True) for s in range(4)])
    assert np.isfinite(measure(profiles, "pearson_mean")[0])
    assert np.isfinite(measure(profiles, "pooled_z_pearson")[0])
    assert np.isfinite(measure(profiles, "oracle_pooled_pearson")[0])
    for name in ("pooled_pearson", "pooled_mae", "pooled_mape", "pooled_rrse", "coverage_90"):
        assert np.isnan(measure(profiles, name)[0]), name


def test_coverage_counts_atoms(make_values):
    scores = scores_of([make_values(0, 60), make_values(1, 600)])
    share = (60 * scores["coverage"][0] + 600 * scores["coverage"][1]) / 660
    assert measure(scores, "coverage_90")[0] == pytest.approx(share)


def test_no_structures_give_nan_everywhere():
    for name in MEASURES:
        assert np.isnan(measure(score_table([]), name)).all(), name


@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.5, 0.77, 1.0])
def test_weighted_quantiles_equal_numpy_on_repeated_values(quantile):
    random = np.random.default_rng(3)
    values = random.normal(size=17).round(1)  # with ties
    values[4] = np.nan
    weights = random.integers(0, 5, size=(50, 17)).astype(float)
    found = weighted_quantile(values, weights, quantile)
    for row, count in zip(found, weights.astype(int), strict=True):
        assert row == pytest.approx(np.nanquantile(np.repeat(values, count), quantile))


def test_draws_without_a_defined_value_are_nan():
    values, weights = np.array([np.nan, 2.0]), np.array([[3.0, 0.0], [0.0, 3.0]])
    np.testing.assert_array_equal(weighted_mean(values, weights), [np.nan, 2.0])
    np.testing.assert_array_equal(weighted_quantile(values, weights, 0.5), [np.nan, 2.0])


def test_mean_and_median_equal_numpy(scores):
    r = scores["pearson"]
    assert measure(scores, "pearson_mean")[0] == pytest.approx(np.mean(r))
    assert measure(scores, "pearson_median")[0] == pytest.approx(np.median(r))
    assert measure(scores, "pearson_p10")[0] == pytest.approx(np.quantile(r, 0.1))
    assert scipy.stats.scoreatpercentile(r, 10) == pytest.approx(measure(scores, "pearson_p10")[0])


def test_an_unknown_measure_names_those_there_are(scores):
    with pytest.raises(ValueError, match=r"'pearson_man': choose from pearson_mean"):
        measure(scores, "pearson_man")
