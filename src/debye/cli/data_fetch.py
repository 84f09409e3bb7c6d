"""``debye data fetch``: download the entries of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from debye.cli.options import Attempts, Connections, LongestWait, Timeout

if TYPE_CHECKING:
    from debye.archives.mirror import FetchProgress


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
        bool, typer.Option("--verify", help="Compare checksums of files that are there.")
    ] = False,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="Download again files that are there: revised entries."),
    ] = False,
    split: Annotated[
        str, typer.Option(help="Split, in the index, of entries that have none in the list.")
    ] = "train",
    attempts: Attempts = 5,
    timeout: Timeout = 20.0,
    longest_wait: LongestWait = 60.0,
) -> None:
    """Download the entries of a list; a stopped or killed run resumes."""
    from debye.archives.http import RemoteSettings
    from debye.archives.mirror import FetchSettings, fetch_list
    from debye.dataset.search.entry_list import copy_record

    remote = RemoteSettings.from_environment(
        attempts=attempts, timeout=timeout, longest_wait=longest_wait
    )
    settings = FetchSettings(connections=connections, verify=verify, refresh=refresh, split=split)
    with _bar() as progress:
        result = fetch_list(
            ids, output, settings, remote, progress=progress, on_index=partial(copy_record, ids)
        )
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
