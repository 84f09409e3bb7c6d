"""Baselines of mean values: of a structure, of the training set, and of each kind of atom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from pydantic import BaseModel, NonNegativeFloat
from torch import Tensor

from debye.errors import ConfigError
from debye.graph.config import GraphConfig
from debye.graph.features import category_size
from debye.graph.graph import AtomGraph, item_count
from debye.models.base import BaselineModel, ModelOutput, Sample, TableModel
from debye.targets.target import Per, Target


class NoSettings(BaseModel, frozen=True, extra="forbid"):
    """Nothing to set."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads."""
        return GraphConfig.plain()


class StructureMean(BaselineModel):
    """Predicts no difference between the atoms of a structure.

    Given the true mean of each structure, its *pooled* correlation shows what pooling alone contributes.
    """

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Return a flat profile."""
        return self.output(graph.position.new_zeros(graph.n_atoms))


class TrainMean(TableModel):
    """Predicts one number everywhere: the mean over training structures of their means.

    Every structure counts once, not every atom, so that a few large ones do not set the number.
    """

    per = tuple(Per)
    level: Float[Tensor, 2]
    """Log of the mean over structures of their mean, and of their standard deviation."""

    def __init__(self, config: NoSettings, targets: Sequence[Target]) -> None:
        super().__init__(config, targets)
        self.register_buffer("level", torch.zeros(2, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, stream: Iterable[Sample]) -> None:
        """Average means and standard deviations of structures; atoms are not read."""
        levels = [sample.log_mean_sd.double().exp() for sample in stream]
        if not levels:
            raise ConfigError("train_mean", "nothing to fit to", "Give at least one sample")
        self.level.copy_(torch.cat(levels).mean(dim=0).log())

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Return the same value everywhere."""
        level = self.level.expand(graph.n_structures, 2).to(graph.position.dtype)
        items = item_count(graph, self.targets[0].per)
        return self.output(graph.position.new_zeros(items), log_mean_sd=level)


class LocantElementMeanConfig(BaseModel, frozen=True, extra="forbid"):
    """Weight of rare kinds of atoms."""

    prior_count: NonNegativeFloat = 20.0
    """Each mean is taken with this many more atoms of value 0, so that rare kinds stay near it."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads."""
        return GraphConfig.plain(node_categories=("element", "locant"))


class LocantElementMean(TableModel):
    """Looks up the mean over a training set of atoms of the same element and locant; it knows nothing about packing."""

    total: Float[Tensor, "elements locants"]
    """Sum of the standardized values in :meth:`fit`."""
    count: Float[Tensor, "elements locants"]
    """Number of atoms in :meth:`fit`."""
    level: Float[Tensor, 2]
    """Mean over structures of log mean and log standard deviation: the prediction for every structure."""

    def __init__(self, config: LocantElementMeanConfig, targets: Sequence[Target]) -> None:
        super().__init__(config, targets)
        shape = category_size("element"), category_size("locant")
        # float64 counts are exact; checkpoints contain buffers.
        for name, size in (("total", shape), ("count", shape), ("level", (2,))):
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, stream: Iterable[Sample]) -> None:
        """Count kinds of atoms (categories: element, then locant) and average mean and sd of structures."""
        self.total.zero_()
        self.count.zero_()
        levels = []
        for graph, value, level in stream:
            usable = torch.isfinite(value)
            cell, found = tuple(graph.categories[usable, :2].T), value[usable].double()
            self.total.index_put_(cell, found, accumulate=True)
            self.count.index_put_(cell, torch.ones_like(found), accumulate=True)
            levels.append(level.double())
        if not levels:
            raise ConfigError(
                "locant_element_mean", "nothing to fit to", "Give at least one sample"
            )
        self.level.copy_(torch.cat(levels).mean(dim=0))

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Look up every atom; kinds that were not in the training set get 0."""
        table = self.total / (self.count + self.config.prior_count).clamp(min=1)
        profile = table[graph.categories[:, 0], graph.categories[:, 1]]
        level, kind = self.level.expand(graph.n_structures, 2), graph.position.dtype
        return self.output(profile.to(kind), log_mean_sd=level.to(kind))
