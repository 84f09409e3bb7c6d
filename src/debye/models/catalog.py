"""The only list of models: command line, docs and contract tests are generated from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from debye.errors import ConfigError, explain_validation
from debye.plugins import Catalog
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import Target

if TYPE_CHECKING:
    from debye.models.base import AtomModel


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model that can be built by name."""

    name: str
    """What the user types."""
    module: str
    """Module with ``MODEL`` and ``CONFIG``, imported on demand; ``MODEL(config, targets)`` builds an untrained model."""
    summary: str
    """One line for ``debye models`` and for the table in the docs."""
    learned: bool = True
    """False for baselines with nothing to train by gradient."""
    edge_features: bool | None = None
    """Whether what an edge is (length, bond order, mate) can reach the messages that pass along it; None: there
    are no messages."""
    vectors: bool | None = None
    """Whether the directions of edges can, too."""
    extra: str | None = None
    """Optional dependencies of this package that the model needs."""


def _convolutional(
    name: str, summary: str, *, edge_features: bool = False, vectors: bool = False
) -> ModelCard:
    return ModelCard(
        name,
        f"debye.models.convolutional.{name}",
        summary,
        edge_features=edge_features,
        vectors=vectors,
        extra="train",
    )


CATALOG = Catalog(
    "model",
    "debye.models",
    ModelCard,
    (
        ModelCard(
            "waller",
            "debye.models.waller",
            "Messages between atoms, between residues and within rigid bodies, crystal contacts included.",
            edge_features=True,
            vectors=True,
        ),
        ModelCard(
            "meta_gnn",
            "debye.models.meta_gnn",
            "Graph network with edge, node and global updates over bonds and contacts.",
            edge_features=True,
            vectors=False,
        ),
        _convolutional(
            "gcn",
            "Degree-normalized sum of the neighbors (Kipf & Welling 2017); ignores edge features.",
        ),
        _convolutional("graphsage", "Mean of the neighbors; ignores edge features."),
        _convolutional(
            "gin", "Sum of the neighbors, each shifted by its edge features.", edge_features=True
        ),
        _convolutional(
            "gatv2",
            "Mean of the neighbors, weighted by attention with edge features.",
            edge_features=True,
        ),
        _convolutional(
            "graph_transformer",
            "Dot-product attention with edge features in keys and values.",
            edge_features=True,
        ),
        _convolutional(
            "nnconv",
            "Mean of the neighbors, each multiplied by a matrix computed from its edge features.",
            edge_features=True,
        ),
        _convolutional(
            "pna",
            "Mean, extremes and standard deviation of the messages, scaled by degree.",
            edge_features=True,
        ),
        _convolutional(
            "schnet",
            "Sum of the neighbors, filtered by functions of the edge features.",
            edge_features=True,
        ),
        _convolutional(
            "egnn",
            "Messages that depend on distances and also displace the atoms.",
            edge_features=True,
            vectors=True,
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
            "Negative number of heavy atoms within a radius, 10 Å if not set.",
            learned=False,
        ),
        ModelCard(
            "weighted_contact_number",
            "debye.models.baselines.weighted_contact_number",
            "1/WCN, the inverse of the sum of 1/d² over the atoms within 25 Å.",
            learned=False,
        ),
        ModelCard(
            "gnm",
            "debye.models.baselines.gnm",
            "Gaussian network of residues (or atoms), all modes, symmetry mates included.",
            learned=False,
        ),
        ModelCard(
            "anm",
            "debye.models.baselines.anm",
            "Anisotropic network of residues, all modes.",
            learned=False,
        ),
        ModelCard(
            "gradient_boosting",
            "debye.models.baselines.gradient_boosting",
            "Gradient-boosted trees on the features of each atom.",
            learned=False,
            extra="peers",
        ),
    ),
)


def find_model(name: str) -> ModelCard:
    """Look up a model by name, or explain which names exist.

    Raises:
        ConfigError: no model has this name.
    """
    return CATALOG.find(name)


def model_config(name: str, settings: Mapping[str, Any] | None = None) -> BaseModel:
    """Validate the settings of a model and return its frozen config.

    Raises:
        ConfigError: no such model, a setting is unknown or not valid, or a dependency is missing.
    """
    module = _load(find_model(name))
    try:
        return module.CONFIG.model_validate(dict(settings or {}))
    except ValidationError as error:
        raise ConfigError(
            f"settings of {name}",
            problem=explain_validation(error),
            remedy=f"The settings are {', '.join(module.CONFIG.model_fields) or 'none'}",
        ) from error


def build_model(
    name: str,
    settings: Mapping[str, Any] | None = None,
    targets: Sequence[Target] = (B_FACTOR,),
) -> AtomModel:
    """Build an untrained model of some targets from its name and settings.

    Raises:
        ConfigError: no such model, a setting is unknown or not valid, a dependency is missing, or the model
            cannot predict the targets.
    """
    config = model_config(name, settings)
    return _load(find_model(name)).MODEL(config, targets)


def _load(card: ModelCard) -> ModuleType:
    """Import a model; say what to install where an optional dependency is missing."""
    try:
        return import_module(card.module)
    except ModuleNotFoundError as error:
        if card.extra is None or (error.name or "").startswith("debye"):
            raise
        raise ConfigError(
            f"model {card.name}",
            problem=f"needs {error.name}, which is not installed",
            remedy=f"Install it with pip install 'debye[{card.extra}]', or choose another model",
        ) from error
