"""The interface of every model, learned or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from debye.errors import ConfigError
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.targets.losses import TargetOutput
from debye.targets.target import Per, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutput:
    """Predictions for a batch, standardized; :func:`debye.prediction.predictor.restore_values` returns units."""

    values: Mapping[str, TargetOutput]
    """By name of the target; one value per atom, residue or structure, as the target says."""

    @property
    def first(self) -> TargetOutput:
        """The values of the model's first target."""
        return next(iter(self.values.values()))


class AtomModel(nn.Module, ABC):
    """Predicts standardized values of one or more targets from an atomic graph, and never reads the B column."""

    graph_config: GraphConfig
    """The graphs that this model reads."""
    targets: tuple[Target, ...]
    """Targets that it predicts, in the order of its output."""
    encoders: ClassVar[Mapping[str, str]] = {}
    """Submodules that describe ``atoms`` (called with the graph alone), ``edges`` and ``residue_edges``, for
    :mod:`debye.explanation.gradients`. With gradients each returns a row per atom or edge: a tensor, or a dataclass
    with the tensor as ``value``."""
    head: ClassVar[tuple[str, ...]] = ()
    """Submodules that only read predictions out of features: the others can be frozen in fine-tuning."""
    fact_weights: ClassVar[tuple[str, ...]] = ()
    """Weights with a column for each of the graph's ``structure_scalars``, in their order: a model with more of these
    can start from one with fewer, see :mod:`debye.training.start`."""

    def __init__(self, targets: Sequence[Target]) -> None:
        super().__init__()
        self.targets = tuple(targets)

    @abstractmethod
    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Predict; must not change ``graph``."""


class BaselineModel(AtomModel):
    """A model of one target without learned features."""

    per: ClassVar[tuple[Per, ...]] = (Per.ATOM,)
    """The items that the model can describe."""

    def __init__(self, config: Any, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config: GraphConfig = config.graph
        if len(self.targets) != 1 or self.targets[0].per not in self.per:
            raise ConfigError(
                type(self).__name__,
                f"cannot predict {', '.join(f'{each.name} (per {each.per})' for each in self.targets)}",
                f"Give it one target per {' or '.join(self.per)}",
            )

    def output(self, value: Tensor, log_mean_sd: Tensor | None = None) -> ModelOutput:
        """Return standardized values of the model's target, (items,) and (structures, 2)."""
        found = TargetOutput(value=value, log_mean_sd=log_mean_sd)
        return ModelOutput(values={self.targets[0].name: found})


class Sample(NamedTuple):
    """One structure or batch that a table is fitted to."""

    graph: AtomGraph
    value: Float[Tensor, " items"]
    """Standardized; NaN where none is usable."""
    log_mean_sd: Float[Tensor, "structures 2"]
    """Log mean, and log standard deviation, of each structure."""


class TableModel(BaselineModel):
    """A model that is fitted in one pass over a training set, without gradients."""

    @abstractmethod
    def fit(self, stream: Iterable[Sample]) -> None:
        """Replace what was fitted by a fit to each structure or batch of the stream."""
