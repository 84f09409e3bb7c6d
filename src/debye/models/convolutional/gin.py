r"""GIN with edge features: the sum over the neighbors, into a perceptron with a norm.

.. math:: y_i = \text{LayerNorm}\Bigl[W_2 \Bigl((1 + \epsilon) x_i +
    \sum_{j \to i} \text{ReLU}(x_j + W_1 e_{ij})\Bigr)\Bigr]

The update of the shared layer is the second half of the perceptron.

Reference: Hu et al. (2020), arXiv:1905.12265, after Xu et al. (2019), arXiv:1810.00826.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch_geometric.nn import GINEConv

from debye.models.convolutional.base import EdgeConvolutionalConfig, EdgeConvolutionalModel
from debye.targets.target import Target


class GINConfig(EdgeConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""


class GIN(EdgeConvolutionalModel):
    """Graph isomorphism network; see the module's references."""

    def __init__(self, config: GINConfig, targets: Sequence[Target]) -> None:
        width = config.width
        convolutions = []
        for _ in range(config.layers):
            first_half = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
            convolutions.append(GINEConv(first_half, train_eps=True, edge_dim=config.edge_width))
        super().__init__(config, targets, convolutions)


CONFIG = GINConfig
MODEL = GIN
