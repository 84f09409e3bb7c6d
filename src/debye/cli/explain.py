"""``debye explain``: the neighbors, contacts and features behind the prediction of one residue."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from debye.cli.options import CrystalOption, Mirror, Model, Resolution


def explain(
    structure: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Structure file (.cif .bcif .pdb .ent, each also .gz), PDB identifier or AlphaFold DB "
            "accession.",
        ),
    ],
    residue: Annotated[
        str,
        typer.Option(
            help="CHAIN:NUMBER as numbered by the authors, e.g. A:123, A:27A (insertion code), A:ATP301."
        ),
    ],
    atom: Annotated[
        str | None, typer.Option(help="Name of one atom; default: the mean of the residue.")
    ] = None,
    model: Model = "waller",
    crystal: CrystalOption = "auto",
    resolution: Resolution = None,
    method: Annotated[
        Literal["occlusion", "gradients"],
        typer.Option(help="Predict again without each neighbor, or integrate gradients."),
    ] = "occlusion",
    reach: Annotated[
        float,
        typer.Option(help="Distance (Å) within which neighbors are considered.", min=1, max=30),
    ] = 8.0,
    top: Annotated[int, typer.Option(help="Neighbors in table and picture.", min=1)] = 12,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for table, colored structure and picture.",
            file_okay=False,
        ),
    ] = None,
    mirror: Mirror = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of threads (default: number of CPU cores).", min=1)
    ] = None,
) -> None:
    """Show which neighbors, symmetry mates and features change the predicted B of a residue, in Å²."""
    from debye.cli.predict import count_cores
    from debye.explanation.explanation import explain as explain_residue
    from debye.explanation.explanation import explanation_text, write_copy, write_table

    found = explain_residue(
        structure,
        residue,
        atom=atom,
        model=model,
        crystal=crystal,
        resolution=resolution,
        method=method,
        reach=reach,
        mirror=mirror,
        workers=workers or count_cores(),
    )
    for line in explanation_text(found, top).splitlines():
        typer.echo(_colored(line))
    if output is not None:
        from debye.plots.contributions import save_contributions

        stem = output / found.file_stem
        typer.echo(write_table(found, f"{stem}.csv"))
        typer.echo(write_copy(found, f"{stem}.cif"))
        typer.echo(save_contributions(found, f"{stem}.png", top=top))


def _colored(line: str) -> str:
    """Color the effect of a row by its sign; a pipe gets plain text."""
    if not re.match(r" *[+-]\d", line):
        return line
    color = typer.colors.BLUE if line.lstrip().startswith("-") else typer.colors.RED
    return typer.style(line[:10], fg=color) + line[10:]
