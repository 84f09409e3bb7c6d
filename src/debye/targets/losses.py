"""What training minimizes for a target, and the figure that chooses the best epoch.

All values are standardized. An item is what one value describes: an atom, a residue or a structure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from debye.errors import unknown_name
from debye.targets.target import Target

LOG_ERROR_RANGE = (-4.0, 3.0)
"""Limits of the log of an expected error, in standard deviations. The data support no smaller error, and in training
the likelihood of one item could outweigh the batch."""
FEWEST_ITEMS = 10  # structures with fewer labelled items have no meaningful correlation
LEAST_VARIANCE = 1e-4  # of standardized values
LARGEST_RATIO = 5.0
"""Between true and predicted mean or standard deviation: early in training the predicted one may be anything."""
LEAST_LOG, LARGEST_LOG = -3.0, 8.0
"""Limits of log mean and log standard deviation; beyond, their exponential could overflow."""


class LossConfig(BaseModel, frozen=True, extra="forbid"):
    """Weights of the terms of the loss."""

    huber_delta: PositiveFloat = 1.0
    """Standardized errors above this count linearly."""
    correlation: NonNegativeFloat = 1.0
    """Weight of 1 minus the per-structure correlation; used by ``within_structures`` only."""
    spread: NonNegativeFloat = 0.1
    """Weight of the likelihood of the predicted error."""
    level: NonNegativeFloat = 0.1
    """Weight of the error of log mean and log standard deviation; used by ``within_structures`` only."""
    ligands: PositiveFloat = 1.0
    """Weight of an atom of a ligand, ion or sugar in the error and in the likelihood; others weigh 1."""
    quality: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How far structures of poor resolution count less: 0 not at all, 1 in proportion to the target's trust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOutput:
    """The prediction of one target for a batch, standardized."""

    value: Float[Tensor, " items"]
    log_error: Float[Tensor, " items"] | None = None
    """Log of the expected absolute error of ``value``, limited to :data:`LOG_ERROR_RANGE`; None: not predicted."""
    log_mean_sd: Float[Tensor, "structures 2"] | None = None
    """Log of the mean and of the standard deviation of each structure, in the target's unit; None: not predicted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLabels:
    """The labels of one target for a batch, standardized."""

    value: Float[Tensor, " items"]
    weight: Float[Tensor, " items"]
    """1 where the label is usable; else 0, as is ``value``."""
    log_mean_sd: Float[Tensor, "structures 2"]
    """Log of the robust mean and standard deviation of each structure; 0 where the target has none."""
    trust: Float[Tensor, " structures"]
    """Weight of each structure, 1 for a usual one; see :attr:`debye.targets.target.Target.trust`."""
    clipped: int = 0
    """Number of values that were limited."""

    def to(self, device: torch.device | str) -> TargetLabels:
        """Copy every tensor to a device."""
        names = ("value", "weight", "log_mean_sd", "trust")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return replace(self, **moved)


class Items(NamedTuple):
    """The items of a batch that values belong to."""

    structure_index: Int[Tensor, " items"]
    n_structures: int
    is_polymer: Bool[Tensor, " items"]
    """Protein or nucleic acid; the other items are ligands, ions and sugars."""
    is_protein: Bool[Tensor, " items"]


@dataclass(frozen=True, slots=True)
class LossTerms:
    """The loss and its parts, each a scalar; 0 where a part does not apply."""

    total: Tensor
    huber: Tensor
    correlation: Tensor
    """Mean per-structure Pearson r (not 1 minus it)."""
    spread: Tensor
    level: Tensor


Loss = Callable[[TargetOutput, TargetLabels, Items, LossConfig], LossTerms]


