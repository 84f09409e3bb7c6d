"""``debye finetune``: train a released model further on new entries, or on the crystals of one protein."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from debye.cli.options import Accelerator, Resume, names_in
from debye.cli.terminal import report_failures, show_table

if TYPE_CHECKING:
    from debye.finetuning.config import FinetuneConfig

Mode = Literal["all", "head", "low-rate"]
OldStore = Annotated[
    Path | None,
    typer.Option(help="Store that MODEL was trained on: for rehearsal, and to measure forgetting."),
]
ValidationSplit = Annotated[
    str | None,
    typer.Option(help="Split held out to choose the epoch [clusters of --split are held out]."),
]
ReportSplit = Annotated[
    str | None, typer.Option(help="Split used only for the report [half of the held-out entries].")
]
MemberIds = Annotated[
    str | None,
    typer.Option(help="Members of the family: ids with commas, or a file with one id a line."),
]
Folds = Annotated[
    int | None, typer.Option(help="Number of parts of the family to leave out in turn.", min=2)
]


def finetune(
    model: Annotated[
        str, typer.Argument(help="Name of a released model, or a checkpoint (.safetensors).")
    ],
    data: Annotated[
        Path, typer.Argument(help="Data store; with --family also a folder of structure files.")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the run [runs/MODEL-DATA].")
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="What to train: all weights, the output head, or all weights at a lower learning rate."
        ),
    ] = "all",
    family: Annotated[
        bool,
        typer.Option(
            "--family", help="DATA are crystals of one protein: leave each out once, then use all."
        ),
    ] = False,
    ids: MemberIds = None,
    folds: Folds = None,
    split: Annotated[str, typer.Option(help="Split of DATA used for training.")] = "train",
    val: ValidationSplit = None,
    report: ReportSplit = None,
    old: OldStore = None,
    old_split: Annotated[str, typer.Option(help="Split of --old used for rehearsal.")] = "train",
    old_val: Annotated[
        str, typer.Option(help="Split of --old used to measure forgetting.")
    ] = "val",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting, e.g. epochs=20; repeatable."),
    ] = None,
    resume: Resume = False,
    accelerator: Accelerator = "auto",
) -> None:
    """Fine-tune a model on new structures; reports the gain on new and the loss on old structures."""
    from debye.cli.train import prepare_training

    _check_family(family, ids, folds, val, report)
    prepare_training("debye finetune")
    from debye.dataset.store.store import Store
    from debye.finetuning.config import open_start
    from debye.finetuning.context import OldData, TuningRun
    from debye.finetuning.entries import NewSplits, finetune_entries
    from debye.finetuning.family import finetune_family, gather_members

    run = TuningRun(
        start=open_start(model),
        config=_config(settings or [], mode, folds),
        out=out or Path("runs") / f"{Path(model).stem}-{data.stem}",
        old=OldData(Store.open(old), old_split, old_val) if old else None,
        accelerator=accelerator,
        on_message=lambda line: typer.echo(line, err=True),
    )
    if family:
        is_file = ids is not None and Path(ids).is_file()
        wanted = Path(ids or "").read_text().split() if is_file else names_in(ids)
        members = gather_members(run, data, split, wanted)
        for name, reason in members.refused.items():
            typer.echo(f"refused: {name}: {reason}", err=True)
        result = finetune_family(run, members, resume=resume)
    else:
        splits = NewSplits(split, val, report)
        result = finetune_entries(run, Store.open(data), splits, resume=resume)
    for table in result.tables():
        show_table(table)
    for comparison in result.comparisons:
        typer.echo(f"{comparison.title}: {comparison.meaning}")
    for note in result.notes:
        typer.echo(f"note: {note}.")
    for path in (result.checkpoint, *result.files):
        typer.echo(str(path))
    failures = [failure for each in result.comparisons for failure in each.failures]
    report_failures([f"{row.model}, {row.id}: {row.reason}" for row in failures])
    if result.refused:
        raise typer.Exit(1)


def _check_family(family: bool, ids: str | None, folds: int | None, *splits: str | None) -> None:
    """Refuse options that contradict each other."""
    if not family and (ids or folds):
        raise typer.BadParameter("can only be used with --family", param_hint="--ids and --folds")
    if family and any(splits):
        message = "cannot be used with --family, where every member is left out once"
        raise typer.BadParameter(message, param_hint="--val and --report")


def _config(settings: list[str], mode: Mode, folds: int | None) -> FinetuneConfig:
    """Return the checked settings of the command line."""
    from pydantic import ValidationError

    from debye.config_files import apply_override
    from debye.errors import ConfigError, explain_validation
    from debye.finetuning.config import FinetuneConfig

    content: dict[str, Any] = {"mode": mode, "folds": folds}
    for text in settings:
        apply_override(content, text)
    try:
        return FinetuneConfig.model_validate(content)
    except ValidationError as error:
        remedy = "See docs/finetuning.md for the settings"
        raise ConfigError("finetune", explain_validation(error), remedy) from error
