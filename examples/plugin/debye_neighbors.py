"""A target and a model for debye: how many atoms are near each atom, and a network with one round of messages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import BaseModel, PositiveInt
from scipy.spatial import cKDTree

from debye.graph import AtomGraph, GraphConfig
from debye.models import AtomModel, ModelCard, ModelOutput
from debye.models.layers.connectivity import Grouping
from debye.models.layers.encoders import AtomEncoder, EdgeEncoder, mlp
from debye.models.layers.heads import Features, Heads, HeadWidths
from debye.structure.structure import Structure
from debye.targets.target import Labels, LabelSource, Target

RADIUS = 8.0  # Å


def count_neighbors(structure: Structure) -> Labels:
    """Return the number of heavy atoms within 8 Å of each atom."""
    tree = cKDTree(structure.position)
    count = tree.query_ball_point(structure.position, RADIUS, return_length=True) - 1
    return Labels.where_finite(np.asarray(count, np.float32))


TARGET = Target(
    name="neighbors",
    unit="atoms",
    summary=f"Heavy atoms within {RADIUS:g} Å.",
    source=LabelSource(name="neighbors", compute=count_neighbors),
    minimum=0.0,
    decimals=1,
)


class NeighborSumConfig(BaseModel, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    graph: GraphConfig = GraphConfig(radius=6.0, node_scalars=())
    width: PositiveInt = 32


class NeighborSum(AtomModel):
    """Adds up what each neighbor sends through a filter of its edge."""

    head = ("heads",)

    def __init__(self, config: NeighborSumConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        width = config.width
        self.graph_config = config.graph
        self.atoms = AtomEncoder(config.graph, 8, width)
        self.edges = EdgeEncoder(config.graph, 16, width)
        self.update = mlp(2 * width, width, width)
        self.heads = Heads(targets, HeadWidths(atom=width, atom_hidden=width, structure=width))

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Predict the values of all targets."""
        sender, receiver = graph.edge_index
        atoms = self.atoms(graph)
        sent = atoms[sender] * self.edges(graph, slice(0, graph.n_edges))
        total = Grouping.of_sorted(receiver, graph.n_atoms).sum(sent) / 16.0
        atoms = atoms + self.update(torch.cat([atoms, total], dim=1))
        structures = Grouping.of_sorted(graph.structure_index, graph.n_structures)
        return self.heads.read(graph, Features(atom=atoms, structure=structures.mean(atoms)))


MODEL, CONFIG = NeighborSum, NeighborSumConfig
CARD = ModelCard("neighbor_sum", __name__, "One round of filtered messages.", edge_features=True)
