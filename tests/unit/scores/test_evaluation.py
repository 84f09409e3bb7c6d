from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from debye.errors import ConfigError
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.scores import score_structure, score_table
from debye.scores.summary import (
    difference,
    measure,
    primary_scores,
    primary_summaries,
    summarize,
    worst_structures,
)
from debye.scores.tables import rows_where
from debye.targets.catalog import find_target
from debye.targets.target import Per

QUICK = BootstrapConfig(repeats=300, seed=1)


def run(structures, model="m", crystal="on") -> pd.DataFrame:
    scores = (score for values in structures for score in score_structure(values))
    return score_table(scores, model=model, crystal=crystal)


def main(scores, bootstrap=QUICK) -> pd.Series:
    return primary_summaries(summarize(scores, bootstrap)).iloc[0]


def compare(first, second, name="pearson_mean"):
    return difference(primary_scores(first), primary_scores(second), QUICK, name)


@pytest.fixture(scope="module")
def scores(many_values):
    return run(many_values)


@pytest.fixture(scope="module")
def summaries(scores):
    return summarize(scores, QUICK)


def test_intervals_hold_their_estimates(summaries):
    for name in ("pearson_mean", "spearman_mean", "mae_mean"):
        for kind in ("", "_cluster"):
            assert (summaries[f"{name}{kind}_low"] <= summaries[name]).all()
            assert (summaries[name] <= summaries[f"{name}{kind}_high"]).all()


def test_the_seed_fixes_the_intervals(scores, summaries):
    pd.testing.assert_frame_equal(summarize(scores, QUICK), summaries)
    other = summarize(scores, BootstrapConfig(repeats=300, seed=2))
    assert (other["pearson_mean"] == summaries["pearson_mean"]).all()
    assert (other["pearson_mean_low"] != summaries["pearson_mean_low"]).any()


def test_without_draws_there_are_no_intervals(scores):
    found = summarize(scores, BootstrapConfig(repeats=0))
    assert not [name for name in found if name.endswith(("_low", "_high"))]
    assert found["pearson_mean"].notna().all()


def test_strata_share_out_the_structures(summaries):
    protein = rows_where(summaries, atom_class="protein")
    whole, strata = protein.iloc[0], protein.iloc[1:]
    assert whole["stratum"] == "all"
    assert strata["structures"].sum() == whole["structures"] == 24
    assert strata["atoms"].sum() == whole["atoms"]
    assert whole["clusters"] == 8
    assert "unknown" not in set(strata["stratum"])


def test_the_worst_structures_come_first(scores):
    worst = worst_structures(scores, 5)["pearson"].tolist()
    assert worst == sorted(primary_scores(scores)["pearson"])[:5]
    assert len(worst_structures(scores, 1000)) == 24


def test_undefined_structures_are_counted_and_not_among_the_worst(many_values, make_values):
    constant = make_values(77, predicted=np.full(60, 30, np.float32))
    found = run([*many_values, constant])
    assert (main(found)["undefined"], main(found)["structures"]) == (1, 25)
    assert "s077" not in set(worst_structures(found, 100)["id"])


def test_a_structure_that_comes_twice_is_refused(make_values):
    with pytest.raises(ConfigError, match="more than once: s003"):
        summarize(run([make_values(3), make_values(4), make_values(3)]), QUICK)


def test_nothing_to_score_is_refused():
    with pytest.raises(ConfigError, match="no atom of any structure"):
        summarize(run([]), QUICK)


def test_structures_with_one_value_each_are_summarized_over_structures(make_values):
    target = replace(
        find_target("b_factor_raw"),
        per=Per.STRUCTURE,
        in_b_column=False,
        loss="pointwise",
        monitor="pooled_r",
    )
    structures = [
        make_values(
            seed,
            1,
            true=np.float32([10 * seed]),
            predicted=np.float32([10 * seed + 2]),
            target=target,
        )
        for seed in range(1, 6)
    ]
    row = main(run(structures))
    assert (row["atom_class"], row["structures"], row["atoms"]) == ("all", 5, 5)
    assert np.isnan(row["pearson_mean"])
    assert row["mae_mean"] == row["pooled_mae"] == pytest.approx(2.0)
    assert row["pooled_pearson"] == pytest.approx(1.0)


def test_residues_have_no_backbone(make_values):
    target = replace(find_target("b_factor_raw"), per=Per.RESIDUE, in_b_column=False)
    assert set(run([make_values(1, target=target)])["atom_class"]) == {"protein", "all"}


@pytest.mark.parametrize("settings", [{"repeats": -1}, {"seed": -1}, {"level": 95.0}])
def test_impossible_bootstraps_are_refused(settings):
    with pytest.raises(ConfigError, match="bootstrap"):
        BootstrapConfig(**settings)


def slightly_better(values, make_values):
    better = values.predicted + 0.1 * (values.true - values.predicted)
    return make_values(int(values.id[1:]), len(values), true=values.true, predicted=better)


def test_pairing_finds_a_small_difference(many_values, scores, make_values):
    better = run([slightly_better(values, make_values) for values in many_values], "better")
    found = compare(better, scores)
    rows = [main(table) for table in (better, scores)]
    assert found.estimate == pytest.approx(rows[0]["pearson_mean"] - rows[1]["pearson_mean"])
    assert found.interval_low > 0
    paired = found.interval_high - found.interval_low
    assert paired < 0.5 * (rows[1]["pearson_mean_high"] - rows[1]["pearson_mean_low"])
    assert (found.structures, found.left_out) == (24, 0)
    assert (found.first, found.second) == ("better, crystal on", "m, crystal on")


def test_a_model_does_not_differ_from_itself(scores):
    found = compare(scores, scores)
    assert found.estimate == found.interval_low == found.interval_high == 0


def test_differences_use_shared_structures_only(many_values, scores, make_values):
    fewer = [*many_values[2:], make_values(88)]
    fewer[0] = make_values(2, predicted=np.full(60, 3, np.float32))  # no r any more
    found = compare(run(fewer), scores)
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
    assert compare(mine, theirs).structures == 0
    for name in ("mae_mean", "rrse_mean", "mape_mean"):
        found = compare(mine, theirs, name)
        means = [float(measure(primary_scores(table), name)[0]) for table in (mine, theirs)]
        assert (found.structures, found.left_out) == (24, 0)
        assert found.estimate == pytest.approx(means[0] - means[1])
        assert found.interval_low < found.estimate < found.interval_high


def test_models_without_shared_structures_have_no_difference(make_values):
    found = compare(run([make_values(1)]), run([make_values(2)]))
    assert found.structures == 0
    assert np.isnan(found.estimate)
