"""Searches: which settings are tried, what a trial costs, which trial is chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from debye.benchmark.comparison.contenders import chosen_settings, trial_recipe
from debye.training.config import Recipe

SEARCH = {"settings.node_width": [8, 16], "training.learning_rate": [1e-3, 3e-3]}


def recipe(**more) -> Recipe:
    return Recipe(name="a", model="meta_gnn", **more)


def test_every_combination_is_tried_and_nothing_is_left_to_search():
    tried = recipe(search=SEARCH).combinations()
    assert [tuple(each.values()) for each in tried] == [
        (8, 1e-3),
        (8, 3e-3),
        (16, 1e-3),
        (16, 3e-3),
    ]
    changed = recipe(search=SEARCH).changed(tried[3])
    assert changed.settings == {"node_width": 16}
    assert changed.training.learning_rate == 3e-3
    assert changed.search == {}


@pytest.mark.parametrize(
    ("search", "problem"),
    [
        ({"settings.node_width": []}, "no value to try"),
        ({"settings.width": [1]}, "settings.width: no such setting"),
        ({"training.rate": [1]}, "training.rate: no such setting"),
        ({"training": [1]}, "training: no such setting"),
        ({"settings.graph": [1]}, "settings.graph: no such setting"),
        ({"name": ["b"]}, "name: no such setting"),
        ({"settings.node_width": 8}, "valid list"),
        (
            {"training.learning_rate": [1e-3, 5]},
            "cannot try .*5}: training.learning_rate: Input should be less",
        ),
        ({"settings.node_width": [8, -1]}, "node_width: Input should be greater"),
        ({"training.epochs": [30, 9], "training.validate_every": [10]}, "not a multiple"),
    ],
)
def test_a_search_of_what_is_not_there_is_refused(search, problem):
    with pytest.raises(ValidationError, match=problem):
        recipe(search=search)


def test_nested_settings_can_be_searched():
    assert recipe(search={"settings.graph.radius": [3.5, 4.0]}).search


def test_a_trial_has_a_share_of_the_budget_and_a_shorter_memory():
    whole = recipe(data={"batches_per_epoch": 50}, training={"epochs": 10, "weight_average": 0.99})
    short = trial_recipe(whole, None, 0.2)  # type: ignore[arg-type]
    assert (short.training.epochs, short.data.batches_per_epoch) == (1, 100)
    assert short.training.weight_average == pytest.approx(0.95)
    assert trial_recipe(whole, None, 0.001).data.batches_per_epoch == 1  # type: ignore[arg-type]
    assert trial_recipe(whole, None, 0.001).training.weight_average == 0  # type: ignore[arg-type]


def finish(folder: Path, value: float | None) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"facts": {"val_r": value}}))


def test_the_best_trial_is_that_of_the_highest_correlation(tmp_path: Path):
    trials = [(tmp_path / str(number), {"number": number}) for number in range(5)]
    assert chosen_settings(tmp_path, trials) is None
    for (folder, _), value in zip(trials, [0.3, 0.7, None, 0.7], strict=False):
        finish(folder, value)
    assert chosen_settings(tmp_path, trials) == {"number": 1}


def test_a_trial_without_a_figure_is_not_chosen(tmp_path: Path):
    finish(tmp_path / "1", None)
    assert chosen_settings(tmp_path, [(tmp_path / "1", {})]) is None


def test_what_was_chosen_stays_when_a_failed_trial_succeeds_later(tmp_path: Path):
    trials = [(tmp_path / f"search-{n}", {"settings.node_width": 8 * n}) for n in (1, 2)]
    finish(trials[0][0], 0.3)
    assert chosen_settings(tmp_path, trials) == {"settings.node_width": 8}
    finish(trials[1][0], 0.9)
    assert chosen_settings(tmp_path, trials) == {"settings.node_width": 8}
    (tmp_path / "chosen.json").unlink()
    assert chosen_settings(tmp_path, trials) == {"settings.node_width": 16}
