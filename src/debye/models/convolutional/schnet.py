r"""SchNet: a sum over the neighbors, each weighted channel by channel by a filter of its edge.

.. math:: y_i = W_2 \sum_{j \to i} c(d_{ij})\, f(e_{ij}) \odot W_1 x_j

The cutoff :math:`c` falls smoothly to zero at the reach of the graph. The original's filter knows the length of
an edge; this one also its bond order and whether its sender is a mate, as all other models here.

Reference: Schuett et al. (2017), arXiv:1706.08566.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn.models.schnet import CFConv, ShiftedSoftplus

from debye.models.convolutional.base import EdgeConvolutionalConfig, EdgeConvolutionalModel
from debye.models.convolutional.neighborhood import Neighborhood
from debye.models.layers.encoders import USUAL_REACH
from debye.targets.target import Target


class SchNetConfig(EdgeConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""


class SchNet(EdgeConvolutionalModel):
    """Continuous-filter convolutions; see the module's reference."""

    def __init__(self, config: SchNetConfig, targets: Sequence[Target]) -> None:
        width = config.width
        reach = config.graph.radius or USUAL_REACH  # Å
        convolutions = []
        for _ in range(config.layers):
            filters = nn.Sequential(
                nn.Linear(config.edge_width, width), ShiftedSoftplus(), nn.Linear(width, width)
            )
            convolutions.append(CFConv(width, width, width, filters, cutoff=reach))
        super().__init__(config, targets, convolutions)
        self.reach = reach

    def convolve(
        self, convolution: nn.Module, nodes: Float[Tensor, "nodes width"], edges: Neighborhood
    ) -> Float[Tensor, "nodes width"]:
        """Sum the filtered neighbors."""
        # Beyond its cutoff the cosine of CFConv would rise again: bonds to metals may be that long.
        length = edges.vector.norm(dim=-1).clamp(max=self.reach)
        return convolution(nodes, edges.index, length, edges.features)


CONFIG = SchNetConfig
MODEL = SchNet
