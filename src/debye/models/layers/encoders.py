"""Atoms, edges and distances as rows of numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from debye.graph.config import GraphConfig
from debye.graph.features import category_size
from debye.graph.graph import AtomGraph
from debye.structure.bonds import BondOrder

USUAL_REACH = 5.0
"""Å. Stands for the radius in graphs of bonds alone."""
TABLE_STEP = 0.004
"""Å, between the lengths of a table."""
TABLE_MARGIN = 4.5
"""Widths of a Gaussian beyond the last center at which a table ends: there all Gaussians are nearly zero."""


class AtomEncoder(nn.Module):
    """Embeds categorical features and appends the continuous ones."""

    def __init__(self, config: GraphConfig, embedding_width: int, width: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(
            nn.Embedding(category_size(name), embedding_width) for name in config.node_categories
        )
        inputs = embedding_width * len(config.node_categories) + len(config.node_scalars)
        self.project = nn.Linear(inputs, width)

    def forward(self, graph: AtomGraph) -> Float[Tensor, "atoms width"]:
        """Encode every atom of a graph."""
        columns = [table(graph.categories[:, i]) for i, table in enumerate(self.embeddings)]
        return self.project(torch.cat([*columns, graph.scalars], dim=1))


class EdgeEncoder(nn.Module):
    """Describes an edge by its length, bond order and whether its sender is a symmetry mate."""

    def __init__(self, config: GraphConfig, basis_size: int, width: int) -> None:
        super().__init__()
        self.basis = GaussianBasis(largest=config.radius or USUAL_REACH, size=basis_size)
        self.length = nn.Linear(basis_size, width)
        self.kind = nn.Embedding(2 * len(BondOrder), width)

    def forward(self, graph: AtomGraph, edges: slice) -> Float[Tensor, "edges width"]:
        """Encode some edges of a graph."""
        kind = graph.edge_bond[edges] + len(BondOrder) * graph.edge_mate[edges]
        length = self.length(self.basis(graph.edge_vector[edges].norm(dim=-1)))
        return F.silu(length + self.kind(kind).to(length.dtype))


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Make a perceptron with one hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


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
