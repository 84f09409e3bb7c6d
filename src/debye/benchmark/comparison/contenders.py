"""The models of a comparison: recipes that are trained, with their searches, and models without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from debye.benchmark.comparison.runs import RESULT_FILE, read_facts
from debye.dataset.batches.loader import BatchSampler, choose_rows
from debye.dataset.store.store import Store
from debye.errors import ConfigError
from debye.files import write_json
from debye.models.base import TableModel
from debye.models.catalog import CATALOG, find_model, model_class, model_config
from debye.models.checkpoint import read_header, released_checkpoints
from debye.targets.catalog import find_targets
from debye.training.config import Recipe, read_recipe

CHOSEN_FILE = "chosen.json"
Kind = Literal["learned", "fitted", "fixed"]
"""Trained by gradient, fitted in one pass, or evaluated without training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of the tables."""

    name: str
    source: str
    """What the user typed."""
    kind: Kind
    model: str
    """Row of the catalog of models."""
    recipe: Recipe | None = None
    """None: a checkpoint, or a baseline by its name."""
    checkpoint: str | None = None
    """Released name or path; None: trained from the recipe, or built from the catalog."""
    trials: tuple[dict[str, Any], ...] = field(default=({},))
    """Settings to try, by dotted name; a single one if there is nothing to search."""

    @property
    def has_seeds(self) -> bool:
        """Whether another seed gives another result."""
        return self.kind == "learned" or (self.kind == "fitted" and self.seed_setting)

    @property
    def seed_setting(self) -> bool:
        """Whether the model itself has a setting ``seed``."""
        return self.recipe is not None and "seed" in dict(
            model_config(self.model, self.recipe.settings)
        )


def read_contenders(words: Sequence[str], settings: Sequence[str] = ()) -> list[Contender]:
    """Read recipes (paths that end in ``.toml``), and find checkpoints and baselines by name.

    Args:
        settings: Changes of every recipe that is trained, ``section.key=value``.

    Raises:
        ConfigError: no model is given, a recipe is not valid, or two contenders have the same name.
        CheckpointError: a name is neither a checkpoint nor a baseline.
    """
    if not words:
        raise ConfigError("compare", "no recipe is given", "Name at least one")
    found = [
        _from_recipe(Path(word), settings) if word.endswith(".toml") else _from_name(word)
        for word in words
    ]
    taken = {each.name for each in found if each.recipe is not None}
    names = [
        f"{each.name}-released" if each.recipe is None and each.name in taken else each.name
        for each in found
    ]
    twice = ", ".join(sorted({name for name in names if names.count(name) > 1}))
    if twice:
        problem = f"more than one recipe or model is called {twice}"
        raise ConfigError("compare", problem, "Give each recipe a name of its own")
    return [replace(each, name=name) for name, each in zip(names, found, strict=True)]


def _from_recipe(path: Path, settings: Sequence[str]) -> Contender:
    recipe = read_recipe(path)
    kind = _kind(recipe.model)
    recipe = read_recipe(path, settings) if kind == "learned" and settings else recipe
    if recipe.rehearsal is not None:
        raise ConfigError(
            str(path), "has a section [rehearsal]", "Compare recipes that train on one store"
        )
    return Contender(
        name=recipe.name,
        source=str(path),
        kind=kind,
        model=recipe.model,
        recipe=recipe,
        trials=tuple(recipe.combinations()) if kind == "learned" else ({},),
    )


def _from_name(name: str) -> Contender:
    card = CATALOG.get(name)
    is_baseline = card is not None and not card.learned and not Path(name).is_file()
    if is_baseline and name not in released_checkpoints() and _kind(name) == "fixed":
        return Contender(name=name, source=name, kind="fixed", model=name)
    found = read_header(name)
    return Contender(name=found.name, source=name, kind="fixed", model=found.model, checkpoint=name)


def _kind(model: str) -> Kind:
    if find_model(model).learned:
        return "learned"
    return "fitted" if issubclass(model_class(model), TableModel) else "fixed"


def trial_recipe(recipe: Recipe, store: Store, share: float) -> Recipe:
    """Return a recipe with a share of its budget, in one epoch.

    A moving average of the weights is shortened in proportion, or it would remember the random ones.
    """
    data, training = recipe.data, recipe.training
    batches = data.batches_per_epoch
    if not batches:
        entries = store.entries(data.split)
        rows, _ = choose_rows(store, data.split, find_targets(recipe.targets), data.loader)
        sizes = [entries[row].n_atoms for row in rows]
        batches = len(BatchSampler(rows, sizes, data.loader).keys(0))
    settings: dict[str, Any] = {
        "data.batches_per_epoch": max(1, round(share * batches * training.epochs)),
        "training.epochs": 1,
        "training.validate_every": 1,
        "training.weight_average": max(0.0, 1 - (1 - training.weight_average) / share),
    }
    return recipe.changed(settings)


def chosen_settings(
    folder: Path, trials: Sequence[tuple[Path, dict[str, Any]]]
) -> dict[str, Any] | None:
    """Return the settings of the finished trial of highest r on the validation sample; None without any.

    Of equal trials the first is chosen. A choice is kept in the folder, so that all seeds have the same.
    """
    path = folder / CHOSEN_FILE
    if path.exists():
        return json.loads(path.read_text())
    done = [each for each in trials if (each[0] / RESULT_FILE).exists()]
    r = [read_facts(place)["val_r"] for place, _ in done]
    known = [(value, each) for value, (_, each) in zip(r, done, strict=True) if value is not None]
    if not known:
        return None
    _, settings = max(known, key=lambda each: each[0])
    write_json(path, settings, indent=None)
    return settings
