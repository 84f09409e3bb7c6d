"""The only list of models: command line, docs and contract tests are generated from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from debye.models.base import AtomModel


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model that can be built by name."""

    name: str
    """What the user types."""
    module: str
    """Where ``MODEL`` and ``CONFIG`` live; imported only when asked for."""
    summary: str
    """One line for ``debye models`` and for the table in the docs."""
    learned: bool = True
    """False for baselines with nothing to train by gradient."""


CATALOG: Mapping[str, ModelCard] = {
    card.name: card
    for card in (
        ModelCard(
            "meta_gnn",
            "debye.models.meta_gnn",
            "Graph network with edge, node and global updates over bonds and contacts.",
        ),
    )
}


def find_model(name: str) -> ModelCard:
    """Look up a model by name, or explain which names exist.

    Raises:
        ValueError: no model has this name.
    """
    if name in CATALOG:
        return CATALOG[name]
    close = get_close_matches(name, CATALOG, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(CATALOG)}"
    raise ValueError(f"no model is called {name!r}: {hint}")


def model_config(name: str, settings: Mapping[str, Any] | None = None) -> BaseModel:
    """Validate the settings of a model and return its frozen config."""
    return import_module(find_model(name).module).CONFIG.model_validate(dict(settings or {}))


def build_model(name: str, settings: Mapping[str, Any] | None = None) -> AtomModel:
    """Build an untrained model from its name and settings."""
    module = import_module(find_model(name).module)
    return module.MODEL(model_config(name, settings))
