"""Gaussian network model: contacts as springs, the same in every direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, PositiveFloat

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.base import BaselineModel, ModelOutput
from debye.models.baselines.elastic_network import GNM_CUTOFF, kirchhoff_fluctuations
from debye.models.baselines.network_nodes import CATEGORIES, atom_nodes, residue_nodes, to_atoms
from debye.targets.target import Target


class GNMConfig(BaseModel, frozen=True, extra="forbid"):
    """What is a node, and which nodes touch."""

    level: Literal["residue", "atom"] = "residue"
    """Nodes: one a residue (Cα, phosphorus, or the atom nearest to the centroid), or every atom."""
    cutoff: PositiveFloat = GNM_CUTOFF
    """Å. Usual are 7 between residues, 5 between atoms."""
    crystal: bool = True
    """Symmetry mates are in contact too, and move as their originals do."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads: they follow from the settings."""
        return GraphConfig(
            covalent=False,
            radius=self.cutoff,
            crystal=self.crystal,
            node_categories=CATEGORIES,
            node_scalars=(),
            structure_scalars=(),
        )


class GNM(BaselineModel):
    """Predicts the mean-square fluctuation of each node from all modes, standardized in each structure.

    References: Bahar, Atilgan & Erman (1997), doi:10.1016/S1359-0278(97)00024-2; with crystal
    contacts: Kundu, Melton, Sorensen & Phillips (2002), doi:10.1016/S0006-3495(02)75203-X.
    """

    def __init__(self, config: GNMConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config = config.graph

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Solve each structure's network of edges between nodes."""
        nodes = atom_nodes(graph) if self.config.level == "atom" else residue_nodes(graph)
        sender, receiver = graph.edge_index.cpu().numpy()
        joins = (nodes.atom[nodes.of_atom[sender]] == sender) & (
            nodes.atom[nodes.of_atom[receiver]] == receiver
        )
        fluctuation = kirchhoff_fluctuations(
            len(nodes.atom), nodes.of_atom[sender[joins]], nodes.of_atom[receiver[joins]]
        )
        return self.output(to_atoms(fluctuation, nodes, graph))


MODEL = GNM
CONFIG = GNMConfig
