"""``debye data fetch``: download the entries of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from debye.archives.fetch import FetchProgress


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
    connections: Annotated[int, typer.Option(help="Downloads at a time.", min=1, max=64)] = 8,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare checksums of the files that are there.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Download again what is there: revised entries.")
    ] = False,
    split: Annotated[
        str, typer.Option(help="Split, in the index, of entries that the list puts into none.")
    ] = "train",
    attempts: Annotated[int, typer.Option(help="How often a file is tried.", min=1)] = 5,
    timeout: Annotated[
        float, typer.Option(help="Seconds of silence before an attempt is given up.", min=0.01)
    ] = 20.0,
    longest_wait: Annotated[
        float, typer.Option(help="Most seconds between attempts.", min=0.0)
    ] = 60.0,
) -> None:
    """Download the entries of a list; a stopped or killed run goes on where it was."""
    from debye.archives.download import RemoteSettings
    from debye.archives.fetch import FetchSettings, fetch_list

    patience = {"attempts": attempts, "timeout": timeout, "longest_wait": longest_wait}
    remote = RemoteSettings.from_environment().model_copy(update=patience)
    settings = FetchSettings(connections=connections, verify=verify, refresh=refresh, split=split)
    with _bar() as progress:
        result = fetch_list(ids, output, settings, remote, progress=progress)
    done = result.progress
    typer.echo(
        f"{output}: {done.fetched:,} files fetched ({done.bytes / 1e6:,.1f} MB, "
        f"{result.seconds:.1f} s); of {done.total:,} ids "
        + ", ".join(f"{count:,} {status}" for status, count in result.statuses.items())
    )
    typer.echo(f"report {result.files.report}; index of what is there {result.files.index}")
    if result.missing or result.statuses["stale"]:
        raise typer.Exit(1)


@contextmanager
def _bar() -> Iterator[Callable[[FetchProgress], None]]:
    """Show a bar with the rate and the time left on the terminal's error stream."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Fetching", total=None, rate="")

        def show(state: FetchProgress) -> None:
            seconds = max(bar.tasks[0].elapsed or 0.0, 1e-3)
            rate = f"{state.fetched / seconds:,.1f} files/s, {state.bytes / seconds / 1e6:.1f} MB/s"
            bar.update(task, completed=state.done, total=state.total, rate=rate)

        yield show
