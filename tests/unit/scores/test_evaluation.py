from __future__ import annotations

import numpy as np
import pytest
from debye.scores.evaluation import BootstrapConfig, difference, evaluate

from debye.errors import ConfigError

QUICK = BootstrapConfig(repeats=300, seed=1)


def run(structures, model="m", crystal=True, bootstrap=QUICK):
    return evaluate(structures, model=model, crystal=crystal, bootstrap=bootstrap)


@pytest.fixture(scope="module")
def evaluation(many_values):
    return run(many_values)


def test_a_stream_is_read_once(many_values, evaluation):
    assert run(iter(many_values)).summaries == evaluation.summaries


def test_intervals_hold_their_estimates(evaluation):
    for row in evaluation.summaries:
        for name in ("pearson_mean", "spearman_mean", "mae_mean"):
            for intervals in (row.intervals, row.cluster_intervals):
                assert intervals[name].low <= row.estimates[name] <= intervals[name].high


def test_the_seed_fixes_the_intervals(many_values, evaluation):
    other = run(many_values, bootstrap=BootstrapConfig(repeats=300, seed=2))
    assert run(many_values).summaries == evaluation.summaries
    assert other.summary().estimates == evaluation.summary().estimates
    assert other.summary().intervals != evaluation.summary().intervals


def test_without_draws_there_are_no_intervals(many_values):
    row = run(many_values, bootstrap=BootstrapConfig(repeats=0)).summary()
    assert row.intervals == row.cluster_intervals == {}
    assert np.isfinite(row.estimates["pearson_mean"])


def test_strata_share_out_the_structures(evaluation):
    whole = evaluation.summary()
    strata = [r for r in evaluation.summaries if r.atom_class == "protein" and r is not whole]
    assert sum(row.structures for row in strata) == whole.structures == 24
    assert sum(row.atoms for row in strata) == whole.atoms
    assert whole.clusters == 8
    assert evaluation.summary(stratum="unknown") is None


def test_the_worst_structures_come_first(evaluation, many_values):
    worst = evaluation.worst(5)
    assert [row.pearson for row in worst] == sorted(s.pearson for s in evaluation.of_class())[:5]
    assert len(evaluation.worst(1000)) == 24


def test_undefined_structures_are_counted_and_named(many_values, make_values):
    constant = make_values(77, predicted=np.full(60, 30, np.float32))
    found = run([*many_values, constant])
    assert found.summary().undefined == 1
    assert found.summary().structures == 25
    assert [score.id for score in found.undefined()] == ["s077"]
    assert "s077" not in [score.id for score in found.worst(100)]


def test_a_structure_that_comes_twice_is_refused(make_values):
    with pytest.raises(ConfigError, match="more than once: s003"):
        run([make_values(3), make_values(4), make_values(3)])


def test_nothing_to_score_is_refused():
    with pytest.raises(ConfigError, match="no atom of any structure"):
        run([])


@pytest.mark.parametrize("settings", [{"repeats": -1}, {"seed": -1}, {"level": 95.0}])
def test_impossible_bootstraps_are_refused(settings):
    with pytest.raises(ConfigError, match="bootstrap"):
        BootstrapConfig(**settings)


def slightly_better(values, make_values):
    better = values.predicted + 0.1 * (values.deposited - values.predicted)
    return make_values(
        int(values.id[1:]), len(values), deposited=values.deposited, predicted=better
    )


def test_pairing_finds_a_small_difference(many_values, evaluation, make_values):
    better = run([slightly_better(values, make_values) for values in many_values], "better")
    found = difference(better, evaluation)
    estimates = [e.summary().estimates["pearson_mean"] for e in (better, evaluation)]
    assert found.estimate == pytest.approx(estimates[0] - estimates[1])
    assert found.interval.low > 0
    paired = found.interval.high - found.interval.low
    single = evaluation.summary().intervals["pearson_mean"]
    assert paired < 0.5 * (single.high - single.low)
    assert (found.structures, found.left_out) == (24, 0)


def test_a_model_does_not_differ_from_itself(evaluation):
    found = difference(evaluation, evaluation)
    assert found.estimate == found.interval.low == found.interval.high == 0


def test_differences_use_shared_structures_only(many_values, evaluation, make_values):
    fewer = [*many_values[2:], make_values(88)]
    fewer[0] = make_values(2, predicted=np.full(60, 3, np.float32))  # no r any more
    found = difference(run(fewer), evaluation)
    assert (found.structures, found.left_out) == (21, 4)
    assert found.estimate == pytest.approx(0)


def test_constant_predictions_have_errors_to_compare_although_no_correlation(
    many_values, make_values
):
    level = [
        make_values(int(values.id[1:]), predicted=np.full(60, 30, np.float32))
        for values in many_values
    ]
    mine, theirs = run(level), run(many_values)
    assert difference(mine, theirs).structures == 0
    for name in ("mae_mean", "rrse_mean", "mape_mean"):
        found = difference(mine, theirs, name)
        means = [e.summary().estimates[name] for e in (mine, theirs)]
        assert (found.structures, found.left_out) == (24, 0)
        assert found.estimate == pytest.approx(means[0] - means[1])
        assert found.interval.low < found.estimate < found.interval.high


def test_models_without_shared_structures_have_no_difference(make_values):
    found = difference(run([make_values(1)]), run([make_values(2)]))
    assert found.structures == 0
    assert np.isnan(found.estimate)
