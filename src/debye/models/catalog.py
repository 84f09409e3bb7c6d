"""The only list of models: command line, docs and contract tests are generated from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from debye.errors import ConfigError, explain_validation, unknown_name

if TYPE_CHECKING:
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
    edge_features: bool | None = None
    """Whether the convolution can use features of edges; None: no convolution."""
    vectors: bool | None = None
    """Whether it can use the directions of edges; None: no convolution."""


CATALOG: Mapping[str, ModelCard] = {
    card.name: card
    for card in (
        ModelCard(
            "waller",
            "debye.models.waller",
            "Messages between atoms, between residues and along rigid bodies, in the crystal.",
        ),
        ModelCard(
            "meta_gnn",
            "debye.models.meta_gnn",
            "Graph network with edge, node and global updates over bonds and contacts.",
        ),
        ModelCard(
            "structure_mean",
            "debye.models.baselines.structure_mean",
            "The same value for every atom of a structure.",
            learned=False,
        ),
        ModelCard(
            "train_mean",
            "debye.models.baselines.train_mean",
            "The mean B of the training structures for every atom.",
            learned=False,
        ),
        ModelCard(
            "locant_element_mean",
            "debye.models.baselines.locant_element_mean",
            "Mean of each element and relative location in the residue over a training set.",
            learned=False,
        ),
        ModelCard(
            "contact_number",
            "debye.models.baselines.contact_number",
            "Negative number of heavy atoms within 10 Å.",
            learned=False,
        ),
        ModelCard(
            "weighted_contact_number",
            "debye.models.baselines.weighted_contact_number",
            "1/WCN, the inverse of the sum of 1/d² over the atoms within 25 Å.",
            learned=False,
        ),
    )
}


def find_model(name: str) -> ModelCard:
    """Look up a model by name, or explain which names exist.

    Raises:
        ConfigError: no model has this name.
    """
    if name not in CATALOG:
        raise unknown_name("model", name, CATALOG)
    return CATALOG[name]


def model_config(name: str, settings: Mapping[str, Any] | None = None) -> BaseModel:
    """Validate the settings of a model and return its frozen config.

    Raises:
        ConfigError: no such model, or a setting is unknown or not valid.
    """
    module = import_module(find_model(name).module)
    try:
        return module.CONFIG.model_validate(dict(settings or {}))
    except ValidationError as error:
        raise ConfigError(
            f"settings of {name}",
            problem=explain_validation(error),
            remedy=f"The settings are {', '.join(module.CONFIG.model_fields) or 'none'}",
        ) from error


def build_model(name: str, settings: Mapping[str, Any] | None = None) -> AtomModel:
    """Build an untrained model from its name and settings.

    Raises:
        ConfigError: no such model, or a setting is unknown or not valid.
    """
    config = model_config(name, settings)
    return import_module(find_model(name).module).MODEL(config)
