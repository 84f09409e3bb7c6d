"""Per-structure standardization, shared by the physical baselines."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


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
