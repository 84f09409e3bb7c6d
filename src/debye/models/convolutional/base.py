r"""What all convolutional models share, so that they differ in their convolution alone.

.. math::
    x_i^0 &= \text{encoder}(\text{features}_i) + W_0 [u, \langle \text{encoder} \rangle] \\
    x^{l+1} &= x^l + W_l\, \text{SiLU}(\text{convolution}_l(\text{LayerNorm}(x^l), \text{edges}))

with the features :math:`u` of the structure. In the end atoms and their mean give the profile and its spread, and
the mean gives the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import BaseModel, PositiveInt
from torch import Tensor, nn

from debye.errors import ConfigError
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.base import AtomModel, ModelOutput
from debye.models.convolutional.neighborhood import Neighborhood, neighborhoods
from debye.models.layers.connectivity import Grouping
from debye.models.layers.encoders import AtomEncoder, EdgeEncoder
from debye.models.layers.heads import Features, Heads, HeadWidths
from debye.targets.target import Target

EDGE_CHUNK = 100_000
"""Edges processed at once without gradients: bounds the memory."""
START_SCALE = 0.2
"""Weights of updates and readout start smaller by this: first atoms keep what they are and the profile is nearly flat,
else sums over neighbors drown what tells atoms apart, and the first steps overshoot."""
USUAL_DEGREE = 12
"""Edges into an atom in graphs of radius 4 Å with bonds and mates: 12.1 on average over 64,000 atoms of 34
training structures. Another radius wants another value."""


class ConvolutionalConfig(BaseModel, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    graph: GraphConfig = GraphConfig(radius=4.0)
    layers: PositiveInt = 4
    width: PositiveInt = 64
    embedding_width: PositiveInt = 16
    """Width of the embedding of each categorical feature."""


class EdgeConvolutionalConfig(ConvolutionalConfig, frozen=True, extra="forbid"):
    """The same for a convolution that reads what edges are."""

    edge_width: PositiveInt = 16
    """Width of the description of an edge."""
    distance_basis: PositiveInt = 16
    """Number of Gaussians that describe an edge's length."""


class ConvolutionalModel(AtomModel):
    """Residual layers around a convolution that sees who sends to whom, and nothing else about edges."""

    encoders = MappingProxyType({"atoms": "atoms"})
    head = ("norm", "structures", "heads")

    def __init__(
        self,
        config: ConvolutionalConfig,
        targets: Sequence[Target],
        convolutions: list[nn.Module],
    ) -> None:
        super().__init__(targets)
        width, n_facts = config.width, len(config.graph.structure_scalars)
        self.graph_config = config.graph
        self.edge_chunk = EDGE_CHUNK
        self.atoms = AtomEncoder(config.graph, config.embedding_width, width)
        self.context = nn.Linear(n_facts + width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in convolutions)
        self.convolutions = nn.ModuleList(convolutions)
        self.updates = nn.ModuleList(nn.Linear(width, width) for _ in convolutions)
        self.norm = nn.LayerNorm(width)
        self.structures = nn.Linear(n_facts + width, width)
        self.heads = Heads(targets, HeadWidths(atom=2 * width, atom_hidden=width, structure=width))
        self.heads.start_small(START_SCALE)
        with torch.no_grad():
            for last in self.updates:
                last.weight *= START_SCALE  # type: ignore[operator]

    def convolve(
        self,
        convolution: nn.Module,
        nodes: Float[Tensor, "nodes width"],
        edges: Neighborhood,
    ) -> Float[Tensor, "nodes width"]:
        """Apply one convolution; only the rows of the receivers of ``edges`` are used."""
        return convolution(nodes, edges.index)

    def describe_edges(self, graph: AtomGraph) -> Float[Tensor, "edges edge_width"] | None:
        """Return what each edge is; None: the convolution cannot use it."""
        return None

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Predict every target of a batch."""
        structures = Grouping.of_sorted(graph.structure_index, graph.n_structures)
        nodes = self.atoms(graph).float()
        facts = graph.structure_scalars
        state = self.context(torch.cat([facts, structures.mean(nodes)], dim=1))
        nodes = self.pass_messages(nodes + structures.gather(state.float()), graph)
        nodes = self.norm(nodes).float()
        state = F.silu(self.structures(torch.cat([facts, structures.mean(nodes)], dim=1)))
        around = structures.gather(state.float())
        atoms = torch.cat([nodes, around], dim=1)
        return self.heads.read(graph, Features(atom=atoms, structure=state))

    def pass_messages(
        self, nodes: Float[Tensor, "atoms width"], graph: AtomGraph
    ) -> Float[Tensor, "atoms width"]:
        """Run all layers."""
        pieces = neighborhoods(graph, self.describe_edges(graph), self.edge_chunk)
        layers = zip(self.norms, self.convolutions, self.updates, strict=True)
        for norm, convolution, update in layers:
            normal = norm(nodes)
            found = [
                piece.received(self.convolve(convolution, piece.take(normal), piece))
                for piece in pieces
            ]
            nodes = nodes + update(F.silu(torch.cat(found)))
        return nodes


class EdgeConvolutionalModel(ConvolutionalModel):
    """Residual layers around a convolution that reads length, bond order and mate of each edge."""

    encoders = MappingProxyType({"atoms": "atoms", "edges": "edges"})

    def __init__(
        self,
        config: EdgeConvolutionalConfig,
        targets: Sequence[Target],
        convolutions: list[nn.Module],
    ) -> None:
        super().__init__(config, targets, convolutions)
        self.edges = EdgeEncoder(config.graph, config.distance_basis, config.edge_width)

    def describe_edges(self, graph: AtomGraph) -> Float[Tensor, "edges edge_width"]:
        """Return what each edge is."""
        return self.edges(graph, slice(0, graph.n_edges))

    def convolve(
        self, convolution: nn.Module, nodes: Float[Tensor, "nodes width"], edges: Neighborhood
    ) -> Float[Tensor, "nodes width"]:
        """Apply one convolution, with what each edge is."""
        return convolution(nodes, edges.index, edges.features)


def split_into_heads(width: int, heads: int) -> int:
    """Return the width of each of the attentions that share a width.

    Raises:
        ConfigError: the width cannot be shared.
    """
    if width % heads:
        raise ConfigError(
            "settings",
            problem=f"width {width} cannot be shared by {heads} heads",
            remedy="Make it a multiple of heads",
        )
    return width // heads
