"""The small search of a recipe: what a trial costs, and which one decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from debye.benchmark.comparison.job import RESULT_FILE
from debye.benchmark.comparison.schedule import Task
from debye.dataset.batches.loader import BatchSampler, choose_rows
from debye.dataset.store.store import Store
from debye.files import write_text
from debye.targets.catalog import find_targets
from debye.training.config import Recipe

CHOSEN_FILE = "chosen.json"


def trial(recipe: Recipe, store: Store, share: float) -> Recipe:
    """Return a recipe with a share of its budget: one epoch of so many batches.

    A moving average of the weights is shortened in proportion, or it would remember the random ones.
    """
    batches = recipe.data.batches_per_epoch or _batches_of_a_pass(recipe, store)
    settings: dict[str, Any] = {
        "data.batches_per_epoch": max(1, round(share * batches * recipe.training.epochs)),
        "training.epochs": 1,
        "training.validate_every": 1,
        "training.weight_average": max(0.0, 1 - (1 - recipe.training.weight_average) / share),
    }
    return recipe.changed(settings)


def _batches_of_a_pass(recipe: Recipe, store: Store) -> int:
    entries = store.entries(recipe.data.split)
    targets = find_targets(recipe.targets)
    rows, _ = choose_rows(store, recipe.data.split, targets, recipe.data.loader)
    return len(
        BatchSampler(rows, [entries[row].n_atoms for row in rows], recipe.data.loader).keys(0)
    )


def chosen_settings(folder: Path, trials: Sequence[Task]) -> dict[str, Any] | None:
    """Return the settings of the best trial that has ended well; None without any.

    What was chosen once stays, so that all seeds have the same.

    Args:
        folder: Of the contender.
        trials: All of them.
    """
    path = folder / CHOSEN_FILE
    if path.exists():
        return json.loads(path.read_text())
    best = best_trial([each.folder for each in trials if each.is_done])
    if best is None:
        return None
    settings = next(each.job.settings for each in trials if each.folder == best)
    write_text(path, json.dumps(settings))
    return settings


def best_trial(folders: Sequence[Path]) -> Path | None:
    """Return the finished trial of the highest correlation on the validation sample; None without any.

    Of equal ones the first.
    """
    scores = {
        folder: json.loads((folder / RESULT_FILE).read_text())["facts"]["val_r"]
        for folder in folders
    }
    known = {folder: value for folder, value in scores.items() if value is not None}
    return max(known, key=lambda folder: known[folder]) if known else None
