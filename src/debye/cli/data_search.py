"""``debye data search``: choose the entries of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from debye.cli.options import Attempts, LongestWait, Timeout


def search(
    recipe: Annotated[
        str, typer.Argument(help="Recipe (.toml), or the name of one: apo_holo, kinase, custom.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="List to write (.csv) [NAME.csv of the recipe]."),
    ] = None,
    attempts: Attempts = 5,
    timeout: Timeout = 60.0,
    longest_wait: LongestWait = 60.0,
) -> None:
    """Search the PDB for the entries of a recipe; writes a list and a decision for every candidate."""
    from debye.archives.http import RemoteSettings
    from debye.cli.terminal import progress_bar
    from debye.dataset.search.recipes import read_search_recipe
    from debye.dataset.search.search import run_search

    read = read_search_recipe(recipe)
    settings = RemoteSettings.from_environment(
        attempts=attempts, timeout=timeout, longest_wait=longest_wait
    )
    with progress_bar("Searching") as progress:
        result = run_search(read, output or Path(f"{read.name}.csv"), settings, progress=progress)
    typer.echo(f"{result.list}: " + ", ".join(f"{n:,} {what}" for what, n in result.counts.items()))
    typer.echo(f"every decision: {result.decisions}; recipe, request and servers: {result.record}")
    if not result.counts["chosen"]:
        typer.echo("no entry fits the recipe", err=True)
        raise typer.Exit(1)
