"""``debye data label``: add the labels of a target to a data store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from debye.cli.options import Workers
from debye.cli.terminal import progress_bar


def label(
    store: Annotated[Path, typer.Argument(help="Data store, made by `debye data build`.")],
    target: Annotated[str, typer.Option(help="Name of the target.")],
    split: Annotated[list[str] | None, typer.Option(help="Only this split; repeatable.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the values, instead of computing them. Columns: entry; chain, residue and atom if the "
            "target has values of these; and the value.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column of the values [name of the target].")
    ] = None,
    workers: Workers = 1,
) -> None:
    """Compute the labels of a target for every entry of a store, or read them from a table.

    Existing labels of the target are replaced. Models of the target can then be trained and evaluated on the store.
    """
    from debye.dataset.store.labels import label_store
    from debye.dataset.store.store import Store
    from debye.targets.catalog import find_target

    opened, found = Store.open(store), find_target(target)
    with progress_bar(f"Labels of {target}") as progress:
        records = label_store(
            opened,
            found,
            splits=split or (),
            table=table,
            column=column,
            workers=workers,
            progress=progress,
        )
    for name, record in records.items():
        typer.echo(f"{name}: {record['usable']:,} of {record['values']:,} values per {found.per}")
        for reason, count in record["reasons"].items():
            typer.echo(f"{count:>12,}  not usable: {reason}")
