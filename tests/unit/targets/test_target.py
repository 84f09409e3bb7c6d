"""Values of targets become standardized ones and come back; targets that cannot work are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from debye.errors import ConfigError
from debye.structure.structure import Structure
from debye.targets.catalog import TARGETS, find_target
from debye.targets.target import (
    TRAINING_LIMIT,
    Labels,
    LabelSource,
    Per,
    Target,
    Transform,
    clip_for_training,
    robust_location_scale,
)


def heavy_tailed(atoms: int = 3000) -> np.ndarray:
    """Return B-like values (Å²): shifted inverse gamma."""
    return 8 + 40 / np.random.default_rng(5).gamma(5.0, 1.0, atoms)


@pytest.mark.parametrize("name", TARGETS)
def test_restore_undoes_standardize(name: str) -> None:
    target = find_target(name)
    value = heavy_tailed()
    labels = target.standardize(Labels.where_finite(value))
    restored = target.restore(labels.value, labels.location, labels.scale)
    np.testing.assert_allclose(restored, value, rtol=2e-5)


@pytest.mark.parametrize("name", TARGETS)
def test_torch_and_numpy_restore_alike(name: str) -> None:
    target = find_target(name)
    value = np.linspace(-4, 4, 50, dtype=np.float32)
    scale = np.linspace(1, 9, 50, dtype=np.float32)
    from_torch = target.restore(torch.from_numpy(value), 20.0, torch.from_numpy(scale))
    np.testing.assert_allclose(from_torch.numpy(), target.restore(value, 20.0, scale), rtol=1e-5)


@pytest.mark.parametrize("name", TARGETS)
def test_restored_values_respect_the_minimum(name: str) -> None:
    target = find_target(name)
    low = target.restore(np.array([-50.0, 0.0]), 20.0, 5.0)
    assert (low >= target.minimum).all()


def test_one_absurd_atom_does_not_matter() -> None:
    target = find_target("b_factor")
    value = heavy_tailed()
    before = target.standardize(Labels.where_finite(value))
    for absurd in (9999.0, 1e8, -500.0):
        spoiled = value.copy()
        spoiled[7] = absurd
        after = target.standardize(Labels.where_finite(spoiled))
        np.testing.assert_allclose(
            np.delete(after.value, 7), np.delete(before.value, 7), rtol=0.01, atol=0.01
        )
        np.testing.assert_allclose(after.log_mean_sd, before.log_mean_sd, atol=0.02)


def test_ordinary_values_are_standardized_as_by_mean_and_standard_deviation() -> None:
    value = np.random.default_rng(1).normal(30, 6, 5000)
    location, scale = robust_location_scale(value)
    assert (location, scale) == pytest.approx((value.mean(), value.std()))


def test_unusable_and_missing_values_are_zero_and_do_not_count() -> None:
    target = find_target("b_factor")
    value = np.array([10.0, 20.0, 30.0, 5000.0, np.nan], np.float32)
    labels = target.standardize(
        Labels(value=value, usable=np.array([True, True, True, False, True]))
    )
    assert labels.location == pytest.approx(20.0)
    assert labels.value[3] == 0
    assert labels.value[4] == 0
    assert np.exp(labels.log_mean_sd) == pytest.approx([20.0, value[:3].std()])


def test_a_constant_structure_stays_finite() -> None:
    labels = find_target("b_factor").standardize(Labels.where_finite(np.full(9, 20.0)))
    assert np.isfinite(labels.log_mean_sd).all()
    assert (labels.value == 0).all()


def test_mostly_equal_values_keep_their_spread() -> None:
    value = np.array([20.0] * 6 + [30.0, 40.0])
    assert robust_location_scale(value)[1] == pytest.approx(value.std())


def test_no_usable_atom_is_an_error() -> None:
    with pytest.raises(ConfigError, match="none of 4 values"):
        find_target("b_factor").standardize(Labels.unusable(4, "made up"))


def test_unknown_target_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'b_factor'"):
        find_target("bfactor")


def test_clipping_is_counted() -> None:
    value = np.array([TRAINING_LIMIT + 1, -TRAINING_LIMIT - 9, TRAINING_LIMIT, 0.0], np.float32)
    clipped, changed = clip_for_training(value)
    assert changed == 2
    assert np.abs(clipped).max() == TRAINING_LIMIT


@given(st.lists(st.floats(1.0, 999.0, width=32), min_size=2, max_size=40))
def test_any_values_restore(values: list[float]) -> None:
    value = np.array(values)
    for target in TARGETS.values():
        labels = target.standardize(Labels.where_finite(value))
        restored = target.restore(labels.value, labels.location, labels.scale)
        # float32 keeps 7 digits of the standardized value, which counts in units of the scale.
        error = 1e-6 * (np.abs(value) + labels.scale * np.abs(labels.value))
        if target.transform is Transform.LOG:
            error = 1e-5 * value
        assert (np.abs(restored - value) <= error + 1e-5).all()


def made(**settings: Any) -> Target:
    """Return a target of made-up values, as a user would write it."""
    known = {"name": "made", "unit": "e", "summary": "Made.", "source": LabelSource(name="made")}
    return Target(**(known | settings))


def test_signed_values_are_standardized_by_the_training_set() -> None:
    value = np.random.default_rng(2).normal(-0.4, 2.0, 500)
    target = made().scaled(-0.4, 2.0)
    found = target.standardize(Labels.where_finite(value))
    np.testing.assert_allclose(found.value, (value + 0.4) / 2.0, atol=1e-6)
    assert (value < 0).any()
    assert found.log_mean_sd.tolist() == [0.0, 0.0]
    np.testing.assert_allclose(target.restore(found.value), value, atol=1e-5)
    np.testing.assert_allclose(target.restore(torch.from_numpy(found.value)), value, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_that_divides_by_nothing_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="scale above 0"):
        made().scaled(1.0, scale)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transform": Transform.Z}, "z needs values per atom and a minimum above 0"),
        ({"transform": Transform.Z, "minimum": 0.0}, "z needs values per atom"),
        ({"transform": Transform.Z, "minimum": 1.0, "per": Per.RESIDUE}, "z needs values per atom"),
        ({"transform": Transform.LOG}, "log needs a minimum above 0"),
        ({"transform": Transform.LOG, "minimum": -1.0}, "log needs a minimum above 0"),
        ({"per": Per.STRUCTURE, "in_b_column": True}, "only values per atom fit the B column"),
        ({"name": "Not a name"}, "not a lower-case identifier"),
        ({"name": "Upper"}, "not a lower-case identifier"),
    ],
)
def test_targets_that_cannot_work_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(**settings)


def test_values_are_counted_per_atom_residue_or_structure(peptide: Structure) -> None:
    assert [per.count(peptide) for per in Per] == [len(peptide), 13, 1]


def test_columns_follow_from_the_name_if_nothing_else_is_said() -> None:
    assert made().columns == ("made_predicted", "made_lower", "made_upper")
    assert made().observed_column is None
    assert made(name="two_words").title == "two words"
    assert find_target("b_factor").columns[0] == "b_predicted"
    assert find_target("b_factor").observed_column == "b_deposited"


def test_labels_are_usable_where_they_are_finite() -> None:
    labels = Labels.where_finite(np.array([1.0, np.nan, -3.0, np.inf]))
    assert labels.usable.tolist() == [True, False, True, False]
    assert labels.reasons == {"no value": 2}
    assert labels.value.dtype == np.float32
    assert Labels.where_finite(np.zeros(3)).reasons == {}


def test_unusable_labels_say_why() -> None:
    labels = Labels.unusable(5, "too odd")
    assert not labels.usable.any()
    assert labels.value.tolist() == [0.0] * 5
    assert labels.reasons == {"too odd": 5}


@pytest.mark.parametrize("rows", [np.array([2, 0]), np.array([True, False, True])])
def test_labels_of_some_items(rows: np.ndarray) -> None:
    labels = Labels.where_finite(np.array([1.0, 2.0, np.nan])).take(rows)
    assert sorted(labels.value[labels.usable]) == [1.0]
    assert len(labels.value) == len(labels.usable) == 2
    assert labels.reasons == {}
