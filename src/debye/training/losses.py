"""What training minimizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from debye.dataset.batches.loader import Batch, data_quality
from debye.models.base import SPREAD_RANGE, ModelOutput
from debye.training.config import LossConfig

FEWEST_ATOMS = 10  # structures with fewer labelled atoms have no meaningful correlation
LEAST_VARIANCE = 1e-4  # of a standardized profile
LARGEST_RATIO = 5.0
"""Between true and predicted level: early in training the predicted one may be anything."""
LEAST_LEVEL, LARGEST_LEVEL = -3.0, 8.0
"""Log of mean and standard deviation, Å²; beyond, their exponential could overflow."""


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

    Every structure counts the same in the correlation and in the level, every labelled atom in the error and in the
    likelihood, those of ligands ``config.ligands`` times.
    """
    graph, n_structures = batch.graph, batch.graph.n_structures
    # Relative to a usual crystal, not to the batch: of a batch of one structure nothing would be left.
    trust = 1.0 + config.quality * (batch.quality / data_quality(None) - 1.0)
    weight = batch.weight * trust[graph.structure_index]
    weight = torch.where(graph.is_polymer, weight, config.ligands * weight)
    labelled = batch.weight.sum().clamp(min=1.0)
    huber = F.huber_loss(output.profile, batch.target, reduction="none", delta=config.huber_delta)
    huber = (huber * weight).sum() / labelled
    per_structure = structure_correlation(
        output.profile, batch.target, batch.weight, graph.structure_index, n_structures
    )
    atoms = weight.new_zeros(n_structures).index_add(0, graph.structure_index, batch.weight)
    counted = (atoms >= FEWEST_ATOMS).float()
    structures = counted.sum().clamp(min=1.0)
    correlation = (per_structure * counted).sum() / structures
    total = (
        huber + config.correlation * ((1.0 - per_structure) * counted * trust).sum() / structures
    )
    spread = level = huber.new_zeros(())
    if output.log_spread is not None:
        # Laplace likelihood; profile and level are left to the other terms.
        error = absolute_error(output, batch).detach()
        log_spread = output.log_spread.clamp(*SPREAD_RANGE)
        spread = error * torch.exp(-log_spread) + log_spread
        spread = (spread * weight).sum() / labelled
        total = total + config.spread * spread
    if output.level is not None:
        level = F.smooth_l1_loss(output.level, batch.level, reduction="none", beta=0.2).sum(1)
        level = (level * counted * trust).sum() / structures
        total = total + config.level * level
    return LossTerms(total, huber, correlation, spread, level)


def absolute_error(output: ModelOutput, batch: Batch) -> Float[Tensor, " atoms"]:
    """Return the error of each atom's value, level included, in predicted standard deviations.

    Where the model predicts no level, or its target needs none, it is the error of the profile.
    """
    error = output.profile - batch.target
    if output.level is None:
        return error.abs()
    predicted = output.level.clamp(LEAST_LEVEL, LARGEST_LEVEL).exp()[batch.graph.structure_index]
    true = batch.level.exp()[batch.graph.structure_index]
    ratio = (true[:, 1] / predicted[:, 1]).clamp(max=LARGEST_RATIO)
    shift = (true[:, 0] - predicted[:, 0]) / predicted[:, 1]
    shift = shift.clamp(-LARGEST_RATIO, LARGEST_RATIO)
    return (output.profile - (batch.target * ratio + shift)).abs()
