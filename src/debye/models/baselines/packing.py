"""Baselines of packing: atoms with many neighbors move little."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, PositiveFloat, field_validator
from torch import Tensor

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.graph.node_features import PACKING_RADII, USUAL_WCN
from debye.models.base import BaselineModel, ModelOutput


class ContactNumberConfig(BaseModel, frozen=True, extra="forbid"):
    """Neighbors that count."""

    radius: float = 10.0
    """Å; one of :data:`debye.graph.node_features.PACKING_RADII`."""
    crystal: bool = True
    """Symmetry mates count if they are known."""

    @field_validator("radius")
    @classmethod
    def _is_computed(cls, radius: float) -> float:
        if radius not in PACKING_RADII:
            known = ", ".join(f"{known:g}" for known in PACKING_RADII)
            raise ValueError(f"contacts are counted within {known} Å, not {radius:g} Å")
        return radius

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads."""
        isolated = f"contact_number_{self.radius:g}"
        names = (isolated, f"crystal_{isolated}") if self.crystal else (isolated,)
        return GraphConfig.plain(crystal=self.crystal, node_scalars=names)


class ContactNumber(BaselineModel):
    """Predicts the negative number of heavy atoms within a radius, standardized in each structure.

    Reference: Halle (2002), PNAS 99, 1274-1279.
    """

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Standardize the last scalar: the contact number with mates, if they count."""
        profile = standardize(-graph.scalars[:, -1], graph.structure_index, graph.n_structures)
        return self.output(profile)


class WeightedContactNumberConfig(BaseModel, frozen=True, extra="forbid"):
    """Neighbors that count."""

    crystal: bool = True
    """Symmetry mates count if they are known."""
    smallest: PositiveFloat = 0.5
    """Å⁻². A smaller weighted contact number counts as this: that of an ion far from everything is almost 0,
    and its inverse would outweigh all others after standardization."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads."""
        names = ("wcn", "crystal_wcn") if self.crystal else ("wcn",)
        return GraphConfig.plain(crystal=self.crystal, node_scalars=names)


class WeightedContactNumber(BaselineModel):
    r"""Predicts :math:`1 / \sum_j d_{ij}^{-2}`, standardized in each structure.

    Reference: Lin, Shih, Hwang, Kao, Lee & Chen (2008), Proteins 72, 929-935.
    """

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Invert and standardize the last scalar: the sum with mates, if they count."""
        packed = (USUAL_WCN * graph.scalars[:, -1]).clamp(min=self.config.smallest)
        profile = standardize(1 / packed, graph.structure_index, graph.n_structures)
        return self.output(profile)


def standardize(
    value: Float[Tensor, " atoms"], structure_index: Int[Tensor, " atoms"], n_structures: int
) -> Float[Tensor, " atoms"]:
    """Return how many standard deviations each value lies above the mean of its structure.

    A structure whose values are all equal gets zeros.

    Example:
        >>> standardize(torch.tensor([1.0, 3.0, 7.0]), torch.tensor([0, 0, 1]), 2).tolist()
        [-1.0, 1.0, 0.0]
    """
    # In float64: a structure gets the same result alone and in a batch.
    exact = value.double()
    count = torch.bincount(structure_index, minlength=n_structures).clamp(min=1)

    def mean(of: Tensor) -> Tensor:
        total = of.new_zeros(n_structures).index_add_(0, structure_index, of)
        return (total / count)[structure_index]

    centered = exact - mean(exact)
    spread = mean(centered.square()).sqrt()
    # Equal values differ from their mean by rounding.
    flat = spread <= 1e-9 * exact.abs().clamp(min=1)
    return torch.where(flat, 0.0, centered / spread.clamp(min=1e-30)).to(value.dtype)
