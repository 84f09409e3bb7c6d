"""What a graph says about its atoms and edges, as rows of numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.graph.node_features import category_size
from debye.models.layers.basis import GaussianBasis

N_BOND_ORDERS = 5
USUAL_REACH = 5.0
"""Å. What the lengths of edges are measured against in graphs of bonds alone."""


class AtomEncoder(nn.Module):
    """Embeds categorical features and appends the continuous ones."""

    def __init__(self, config: GraphConfig, embedding_width: int, width: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(
            nn.Embedding(category_size(name), embedding_width) for name in config.node_categories
        )
        inputs = embedding_width * len(config.node_categories) + len(config.node_scalars)
        self.project = nn.Linear(inputs, width)

    def forward(self, graph: AtomGraph) -> Float[Tensor, "atoms width"]:
        """Encode every atom of a graph."""
        columns = [table(graph.categories[:, i]) for i, table in enumerate(self.embeddings)]
        return self.project(torch.cat([*columns, graph.scalars], dim=1))


class EdgeEncoder(nn.Module):
    """Describes an edge by its length, bond order and whether its sender is a symmetry mate."""

    def __init__(self, config: GraphConfig, basis_size: int, width: int) -> None:
        super().__init__()
        self.basis = GaussianBasis(largest=config.radius or USUAL_REACH, size=basis_size)
        self.length = nn.Linear(basis_size, width)
        self.kind = nn.Embedding(2 * N_BOND_ORDERS, width)

    def forward(self, graph: AtomGraph, edges: slice) -> Float[Tensor, "edges width"]:
        """Encode some edges of a graph."""
        kind = graph.edge_bond[edges] + N_BOND_ORDERS * graph.edge_mate[edges]
        length = self.length(self.basis(graph.edge_vector[edges].norm(dim=-1)))
        return F.silu(length + self.kind(kind).to(length.dtype))


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Make a perceptron with one hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))
