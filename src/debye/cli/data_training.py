"""``debye data label`` and ``debye data relax``: labels of a target, and a store of relaxed models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from debye.cli.options import Seed, Workers
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


def relax(
    store: Annotated[Path, typer.Argument(help="Data store, made by `debye data build`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the new store.")],
    split: Annotated[list[str] | None, typer.Option(help="Only this split; repeatable.")] = None,
    share: Annotated[
        float, typer.Option(help="Share of the entries, drawn at random.", min=0.001, max=1)
    ] = 1.0,
    held: Annotated[
        float,
        typer.Option(
            help="Share of chains restrained to their coordinates; the others are disturbed and relaxed freely.",
            min=0,
            max=1,
        ),
    ] = 0.5,
    noise: Annotated[
        float,
        typer.Option(
            help="Largest standard deviation (Å) of the coordinates of a free chain before it is relaxed; "
            "the smallest is 0.1.",
            min=0,
        ),
    ] = 0.4,
    max_atoms: Annotated[int, typer.Option(help="Leave out larger chains.", min=1)] = 2_500,
    seed: Seed = 1,
    workers: Workers = 1,
    overwrite: Annotated[bool, typer.Option(help="Replace a finished store.")] = False,
) -> None:
    """Write a store of relaxed models: one protein chain of each entry, completed and minimized, with the B of its crystal.

    Train with them to prepare a model for predicted structures: `debye train RECIPE --rehearsal STORE`. An interrupted
    run resumes. Entries without a suitable chain are listed; they are not an error.
    """
    from debye.cli.data import report_store
    from debye.cli.terminal import progress_bar
    from debye.dataset.relax.relax_store import RelaxConfig, relax_store
    from debye.dataset.store.store import Store

    finished = (output / "manifest.json").exists() and not overwrite
    least = min(RelaxConfig().least_noise, noise)
    config = RelaxConfig(
        share=share, held=held, least_noise=least, noise=noise, max_atoms=max_atoms, seed=seed
    )
    with progress_bar("Relaxing") as progress:
        relaxed = relax_store(
            Store.open(store),
            output,
            splits=split or (),
            config=config,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    if finished:
        typer.echo(f"{output}: already finished, nothing to do (--overwrite makes it again)")
    report_store(relaxed)
