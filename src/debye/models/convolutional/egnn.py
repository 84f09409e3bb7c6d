r"""EGNN: messages that know the squared distance, and atoms that they displace.

.. math::
    m_{ij} &= \phi_m(x_i, x_j, \lvert r_{ij} \rvert^2, e_{ij}) \\
    \Delta_i' &= \Delta_i - \tfrac1c \textstyle\sum_{j \to i} r_{ij}\, \phi_r(m_{ij}) \\
    y_i &= W (x_i, \textstyle\sum_{j \to i} m_{ij})

with :math:`r_{ij}` from the receiver to the (image of the) sender, both displaced by the layers before,
and a constant c for the usual degree (that of 4 Å graphs with mates; another radius needs another value). A mate
stays where the crystal puts it: its displacement would have to be turned by the symmetry operation, which the
graph does not contain. The last layer displaces nothing.

Reference: Satorras, Hoogeboom & Welling (2021), arXiv:2102.09844.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from debye.graph.graph import AtomGraph
from debye.models.convolutional.base import (
    USUAL_DEGREE,
    EdgeConvolutionalConfig,
    EdgeConvolutionalModel,
    Subgraph,
    subgraphs,
)
from debye.models.layers.encoders import USUAL_REACH


class EGNNConvolution(MessagePassing):
    """One layer; see the module's reference."""

    def __init__(self, config: EdgeConvolutionalConfig, *, displaces: bool) -> None:
        super().__init__(aggr="add")
        width = config.width
        self.to_receiver = nn.Linear(width, width)
        self.to_sender = nn.Linear(width, width, bias=False)
        self.from_edge = nn.Linear(config.edge_width + 1, width, bias=False)
        self.finish = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.shift = None
        if displaces:
            # As the authors: large steps at the start would tear the molecule apart.
            last = nn.Linear(width, 1, bias=False)
            nn.init.xavier_uniform_(last.weight, gain=0.001)
            self.shift = nn.Sequential(nn.Linear(width, width), nn.SiLU(), last)
        self.join = nn.Linear(2 * width, width)
        self.reach = config.graph.radius or USUAL_REACH  # Å

    def forward(
        self,
        nodes: Float[Tensor, "nodes width"],
        index: Int[Tensor, "2 edges"],
        vector: Float[Tensor, "edges 3"],
        features: Float[Tensor, "edges edge_width"],
    ) -> tuple[Float[Tensor, "nodes width"], Float[Tensor, "nodes 3"]]:
        """Return the new features of each atom, and its displacement, Å."""
        total = self.propagate(
            index,
            received=self.to_receiver(nodes),
            sent=self.to_sender(nodes),
            vector=vector,
            features=features,
            size=(len(nodes), len(nodes)),
        )
        messages, shift = total[:, :-3], total[:, -3:] / USUAL_DEGREE
        return self.join(torch.cat([nodes, messages], dim=1)), -shift

    def message(
        self,
        received_i: Float[Tensor, "edges width"],
        sent_j: Float[Tensor, "edges width"],
        vector: Float[Tensor, "edges 3"],
        features: Float[Tensor, "edges edge_width"],
    ) -> Float[Tensor, "edges width_plus_3"]:
        """Return the message of each edge, and its push along the edge, Å."""
        square = (vector / self.reach).square().sum(dim=1, keepdim=True)
        described = self.from_edge(torch.cat([features, square], dim=1))
        message = self.finish(received_i + sent_j + described)
        push = torch.zeros_like(vector) if self.shift is None else vector * self.shift(message)
        return torch.cat([message, push], dim=1)


class EGNN(EdgeConvolutionalModel):
    """E(n) equivariant graph network; see the module's reference."""

    def make_convolution(self, config: EdgeConvolutionalConfig, layer: int) -> nn.Module:
        """Return the convolution of a layer; the last one displaces no atom."""
        return EGNNConvolution(config, displaces=layer < config.layers - 1)

    def pass_messages(
        self, nodes: Float[Tensor, "atoms width"], graph: AtomGraph
    ) -> Float[Tensor, "atoms width"]:
        """Run all layers, and keep the displacement of each atom."""
        pieces = subgraphs(graph, self.describe_edges(graph), self.edge_chunk)
        displaced = torch.zeros_like(graph.position)
        layers = zip(self.norms, self.convolutions, self.updates, strict=True)
        for norm, convolution, update in layers:
            normal = norm(nodes)
            found, shifts = [], []
            for piece in pieces:
                vector = displaced_vectors(piece, displaced)
                made, shift = convolution(piece.take(normal), piece.index, vector, piece.features)
                found.append(piece.received(made))
                shifts.append(piece.received(shift))
            nodes = nodes + update(F.silu(torch.cat(found)))
            displaced = displaced + torch.cat(shifts)
        return nodes


def displaced_vectors(
    edges: Subgraph, displaced: Float[Tensor, "atoms 3"]
) -> Float[Tensor, "edges 3"]:
    """Return the vector of each edge between displaced atoms; mates stay where they are."""
    of_node = edges.take(displaced)
    sender, receiver = edges.index
    of_sender = of_node[sender].masked_fill(edges.mate[:, None], 0.0)
    return edges.vector + of_sender - of_node[receiver]
