"""The Lightning module: training step, validation, optimizer and its schedule, cost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from debye.dataset.batches.loader import Batch, graph_items
from debye.graph.graph import AtomGraph
from debye.models.base import AtomModel
from debye.targets.losses import find_loss, find_monitor
from debye.targets.target import Target
from debye.training.config import Recipe, TrainingConfig

VALIDATIONS = ("crystal", "isolated")
"""The two validation loaders, in order: with and without symmetry mates."""
MONITOR = "val_r"
SMALLEST_SIDE = 16
"""Muon skips matrices with a shorter side: they read or write features, whose directions are not equivalent."""


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
        self.average = None
        if decay := recipe.training.weight_average:
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
            # Otherwise several processes would wait for gradients that never come.
            self.average.requires_grad_(False)
        self._sums: dict[str, dict[str, Tensor]] = {}
        self._start = dict(start or {})

    def on_fit_start(self) -> None:
        """Move the start weights to the device of the model; they are not saved with its state."""
        self._start = {name: value.to(self.device) for name, value in self._start.items()}

    @property
    def best_weights(self) -> AtomModel:
        """The weights to validate and save: averaged if the recipe sets ``weight_average``."""
        averaged = None if self.average is None else self.average.module
        return averaged if isinstance(averaged, AtomModel) else self.model

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch: the weighted mean over the targets."""
        batch = replace(batch, graph=self._hide_resolution(batch.graph))
        output, size = self.model(batch.graph), batch.graph.n_structures
        loss, weights = torch.zeros((), device=batch.graph.position.device), 0.0
        for target in self.model.targets:
            items = graph_items(batch.graph, target.per)
            terms = find_loss(target)(
                output.values[target.name], batch.labels[target.name], items, self.recipe.loss
            )
            weight = self.recipe.weights.get(target.name, 1.0)
            loss, weights = loss + weight * terms.total, weights + weight
            suffix = "" if len(self.model.targets) == 1 else f"_{target.name}"
            self.log(f"train_r{suffix}", terms.correlation, batch_size=size, prog_bar=True)
            for name in ("huber", "spread", "level"):
                self.log(f"train_{name}{suffix}", getattr(terms, name), batch_size=size)
        loss = loss / weights
        if self.recipe.start is not None and self.recipe.start.anchor:
            loss = loss + 0.5 * self.recipe.start.anchor * self.squared_distance()
        self.log("loss", loss, batch_size=size, prog_bar=True)
        if self.trainer.world_size > 1:
            # Several processes wait for the gradient of every weight; not every target uses all of them.
            loss = loss + 0.0 * sum(p.sum() for p in self.model.parameters() if p.requires_grad)
        return loss

    def squared_distance(self) -> Tensor:
        """Return the squared distance of the weights that are trained from where they started."""
        trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        moved = [trained[name] - self._start[name] for name in trained if name in self._start]
        return torch.stack([difference.square().sum() for difference in moved]).sum()

    def _hide_resolution(self, graph: AtomGraph) -> AtomGraph:
        """Hide the resolution of a share of structures, drawn anew at each step; a resumed run draws the same."""
        generator = torch.Generator().manual_seed(
            self.recipe.training.seed * 1_000_003 + self.global_step
        )
        hidden = torch.rand(graph.n_structures, generator=generator)
        hidden = hidden.to(graph.position.device) < self.recipe.data.hide_resolution
        return graph.without_resolution(hidden)

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        """Limit the gradient; skip a step whose gradient is not finite, and count it.

        In bfloat16 one odd structure can overflow; its step would turn every weight into NaN.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.recipe.training.gradient_clip)
        finite = bool(torch.isfinite(norm))
        if not finite:
            optimizer.zero_grad()  # to None, so that it skips every parameter
        how: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
        self.log("skipped", float(not finite), reduce_fx="sum", **how)

    def on_train_batch_end(self, *_: object) -> None:
        """Follow the weights with their moving average."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def on_validation_epoch_start(self) -> None:
        """Forget the sums of the last epoch."""
        self._sums = {name: {} for name in VALIDATIONS}

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add up the monitors of one batch."""
        add_monitor_sums(self._sums[VALIDATIONS[dataloader_idx]], self.best_weights, batch)

    def on_validation_epoch_end(self) -> None:
        """Log the monitor, a mean over the targets: with the crystal, without, and of both."""
        figures = {}
        for name, sums in self._sums.items():
            gathered = {
                target: torch.as_tensor(self.all_gather(own)).reshape(-1, len(own)).sum(0)
                for target, own in sums.items()
            }
            figures[name] = monitor_figure(self.best_weights, gathered)
        self.log(MONITOR, sum(figures.values()) / len(figures), prog_bar=True)
        self.log_dict({f"val_r_{name}": value for name, value in figures.items()})

    def configure_optimizers(self) -> dict[str, object]:
        """Return the optimizer of the recipe, with warm-up and cosine decay."""
        training = self.recipe.training
        optimizer = make_optimizer(self.model, training)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(training, self.steps, step)
        )
        schedule = {"scheduler": scheduler, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch; Lightning does not know its type."""
        return batch.to(device)


