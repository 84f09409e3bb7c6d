"""Distances as smooth features."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

TABLE_STEP = 0.004
"""Å, between the lengths of a table."""
TABLE_MARGIN = 4.5
"""Widths of a Gaussian beyond the last center at which a table ends: there all Gaussians are nearly zero."""


class GaussianBasis(nn.Module):
    r"""Gaussians at equal spacing from 0 to a largest distance.

    .. math:: g_k(d) = \exp\left[-\frac{(d - \mu_k)^2}{2 \sigma^2}\right], \quad
        \sigma = \mu_1 - \mu_0

    Reference: Schuett et al. (2017), SchNet, arXiv:1706.08566.
    """

    center: Tensor
    """(size,) centers of the Gaussians, Å."""

    def __init__(self, largest: float, size: int) -> None:
        super().__init__()
        self.largest = largest
        self.size = size
        self.register_buffer("center", torch.linspace(0.0, largest, size))
        self.inverse_width = (size - 1) / largest  # 1/Å

    def forward(self, distance: Float[Tensor, " edges"]) -> Float[Tensor, "edges size"]:
        """Expand distances (Å)."""
        return torch.exp(-0.5 * ((distance[:, None] - self.center) * self.inverse_width) ** 2)

    def table_distances(self, at_least: float = 0.0) -> Float[Tensor, " rows"]:
        """Return the distances (Å) of the rows of a table, for what many edges share.

        The last one is ``at_least``, or where all Gaussians are nearly zero if that is farther.
        """
        end = max(at_least, self.largest + TABLE_MARGIN / self.inverse_width)
        return torch.arange(round(end / TABLE_STEP), device=self.center.device) * TABLE_STEP


def table_rows(distance: Float[Tensor, " edges"], n_rows: int) -> Int[Tensor, " edges"]:
    """Return which row of a table is nearest to each distance (Å); the last one for all beyond.

    Example:
        >>> table_rows(torch.tensor([0.0, 0.007, 40.0]), 1000).tolist()
        [0, 2, 999]
    """
    return (distance * (1.0 / TABLE_STEP)).round().clamp(max=n_rows - 1.0).int()


def cosine_cutoff(distance: Float[Tensor, " edges"], reach: float) -> Float[Tensor, " edges"]:
    """Fall smoothly from 1 at distance 0 to 0 at the reach (Å), so that edges appear without a jump.

    Reference: Behler & Parrinello (2007), doi:10.1103/PhysRevLett.98.146401.
    """
    return 0.5 * (torch.cos(distance.clamp(max=reach) * (torch.pi / reach)) + 1.0)
