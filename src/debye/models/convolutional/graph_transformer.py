r"""Graph transformer: dot-product attention over the neighbors, with edges in keys and values.

.. math::
    y_i = W x_i + \sum_{j \to i} \alpha_{ij} (V x_j + E e_{ij}), \quad
    \alpha_{ij} \propto \exp\bigl[(Q x_i) \cdot (K x_j + E e_{ij}) / \sqrt{d}\bigr]

Reference: Shi et al. (2021), UniMP, arXiv:2009.03509.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveInt
from torch_geometric.nn import TransformerConv

from debye.models.convolutional.base import (
    EdgeConvolutionalConfig,
    EdgeConvolutionalModel,
    split_into_heads,
)
from debye.targets.target import Target


class GraphTransformerConfig(EdgeConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    heads: PositiveInt = 4
    """Attentions side by side; they share the width."""


class GraphTransformer(EdgeConvolutionalModel):
    """Transformer between bonded and near atoms; see the module's reference."""

    def __init__(self, config: GraphTransformerConfig, targets: Sequence[Target]) -> None:
        each = split_into_heads(config.width, config.heads)
        super().__init__(
            config,
            targets,
            [
                TransformerConv(config.width, each, heads=config.heads, edge_dim=config.edge_width)
                for _ in range(config.layers)
            ],
        )


CONFIG = GraphTransformerConfig
MODEL = GraphTransformer
