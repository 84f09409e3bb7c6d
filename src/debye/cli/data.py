"""``debye data build``, ``update`` and ``stats``: build a data store, append new entries, describe it."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from debye.cli.options import Attempts, Connections, LongestWait, Timeout, Workers
from debye.cli.terminal import progress_bar

if TYPE_CHECKING:
    from debye.dataset.store.statistics import Histogram, SplitStatistics
    from debye.dataset.store.store import Store
    from debye.dataset.store.update import Updated

BAR = 6
"""Characters of the longest bar."""
HEADINGS = {
    "mean_resolution": "mean resolution / Å",
    "mean_b": "mean B / Å²",
    "std_b": "std B / Å²",
    "percent_crystal": "% with crystal",
}
SHOWN = 20
"""Most lines of each outcome of an update on the screen; the report has all."""


def build(
    structures: Annotated[
        Path, typer.Option(help="Folder of `<id[1:3]>/<id>.bcif.gz`.", exists=True, file_okay=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the store.")],
    index: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the columns id and split; with a recipe the column id is enough, and without an "
            "index every file counts.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="TOML: filter, clusters, family, splits, leakage.", exists=True, dir_okay=False
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Only this split of the index; may be repeated."),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Date of the archive that the files come from (2026-11-24), for updates."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a finished store.")] = False,
) -> None:
    """Read structures into a data store, with splits from an index or drawn by a recipe; a killed build resumes."""
    from debye.dataset.curate.build_recipe import read_build_recipe
    from debye.dataset.store.build import build_by_recipe, build_store

    finished = (output / "manifest.json").exists() and not overwrite
    if recipe is None and index is None:
        raise typer.BadParameter("give --index, --recipe, or both")
    if recipe is not None and split:
        raise typer.BadParameter("--split chooses splits of an index, but the recipe draws them")
    with progress_bar("Building") as progress:
        if recipe is not None:
            store = build_by_recipe(
                read_build_recipe(recipe),
                structures,
                output,
                index=index,
                workers=workers,
                overwrite=overwrite,
                as_of=as_of,
                progress=progress,
            )
        elif index is not None:
            store = build_store(
                index,
                structures,
                output,
                splits=split or (),
                workers=workers,
                overwrite=overwrite,
                as_of=as_of,
                progress=progress,
            )
    if finished:
        typer.echo(f"{output}: already finished, nothing to do (--overwrite rebuilds)")
    report_store(store)
    if store.failures:
        raise typer.Exit(1)


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
            progress=progress,
        )
    _show_update(updated)
    if any(row["outcome"] == "failed" for row in updated.outcomes):
        raise typer.Exit(1)


def stats(
    store: Annotated[Path, typer.Argument(help="Data store.")],
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the histograms: a .png, .svg or .pdf file.")
    ] = None,
) -> None:
    """Describe every split of a data store, next to the sets of Sarparast et al. 2024, with histograms."""
    from debye.dataset.store.statistics import store_histograms, store_statistics, write_statistics
    from debye.dataset.store.store import Store

    opened = Store.open(store)
    rows, histograms = store_statistics(opened), store_histograms(opened)
    title = f"{store} · debye {opened.manifest['version']} · digest {opened.digest[:16]}"
    _show(rows, title)
    for histogram in histograms:
        _show_histogram(histogram)
    if csv is not None:
        write_statistics(rows, csv)
    if plot is not None:
        from debye.plots.distribution import plot_histograms
        from debye.plots.drawing import save_figure

        typer.echo(f"wrote {save_figure(plot_histograms(histograms, title=title), plot)}")


def report_store(store: Store) -> None:
    """Print the size of each split, the reasons why entries were left out, and the digest."""
    for failure in store.failures:
        typer.echo(f"failed: {failure['id']} ({failure['split']}): {failure['reason']}", err=True)
    sizes = store.manifest["splits"]
    curation = store.manifest.get("curation")
    if curation:
        for split, size in sizes.items():
            typer.echo(f"{size['entries']:>8,}  {split}")
        for reason, count in curation["reasons"].items():
            typer.echo(f"{count:>8,}  left out: {reason}")
    entries = counted(sum(size["entries"] for size in sizes.values()), "entry", "entries")
    atoms = counted(sum(size["atoms"] for size in sizes.values()), "atom", "atoms")
    typer.echo(f"{store.path}: {entries}, {atoms}, {len(store.failures)} failed")
    typer.echo(f"digest {store.digest}")


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "entry", "entries"), counted(1200, "entry", "entries")
        ('1 entry', '1,200 entries')
    """
    return f"{number:,} {one if number == 1 else many}"


def _show(rows: list[SplitStatistics], title: str) -> None:
    """Print a row per figure and a column per split."""
    from dataclasses import fields

    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    table.add_column("")
    for row in rows:
        table.add_column(row.split, justify="right")
    for column in fields(rows[0])[1:]:
        heading = HEADINGS.get(column.name, column.name.replace("_", " "))
        table.add_row(heading, *(_text(getattr(row, column.name)) for row in rows))
    Console().print(table)


def _show_histogram(histogram: Histogram) -> None:
    """Print a row per bin: the share of each split's entries as a bar and in percent."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{histogram.quantity.label}, % of entries", title_justify="left", box=None)
    table.add_column("", justify="right", no_wrap=True, min_width=15)
    for split, count in histogram.unknown.items():
        table.add_column(f"{split}, {count:,} unknown" if count else split)
    shares = {split: own / max(own.sum(), 1) for split, own in histogram.counts.items()}
    largest = max(float(own.max()) for own in shares.values()) or 1.0
    for row, (low, high) in enumerate(pairwise(histogram.edges.tolist())):
        bars = [
            f"{'█' * round(BAR * own[row] / largest)} {100 * own[row]:.0f}"
            for own in shares.values()
        ]
        table.add_row(f"{_text(low)} – {_text(high)}", *bars)
    Console().print(table)


def _text(value: float | int | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _show_update(updated: Updated) -> None:
    from rich.console import Console
    from rich.table import Table

    store = updated.store
    table = Table(
        "entry", "outcome", "split", "reason", title=f"{store.path} since {updated.since}"
    )
    for _, group in groupby(updated.outcomes, key=lambda row: row["outcome"]):
        rows = list(group)
        for row in rows[:SHOWN]:
            table.add_row(row["id"], row["outcome"], row["split"], row["reason"])
        if len(rows) > SHOWN:
            table.add_row("…", rows[0]["outcome"], "", f"{len(rows) - SHOWN:,} more in the report")
    if table.rows:
        Console().print(table)
        typer.echo(f"report {updated.report}")
    if not updated.is_changed:
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
