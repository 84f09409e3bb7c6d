"""``debye finetune``: go on from a trained model with new entries, or with the crystals of one protein."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from debye.finetuning.config import FinetuneConfig
    from debye.finetuning.report import TuningResult


class Mode(StrEnum):
    """Which weights change."""

    ALL = "all"
    HEAD = "head"
    LOW_RATE = "low-rate"


def finetune(
    model: Annotated[str, typer.Argument(help="Released model, or a checkpoint (.safetensors).")],
    data: Annotated[
        Path,
        typer.Argument(help="Data store; with --family also a folder of structure files."),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the run [runs/MODEL-DATA].")
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="All weights, only what reads out, or all at a low learning rate.")
    ] = Mode.ALL,
    family: Annotated[
        bool,
        typer.Option("--family", help="DATA are crystals of one protein: leave one out, then all."),
    ] = False,
    ids: Annotated[
        str | None,
        typer.Option(help="Members of the family: ids with commas, or a file with one a line."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Parts that the family is divided into.", min=2)
    ] = None,
    split: Annotated[str, typer.Option(help="Split of DATA that is trained on.")] = "train",
    val: Annotated[
        str | None,
        typer.Option(help="Split held out to choose the epoch; else clusters are held out."),
    ] = None,
    report: Annotated[
        str | None, typer.Option(help="Split that is reported; else half of what is held out.")
    ] = None,
    old: Annotated[
        Path | None,
        typer.Option(help="Store that MODEL was trained on: rehearsed, and forgetting measured."),
    ] = None,
    old_split: Annotated[str, typer.Option(help="Split of --old that is rehearsed.")] = "train",
    old_val: Annotated[str, typer.Option(help="Split of --old where forgetting shows.")] = "val",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting: epochs=20; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")
    ] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
) -> None:
    """Fine-tune a model on new structures; reports what was gained on them, and what was forgotten."""
    from debye.cli.evaluate import show_table
    from debye.cli.train import check_extra

    _check_family(family, ids, folds, val, report)
    check_extra("debye finetune")
    from debye.dataset.store.store import Store
    from debye.finetuning.config import open_start
    from debye.finetuning.context import OldData, TuningRun
    from debye.finetuning.entries import NewSplits, finetune_entries
    from debye.finetuning.family import finetune_family
    from debye.finetuning.members import gather_members

    run = TuningRun(
        start=open_start(model),
        config=_config(settings or [], mode, folds),
        out=out or Path("runs") / f"{Path(model).stem}-{data.stem}",
        old=OldData(Store.open(old), old_split, old_val) if old else None,
        accelerator=accelerator,
        say=lambda line: typer.echo(line, err=True),
    )
    if family:
        members = gather_members(
            data, run.out, split=split, ids=_ids(ids), min_usable=run.config.min_usable
        )
        for name, reason in members.refused.items():
            typer.echo(f"refused: {name}: {reason}", err=True)
        result = finetune_family(run, members, resume=resume)
    else:
        result = finetune_entries(
            run, Store.open(data), NewSplits(split, val, report), resume=resume
        )
    for table in result.tables():
        show_table(table)
    _show_meaning(result)
    for path in (result.checkpoint, *result.files):
        typer.echo(str(path))
    if result.refused or any(each.failures for each in result.comparisons):
        raise typer.Exit(1)


def _check_family(family: bool, ids: str | None, folds: int | None, *splits: str | None) -> None:
    """Refuse options that mean nothing together."""
    if not family and (ids or folds):
        raise typer.BadParameter("is for a family", param_hint="--ids and --folds")
    if family and any(splits):
        raise typer.BadParameter(
            "cannot be used with --family, where every member is left out once",
            param_hint="--val and --report",
        )


def _config(settings: list[str], mode: Mode, folds: int | None) -> FinetuneConfig:
    """Return the settings of the command line, checked."""
    from pydantic import ValidationError

    from debye.config_files import apply_override
    from debye.errors import ConfigError, explain_validation
    from debye.finetuning.config import FinetuneConfig

    content: dict[str, Any] = {"mode": mode.value, "folds": folds}
    for text in settings:
        apply_override(content, text)
    try:
        return FinetuneConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(
            "finetune",
            problem=explain_validation(error),
            remedy="See docs/finetuning.md for the settings",
        ) from error


def _ids(text: str | None) -> list[str]:
    """Return the ids of an option: those in a file, or those between commas."""
    if text is None:
        return []
    listed = Path(text).read_text().split() if Path(text).is_file() else text.split(",")
    return [name.strip() for name in listed if name.strip()]


def _show_meaning(result: TuningResult) -> None:
    for comparison in result.comparisons:
        typer.echo(f"{comparison.title}: {comparison.meaning}")
        for failure in comparison.failures:
            typer.echo(f"failed: {failure.model}, {failure.id}: {failure.reason}", err=True)
    for note in result.notes:
        typer.echo(f"note: {note}.")
