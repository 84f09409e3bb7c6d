r"""Convolutions of torch_geometric in the shared network of :mod:`debye.models.convolutional.base`, a class each.

In their equations :math:`x` are atoms, :math:`e_{ij}` describes the edge from :math:`j` to :math:`i`, and
:math:`\langle \cdot \rangle` is a mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor, nn
from torch_geometric import nn as geometric
from torch_geometric.nn.models.schnet import CFConv, ShiftedSoftplus

from debye.errors import ConfigError
from debye.graph.graph import AtomGraph
from debye.models.convolutional.base import (
    USUAL_DEGREE,
    ConvolutionalConfig,
    ConvolutionalModel,
    EdgeConvolutionalConfig,
    EdgeConvolutionalModel,
    Subgraph,
    subgraphs,
)
from debye.models.layers.encoders import USUAL_REACH


class GCNConfig(ConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    width: PositiveInt = 96


class GCN(ConvolutionalModel):
    r"""Graph convolutional network: a sum over the neighbors and the atom itself, scaled by degrees at both ends.

    .. math:: y_i = W \sum_{j \to i} \frac{x_j}{\sqrt{d_i d_j}} + \frac{W x_i}{d_i}

    with one more than the number of edges into an atom as its degree :math:`d`. Self loops of torch_geometric are off:
    it would take an edge from an atom's own mate for the atom itself.

    Reference: Kipf & Welling (2017), arXiv:1609.02907.
    """

    def _convolution(self, config: GCNConfig, layer: int) -> nn.Module:
        return geometric.GCNConv(config.width, config.width, normalize=False, add_self_loops=False)

    def convolve(
        self, convolution: nn.Module, nodes: Float[Tensor, "nodes width"], edges: Subgraph
    ) -> Float[Tensor, "nodes width"]:
        """Average the neighbors and the atom itself."""
        itself = torch.arange(len(nodes), device=nodes.device).expand(2, -1)
        index = torch.cat([edges.index, itself], dim=1)
        scale = (edges.degree + 1.0).rsqrt()
        return convolution(nodes, index, scale[index[0]] * scale[index[1]])


class GraphSAGE(ConvolutionalModel):
    r"""Sample and aggregate, without the sampling: the plain mean of the neighbors, added to the atom itself.

    .. math:: y_i = W_1 x_i + W_2 \langle x_j \rangle_{j \to i}

    Reference: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.
    """

    def _convolution(self, config: ConvolutionalConfig, layer: int) -> nn.Module:
        return geometric.SAGEConv(config.width, config.width)


class GIN(EdgeConvolutionalModel):
    r"""Graph isomorphism network with edge features: the sum over the neighbors, into a perceptron with a norm.

    .. math:: y_i = \text{LayerNorm}\Bigl[W_2 \Bigl((1 + \epsilon) x_i +
        \sum_{j \to i} \text{ReLU}(x_j + W_1 e_{ij})\Bigr)\Bigr]

    The update of the shared layer is the second half of the perceptron.

    Reference: Hu et al. (2020), arXiv:1905.12265, after Xu et al. (2019), arXiv:1810.00826.
    """

    def _convolution(self, config: EdgeConvolutionalConfig, layer: int) -> nn.Module:
        width = config.width
        first_half = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        return geometric.GINEConv(first_half, train_eps=True, edge_dim=config.edge_width)


class AttentionConfig(EdgeConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    heads: PositiveInt = 4
    """Parallel attentions; they share the width."""

    @property
    def head_width(self) -> int:
        """Width of each attention; a ConfigError if the width is not a multiple of their number."""
        if self.width % self.heads:
            problem = f"width {self.width} cannot be shared by {self.heads} heads"
            raise ConfigError("settings", problem, "Make it a multiple of heads")
        return self.width // self.heads


class GATv2(EdgeConvolutionalModel):
    r"""Graph attention network: a mean of the neighbors, weighted by attention to atom, neighbor and edge.

    .. math::
        y_i = \sum_{j \to i} \alpha_{ij} W_s x_j, \quad
        \alpha_{ij} \propto \exp\bigl[a \cdot \text{LeakyReLU}(W_r x_i + W_s x_j + W_e e_{ij})\bigr]

    Self loops are off: torch_geometric would replace the edges from an atom's own mates by them.

    Reference: Brody, Alon & Yahav (2022), arXiv:2105.14491.
    """

    def _convolution(self, config: AttentionConfig, layer: int) -> nn.Module:
        kind = {"edge_dim": config.edge_width, "add_self_loops": False}
        return geometric.GATv2Conv(config.width, config.head_width, heads=config.heads, **kind)


class GraphTransformer(EdgeConvolutionalModel):
    r"""Transformer between bonded and near atoms: dot-product attention, with edges in keys and values.

    .. math::
        y_i = W x_i + \sum_{j \to i} \alpha_{ij} (V x_j + E e_{ij}), \quad
        \alpha_{ij} \propto \exp\bigl[(Q x_i) \cdot (K x_j + E e_{ij}) / \sqrt{d}\bigr]

    Reference: Shi et al. (2021), UniMP, arXiv:2009.03509.
    """

    def _convolution(self, config: AttentionConfig, layer: int) -> nn.Module:
        return geometric.TransformerConv(
            config.width, config.head_width, heads=config.heads, edge_dim=config.edge_width
        )


class NNConvConfig(EdgeConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    width: PositiveInt = 24


class EdgeConditioned(EdgeConvolutionalModel):
    r"""Message passing with a matrix for each edge, through which its sender is seen.

    .. math:: y_i = W x_i + \langle A(e_{ij})\, x_j \rangle_{j \to i}

    The matrices cost width² numbers per edge, so the network is narrow.

    Reference: Gilmer et al. (2017), arXiv:1704.01212; Simonovsky & Komodakis (2017), arXiv:1704.02901.
    """

    def _convolution(self, config: NNConvConfig, layer: int) -> nn.Module:
        matrix = nn.Linear(config.edge_width, config.width * config.width)
        return geometric.NNConv(config.width, config.width, matrix, aggr="mean")


class PNAConfig(EdgeConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    width: PositiveInt = 40
    usual_degree: PositiveInt = USUAL_DEGREE
    """Number of edges into an atom at which the scalers are 1; the default is that of 4 Å graphs with mates."""


class PNA(EdgeConvolutionalModel):
    r"""Principal neighborhood aggregation: mean, extremes and deviation of messages, each also scaled by degree.

    .. math::
        y_i = U \Bigl[x_i, \bigl(1, \tfrac{\log(d_i + 1)}{\delta}, \tfrac{\delta}{\log(d_i + 1)}\bigr) \otimes
        (\text{mean}, \min, \max, \text{std})_{j \to i}\; M[x_i, x_j, e_{ij}]\Bigr]

    with :math:`\delta` the log of one more than the usual degree.

    Reference: Corso et al. (2020), arXiv:2004.05718.
    """

    def _convolution(self, config: PNAConfig, layer: int) -> nn.Module:
        # PNAConv takes a histogram and reduces it to a mean: all weight lies on the usual degree.
        histogram = torch.zeros(config.usual_degree + 1)
        histogram[-1] = 1
        return geometric.PNAConv(
            *(config.width, config.width),
            ["mean", "min", "max", "std"],
            ["identity", "amplification", "attenuation"],
            deg=histogram,
            edge_dim=config.edge_width,
        )


class SchNet(EdgeConvolutionalModel):
    r"""Continuous-filter convolutions: a sum over the neighbors, weighted channel by channel by a filter of the edge.

    .. math:: y_i = W_2 \sum_{j \to i} c(d_{ij})\, f(e_{ij}) \odot W_1 x_j

    The cutoff :math:`c` falls smoothly to zero at the reach of the graph. The original's filter reads only the length.

    Reference: Schuett et al. (2017), arXiv:1706.08566.
    """

    def _convolution(self, config: EdgeConvolutionalConfig, layer: int) -> nn.Module:
        width = config.width
        filters = nn.Sequential(
            nn.Linear(config.edge_width, width), ShiftedSoftplus(), nn.Linear(width, width)
        )
        return CFConv(width, width, width, filters, cutoff=config.graph.radius or USUAL_REACH)

    def convolve(
        self, convolution: nn.Module, nodes: Float[Tensor, "nodes width"], edges: Subgraph
    ) -> Float[Tensor, "nodes width"]:
        """Sum the filtered neighbors."""
        # Beyond its cutoff the cosine of CFConv would rise again: bonds to metals may be that long.
        length = edges.vector.norm(dim=-1).clamp(max=convolution.cutoff)  # type: ignore[call-overload]
        return convolution(nodes, edges.index, length, edges.features)


class EGNNConvolution(geometric.MessagePassing):
    """One layer of :class:`EGNN`."""

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
        ends = {"received": self.to_receiver(nodes), "sent": self.to_sender(nodes)}
        size = len(nodes), len(nodes)
        total = self.propagate(index, **ends, vector=vector, features=features, size=size)
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
    r"""Equivariant graph network: messages that know the squared distance, and atoms that they displace.

    .. math::
        m_{ij} &= \phi_m(x_i, x_j, \lvert r_{ij} \rvert^2, e_{ij}) \\
        \Delta_i' &= \Delta_i - \tfrac1c \textstyle\sum_{j \to i} r_{ij}\, \phi_r(m_{ij}) \\
        y_i &= W (x_i, \textstyle\sum_{j \to i} m_{ij})

    with :math:`r_{ij}` from the receiver to the (image of the) sender, both displaced by the layers before, and the
    usual degree c. A mate stays where the crystal puts it: the graph does not contain the symmetry operation that
    would turn its displacement. The last layer displaces nothing.

    Reference: Satorras, Hoogeboom & Welling (2021), arXiv:2102.09844.
    """

    def _convolution(self, config: EdgeConvolutionalConfig, layer: int) -> nn.Module:
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
    of_sender, of_receiver = edges.take(displaced)[edges.index]
    return edges.vector + of_sender.masked_fill(edges.mate[:, None], 0.0) - of_receiver
