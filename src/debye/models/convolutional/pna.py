r"""PNA: mean, extremes and spread of what the neighbors send, each also scaled by the degree.

.. math::
    y_i = U \Bigl[x_i, \bigl(1, \tfrac{\log(d_i + 1)}{\delta}, \tfrac{\delta}{\log(d_i + 1)}\bigr) \otimes
    (\text{mean}, \min, \max, \text{std})_{j \to i}\; M[x_i, x_j, e_{ij}]\Bigr]

with :math:`\delta` the log of one more than the usual degree.

Reference: Corso et al. (2020), arXiv:2004.05718.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch_geometric.nn import PNAConv

from debye.models.convolutional.base import (
    USUAL_DEGREE,
    EdgeConvolutionalConfig,
    EdgeConvolutionalModel,
)
from debye.targets.target import Target

AGGREGATORS = ["mean", "min", "max", "std"]
SCALERS = ["identity", "amplification", "attenuation"]


class PNAConfig(EdgeConvolutionalConfig, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    width: PositiveInt = 40
    usual_degree: PositiveInt = USUAL_DEGREE
    """Number of edges into an atom at which the scalers are 1: that of 4 Å graphs with mates. Another radius wants
    another value."""


class PNA(EdgeConvolutionalModel):
    """Principal neighborhood aggregation; see the module's reference."""

    def __init__(self, config: PNAConfig, targets: Sequence[Target]) -> None:
        width = config.width
        # PNAConv takes a histogram and reduces it to a mean: all weight lies on the usual degree.
        histogram = torch.zeros(config.usual_degree + 1)
        histogram[-1] = 1
        super().__init__(
            config,
            targets,
            [
                PNAConv(
                    width, width, AGGREGATORS, SCALERS, deg=histogram, edge_dim=config.edge_width
                )
                for _ in range(config.layers)
            ],
        )


CONFIG = PNAConfig
MODEL = PNA
