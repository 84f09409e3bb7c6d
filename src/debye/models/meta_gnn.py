"""Meta-GNN: a graph network with edge, node and global updates, the seed system's best model.

Reference: Battaglia et al. (2018), arXiv:1806.01261; Sarparast et al. (2024), arXiv:2408.12519.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import BaseModel, Field, PositiveInt
from torch import Tensor, nn

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.base import AtomModel, ModelOutput
from debye.models.layers.connectivity import Grouping, MessageEdges, edge_chunks
from debye.models.layers.encoders import AtomEncoder, EdgeEncoder, mlp
from debye.models.layers.heads import Features, Heads, HeadWidths
from debye.targets.target import Target

EDGE_CHUNK = 100_000
"""Edges processed at once without gradients: bounds the memory, and fits the cache of a core."""


class MetaGNNConfig(BaseModel, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    graph: GraphConfig = GraphConfig()
    layers: PositiveInt = 4
    node_width: PositiveInt = 96
    edge_width: PositiveInt = 48
    global_width: PositiveInt = 64
    embedding_width: PositiveInt = 16
    """Width of the embedding of each categorical feature."""
    distance_basis: PositiveInt = 20
    """Number of Gaussians that describe an edge's length."""
    usual_degree: Annotated[float, Field(gt=0)] = 16.0
    """Sums over edges are divided by this constant, so that they start near unit scale."""


class MetaLayer(nn.Module):
    r"""One graph-network block: edges, then atoms, then the structure.

    .. math::
        e_{ij}' &= e_{ij} + \phi_e(e_{ij}, x_i, x_j, u) \\
        x_i' &= x_i + \phi_v(x_i, \textstyle\sum_j e_{ij}' / c, u) \\
        u' &= u + \phi_u(u, \langle x' \rangle, \langle \textstyle\sum_j e_{ij}' / c \rangle)

    The first linear map of :math:`\phi_e` is applied before atoms are gathered: the same sum with a fraction of the work.

    Reference: Battaglia et al. (2018), arXiv:1806.01261, algorithm 1.
    """

    def __init__(self, config: MetaGNNConfig) -> None:
        super().__init__()
        node, edge, state = config.node_width, config.edge_width, config.global_width
        self.usual_degree = config.usual_degree
        self.node_norm = nn.LayerNorm(node)
        self.to_receiver = nn.Linear(node + state, edge)
        self.to_sender = nn.Linear(node, edge, bias=False)
        self.edge_in = nn.Linear(edge, edge, bias=False)
        self.edge_out = nn.Linear(edge, edge)
        self.node_update = mlp(node + edge + state, 2 * node, node)
        self.global_norm = nn.LayerNorm(state)
        self.global_update = mlp(state + node + edge, 2 * state, state)

    def forward(
        self,
        nodes: Float[Tensor, "atoms node"],
        edges: list[Float[Tensor, "_ edge"]],
        state: Float[Tensor, "structures global"],
        chunks: list[MessageEdges],
        structures: Grouping,
    ) -> tuple[Tensor, Tensor]:
        """Return new atoms and structures; the chunks of ``edges`` are replaced in place."""
        normal = self.node_norm(nodes)
        around = structures.gather(self.global_norm(state)).to(normal.dtype)
        received = self.to_receiver(torch.cat([normal, around], dim=1))
        sent = self.to_sender(normal)
        totals = []
        for i, chunk in enumerate(chunks):
            hidden = self.edge_in(edges[i])
            hidden = hidden + chunk.gather_received(received) + chunk.gather_sent(sent)
            edges[i] = edges[i] + self.edge_out(F.silu(hidden))
            totals.append(chunk.into.sum(edges[i]))
        total = (torch.cat(totals) / self.usual_degree).to(normal.dtype)
        nodes = nodes + self.node_update(torch.cat([normal, total, around], dim=1))
        means = structures.mean(torch.cat([nodes, total], dim=1).float())
        state = state + self.global_update(torch.cat([self.global_norm(state), means], dim=1))
        return nodes, state


class MetaGNN(AtomModel):
    """Graph network over bonds and contacts; see the module's references."""

    encoders = MappingProxyType({"atoms": "atoms", "edges": "edges"})
    head = ("norm", "heads")

    def __init__(self, config: MetaGNNConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config = config.graph
        self.edge_chunk = EDGE_CHUNK
        self.atoms = AtomEncoder(config.graph, config.embedding_width, config.node_width)
        self.edges = EdgeEncoder(config.graph, config.distance_basis, config.edge_width)
        n_facts = len(config.graph.structure_scalars)
        self.structures = nn.Linear(n_facts + config.node_width, config.global_width)
        self.layers = nn.ModuleList(MetaLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.node_width)
        node, state = config.node_width, config.global_width
        self.heads = Heads(
            targets, HeadWidths(atom=node + state, atom_hidden=node, structure=state)
        )

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Predict every target of a batch."""
        structures = Grouping.of_sorted(graph.structure_index, graph.n_structures)
        chunks = edge_chunks(graph, self.edge_chunk)
        nodes = self.atoms(graph)
        means = structures.mean(nodes.float())
        state = self.structures(torch.cat([graph.structure_scalars, means], dim=1))
        edges = [self.edges(graph, chunk.edges) for chunk in chunks]
        for layer in self.layers:
            nodes, state = layer(nodes, edges, state, chunks, structures)
        atoms = torch.cat([self.norm(nodes), structures.gather(state).to(nodes.dtype)], dim=1)
        return self.heads.read(graph, Features(atom=atoms, structure=state))


CONFIG = MetaGNNConfig
MODEL = MetaGNN
