"""Optimizers: AdamW, and Muon for hidden layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from debye.training.config import TrainingConfig

SMALLEST_SIDE = 16
"""Muon skips matrices with a shorter side: they read or write features, whose directions are not equivalent."""


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
