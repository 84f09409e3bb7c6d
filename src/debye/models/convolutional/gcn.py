r"""GCN: the sum of the neighbors, each scaled by the degrees at both ends.

.. math:: y_i = W \sum_{j \to i} \frac{x_j}{\sqrt{d_i d_j}} + \frac{W x_i}{d_i}

with one more than the number of edges into an atom as its degree :math:`d`. The convolution has no place for
what an edge is, except one number; none is given. An edge from an atom's own mate counts beside the atom itself
(torch_geometric would take one for the other, so its self loops are off).

Reference: Kipf & Welling (2017), arXiv:1609.02907.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from debye.models.convolutional.base import ConvolutionalConfig, ConvolutionalModel
from debye.models.convolutional.neighborhood import Neighborhood
from debye.targets.target import Target


class GCNConfig(ConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    width: PositiveInt = 96


class GCN(ConvolutionalModel):
    """Graph convolutional network; see the module's reference."""

    def __init__(self, config: GCNConfig, targets: Sequence[Target]) -> None:
        width = config.width
        super().__init__(
            config,
            targets,
            [
                GCNConv(width, width, normalize=False, add_self_loops=False)
                for _ in range(config.layers)
            ],
        )

    def convolve(
        self, convolution: nn.Module, nodes: Float[Tensor, "nodes width"], edges: Neighborhood
    ) -> Float[Tensor, "nodes width"]:
        """Average the neighbors and the atom itself."""
        itself = torch.arange(len(nodes), device=nodes.device).expand(2, -1)
        index = torch.cat([edges.index, itself], dim=1)
        scale = (edges.degree + 1.0).rsqrt()
        return convolution(nodes, index, scale[index[0]] * scale[index[1]])


CONFIG = GCNConfig
MODEL = GCN
