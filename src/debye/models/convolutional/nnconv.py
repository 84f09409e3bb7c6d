r"""Edge-conditioned convolution: each edge is a matrix through which its sender is seen.

.. math:: y_i = W x_i + \langle A(e_{ij})\, x_j \rangle_{j \to i}

The matrices are what it costs: width² numbers an edge, so that the network is narrow.

Reference: Gilmer et al. (2017), arXiv:1704.01212; Simonovsky & Komodakis (2017), arXiv:1704.02901.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveInt
from torch import nn
from torch_geometric.nn import NNConv

from debye.models.convolutional.base import EdgeConvolutionalConfig, EdgeConvolutionalModel
from debye.targets.target import Target


class NNConvConfig(EdgeConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    width: PositiveInt = 24


class EdgeConditioned(EdgeConvolutionalModel):
    """Message passing network with a matrix for each edge; see the module's references."""

    def __init__(self, config: NNConvConfig, targets: Sequence[Target]) -> None:
        width = config.width
        super().__init__(
            config,
            targets,
            [
                NNConv(width, width, nn.Linear(config.edge_width, width * width), aggr="mean")
                for _ in range(config.layers)
            ],
        )


CONFIG = NNConvConfig
MODEL = EdgeConditioned
