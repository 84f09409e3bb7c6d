"""The oracle: every atom gets the mean of its own structure."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.base import BaselineModel, ModelOutput
from debye.targets.target import Target


class StructureMeanConfig(BaseModel, frozen=True, extra="forbid"):
    """Nothing to set."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads: they follow from the settings."""
        return GraphConfig(
            radius=None, crystal=False, node_categories=(), node_scalars=(), structure_scalars=()
        )


class StructureMean(BaselineModel):
    """Predicts no difference between the atoms of a structure.

    Its own correlation within a structure is undefined. Given the true mean of each structure, its
    *pooled* numbers show how much of a pooled correlation needs no knowledge of structure at all.
    """

    def __init__(self, config: StructureMeanConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config = config.graph

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Return a flat profile."""
        return self.output(graph.position.new_zeros(graph.n_atoms))


MODEL = StructureMean
CONFIG = StructureMeanConfig
