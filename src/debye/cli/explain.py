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
    from debye.explanation import explanation

    found = explanation.explain(
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
    for line in explanation.explanation_text(found, top).splitlines():
        if re.match(r" *[+-]\d", line):  # an effect, colored by its sign; a pipe gets plain text
            color = typer.colors.BLUE if line.lstrip().startswith("-") else typer.colors.RED
            line = typer.style(line[:10], fg=color) + line[10:]
        typer.echo(line)
    if output is not None:
        from debye.plots.contributions import save_contributions

        stem = output / found.file_stem
        typer.echo(explanation.write_table(found, f"{stem}.csv"))
        typer.echo(explanation.write_copy(found, f"{stem}.cif"))
        typer.echo(save_contributions(found, f"{stem}.png", top=top))
