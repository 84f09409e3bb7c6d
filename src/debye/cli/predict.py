"""``debye predict``: any structures in, annotated copies and tables out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from debye.prediction.prediction import Prediction
    from debye.prediction.stream import Outcome

CrystalChoice = Literal["auto", "on", "off"]


def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Structure files (.cif .bcif .pdb .ent, each also .gz), folders, PDB identifiers or "
            "AlphaFold DB accessions.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results.", file_okay=False)
    ] = Path("predicted"),
    model: Annotated[
        str, typer.Option(help="Released model by name, or a checkpoint file.")
    ] = "waller",
    crystal: Annotated[
        CrystalChoice,
        typer.Option(
            help="Symmetry mates: auto uses them where the file describes a sound crystal."
        ),
    ] = "auto",
    resolution: Annotated[
        float | None, typer.Option(help="Å, instead of what the files say.", min=0.3, max=30.0)
    ] = None,
    format: Annotated[
        str, typer.Option(help="Files to write, out of cif, pdb, csv, parquet.")
    ] = "cif,csv",
    mirror: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `<id[1:3]>/<id>.bcif.gz` to read identifiers from before downloading.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace results that exist already.")] = False,
    plot: Annotated[bool, typer.Option(help="Also draw a picture of each structure.")] = False,
    table: Annotated[bool, typer.Option(help="Also print a table of the residues.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes; as many as there are cores.", min=1)
    ] = None,
) -> None:
    """Predict the B-factor of every heavy atom, with bounds, and write annotated copies and tables."""
    from debye.prediction.inputs import expand_inputs
    from debye.prediction.stream import Job, Outcome, predict_all

    job = Job(
        model=model,
        out=output,
        formats=parse_formats(format),
        crystal=crystal,
        resolution=resolution,
        draw=_drawing() if plot else None,
        table=table,
        overwrite=overwrite,
        mirror=mirror,
    )
    found, problems = expand_inputs(inputs, exclude=output)
    outcomes = [
        Outcome(name=error.source, status="failed", message=str(error)) for error in problems
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with _progress(len(found)) as advance:
        for outcome in predict_all(found, job, workers=workers or cores or 1):
            advance(outcome)
            outcomes.append(outcome)
    _finish(outcomes, output)


def _drawing() -> Callable[[Prediction, Path], Path]:
    from debye.plots.profile import save_profile

    return save_profile


def parse_formats(text: str) -> tuple[Literal["cif", "pdb", "csv", "parquet"], ...]:
    """Read a list such as ``cif,csv``.

    Example:
        >>> parse_formats("csv, cif,csv")
        ('cif', 'csv')
    """
    from debye.prediction.inputs import FORMATS

    wanted = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        problem = f"no format is called {unknown[0]!r}" if unknown else "no format is given"
        raise typer.BadParameter(
            f"{problem}: choose from {', '.join(FORMATS)}", param_hint="--format"
        )
    return tuple(name for name in FORMATS if name in wanted)


def _finish(outcomes: list[Outcome], output: Path) -> None:
    """Say how it went, the failures last, and set the exit code."""
    counts = Counter(outcome.status for outcome in outcomes)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    parts = [f"{counts['done']:,} predicted"]
    if counts["kept"]:
        parts.append(f"{counts['kept']:,} kept (use --overwrite to replace)")
    if failed:
        parts.append(f"{len(failed):,} failed")
    typer.echo(f"{', '.join(parts)} → {output}", err=True)
    for outcome in failed:
        typer.echo(f"failed: {outcome.message}", err=True)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """Print a line for each structure; on a terminal also move a bar that shows the rate."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    terminal = Console(stderr=True)
    columns = (TextColumn("Predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rate = TextColumn("{task.fields[rate]}")
    with Progress(
        *columns,
        rate,
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal or total < 2,
    ) as bar:
        task = bar.add_task("", total=total, rate="")
        atoms = 0

        def advance(outcome: Outcome) -> None:
            nonlocal atoms
            atoms += outcome.atoms
            seconds = bar.tasks[task].elapsed or 0.0
            speed = f"{atoms / seconds:,.0f} atoms/s" if seconds > 0 and atoms else ""
            bar.update(task, advance=1, rate=speed)
            if outcome.status == "failed":
                return  # Told at the end, where many lines of success do not hide it.
            # Through the bar's console where there is one, else the two would overwrite each other.
            show = typer.echo if bar.disable else bar.console.out
            show(f"{outcome.name}: {outcome.message}")
            if outcome.table:
                show(outcome.table)

        yield advance
