"""``debye data search`` and ``debye data fetch``: choose the entries of a data set, and download them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from debye.cli.options import Attempts, Connections, LongestWait, Timeout


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


def fetch(
    ids: Annotated[
        Path,
        typer.Argument(
            help="List: CSV with a column id (from `debye data search`), or text with ids.",
            exists=True,
            dir_okay=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Mirror folder: `<id[1:3]>/<id>.bcif.gz`.")
    ],
    connections: Connections = 8,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare checksums of existing files.")
    ] = False,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="Download existing files again, to get revised entries."),
    ] = False,
    split: Annotated[
        str, typer.Option(help="Split for entries that have none in the list.")
    ] = "train",
    attempts: Attempts = 5,
    timeout: Timeout = 20.0,
    longest_wait: LongestWait = 60.0,
) -> None:
    """Download the entries of a list; resumes an interrupted run."""
    from debye.archives.http import RemoteSettings
    from debye.archives.mirror import FetchSettings, fetch_list
    from debye.cli.terminal import progress_bar
    from debye.dataset.search.entry_list import copy_record

    remote = RemoteSettings.from_environment(
        attempts=attempts, timeout=timeout, longest_wait=longest_wait
    )
    settings = FetchSettings(connections=connections, verify=verify, refresh=refresh, split=split)
    with progress_bar("Fetching") as progress:
        result = fetch_list(
            ids, output, settings, remote, progress=progress, on_index=partial(copy_record, ids)
        )
    typer.echo(
        f"{output}: {result.fetched:,} files fetched ({result.bytes / 1e6:,.1f} MB, "
        f"{result.seconds:.1f} s); of {sum(result.statuses.values()):,} ids "
        + ", ".join(f"{count:,} {status}" for status, count in result.statuses.items())
    )
    typer.echo(f"report {result.files.report}; index of downloaded entries {result.files.index}")
    if result.missing or result.statuses["stale"]:
        raise typer.Exit(1)
