"""What a model must beat that claims to know the level: the mean B of the training set for every atom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor

from debye.errors import ConfigError
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.base import ModelOutput, Sample, TableModel, flat_values
from debye.targets.target import Per, Target


class TrainMeanConfig(BaseModel, frozen=True, extra="forbid"):
    """Nothing to set."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads: they follow from the settings."""
        return GraphConfig(
            radius=None, crystal=False, node_categories=(), node_scalars=(), structure_scalars=()
        )


class TrainMean(TableModel):
    """Predicts one number everywhere: the mean over training structures of their means.

    Every structure counts once, not every atom, so that a few large ones do not set the number.
    """

    per = tuple(Per)
    level: Float[Tensor, 2]
    """Log of the mean over structures of their mean, and of their standard deviation."""

    def __init__(self, config: TrainMeanConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config = config.graph
        self.register_buffer("level", torch.zeros(2, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, stream: Iterable[Sample]) -> None:
        """Average the levels; the atoms are not looked at."""
        levels = [sample.log_mean_sd.double().exp() for sample in stream]
        if not levels:
            raise ConfigError(
                "train_mean", problem="nothing to fit to", remedy="Give at least one sample"
            )
        self.level.copy_(torch.cat(levels).mean(dim=0).log())

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Return the same value everywhere."""
        level = self.level.expand(graph.n_structures, 2).to(graph.position.dtype)
        return self.output(flat_values(graph, self.targets[0].per), log_mean_sd=level)


MODEL = TrainMean
CONFIG = TrainMeanConfig
