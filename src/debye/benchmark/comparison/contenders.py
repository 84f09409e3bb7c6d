"""Who takes part: recipes that are trained, and models that are evaluated as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from debye.errors import ConfigError
from debye.models.base import TableModel
from debye.models.catalog import CATALOG, find_model, model_class, model_config
from debye.models.checkpoint import find_checkpoint, read_header, released_checkpoints
from debye.training.config import Recipe, read_recipe

Kind = Literal["learned", "fitted", "fixed"]
"""Trained by gradient, fitted in one pass, or evaluated as it stands."""


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
    """Settings to try, by dotted name; one where there is nothing to search."""

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
        words: Paths and names.
        settings: Changes of every recipe that is trained, ``section.key=value``.

    Raises:
        ConfigError: nobody is given, a recipe is not valid, or two contenders have the same name.
        CheckpointError: a name stands for nothing that can predict.
    """
    if not words:
        raise ConfigError("compare", problem="no recipe is given", remedy="Name at least one")
    found = [
        _from_recipe(Path(word), settings) if word.endswith(".toml") else _from_name(word)
        for word in words
    ]
    taken = {each.name for each in found if each.recipe is not None}
    names = [
        f"{each.name}-released" if each.recipe is None and each.name in taken else each.name
        for each in found
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            "compare",
            problem=f"more than one recipe or model is called {', '.join(twice)}",
            remedy="Give each recipe a name of its own",
        )
    return [replace(each, name=name) for name, each in zip(names, found, strict=True)]


def _from_recipe(path: Path, settings: Sequence[str]) -> Contender:
    recipe = read_recipe(path)
    kind = _kind(recipe.model)
    if kind == "learned" and settings:
        recipe = read_recipe(path, settings)
    if recipe.rehearsal is not None:
        raise ConfigError(
            str(path),
            problem="has a section [rehearsal]",
            remedy="Compare recipes that train on one store",
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
    find_checkpoint(name)
    header = read_header(name)
    return Contender(
        name=header.name, source=name, kind="fixed", model=header.model, checkpoint=name
    )


def _kind(model: str) -> Kind:
    card = find_model(model)
    if card.learned:
        return "learned"
    is_table = issubclass(model_class(model), TableModel)
    return "fitted" if is_table else "fixed"
