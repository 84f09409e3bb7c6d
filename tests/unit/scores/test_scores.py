from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from debye.scores.scores import score_structure
from debye.structure.structure import EntityKind


def protein(values):
    return score_structure(values, ["protein"])[0]


def test_scores_of_a_whole_structure(make_values):
    values = make_values(3)
    score = protein(values)
    assert (score.atoms, score.masked, score.unpredicted) == (60, 0, 0)
    r = scipy.stats.pearsonr(values.predicted, values.true).statistic
    assert score.pearson == pytest.approx(r, abs=1e-6)
    chains = [
        scipy.stats.pearsonr(values.predicted[half], values.true[half]).statistic
        for half in (slice(0, 30), slice(30, 60))
    ]
    assert score.chain_pearson == pytest.approx(np.mean(chains), abs=1e-6)
    assert score.stratum == "1.5-2.0 Å"


def test_unusable_and_unpredicted_atoms_are_counted_and_left_out(make_values):
    values = make_values(1)
    true, predicted = values.true.copy(), values.predicted.copy()
    true[:5] = np.nan
    predicted[3:10] = np.nan
    score = protein(make_values(1, true=true, predicted=predicted))
    assert (score.atoms, score.masked, score.unpredicted) == (50, 5, 5)
    expected = scipy.stats.pearsonr(values.predicted[10:], values.true[10:]).statistic
    assert score.pearson == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("usable", "defined"), [(9, False), (10, True)])
def test_ten_usable_protein_atoms_are_needed(make_values, usable, defined):
    true = make_values().true.copy()
    true[usable:] = np.nan
    score = protein(make_values(true=true))
    for name in ("pearson", "spearman", "mae", "mape", "rrse", "coverage"):
        assert np.isfinite(getattr(score, name)) == defined, name
    # The pool takes every usable atom.
    assert score.atoms == score.bounded_atoms == usable
    assert score.squared_error > 0


def test_nothing_usable_gives_nan_and_adds_nothing(make_values):
    score = protein(make_values(true=np.full(60, np.nan, np.float32)))
    assert (score.atoms, score.masked) == (0, 60)
    assert np.isnan(score.pearson)
    assert score.squared_error == score.mean_true == 0


def test_constant_prediction_has_errors_but_no_correlation(make_values):
    score = protein(make_values(predicted=np.full(60, 25.0, np.float32)))
    assert np.isnan(score.pearson)
    assert np.isnan(score.spearman)
    assert score.mae > 0
    assert np.isfinite(score.rrse)


def test_classes_without_atoms_have_no_score(make_values):
    names = [score.atom_class for score in score_structure(make_values())]
    assert names == ["protein", "backbone", "side chain", "all"]


def test_a_class_of_atoms_is_scored_alone(make_values):
    values = make_values()
    kind = values.entity_kind.copy()
    kind[:12] = EntityKind.LIGAND
    residues = np.where(np.arange(60) < 12, 0, values.residue_index)
    values = make_values(entity_kind=kind, residue_index=residues.astype(np.int32))
    ligand = score_structure(values, ["ligand"])[0]
    assert ligand.atoms == 12
    expected = scipy.stats.pearsonr(values.predicted[:12], values.true[:12]).statistic
    assert ligand.pearson == pytest.approx(expected, abs=1e-6)


def test_z_errors_are_standardized_over_the_whole_structure(make_values):
    values = make_values()
    backbone = score_structure(values, ["backbone"])[0]
    z = [scipy.stats.zscore(side.astype(float)) for side in (values.predicted, values.true)]
    expected = np.abs(z[0] - z[1])[values.is_backbone].mean()
    assert backbone.z_mae == backbone.z_absolute_error == pytest.approx(expected, abs=1e-6)
    assert backbone.z_atoms == values.is_backbone.sum()
    profile = make_values(predicted=100 - 3 * values.predicted, is_profile=True)
    flipped = score_structure(profile, ["backbone"])[0]
    assert flipped.z_mae == pytest.approx(np.abs(z[0] + z[1])[values.is_backbone].mean(), abs=1e-6)


def test_a_constant_prediction_has_no_z_error(make_values):
    score = protein(make_values(predicted=np.full(60, 25.0, np.float32)))
    assert np.isnan(score.z_mae)
    assert (score.z_atoms, score.z_absolute_error) == (0, 0.0)


def test_the_oracle_knows_the_mean_of_the_structure(make_values):
    values = make_values()
    off = np.abs(values.true - values.true.mean(dtype=float)).mean()
    assert protein(values).oracle_mae == pytest.approx(off, rel=1e-6)
    assert protein(make_values(is_profile=True)).oracle_mae == pytest.approx(off, rel=1e-6)


def test_bounds_hold_their_own_ends(make_values):
    true = make_values().true
    lower, upper = true.copy(), true.copy()
    lower[0] += 1
    upper[1] -= 1
    lower[2] = np.nan
    score = protein(make_values(lower=lower, upper=upper))
    assert score.bounded_atoms == 59
    assert score.coverage == pytest.approx(57 / 59)


def test_without_bounds_there_is_no_coverage(make_values):
    score = protein(make_values(lower=None, upper=None))
    assert np.isnan(score.coverage)
    assert score.bounded_atoms == 0


def test_a_profile_has_correlations_only(make_values):
    with_unit, without = protein(make_values()), protein(make_values(is_profile=True))
    assert without.pearson == with_unit.pearson
    assert without.spearman == with_unit.spearman
    for name in ("mae", "mape", "rrse", "coverage", "squared_error", "mean_predicted"):
        assert np.isnan(getattr(without, name)), name
    assert without.oracle_absolute_error == with_unit.oracle_absolute_error
