"""The mean standardized value of each kind of atom: what names alone can tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from pydantic import BaseModel, NonNegativeFloat
from torch import Tensor

from debye.errors import ConfigError
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.graph.node_features import category_size
from debye.models.base import ModelOutput, Sample, TableModel
from debye.targets.target import Target


class LocantElementMeanConfig(BaseModel, frozen=True, extra="forbid"):
    """How much the table trusts rare kinds of atoms."""

    prior_count: NonNegativeFloat = 20.0
    """Each mean is taken with this many more atoms of value 0, so that rare kinds stay near it."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads: they follow from the settings."""
        return GraphConfig(
            radius=None,
            crystal=False,
            node_categories=("element", "locant"),
            node_scalars=(),
            structure_scalars=(),
        )


class LocantElementMean(TableModel):
    """Looks up the mean over a training set of atoms of the same element and locant.

    Side-chain ends move more than backbone: a table of some hundred numbers knows that, and nothing
    about packing.
    """

    total: Float[Tensor, "elements locants"]
    """Sum of the standardized values seen by :meth:`fit`."""
    count: Float[Tensor, "elements locants"]
    """Number of atoms seen by :meth:`fit`."""
    level: Float[Tensor, 2]
    """Mean over structures of log mean and log standard deviation: the trivial guess of a level."""

    def __init__(self, config: LocantElementMeanConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config = config.graph
        shape = category_size("element"), category_size("locant")
        # float64 counts are exact; buffers travel in checkpoints.
        self.register_buffer("total", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("level", torch.zeros(2, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, stream: Iterable[Sample]) -> None:
        """Count kinds of atoms (categories: element, then locant) and average the levels."""
        self.total.zero_()
        self.count.zero_()
        levels = []
        locants = self.total.shape[1]
        for graph, value, level in stream:
            categories = graph.categories
            usable = torch.isfinite(value)
            cell = (categories[:, 0] * locants + categories[:, 1])[usable]
            self.total.view(-1).index_add_(0, cell, value[usable].double())
            self.count.view(-1).index_add_(0, cell, torch.ones_like(value[usable]).double())
            levels.append(level.double())
        if not levels:
            raise ConfigError(
                "locant_element_mean",
                problem="nothing to fit to",
                remedy="Give at least one sample",
            )
        self.level.copy_(torch.cat(levels).mean(dim=0))

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Look up every atom; kinds never seen get 0. Every structure gets the mean level."""
        table = self.total / (self.count + self.config.prior_count).clamp(min=1)
        profile = table[graph.categories[:, 0], graph.categories[:, 1]]
        level = self.level.expand(graph.n_structures, 2)
        kind = graph.position.dtype
        return self.output(profile.to(kind), log_mean_sd=level.to(kind))


MODEL = LocantElementMean
CONFIG = LocantElementMeanConfig
