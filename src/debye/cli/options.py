"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

FILE: dict[str, Any] = {"exists": True, "dir_okay": False}
FOLDER: dict[str, Any] = {"exists": True, "file_okay": False}
INPUTS = typer.Argument(
    metavar="INPUT",
    help="Structure files (.cif .bcif .pdb .ent, each also .gz), folders, PDB identifiers or AlphaFold "
    "DB accessions.",
)
"""For a list of inputs; each command decides whether an empty one is allowed."""
CrystalOption = Annotated[
    Literal["auto", "on", "off"],
    typer.Option(
        help="Use crystal contacts: auto (if unit cell and space group are valid), on (error if not), off."
    ),
]
Resolution = Annotated[
    float | None,
    typer.Option(help="Resolution in Å; overrides that of the input files.", min=0.3, max=30.0),
]
Model = Annotated[str, typer.Option(help="Name of a released model, or a checkpoint file.")]
Mirror = Annotated[
    Path | None,
    typer.Option(
        help="Folder of downloaded entries, `<id[1:3]>/<id>.bcif.gz`, searched before downloading.",
        **FOLDER,
    ),
]
DataStore = Annotated[Path, typer.Option("--data", help="Data store, made by `debye data build`.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one setting, e.g. training.epochs=20; repeatable."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume an interrupted run.")]
Accelerator = Annotated[str, typer.Option(help="Hardware for training: auto, cpu or gpu.")]
Workers = Annotated[int, typer.Option(help="Number of worker processes.", min=1)]
Seed = Annotated[int, typer.Option(help="Random seed.", min=0)]
Connections = Annotated[int, typer.Option(help="Simultaneous downloads.", min=1, max=64)]
Attempts = Annotated[int, typer.Option(help="Attempts per request.", min=1)]
Timeout = Annotated[float, typer.Option(help="Read timeout (s).", min=0.01)]
LongestWait = Annotated[float, typer.Option(help="Longest wait between two attempts (s).", min=0.0)]
PairsTable = Annotated[
    Path | None,
    typer.Option(help="CSV of pairs of crystals of one protein, to estimate the ceiling.", **FILE),
]
PredictedFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of predicted structures to score against crystals of the store.", **FOLDER
    ),
]
MatchTable = Annotated[
    Path | None,
    typer.Option(
        "--map", help="CSV of predicted structures and crystals [map.csv of the folder].", **FILE
    ),
]


def names_in(text: str | None) -> list[str]:
    """Return the names between commas.

    Example:
        >>> names_in(" cif, csv,")
        ['cif', 'csv']
    """
    return [name.strip() for name in (text or "").split(",") if name.strip()]
