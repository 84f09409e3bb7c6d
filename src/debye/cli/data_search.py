"""``debye data search``: which entries make a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def search(
    recipe: Annotated[
        str, typer.Argument(help="Recipe (.toml), or the name of one: apo_holo, kinase, custom.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="List to write (.csv) [NAME.csv of the recipe]."),
    ] = None,
    attempts: Annotated[int, typer.Option(help="How often a question is asked.", min=1)] = 5,
    timeout: Annotated[
        float, typer.Option(help="Seconds of silence before an attempt is given up.", min=0.01)
    ] = 60.0,
    longest_wait: Annotated[
        float, typer.Option(help="Most seconds between attempts.", min=0.0)
    ] = 60.0,
) -> None:
    """Search the PDB for the entries of a recipe; writes a list with every decision recorded."""
    from debye.archives.download import RemoteSettings
    from debye.cli.data import progress_bar
    from debye.dataset.search.recipes import read_search_recipe
    from debye.dataset.search.search import run_search

    read = read_search_recipe(recipe)
    patience = {"attempts": attempts, "timeout": timeout, "longest_wait": longest_wait}
    settings = RemoteSettings.from_environment().model_copy(update=patience)
    with progress_bar("Searching") as progress:
        result = run_search(read, output or Path(f"{read.name}.csv"), settings, progress=progress)
    typer.echo(f"{result.list}: " + ", ".join(f"{n:,} {what}" for what, n in result.counts.items()))
    typer.echo(f"every decision: {result.decisions}; recipe, request and servers: {result.record}")
    if not result.counts["chosen"]:
        typer.echo("no entry fits the recipe", err=True)
        raise typer.Exit(1)
