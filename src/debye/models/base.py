"""The interface of every model, learned or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph

SPREAD_RANGE = (-4.0, 3.0)
"""Limits of the log of an expected error, in standard deviations: a smaller error is no claim that data support,
and in training the likelihood of one atom could outweigh the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutput:
    """What a model says about a batch, in standardized units.

    :mod:`debye.targets.target` owns the way back to the unit of the target.
    """

    profile: Float[Tensor, " atoms"]
    """Standardized value of each atom: how many standard deviations above its structure's mean."""
    log_spread: Float[Tensor, " atoms"] | None = None
    """Log of the expected absolute error of ``profile``, counted within :data:`SPREAD_RANGE`; None: the model has no
    opinion."""
    level: Float[Tensor, "structures 2"] | None = None
    """Log mean, and log standard deviation, of each structure's values; None: no opinion."""


class AtomModel(nn.Module, ABC):
    """Predicts a standardized value for every atom of an atomic graph.

    Models see standardized targets only, and never the B column of the input.
    """

    graph_config: GraphConfig
    """The graphs that this model reads."""
    encoders: ClassVar[Mapping[str, str]] = {}
    """Submodules that describe ``atoms`` (called with the graph alone), ``edges`` and ``residue_edges``,
    for :mod:`debye.explanation.gradients`; empty where there are none. With gradients each returns a row an
    atom or edge: a tensor, or a dataclass that holds it as ``value``."""
    head: ClassVar[tuple[str, ...]] = ()
    """Submodules that only read out what all others made of the graph; a model that is learned names
    at least one, so that the others can be kept as they are when it is fine-tuned."""
    fact_weights: ClassVar[tuple[str, ...]] = ()
    """Weights with a column for each of the graph's ``structure_scalars``, in their order: a model with more of these
    can start from one with fewer, see :mod:`debye.training.start`."""

    @abstractmethod
    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Predict; must not change ``graph``."""


class Sample(NamedTuple):
    """What a table is fitted to: one structure or batch."""

    graph: AtomGraph
    value: Float[Tensor, " atoms"]
    """Standardized; NaN where an atom has no usable one."""
    level: Float[Tensor, "structures 2"]
    """Log mean, and log standard deviation, of each structure."""


class TableModel(AtomModel):
    """A model that is fitted in one pass over a training set, without gradients."""

    @abstractmethod
    def fit(self, stream: Iterable[Sample]) -> None:
        """Forget what was fitted and fit anew, to each structure or batch of the stream."""
