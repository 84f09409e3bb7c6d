r"""GATv2: a mean of the neighbors, weighted by attention to atom, neighbor and edge.

.. math::
    y_i = \sum_{j \to i} \alpha_{ij} W_s x_j, \quad
    \alpha_{ij} \propto \exp\bigl[a \cdot \text{LeakyReLU}(W_r x_i + W_s x_j + W_e e_{ij})\bigr]

The edge moves the weight but is no part of what is sent. The atom itself passes by in the residual: self loops
are off, since torch_geometric would put them in the place of the edges from an atom's own mates.

Reference: Brody, Alon & Yahav (2022), arXiv:2105.14491.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveInt
from torch_geometric.nn import GATv2Conv

from debye.models.convolutional.base import (
    EdgeConvolutionalConfig,
    EdgeConvolutionalModel,
    split_into_heads,
)
from debye.targets.target import Target


class GATv2Config(EdgeConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    heads: PositiveInt = 4
    """Attentions side by side; they share the width."""


class GATv2(EdgeConvolutionalModel):
    """Graph attention network; see the module's reference."""

    def __init__(self, config: GATv2Config, targets: Sequence[Target]) -> None:
        each = split_into_heads(config.width, config.heads)
        super().__init__(
            config,
            targets,
            [
                GATv2Conv(
                    config.width,
                    each,
                    heads=config.heads,
                    edge_dim=config.edge_width,
                    add_self_loops=False,
                )
                for _ in range(config.layers)
            ],
        )


CONFIG = GATv2Config
MODEL = GATv2
