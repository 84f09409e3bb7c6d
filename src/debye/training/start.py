"""Start weights: training from a checkpoint instead of from random weights.

The model may differ from that of the checkpoint in its targets, whose heads are matched by name; in its dropout; and by
further ``structure_scalars`` after the old ones, whose weights begin at zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from debye.errors import ConfigError
from debye.models.base import AtomModel
from debye.models.catalog import model_config
from debye.models.checkpoint import CheckpointHeader, checkpoint_digest, load_checkpoint
from debye.training.config import Recipe, StartConfig


@dataclass(frozen=True, slots=True)
class Start:
    """The checkpoint that a run starts from."""

    weights: Mapping[str, Tensor]
    """By the names of the model's state; heads of targets that the checkpoint lacks are missing."""
    lineage: dict[str, Any]
    """The checkpoint as an ancestor: name, digest and training, which lists its own ancestors."""


def start_from(model: AtomModel, recipe: Recipe) -> Start | None:
    """Load the start weights of a recipe, if any, into a model, and freeze the weights that are not trained.

    A checkpoint with another digest, model or settings than the recipe is a ``ConfigError``.
    """
    config = recipe.start
    if config is None:
        return None
    digest = checkpoint_digest(config.checkpoint)
    checkpoint = load_checkpoint(config.checkpoint)
    _check(config, digest, checkpoint.header, recipe, model)
    weights = {name: value.clone() for name, value in checkpoint.model.state_dict().items()}
    for name in model.fact_weights:
        added = len(model.graph_config.structure_scalars) - weights[name].shape[1]
        weights[name] = F.pad(weights[name], (0, added))  # columns of zeros
    ours = model.state_dict()
    # A target that only one of the two has: its head is dropped, or starts from random weights.
    weights = {name: value for name, value in weights.items() if name in ours}
    model.load_state_dict(ours | weights)
    if config.train == "head":
        freeze_body(model)
    return Start(weights, ancestor(checkpoint.header, digest))


def ancestor(header: CheckpointHeader, digest: str) -> dict[str, Any]:
    """Describe a checkpoint for the headers of those that are trained from it."""
    return {"sha256": digest, **header.model_dump(include={"name", "version", "training"})}


def freeze_body(model: AtomModel) -> None:
    """Freeze all modules except the head of the model; a ``ConfigError`` if it declares none."""
    if not model.head:
        remedy = "Train all weights, or name the modules of the head in the class"
        raise ConfigError(type(model).__name__, "declares no head", remedy)
    model.requires_grad_(False)
    for name in model.head:
        model.get_submodule(name).requires_grad_(True)


@torch.no_grad()
def blend(model: AtomModel, start: Mapping[str, Tensor], share: float) -> None:
    """Replace the weights of a model by their weighted mean (``share``) with the start weights."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and name in start:
            value.lerp_(start[name].to(value), 1 - share)


def _check(
    config: StartConfig, digest: str, header: CheckpointHeader, recipe: Recipe, model: AtomModel
) -> None:
    """Refuse a checkpoint that differs from what the recipe names."""
    expected: dict[str, tuple[Any, Any]] = {
        "sha256": (config.sha256 or digest, digest),
        "model": (recipe.model, header.model),
    }
    if recipe.model == header.model:
        wanted, found = (
            model_config(recipe.model, settings).model_dump(mode="json")
            for settings in (recipe.settings, header.config)
        )
        if _narrowed(wanted, found, model) != found:
            expected["settings"] = wanted, found
    for what, (wanted, found) in expected.items():
        if wanted != found:
            problem = f"its {what} is {found}, the recipe says {wanted}"
            remedy = "Start from the checkpoint that the recipe was made for"
            raise ConfigError(config.checkpoint, problem, remedy)


def _narrowed(wanted: dict[str, Any], found: dict[str, Any], model: AtomModel) -> dict[str, Any]:
    """Return the wanted settings with the checkpoint's values for those that may differ."""
    narrowed = wanted | {key: found[key] for key in ("dropout",) if key in found}
    if model.fact_weights:
        old, new = (one["graph"]["structure_scalars"] for one in (found, wanted))
        if old and old == new[: len(old)]:
            narrowed["graph"] = wanted["graph"] | {"structure_scalars": old}
    return narrowed
