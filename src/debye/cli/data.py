"""``debye data``: build a data store, describe it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from debye.data.statistics import SplitStatistics


def build(
    index: Annotated[
        Path, typer.Option(help="CSV with the columns id, split, …", exists=True, dir_okay=False)
    ],
    structures: Annotated[
        Path, typer.Option(help="Folder of <id[1:3]>/<id>.bcif.gz.", exists=True, file_okay=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the store.")],
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; may be given several times.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a finished store.")] = False,
) -> None:
    """Read every entry of an index into a data store; a killed build goes on where it stopped."""
    from debye.data.build import build_store

    finished = (output / "manifest.json").exists() and not overwrite
    with progress_bar("Building") as progress:
        store = build_store(
            index,
            structures,
            output,
            splits=split or (),
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    if finished:
        typer.echo(f"{output}: already finished, nothing to do (--overwrite rebuilds)")
    for failure in store.failures:
        typer.echo(f"failed: {failure['id']} ({failure['split']}): {failure['reason']}", err=True)
    sizes = store.manifest["splits"].values()
    typer.echo(
        f"{output}: {sum(size['entries'] for size in sizes):,} entries, "
        f"{sum(size['atoms'] for size in sizes):,} atoms, {len(store.failures)} failed"
    )
    typer.echo(f"digest {store.digest}")
    if store.failures:
        raise typer.Exit(1)


def stats(
    store: Annotated[Path, typer.Argument(help="Data store.")],
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
) -> None:
    """Describe every split of a data store, next to the published sets of the seed system."""
    from debye.data.statistics import store_statistics, write_statistics
    from debye.data.store import Store

    opened = Store.open(store)
    rows = store_statistics(opened)
    _show(rows, f"{store} · debye {opened.manifest['version']} · digest {opened.digest[:16]}")
    if csv is not None:
        write_statistics(rows, csv)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on the terminal's error stream; yields the function that moves it (done, total)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(rows: list[SplitStatistics], title: str) -> None:
    from dataclasses import astuple, fields

    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for column in fields(rows[0]):
        table.add_column(
            HEADINGS.get(column.name, column.name.replace("_", " ")),
            justify="left" if column.name == "split" else "right",
        )
    for row in rows:
        table.add_row(*map(_text, astuple(row)))
    Console().print(table)


HEADINGS = {
    "mean_resolution": "mean resolution / Å",
    "mean_b": "mean B / Å²",
    "std_b": "std B / Å²",
    "percent_crystal": "% with crystal",
}


def _text(value: float | int | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
