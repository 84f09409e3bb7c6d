"""``debye train``: run a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from debye.errors import require_extra


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe (.toml) that says what is trained how.")],
    data: Annotated[Path, typer.Option("--data", help="Data store, made by `debye data build`.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the run [runs/NAME].")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting: section.key=value; may be repeated."),
    ] = None,
    rehearsal: Annotated[
        Path | None,
        typer.Option(
            help="Data store of the batches that [rehearsal] mixes in, of `debye data relax` for example."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")
    ] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    devices: Annotated[
        str, typer.Option(help="Processes (cpu) or GPUs that train together: auto or a number.")
    ] = "auto",
) -> None:
    """Train a model by a recipe; writes the best epoch as a calibrated checkpoint."""
    count = _count(devices)
    check_extra("debye train")
    from lightning.pytorch.utilities import rank_zero_only

    from debye.dataset.store.store import Store
    from debye.prediction.calibrate import calibrate_checkpoint
    from debye.training.config import read_recipe
    from debye.training.fit import check_rehearsal, fit

    read = read_recipe(recipe, settings or ())
    store = Store.open(data)
    old = None if rehearsal is None else Store.open(rehearsal)
    folder = out or Path("runs") / read.name
    if read.rehearsal is not None and old is not None:
        check_rehearsal(
            read, store, old
        )  # whatever is kept: bounds are calibrated on the validation split
    result = fit(
        read,
        store,
        folder,
        rehearsal=old,
        resume=resume,
        accelerator=accelerator,
        devices=count,
    )
    if rank_zero_only.rank != 0:
        return  # of the processes that trained together one writes and reports
    calibrate_checkpoint(result.checkpoint, store, read.data.validation_split)
    found = "nothing validated"
    if result.val_r is not None:
        found = f"{result.monitor} {result.val_r:.3f} on {read.data.validation_split}"
    typer.echo(f"{result.checkpoint}: best epoch {result.best_epoch}, {found}")


def _count(devices: str) -> int | str:
    """Return the number of devices, or ``auto``."""
    if devices == "auto":
        return devices
    if not devices.isdecimal() or int(devices) < 1:
        raise typer.BadParameter(
            f"{devices!r} is neither auto nor a number from 1 up", param_hint="--devices"
        )
    return int(devices)


def check_extra(command: str) -> None:
    """Refuse to start without the packages that only training needs."""
    require_extra(command, "train", ("lightning", "tensorboard"))