def learning_rate_factor(training: TrainingConfig, steps: int, step: int) -> float:
    """Return the factor on ``training.learning_rate`` at one step.

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


def add_monitor_sums(sums: dict[str, Tensor], model: AtomModel, batch: Batch) -> None:
    """Predict a batch and add what the monitor of each target needs, by name."""
    output = model(batch.graph)
    for target in model.targets:
        name, items = target.name, graph_items(batch.graph, target.per)
        found = find_monitor(target).sums(output.values[name], batch.labels[name], items)
        sums[name] = sums[name] + found if name in sums else found


def monitor_figure(model: AtomModel, sums: Mapping[str, Tensor]) -> float:
    """Return the mean over a model's targets of their monitors; 0 without any batch."""
    targets = [target for target in model.targets if target.name in sums]
    found = [find_monitor(target).figure(sums[target.name]) for target in targets]
    return sum(found) / len(found) if found else 0.0


def monitor_label(targets: Sequence[Target]) -> str:
    """Return the name of the figure that :func:`monitor_figure` returns."""
    labels = dict.fromkeys(find_monitor(target).label for target in targets)
    return " and ".join(labels) + (", averaged over targets" if len(targets) > 1 else "")


class TrainingCost(L.Callback):
    """Counts atoms and seconds of all training steps, including the loading of batches.

    Validation, building of graphs and steps lost in a kill do not count.
    """

    def __init__(self) -> None:
        self.atoms = 0
        """Atoms in all batches so far, in this process."""
        self.seconds = 0.0
        self._mark = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count one step."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self._mark = now
        self.atoms += batch.graph.n_atoms

    def state_dict(self) -> dict[str, Any]:
        """Return the counts so far."""
        return {"atoms": self.atoms, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts of an interrupted run."""
        self.atoms, self.seconds = state_dict["atoms"], state_dict["seconds"]


class Together(Optimizer):
    """Several optimizers, each with its own parameters, as one."""

    def __init__(self, *parts: Optimizer) -> None:
        super().__init__([p for part in parts for g in part.param_groups for p in g["params"]], {})
        self.parts = parts
        self._adopt_groups()

    def _adopt_groups(self) -> None:
        # A learning rate changed here changes in the parts too.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Any = None) -> Any:
        """Step every part; the closure is called once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the states of the parts."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._adopt_groups()


def make_optimizer(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """Return the optimizer of a recipe for the trainable parameters.

    AdamW decays no vectors. Muon turns the step of a matrix between hidden layers into an orthogonal one, with
    the root mean square of an AdamW step, so that a learning rate serves both; AdamW steps all else.

    References: Loshchilov & Hutter (2019), arXiv:1711.05101; Jordan et al. (2024), Muon,
    https://kellerjordan.github.io/posts/muon; Liu et al. (2025), arXiv:2502.16982.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    trained = [layer.weight for layer in layers if layer.weight.requires_grad]
    hidden: list[Tensor] = []
    if config.optimizer == "muon":
        hidden = [weight for weight in trained if min(weight.shape) >= SMALLEST_SIDE]
    chosen = {id(parameter) for parameter in hidden}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    groups = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = AdamW(groups, lr=config.learning_rate)
    if not hidden:
        return adamw
    rate, decay = config.learning_rate, config.weight_decay
    muon = Muon(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return Together(muon, adamw)
