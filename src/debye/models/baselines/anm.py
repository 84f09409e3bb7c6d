"""Anisotropic network model: springs that resist only a change of their length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, PositiveFloat

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.base import BaselineModel, ModelOutput
from debye.models.baselines.elastic_network import ANM_CUTOFF, anisotropic_network
from debye.models.baselines.network_nodes import CATEGORIES, residue_nodes, to_atoms
from debye.targets.target import Target


class ANMConfig(BaseModel, frozen=True, extra="forbid"):
    """Which nodes touch."""

    cutoff: PositiveFloat = ANM_CUTOFF
    """Å, between residues: their Cα, phosphorus, or atom nearest to the centroid."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads; their edges are not looked at."""
        return GraphConfig(
            radius=None,
            crystal=False,
            node_categories=CATEGORIES,
            node_scalars=(),
            structure_scalars=(),
        )


class ANM(BaselineModel):
    """Predicts the mean-square fluctuation of each residue from all modes, standardized in each structure.

    Symmetry mates stay out: an image moves along the turned direction of its original, and edges do not
    know by how much it is turned. Contacts come from the positions: at 15 Å edges between all atoms would
    be a thousand times as many.

    Reference: Atilgan, Durell, Jernigan, Demirel, Keskin & Bahar (2001), doi:10.1016/S0006-3495(01)76033-X.
    """

    def __init__(self, config: ANMConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config = config.graph

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Solve the network of each structure."""
        nodes = residue_nodes(graph)
        position = graph.position.double().cpu().numpy()[nodes.atom]
        structure = graph.structure_index.cpu().numpy()[nodes.atom]
        fluctuation = np.full(len(nodes.atom), np.nan)
        for number in range(graph.n_structures):
            mine = structure == number
            fluctuation[mine] = anisotropic_network(position[mine], self.config.cutoff)
        return self.output(to_atoms(fluctuation, nodes, graph))


MODEL = ANM
CONFIG = ANMConfig
