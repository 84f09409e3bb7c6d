"""Settings of a fine-tuning, and the training recipe that follows from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from debye.errors import CheckpointError, ConfigError, explain_validation
from debye.models.catalog import find_model
from debye.models.checkpoint import CheckpointHeader, checkpoint_digest, read_header
from debye.training.config import (
    DataConfig,
    LossConfig,
    Recipe,
    RehearsalConfig,
    StartConfig,
    TrainingConfig,
    TrainingLoaderConfig,
)

Mode = Literal["all", "head", "low-rate"]
LEARNING_RATES: dict[str, float] = {"all": 5e-4, "head": 2e-3, "low-rate": 1e-4}
"""Largest learning rate of each mode; training from random weights uses 2e-3."""
ABSENT = {"shuffle", "seed", "only", "without", "exclude_near364"}
"""Loader settings that are not inherited from the training of the model."""


class FinetuneConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings of a fine-tuning; all others are inherited from the training of the model."""

    mode: Mode = "all"
    """Which weights change: ``all``; ``head``, the output head; ``low-rate``, all at a lower learning rate."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Largest learning rate; None: that of the mode, see :data:`LEARNING_RATES`."""
    epochs: PositiveInt = 10
    """Passes over the new entries."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of all steps in which the learning rate rises."""
    patience: PositiveInt | None = 3
    """Stop after this number of epochs without a better correlation on the entries that choose the epoch;
    None: never. A family has no such entries and always takes all epochs."""
    rehearsal: NonNegativeFloat = 1.0
    """Old batches for each new batch, if the old store is given; 0: none."""
    anchor: NonNegativeFloat = 0.0
    """Pull towards the start weights, see :class:`debye.training.config.StartConfig`."""
    blend: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the fine-tuned weights in the mean with the start weights."""
    hold_out: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the clusters that is held out if no split is named: half of it chooses the epoch and
    calibrates the bounds, half is reported."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Parts of a family that are left out in turn; None: each member, or ten parts of more than 20 members."""
    min_usable: PositiveInt = 50
    """Structures with fewer usable labels of every target are refused; see ``LoaderConfig``."""
    batch_atoms: PositiveInt | None = None
    """Most atoms per batch; None: as in the training of the model."""
    hide_crystal: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of structures whose crystal is hidden in training; None: as in the training of the model."""
    seed: NonNegativeInt = 1
    bootstrap: NonNegativeInt = 2000
    """Bootstrap draws for the intervals of the report."""


class StartModel(BaseModel, frozen=True):
    """The checkpoint to fine-tune."""

    checkpoint: str
    """Released name or path, as given."""
    sha256: str
    header: CheckpointHeader


def open_start(name_or_path: str) -> StartModel:
    """Read the header of the checkpoint to fine-tune.

    Raises:
        CheckpointError: no such checkpoint.
        ConfigError: its model is not trained by gradients.
    """
    header = read_header(name_or_path)
    if not find_model(header.model).learned:
        problem = f"a {header.model}, which has nothing to fine-tune"
        raise ConfigError(name_or_path, problem, "Give a learned model: see `debye models`")
    sha256 = checkpoint_digest(name_or_path)
    return StartModel(checkpoint=name_or_path, sha256=sha256, header=header)


def tuning_recipe(
    name: str, start: StartModel, config: FinetuneConfig, entries: dict[str, Any], *, choose: bool
) -> Recipe:
    """Return the recipe of one fine-tuning.

    Model, graphs, target, loss and augmentation are those of the start model's training, except that labels are
    never those of another entry.

    Args:
        name: Of the new checkpoint.
        start: Its start model.
        config: Its settings.
        entries: ``split``, ``only`` and ``without`` for training, ``validation_split`` and
            ``validation_only``, and ``old_split`` and ``old_without`` if old batches are mixed in.
        choose: Choose the epoch on the validation entries; False keeps the last one.

    Raises:
        CheckpointError: this version does not know the settings in the header.
    """
    past = start.header.training.get("recipe", {})
    past_data = past.get("data", {})
    inherited = past_data.get("loader", {})
    chosen = config.model_dump(include={"batch_atoms", "hide_crystal"}, exclude_none=True)
    loader = {key: value for key, value in inherited.items() if key not in ABSENT} | chosen
    loader |= {
        "min_usable": config.min_usable,
        "only": entries.get("only", ()),
        "without": entries.get("without", ()),
        "representative_only": False,
        "exclude_tags": (),
        "max_atoms": None,
        # Labels of a new entry are its own.
        "augment": inherited.get("augment", {}) | {"other_crystal": 0.0},
    }
    rehearsal = None
    if (old_split := entries.get("old_split")) is not None:
        without = entries.get("old_without", ())
        rehearsal = RehearsalConfig(split=old_split, share=config.rehearsal, without=without)
    try:
        return Recipe(
            name=name,
            model=start.header.model,
            settings=start.header.config,
            targets=start.header.targets,
            data=DataConfig(
                split=entries["split"],
                validation_split=entries.get("validation_split", entries["split"]),
                validation_only=entries.get("validation_only", ()),
                loader=TrainingLoaderConfig.model_validate(loader),
                hide_resolution=past_data.get("hide_resolution", DataConfig().hide_resolution),
            ),
            loss=LossConfig.model_validate(past.get("loss", {})),
            training=TrainingConfig(
                **config.model_dump(include={"seed", "epochs", "warmup", "patience"}),
                learning_rate=config.learning_rate or LEARNING_RATES[config.mode],
                weight_decay=0.0,  # it pulls towards zero, not towards the start weights
                precision=past.get("training", {}).get("precision", TrainingConfig().precision),
                keep="best" if choose else "last",
            ),
            start=StartConfig(
                checkpoint=start.checkpoint,
                sha256=start.sha256,
                train="head" if config.mode == "head" else "all",
                anchor=config.anchor,
                blend=config.blend,
            ),
            rehearsal=rehearsal,
        )
    except pydantic.ValidationError as error:
        problem = f"this version does not know settings in its header ({explain_validation(error)})"
        remedy = "Fine-tune with the version of debye that wrote it"
        raise CheckpointError(start.checkpoint, problem, remedy) from error
