r"""The network that all convolutional models share; they differ in their convolution alone.

.. math::
    x_i^0 &= \text{encoder}(\text{features}_i) + W_0 [u, \langle \text{encoder} \rangle] \\
    x^{l+1} &= x^l + W_l\, \text{SiLU}(\text{convolution}_l(\text{LayerNorm}(x^l), \text{edges}))

with the features :math:`u` of the structure. In the end heads read the targets from atoms and their mean.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, PositiveInt
from torch import Tensor, nn

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.base import AtomModel, ModelOutput
from debye.models.layers.connectivity import Grouping, receiver_runs
from debye.models.layers.encoders import AtomEncoder, EdgeEncoder
from debye.models.layers.heads import Features, Heads, HeadWidths
from debye.targets.target import Target

EDGE_CHUNK = 100_000
"""Edges processed at once without gradients: bounds the memory."""
START_SCALE = 0.2
"""Weights of updates and readout start smaller by this: otherwise sums over neighbors hide the differences between
atoms, and the first steps overshoot."""
USUAL_DEGREE = 12
"""Edges into an atom in graphs of radius 4 Å with bonds and mates: 12.1 on average over 64,000 atoms."""


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


@dataclass(frozen=True, slots=True)
class Subgraph:
    """All edges into a run of consecutive atoms, with their ends numbered as nodes of a graph of their own."""

    atoms: Int[Tensor, " nodes"] | None
    """Row of each node among the atoms of the graph, those of the run first; None: all, in order."""
    n_receivers: int
    """Number of atoms of the run."""
    index: Int[Tensor, "2 edges"]
    """Sender, then receiver, as nodes. A pair may be joined by several edges, and an atom with itself."""
    mate: Bool[Tensor, " edges"]
    """True where the sender is a symmetry mate."""
    vector: Float[Tensor, "edges 3"]
    """From the receiver to the (image of the) sender, Å."""
    features: Float[Tensor, "edges edge_width"] | None
    """Of each edge; None: the convolution cannot use them."""
    degree: Int[Tensor, " nodes"]
    """Number of edges into each node in the whole graph."""

    def take(self, rows: Float[Tensor, "atoms width"]) -> Float[Tensor, "nodes width"]:
        """Return the rows of the nodes."""
        return rows if self.atoms is None else rows[self.atoms]

    def received(self, rows: Float[Tensor, "nodes width"]) -> Float[Tensor, "receivers width"]:
        """Return the rows of the run."""
        return rows[: self.n_receivers]


def subgraphs(
    graph: AtomGraph, features: Float[Tensor, "edges edge_width"] | None, largest: int
) -> list[Subgraph]:
    """Cut a graph into pieces of about ``largest`` edges; with gradients there is one piece."""
    degree = torch.bincount(graph.edge_index[1], minlength=graph.n_atoms)
    found = []
    for run, edges in receiver_runs(graph.receiver_pointer(), largest):
        index, atoms = graph.edge_index[:, edges], None
        if run != slice(0, graph.n_atoms):
            outside = torch.zeros(graph.n_atoms, dtype=torch.bool, device=index.device)
            outside[index[0]] = True
            outside[run] = False
            receivers = torch.arange(run.start, run.stop, device=index.device)
            atoms = torch.cat([receivers, outside.nonzero().squeeze(1)])
            node = torch.empty(graph.n_atoms, dtype=index.dtype, device=index.device)
            node[atoms] = torch.arange(len(atoms), device=index.device)
            index = node[index]
        found.append(
            Subgraph(
                atoms=atoms,
                n_receivers=run.stop - run.start,
                index=index,
                vector=graph.edge_vector[edges],
                mate=graph.edge_mate[edges],
                features=None if features is None else features[edges],
                degree=degree if atoms is None else degree[atoms],
            )
        )
    return found


class ConvolutionalModel(AtomModel):
    """Residual layers around a convolution that reads senders and receivers, and nothing else about edges."""

    encoders = MappingProxyType({"atoms": "atoms"})
    head = ("norm", "structures", "heads")

    def __init__(self, config: ConvolutionalConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        width, n_facts = config.width, len(config.graph.structure_scalars)
        self.graph_config = config.graph
        convolutions = [self._convolution(config, layer) for layer in range(config.layers)]
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

    @abstractmethod
    def _convolution(self, config: Any, layer: int) -> nn.Module: ...

    def convolve(
        self, convolution: nn.Module, nodes: Float[Tensor, "nodes width"], edges: Subgraph
    ) -> Float[Tensor, "nodes width"]:
        """Apply one convolution; only the rows of the receivers of ``edges`` are used."""
        return convolution(nodes, edges.index)

    def describe_edges(self, graph: AtomGraph) -> Float[Tensor, "edges edge_width"] | None:
        """Return the features of each edge; None: the convolution cannot use them."""
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
        atoms = torch.cat([nodes, structures.gather(state.float())], dim=1)
        return self.heads.read(graph, Features(atom=atoms, structure=state))

    def pass_messages(
        self, nodes: Float[Tensor, "atoms width"], graph: AtomGraph
    ) -> Float[Tensor, "atoms width"]:
        """Run all layers."""
        pieces = subgraphs(graph, self.describe_edges(graph), self.edge_chunk)
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

    def __init__(self, config: EdgeConvolutionalConfig, targets: Sequence[Target]) -> None:
        super().__init__(config, targets)
        self.edges = EdgeEncoder(config.graph, config.distance_basis, config.edge_width)

    def describe_edges(self, graph: AtomGraph) -> Float[Tensor, "edges edge_width"]:
        """Return the description of each edge."""
        return self.edges(graph, slice(0, graph.n_edges))

    def convolve(
        self, convolution: nn.Module, nodes: Float[Tensor, "nodes width"], edges: Subgraph
    ) -> Float[Tensor, "nodes width"]:
        """Apply one convolution, with the descriptions of edges."""
        return convolution(nodes, edges.index, edges.features)