def structure_correlation(
    predicted: Float[Tensor, " items"],
    true: Float[Tensor, " items"],
    weight: Float[Tensor, " items"],
    structure_index: Int[Tensor, " items"],
    n_structures: int,
) -> Float[Tensor, " structures"]:
    """Return the weighted correlation of predicted and true values within each structure; differentiable.

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

    x, y = center(predicted), center(true)
    variance_x, variance_y = total(x * x) / count, total(y * y) / count
    scale = torch.sqrt(variance_x.clamp(min=LEAST_VARIANCE) * variance_y.clamp(min=LEAST_VARIANCE))
    return total(x * y) / count / scale


def within_structures(
    output: TargetOutput, labels: TargetLabels, items: Items, config: LossConfig
) -> LossTerms:
    """Combine a robust error, the per-structure correlation, and the fits of expected error, mean and sd.

    Structures weigh the same in correlation, mean and sd; labelled items in the error and in the likelihood.
    """
    trust = 1.0 + config.quality * (labels.trust - 1.0)
    error = absolute_error(output, labels, items)
    huber, spread = _pointwise_terms(output, labels, items, config, error)
    per_structure, counted = _correlations(output, labels, items, labels.weight)
    counted = counted.float()
    structures = counted.sum().clamp(min=1.0)
    correlation = (per_structure * counted).sum() / structures
    misfit = ((1.0 - per_structure) * counted * trust).sum()
    level = huber.new_zeros(())
    if output.log_mean_sd is not None:
        error = F.smooth_l1_loss(output.log_mean_sd, labels.log_mean_sd, reduction="none", beta=0.2)
        level = (error.sum(1) * counted * trust).sum() / structures
    total = huber + config.correlation * misfit / structures
    total = total + config.spread * spread + config.level * level
    return LossTerms(total, huber, correlation, spread, level)


def _correlations(
    output: TargetOutput, labels: TargetLabels, items: Items, weight: Tensor
) -> tuple[Float[Tensor, " structures"], Bool[Tensor, " structures"]]:
    """Return the correlation within each structure, and which structures have enough labels for one."""
    index, count = items.structure_index, items.n_structures
    found = structure_correlation(output.value, labels.value, weight, index, count)
    labelled = weight.new_zeros(count).index_add(0, index, weight)
    return found, labelled >= FEWEST_ITEMS


def pointwise(
    output: TargetOutput, labels: TargetLabels, items: Items, config: LossConfig
) -> LossTerms:
    """Combine a robust error and the fit of the expected error; every labelled item counts the same."""
    error = (output.value - labels.value).abs()
    huber, spread = _pointwise_terms(output, labels, items, config, error)
    zero = huber.new_zeros(())
    return LossTerms(huber + config.spread * spread, huber, zero, spread, zero)


def _pointwise_terms(
    output: TargetOutput,
    labels: TargetLabels,
    items: Items,
    config: LossConfig,
    error: Float[Tensor, " items"],
) -> tuple[Tensor, Tensor]:
    """Return the robust error, and the Laplace likelihood of the errors (0 without a predicted one)."""
    trust = 1.0 + config.quality * (labels.trust - 1.0)
    weight = labels.weight * trust[items.structure_index]
    weight = torch.where(items.is_polymer, weight, config.ligands * weight)
    labelled = labels.weight.sum().clamp(min=1.0)
    huber = F.huber_loss(output.value, labels.value, reduction="none", delta=config.huber_delta)
    huber = (huber * weight).sum() / labelled
    if output.log_error is None:
        return huber, huber.new_zeros(())
    log_error = output.log_error.clamp(*LOG_ERROR_RANGE)
    # The errors are constants here: the likelihood trains the expected error alone.
    spread = error.detach() * torch.exp(-log_error) + log_error
    return huber, (spread * weight).sum() / labelled


def absolute_error(
    output: TargetOutput, labels: TargetLabels, items: Items
) -> Float[Tensor, " items"]:
    """Return the error of each value in predicted standard deviations, errors of mean and sd included.

    Where no mean and sd are predicted it is the error of the standardized value.
    """
    if output.log_mean_sd is None:
        return (output.value - labels.value).abs()
    predicted = output.log_mean_sd.clamp(LEAST_LOG, LARGEST_LOG).exp()[items.structure_index]
    true = labels.log_mean_sd.exp()[items.structure_index]
    ratio = (true[:, 1] / predicted[:, 1]).clamp(max=LARGEST_RATIO)
    shift = (true[:, 0] - predicted[:, 0]) / predicted[:, 1]
    shift = shift.clamp(-LARGEST_RATIO, LARGEST_RATIO)
    return (output.value - (labels.value * ratio + shift)).abs()


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {"within_structures": within_structures, "pointwise": pointwise}
)


def find_loss(target: Target) -> Loss:
    """Return the loss function of a target; an unknown name is a ``ConfigError``."""
    if not isinstance(target.loss, str):
        return target.loss
    if target.loss not in LOSSES:
        raise unknown_name("loss", target.loss, LOSSES)
    return LOSSES[target.loss]


@dataclass(frozen=True, slots=True)
class Monitor:
    """A figure over a validation split, higher is better, from sums that add up over batches and processes."""

    label: str
    """Name in messages."""
    sums: Callable[[TargetOutput, TargetLabels, Items], Float[Tensor, " sums"]]
    figure: Callable[[Float[Tensor, " sums"]], float]


def _structure_r_sums(output: TargetOutput, labels: TargetLabels, items: Items) -> Tensor:
    found, counted = _correlations(output, labels, items, labels.weight * items.is_protein)
    found = found[counted]
    return torch.stack([found.sum(), found.new_tensor(float(len(found)))])


def _pooled_r_sums(output: TargetOutput, labels: TargetLabels, items: Items) -> Tensor:
    used = labels.weight > 0
    x, y = output.value[used].double(), labels.value[used].double()
    return torch.stack([part.sum() for part in (torch.ones_like(x), x, y, x * x, y * y, x * y)])


def _pooled_r(sums: Tensor) -> float:
    n, x, y, xx, yy, xy = sums.double().tolist()
    if n < 2:
        return 0.0
    variance = max(xx - x * x / n, 0.0) * max(yy - y * y / n, 0.0)
    return (xy - x * y / n) / variance**0.5 if variance > 1e-12 else 0.0


MONITORS: Mapping[str, Monitor] = MappingProxyType(
    {
        # Mean per-structure Pearson r over the protein items of structures with enough labels.
        "structure_r": Monitor(
            "mean per-structure r",
            _structure_r_sums,
            lambda sums: float(sums[0] / sums[1].clamp(min=1)),
        ),
        # Pearson r over all labelled items of the split.
        "pooled_r": Monitor("pooled r", _pooled_r_sums, _pooled_r),
    }
)


def find_monitor(target: Target) -> Monitor:
    """Return the figure that chooses the best epoch of a target; an unknown name is a ``ConfigError``."""
    if target.monitor not in MONITORS:
        raise unknown_name("monitor", target.monitor, MONITORS)
    return MONITORS[target.monitor]
