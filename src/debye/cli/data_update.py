"""``debye data update``: append entries released or revised since a store's date."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from debye.cli.options import Attempts, Connections, LongestWait, Timeout, Workers
from debye.cli.terminal import progress_bar

if TYPE_CHECKING:
    from debye.dataset.store.update import Updated

SHOWN = 20
"""Most lines of each outcome on the screen; the report has all."""


def update(
    store: Annotated[Path, typer.Argument(help="Data store.", exists=True, file_okay=False)],
    recipe: Annotated[
        str | None,
        typer.Option(help="Search recipe: a file or a name [the one recorded in the store]."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            help="First day of release or revision [the store's date].",
            formats=["%Y-%m-%d"],
        ),
    ] = None,
    build_recipe: Annotated[
        Path | None,
        typer.Option(
            help="Build recipe (.toml) for the new entries [that of the store].",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    mirror: Annotated[
        Path | None, typer.Option(help="Folder of downloaded files [STORE/update/mirror].")
    ] = None,
    skip_failed: Annotated[
        bool,
        typer.Option("--skip-failed", help="Continue without files that cannot be downloaded now."),
    ] = False,
    workers: Workers = 1,
    connections: Connections = 8,
    attempts: Attempts = 5,
    timeout: Timeout = 60.0,
    longest_wait: LongestWait = 60.0,
) -> None:
    """Append entries that were released or revised since the store's date; no old entry changes its split."""
    from debye.archives.http import RemoteSettings
    from debye.dataset.curate.build_recipe import read_build_recipe
    from debye.dataset.search.recipes import read_search_recipe
    from debye.dataset.store.update import UpdateSettings, update_store

    remote = RemoteSettings.from_environment(
        attempts=attempts, timeout=timeout, longest_wait=longest_wait
    )
    settings = UpdateSettings(
        since=since.date() if since else None,
        mirror=mirror,
        skip_failed=skip_failed,
        connections=connections,
        workers=workers,
    )
    with progress_bar("Updating") as progress:
        updated = update_store(
            store,
            settings,
            recipe=read_search_recipe(recipe) if recipe else None,
            build_recipe=read_build_recipe(build_recipe) if build_recipe else None,
            remote=remote,
            progress=lambda _, done, total: progress(done, total),
        )
    _show(updated)
    if updated.failed:
        raise typer.Exit(1)


def _show(updated: Updated) -> None:
    from itertools import groupby

    from rich.console import Console
    from rich.table import Table

    from debye.cli.data import counted
    from debye.dataset.store.update import outcomes

    store = updated.store
    table = Table(
        "entry", "outcome", "split", "reason", title=f"{store.path} since {updated.since}"
    )
    for _, group in groupby(outcomes(updated), key=lambda row: row["outcome"]):
        rows = list(group)
        for row in rows[:SHOWN]:
            table.add_row(row["id"], row["outcome"], row["split"], row["reason"])
        if len(rows) > SHOWN:
            table.add_row("…", rows[0]["outcome"], "", f"{len(rows) - SHOWN:,} more in the report")
    if table.rows:
        Console().print(table)
        typer.echo(f"report {updated.report}")
    if updated.appended is None:
        typer.echo(f"{store.path}: nothing new since {updated.since}; the store is unchanged")
        return
    for split, size in store.manifest["splits"].items():
        before = updated.before.get(split, 0)
        typer.echo(f"{size['entries']:>8,}  {split} ({size['entries'] - before:+,})")
    typer.echo(f"digest {store.digest}")
    for event in store.manifest["history"]:
        kinds = [kind for kind in ("added", "revised", "refused") if kind in event]
        changes = ", ".join(f"{len(event[kind]):,} {kind}" for kind in kinds)
        words = counted(event["entries"], "entry", "entries") + (f" ({changes})" if changes else "")
        typer.echo(f"{event['date'] or 'no date'}  {event['digest'][:16]}  {words}")
