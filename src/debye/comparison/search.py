"""The small search of a recipe: which settings are tried, and what a trial costs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from debye.data.loader import BatchSampler, choose_rows
from debye.data.store import Store
from debye.training.config import Recipe


def combinations(recipe: Recipe) -> list[dict[str, Any]]:
    """Return every combination of the values that a recipe searches, by dotted setting.

    Example:
        >>> recipe = Recipe(name="a", model="meta_gnn", search={"training.seed": [1, 2]})
        >>> combinations(recipe)
        [{'training.seed': 1}, {'training.seed': 2}]
        >>> combinations(Recipe(name="a", model="meta_gnn"))
        [{}]
    """
    return [
        dict(zip(recipe.search, values, strict=True)) for values in product(*recipe.search.values())
    ]


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Return a recipe with some dotted settings changed, and nothing left to search."""
    content = recipe.model_dump()
    for key, value in settings.items():
        *parents, name = key.split(".")
        section = content
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = value
    return Recipe.model_validate(content | {"search": {}})


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
    return with_settings(recipe, settings)


def _batches_of_a_pass(recipe: Recipe, store: Store) -> int:
    entries = store.entries(recipe.data.split)
    rows, _ = choose_rows(entries, recipe.data.loader)
    return len(
        BatchSampler(rows, [entries[row].n_atoms for row in rows], recipe.data.loader).keys(0)
    )
