"""Options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Workers = Annotated[int, typer.Option(help="Number of worker processes.", min=1)]
Seed = Annotated[int, typer.Option(help="Random seed.", min=0)]
Connections = Annotated[int, typer.Option(help="Simultaneous downloads.", min=1, max=64)]
Attempts = Annotated[int, typer.Option(help="Attempts per request.", min=1)]
Timeout = Annotated[float, typer.Option(help="Read timeout (s).", min=0.01)]
LongestWait = Annotated[float, typer.Option(help="Longest wait between two attempts (s).", min=0.0)]
PredictedFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of predicted structures to score against crystals of the store.",
        exists=True,
        file_okay=False,
    ),
]
MatchTable = Annotated[
    Path | None,
    typer.Option(
        "--map",
        help="CSV of predicted structures and crystals [map.csv of the folder].",
        exists=True,
        dir_okay=False,
    ),
]
