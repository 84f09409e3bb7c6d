"""Options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
