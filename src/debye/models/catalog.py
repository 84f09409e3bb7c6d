"""The only list of models: command line, docs and contract tests are generated from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
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
    """Module of the model, imported on demand."""
    summary: str
    """One line for ``debye models`` and for the table in the docs."""
    model: str = "MODEL"
    """Its class in the module; ``MODEL(config, targets)`` builds an untrained model."""
    config: str = "CONFIG"
    """Class of its settings in the module, a frozen pydantic model."""
    learned: bool = True
    """False for baselines with nothing to train by gradient."""
    edge_features: bool | None = None
    """Whether messages along an edge can depend on its length, bond order and mate; None: there are no messages."""
    vectors: bool | None = None
    """Whether they can depend on its direction, too."""
    extra: str | None = None
    """Optional dependencies of this package that the model needs."""


def _convolutional(
    name: str,
    model: str,
    config: str,
    summary: str,
    *,
    edge_features: bool = False,
    vectors: bool = False,
) -> ModelCard:
    return ModelCard(
        name,
        f"debye.models.convolutional.{'egnn' if vectors else 'convolutions'}",
        summary,
        model=model,
        config=config,
        edge_features=edge_features,
        vectors=vectors,
        extra="train",
    )


def _baseline(name: str, module: str, model: str, config: str, summary: str) -> ModelCard:
    where = f"debye.models.baselines.{module}"
    return ModelCard(name, where, summary, model=model, config=config, learned=False)


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
            "GCN",
            "GCNConfig",
            "Degree-normalized sum of the neighbors (Kipf & Welling 2017); ignores edge features.",
        ),
        _convolutional(
            "graphsage",
            "GraphSAGE",
            "ConvolutionalConfig",
            "Mean of the neighbors; ignores edge features.",
        ),
        _convolutional(
            "gin",
            "GIN",
            "EdgeConvolutionalConfig",
            "Sum of the neighbors, each shifted by its edge features.",
            edge_features=True,
        ),
        _convolutional(
            "gatv2",
            "GATv2",
            "AttentionConfig",
            "Mean of the neighbors, weighted by attention with edge features.",
            edge_features=True,
        ),
        _convolutional(
            "graph_transformer",
            "GraphTransformer",
            "AttentionConfig",
            "Dot-product attention with edge features in keys and values.",
            edge_features=True,
        ),
        _convolutional(
            "nnconv",
            "EdgeConditioned",
            "NNConvConfig",
            "Mean of the neighbors, each multiplied by a matrix computed from its edge features.",
            edge_features=True,
        ),
        _convolutional(
            "pna",
            "PNA",
            "PNAConfig",
            "Mean, extremes and standard deviation of the messages, scaled by degree.",
            edge_features=True,
        ),
        _convolutional(
            "schnet",
            "SchNet",
            "EdgeConvolutionalConfig",
            "Sum of the neighbors, filtered by functions of the edge features.",
            edge_features=True,
        ),
        _convolutional(
            "egnn",
            "EGNN",
            "EdgeConvolutionalConfig",
            "Messages that depend on distances and also displace the atoms.",
            edge_features=True,
            vectors=True,
        ),
        _baseline(
            "structure_mean",
            "means",
            "StructureMean",
            "NoSettings",
            "The same value for every atom of a structure.",
        ),
        _baseline(
            "train_mean",
            "means",
            "TrainMean",
            "NoSettings",
            "The mean B of the training structures for every atom.",
        ),
        _baseline(
            "locant_element_mean",
            "means",
            "LocantElementMean",
            "LocantElementMeanConfig",
            "Mean of each element and relative location in the residue over a training set.",
        ),
        _baseline(
            "contact_number",
            "packing",
            "ContactNumber",
            "ContactNumberConfig",
            "Negative number of heavy atoms within a radius, 10 Å if not set.",
        ),
        _baseline(
            "weighted_contact_number",
            "packing",
            "WeightedContactNumber",
            "WeightedContactNumberConfig",
            "1/WCN, the inverse of the sum of 1/d² over the atoms within 25 Å.",
        ),
        _baseline(
            "gnm",
            "networks",
            "GNM",
            "GNMConfig",
            "Gaussian network of residues (or atoms), all modes, symmetry mates included.",
        ),
        _baseline(
            "anm", "networks", "ANM", "ANMConfig", "Anisotropic network of residues, all modes."
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
    config = _load(find_model(name))[1]
    try:
        return config.model_validate(dict(settings or {}))
    except ValidationError as error:
        raise ConfigError(
            f"settings of {name}",
            explain_validation(error),
            f"The settings are {', '.join(config.model_fields) or 'none'}",
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
    return _load(find_model(name))[0](config, targets)


def model_class(name: str) -> type[AtomModel]:
    """Return the class of a model.

    Raises:
        ConfigError: no such model, or a dependency is missing.
    """
    return _load(find_model(name))[0]


def _load(card: ModelCard) -> tuple[Any, Any]:
    """Import the classes of a model and of its settings; the error names a missing extra."""
    try:
        module = import_module(card.module)
        return getattr(module, card.model), getattr(module, card.config)
    except ModuleNotFoundError as error:
        if card.extra is None or (error.name or "").startswith("debye"):
            raise
        raise ConfigError(
            f"model {card.name}",
            f"needs {error.name}, which is not installed",
            f"Install it with pip install 'debye[{card.extra}]', or choose another model",
        ) from error
