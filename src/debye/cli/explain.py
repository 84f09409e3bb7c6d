"""``debye explain``: which neighbors, contacts and features drive the prediction of one residue."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from debye.explanation.explanation import Explanation


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
            help="CHAIN:NUMBER as the authors number, e.g. A:123; also A:27A (insertion code), A:ATP301."
        ),
    ],
    atom: Annotated[
        str | None, typer.Option(help="Name of one atom; the mean of the residue where not given.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Released model by name, or a checkpoint file; that of `debye predict`."),
    ] = None,
    crystal: Annotated[
        Literal["auto", "on", "off"],
        typer.Option(
            help="Symmetry mates: auto uses them where the file describes a sound crystal."
        ),
    ] = "auto",
    resolution: Annotated[
        float | None, typer.Option(help="Å, instead of what the file says.", min=0.3, max=30.0)
    ] = None,
    method: Annotated[
        Literal["occlusion", "gradients"],
        typer.Option(help="Predict again without each neighbor, or integrate gradients."),
    ] = "occlusion",
    reach: Annotated[
        float, typer.Option(help="Å; neighbors up to this distance are looked at.", min=1, max=30)
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
    mirror: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `<id[1:3]>/<id>.bcif.gz` to read identifiers from before downloading.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads; as many as there are cores.", min=1)
    ] = None,
) -> None:
    """Show which neighbors, symmetry mates and features drive the predicted B of a residue, in Å²."""
    from debye.explanation.explain import explain as explain_residue
    from debye.explanation.output import explanation_text
    from debye.prediction.predictor import DEFAULT_MODEL

    found = explain_residue(
        structure,
        residue,
        atom=atom,
        model=model or DEFAULT_MODEL,
        crystal=crystal,
        resolution=resolution,
        method=method,
        reach=reach,
        mirror=mirror,
        workers=workers or os.cpu_count() or 1,
    )
    for line in explanation_text(found, top).splitlines():
        typer.echo(_colored(line))
    if output is not None:
        for path in _write(found, output, top):
            typer.echo(str(path))


def _colored(line: str) -> str:
    """Color a row of the table by the sign of its effect; a pipe gets plain text."""
    if not re.match(r" *[+-]\d", line):
        return line
    color = typer.colors.BLUE if line.lstrip().startswith("-") else typer.colors.RED
    return typer.style(line[:10], fg=color) + line[10:]


def _write(explanation: Explanation, folder: Path, top: int) -> list[Path]:
    from debye.explanation.output import write_copy, write_table
    from debye.plots.contributions import save_contributions
    from debye.prediction.inputs import stem_of

    name = stem_of(Path(explanation.structure.source).name)
    place = re.sub(r"[^\w.-]+", "_", explanation.name)
    stem = folder / f"{name}_{place}_{explanation.method}"
    return [
        write_table(explanation, Path(f"{stem}.csv")),
        write_copy(explanation, Path(f"{stem}.cif")),
        save_contributions(explanation, Path(f"{stem}.png"), top=top),
    ]
