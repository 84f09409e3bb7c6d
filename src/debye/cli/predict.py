"""``debye predict``: any structures in, annotated copies and tables out."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from debye.cli.options import INPUTS, CrystalOption, Mirror, Model, Resolution, names_in
from debye.cli.terminal import progress_bar, report_failures


def predict(
    inputs: Annotated[list[str], INPUTS],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Output folder.", file_okay=False)
    ] = Path("predicted"),
    model: Model = "waller",
    crystal: CrystalOption = "auto",
    resolution: Resolution = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated output formats: cif, pdb, csv, parquet. "
            "[default: cif,csv; csv if the model predicts no B-factors]"
        ),
    ] = None,
    mirror: Mirror = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing results.")] = False,
    plot: Annotated[bool, typer.Option(help="Also draw a picture of each structure.")] = False,
    table: Annotated[bool, typer.Option(help="Also print a table of the residues.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(help="Number of worker processes (default: number of CPU cores).", min=1),
    ] = None,
) -> None:
    """Predict the B-factor (Å²) of each heavy atom except water, with a 90 % interval.

    Writes a copy of each structure with predicted B-factors, and a table of its atoms.
    """
    from debye.prediction.inputs import expand_inputs
    from debye.prediction.stream import Outcome, PredictionPlan, predict_all, usable_formats

    draw = None
    if plot:
        from debye.plots.profile import save_profile as draw
    plan = PredictionPlan(
        model=model,
        out=output,
        formats=usable_formats(model, None if format is None else parse_formats(format)),
        crystal=crystal,
        resolution=resolution,
        draw=draw,
        table=table,
        overwrite=overwrite,
        mirror=mirror,
    )
    found, problems = expand_inputs(inputs, exclude=output)
    outcomes: list[Outcome] = []
    atoms = 0
    with progress_bar("Predicting", has_lines=True) as progress:
        for outcome in predict_all(found, plan, workers=workers or count_cores()):
            outcomes.append(outcome)
            atoms += outcome.atoms
            progress(len(outcomes), len(found), atoms=atoms)
            if outcome.status == "failed":
                continue  # Shown at the end, where many lines of success do not hide it.
            progress.echo(f"{outcome.name}: {outcome.message}")
            if outcome.table:
                progress.echo(outcome.table)
    counts = Counter(outcome.status for outcome in outcomes)
    failures = [str(error) for error in problems]
    failures += [outcome.message for outcome in outcomes if outcome.status == "failed"]
    parts = [f"{counts['done']:,} predicted"]
    parts += [f"{counts['skipped']:,} skipped"] if counts["skipped"] else []
    parts += [f"{len(failures):,} failed"] if failures else []
    typer.echo(f"{', '.join(parts)} (output folder: {output}/)", err=True)
    report_failures(failures)


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def parse_formats(text: str) -> tuple[Literal["cif", "pdb", "csv", "parquet"], ...]:
    """Read a list such as ``cif,csv``.

    Example:
        >>> parse_formats("csv, cif,csv")
        ('cif', 'csv')
    """
    from debye.prediction.inputs import FORMATS

    wanted = names_in(text.lower())
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        problem = f"no format is called {unknown[0]!r}" if unknown else "no format is given"
        message = f"{problem}: choose from {', '.join(FORMATS)}"
        raise typer.BadParameter(message, param_hint="--format")
    return tuple(name for name in FORMATS if name in wanted)
