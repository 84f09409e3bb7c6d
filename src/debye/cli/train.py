"""``debye train``: run a recipe."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from debye.cli.options import Accelerator, DataStore, Resume, Settings
from debye.errors import require_extra


def train(
    recipe: Annotated[
        Path, typer.Argument(help="Recipe (.toml): model, data, loss and training settings.")
    ],
    data: DataStore,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the run [runs/NAME].")
    ] = None,
    settings: Settings = None,
    rehearsal: Annotated[
        Path | None,
        typer.Option(
            help="Data store for [rehearsal] batches, for example made by `debye data relax`."
        ),
    ] = None,
    resume: Resume = False,
    accelerator: Accelerator = "auto",
    devices: Annotated[
        str, typer.Option(help="Number of processes (cpu) or GPUs to train on, or auto.")
    ] = "auto",
) -> None:
    """Train a model with a recipe; writes the best epoch as a calibrated checkpoint."""
    count = _count(devices)
    prepare_training("debye train")
    from lightning.pytorch.utilities import rank_zero_only

    from debye.dataset.store.store import Store
    from debye.prediction.calibrate import calibrate_checkpoint
    from debye.training.config import read_recipe
    from debye.training.fit import check_rehearsal, fit

    read = read_recipe(recipe, settings or ())
    store = Store.open(data)
    replay = None if rehearsal is None else Store.open(rehearsal)
    if read.rehearsal is not None and replay is not None:
        # Whichever epoch is kept: bounds are calibrated on the validation split.
        check_rehearsal(read, store, replay)
    result = fit(
        read,
        store,
        out or Path("runs") / read.name,
        rehearsal=replay,
        resume=resume,
        accelerator=accelerator,
        devices=count,
    )
    if rank_zero_only.rank != 0:
        return  # the first of the processes that trained together writes and reports
    calibrate_checkpoint(result.checkpoint, store, read.data.validation_split)
    found = "nothing validated"
    if result.val_r is not None:
        found = f"{result.monitor} {result.val_r:.3f} on {read.data.validation_split}"
    typer.echo(f"{result.checkpoint}: best epoch {result.best_epoch}, {found}")


def _count(devices: str) -> int | str:
    """Return the number of devices, or ``auto``."""
    if devices != "auto" and not (devices.isdecimal() and int(devices)):
        message = f"{devices!r} is neither auto nor a number from 1 up"
        raise typer.BadParameter(message, param_hint="--devices")
    return devices if devices == "auto" else int(devices)


def prepare_training(command: str) -> None:
    """Refuse to start without the packages that only training needs; silence Lightning's own messages."""
    require_extra(command, "train", ("lightning", "tensorboard"))
    import lightning.pytorch  # noqa: F401  # sets the levels of its loggers, which are changed here

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
