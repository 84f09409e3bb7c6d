"""The training loop's view of a model: one step, one validation, one schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import lightning as L
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from debye.dataset.batches.loader import Batch
from debye.graph.graph import AtomGraph
from debye.models.base import AtomModel
from debye.structure.structure import EntityKind
from debye.training.config import Recipe, TrainingConfig
from debye.training.losses import FEWEST_ATOMS, loss_terms, structure_correlation
from debye.training.optimizer import make_optimizer

VALIDATIONS = ("crystal", "isolated")
"""The two validation loaders, in order: symmetry mates shown and hidden."""
MONITOR = "val_r"


class FitModule(L.LightningModule):
    """Fits a model to a recipe; the model itself never imports Lightning."""

    def __init__(
        self,
        model: AtomModel,
        recipe: Recipe,
        steps: int,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.steps = steps
        decay = recipe.training.weight_average
        self.average = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
        )
        if self.average is not None:
            # Else several processes would wait for gradients that it never gets.
            self.average.requires_grad_(False)
        self._correlations: dict[str, list[Tensor]] = {}
        self._start = dict(start or {})

    def on_fit_start(self) -> None:
        """Bring the start weights to where the model is; they are no part of the state."""
        self._start = {name: value.to(self.device) for name, value in self._start.items()}

    @property
    def best_weights(self) -> AtomModel:
        """The weights to validate and save: averaged where the recipe asks for it."""
        averaged = None if self.average is None else self.average.module
        return averaged if isinstance(averaged, AtomModel) else self.model

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        batch = replace(batch, graph=self._hide_resolution(batch.graph))
        terms = loss_terms(self.model(batch.graph), batch, self.recipe.loss)
        loss = terms.total
        if self.recipe.start is not None and self.recipe.start.anchor:
            loss = loss + 0.5 * self.recipe.start.anchor * self.squared_distance()
        size = batch.graph.n_structures
        self.log("loss", loss, batch_size=size, prog_bar=True)
        self.log("train_r", terms.correlation, batch_size=size, prog_bar=True)
        self.log("train_huber", terms.huber, batch_size=size)
        self.log("train_spread", terms.spread, batch_size=size)
        self.log("train_level", terms.level, batch_size=size)
        return loss

    def squared_distance(self) -> Tensor:
        """Return the squared distance of the weights that are trained from where they started."""
        parts = [
            (parameter - self._start[name]).square().sum()
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        ]
        return torch.stack(parts).sum()

    def _hide_resolution(self, graph: AtomGraph) -> AtomGraph:
        """Hide the resolution of a share of structures; drawn anew, but equally in a resumed run."""
        generator = torch.Generator().manual_seed(
            self.recipe.training.seed * 1_000_003 + self.global_step
        )
        hidden = torch.rand(graph.n_structures, generator=generator)
        hidden = hidden.to(graph.position.device) < self.recipe.data.hide_resolution
        return graph.without_resolution(hidden)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Limit the gradient; leave out a step whose gradient is not finite, and count it.

        In bfloat16 one odd structure can overflow; its step would turn every weight into NaN.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.recipe.training.gradient_clip)
        finite = bool(torch.isfinite(norm))
        if not finite:
            for parameter in parameters:
                parameter.grad = None  # the optimizer passes over it
        self.log(
            "skipped",
            float(not finite),
            on_step=False,
            on_epoch=True,
            reduce_fx="sum",
            sync_dist=True,
        )

    def on_train_batch_end(self, *_: object) -> None:
        """Follow the weights with their moving average."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def on_validation_epoch_start(self) -> None:
        """Forget the correlations of the last epoch."""
        self._correlations = {name: [] for name in VALIDATIONS}

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Correlate the structures of one batch."""
        output = self.best_weights(batch.graph)
        self._correlations[VALIDATIONS[dataloader_idx]].append(
            batch_correlations(output.profile, batch)
        )

    def on_validation_epoch_end(self) -> None:
        """Log the mean per-structure correlation, with the crystal, without, and of both."""
        means = {}
        for name, parts in self._correlations.items():
            found = torch.cat(parts) if parts else torch.zeros(0, device=self.device)
            total = torch.stack([found.sum(), torch.tensor(float(len(found)), device=self.device)])
            gathered = self.all_gather(total)
            total = torch.as_tensor(gathered).reshape(-1, 2).sum(0)
            means[name] = (total[0] / total[1].clamp(min=1)).item()
        self.log(MONITOR, sum(means.values()) / len(means), prog_bar=True)
        self.log_dict({f"val_r_{name}": value for name, value in means.items()})

    def configure_optimizers(self) -> dict[str, object]:
        """Use the optimizer of the recipe, under warm-ups and cosines."""
        training = self.recipe.training
        optimizer = make_optimizer(self.model, training)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(training, self.steps, step)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch, which Lightning cannot look into."""
        return batch.to(device)


def learning_rate_factor(training: TrainingConfig, steps: int, step: int) -> float:
    """Return the share of ``training.learning_rate`` that holds in one of all steps.

    Example:
        >>> config = TrainingConfig(epochs=2, warmup=0.1, cycles=2, cycle_decay=0.5)
        >>> [round(learning_rate_factor(config, 100, step), 3) for step in (0, 5, 50, 55, 99)]
        [0.2, 1.0, 0.1, 0.5, 0.001]
    """
    length = max(1, steps // training.cycles)
    cycle = min(step // length, training.cycles - 1)
    step -= cycle * length
    highest = training.cycle_decay**cycle
    warmup = max(1, round(training.warmup * length))
    if step < warmup:
        return highest * (step + 1) / warmup
    progress = (step - warmup) / max(1, length - warmup)
    return highest * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def batch_correlations(
    profile: Float[Tensor, " atoms"], batch: Batch
) -> Float[Tensor, " structures"]:
    """Return Pearson r over the protein atoms of each structure that has enough of them labelled."""
    graph = batch.graph
    weight = batch.weight * (graph.entity_kind == EntityKind.PROTEIN)
    found = structure_correlation(
        profile, batch.target, weight, graph.structure_index, graph.n_structures
    )
    atoms = weight.new_zeros(graph.n_structures).index_add(0, graph.structure_index, weight)
    return found[atoms >= FEWEST_ATOMS]
