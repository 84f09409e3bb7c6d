"""What training minimizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from debye.data.loader import Batch
from debye.models.base import ModelOutput
from debye.training.config import LossConfig

FEWEST_ATOMS = 10  # structures with fewer labelled atoms have no meaningful correlation
LEAST_VARIANCE = 1e-4  # of a standardized profile


@dataclass(frozen=True, slots=True)
class LossTerms:
    """The loss and its parts, each a scalar."""

    total: Tensor
    huber: Tensor
    correlation: Tensor
    """Mean per-structure Pearson r (not one minus it)."""
    spread: Tensor
    level: Tensor


def structure_correlation(
    predicted: Float[Tensor, " atoms"],
    target: Float[Tensor, " atoms"],
    weight: Float[Tensor, " atoms"],
    structure_index: Int[Tensor, " atoms"],
    n_structures: int,
) -> Float[Tensor, " structures"]:
    """Correlate prediction and target within each structure, weighted; differentiable.

    Example:
        >>> x = torch.tensor([0.0, 1.0, 2.0])
        >>> r = structure_correlation(2 * x, x, torch.ones(3), torch.zeros(3, dtype=torch.long), 1)
        >>> round(r.item(), 4)
        1.0
    """

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(n_structures).index_add(0, structure_index, values * weight)

    count = total(torch.ones_like(predicted)).clamp(min=1e-6)

    def center(values: Tensor) -> Tensor:
        return values - (total(values) / count)[structure_index]

    x, y = center(predicted), center(target)
    variance_x, variance_y = total(x * x) / count, total(y * y) / count
    scale = torch.sqrt(variance_x.clamp(min=LEAST_VARIANCE) * variance_y.clamp(min=LEAST_VARIANCE))
    return total(x * y) / count / scale


def loss_terms(output: ModelOutput, batch: Batch, config: LossConfig) -> LossTerms:
    """Combine a robust error, the per-structure correlation, and the fits of spread and level.

    Every structure counts the same in the correlation, every labelled atom in the other terms.
    """
    graph, weight = batch.graph, batch.weight
    labelled = weight.sum().clamp(min=1.0)
    error = output.profile - batch.target
    huber = F.huber_loss(output.profile, batch.target, reduction="none", delta=config.huber_delta)
    huber = (huber * weight).sum() / labelled
    n_structures = graph.n_structures
    per_structure = structure_correlation(
        output.profile, batch.target, weight, graph.structure_index, n_structures
    )
    atoms = weight.new_zeros(n_structures).index_add(0, graph.structure_index, weight)
    counted = (atoms >= FEWEST_ATOMS).float()
    correlation = (per_structure * counted).sum() / counted.sum().clamp(min=1.0)
    total = huber + config.correlation * (1.0 - correlation)
    spread = level = huber.new_zeros(())
    if output.log_spread is not None:
        # Laplace likelihood; the profile is left to the terms above.
        spread = error.detach().abs() * torch.exp(-output.log_spread) + output.log_spread
        spread = (spread * weight).sum() / labelled
        total = total + config.spread * spread
    if output.level is not None:
        level = F.smooth_l1_loss(output.level, batch.level, reduction="none", beta=0.2).sum(1)
        level = (level * counted).sum() / counted.sum().clamp(min=1.0)
        total = total + config.level * level
    return LossTerms(total, huber, correlation, spread, level)
