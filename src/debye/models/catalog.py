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


_CONVOLUTIONAL = """
gcn               GCN              GCNConfig               -              Degree-normalized sum of the neighbors (Kipf & Welling 2017); ignores edge features.
graphsage         GraphSAGE        ConvolutionalConfig     -              Mean of the neighbors; ignores edge features.
gin               GIN              EdgeConvolutionalConfig edges          Sum of the neighbors, each shifted by its edge features.
gatv2             GATv2            AttentionConfig         edges          Mean of the neighbors, weighted by attention with edge features.
graph_transformer GraphTransformer AttentionConfig         edges          Dot-product attention with edge features in keys and values.
nnconv            EdgeConditioned  NNConvConfig            edges          Mean of the neighbors, each multiplied by a matrix computed from its edge features.
pna               PNA              PNAConfig               edges          Mean, extremes and standard deviation of the messages, scaled by degree.
schnet            SchNet           EdgeConvolutionalConfig edges          Sum of the neighbors, filtered by functions of the edge features.
egnn              EGNN             EdgeConvolutionalConfig edges+vectors  Messages that depend on distances and also displace the atoms.
"""
"""Name, class, class of the settings, what messages depend on, summary."""

_BASELINES = """
structure_mean          means             StructureMean         NoSettings                  The same value for every atom of a structure.
train_mean              means             TrainMean             NoSettings                  The mean B of the training structures for every atom.
locant_element_mean     means             LocantElementMean     LocantElementMeanConfig     Mean of each element and relative location in the residue over a training set.
contact_number          geometry          ContactNumber         ContactNumberConfig         Negative number of heavy atoms within a radius, 10 Å if not set.
weighted_contact_number geometry          WeightedContactNumber WeightedContactNumberConfig 1/WCN, the inverse of the sum of 1/d² over the atoms within 25 Å.
gnm                     geometry          GNM                   GNMConfig                   Gaussian network of residues (or atoms), all modes, symmetry mates included.
anm                     geometry          ANM                   ANMConfig                   Anisotropic network of residues, all modes.
gradient_boosting       gradient_boosting GradientBoosting      GradientBoostingConfig      Gradient-boosted trees on the features of each atom.
"""
"""Name, module, class, class of the settings, summary."""


def _convolutional(line: str) -> ModelCard:
    name, model, config, messages, summary = line.split(maxsplit=4)
    kind = {"edge_features": "edges" in messages, "vectors": "vectors" in messages}
    where = "debye.models.convolutional.convolutions"
    return ModelCard(name, where, summary, model=model, config=config, extra="train", **kind)


def _baseline(line: str) -> ModelCard:
    name, module, model, config, summary = line.split(maxsplit=4)
    where, extra = f"debye.models.baselines.{module}", {"gradient_boosting": "peers"}.get(name)
    return ModelCard(name, where, summary, model=model, config=config, learned=False, extra=extra)


_NETWORKS = (
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
)
CATALOG = Catalog(
    "model",
    "debye.models",
    ModelCard,
    (
        *_NETWORKS,
        *map(_convolutional, _CONVOLUTIONAL.strip().splitlines()),
        *map(_baseline, _BASELINES.strip().splitlines()),
    ),
)


def find_model(name: str) -> ModelCard:
    """Look up a model by name; a ConfigError says which names exist."""
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
        remedy = f"The settings are {', '.join(config.model_fields) or 'none'}"
        raise ConfigError(f"settings of {name}", explain_validation(error), remedy) from error


def build_model(
    name: str,
    settings: Mapping[str, Any] | None = None,
    targets: Sequence[Target] = (B_FACTOR,),
) -> AtomModel:
    """Build an untrained model from its name and settings.

    Raises:
        ConfigError: as :func:`model_config`, or the model cannot predict the targets.
    """
    config = model_config(name, settings)
    return _load(find_model(name))[0](config, targets)


def model_class(name: str) -> type[AtomModel]:
    """Return the class of a model."""
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
