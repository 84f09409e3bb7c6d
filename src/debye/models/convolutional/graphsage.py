r"""GraphSAGE: the plain mean of the neighbors beside the atom itself.

.. math:: y_i = W_1 x_i + W_2 \langle x_j \rangle_{j \to i}

The convolution has no place for what an edge is.

Reference: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch_geometric.nn import SAGEConv

from debye.models.convolutional.base import ConvolutionalConfig, ConvolutionalModel
from debye.targets.target import Target


class GraphSAGEConfig(ConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""


class GraphSAGE(ConvolutionalModel):
    """Sample and aggregate, without the sampling; see the module's reference."""

    def __init__(self, config: GraphSAGEConfig, targets: Sequence[Target]) -> None:
        width = config.width
        super().__init__(config, targets, [SAGEConv(width, width) for _ in range(config.layers)])


CONFIG = GraphSAGEConfig
MODEL = GraphSAGE
