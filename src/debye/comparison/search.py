"""The small search of a recipe: what a trial costs."""

from __future__ import annotations

from typing import Any

from debye.data.loader import BatchSampler, choose_rows
from debye.data.store import Store
from debye.training.config import Recipe


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
    rows, _ = choose_rows(entries, recipe.data.loader)
    return len(
        BatchSampler(rows, [entries[row].n_atoms for row in rows], recipe.data.loader).keys(0)
    )
