"""``debye data relax``: chains of a store as predicted models would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def relax(
    store: Annotated[Path, typer.Argument(help="Data store, made by `debye data build`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the new store.")],
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; may be given several times.")
    ] = None,
    share: Annotated[
        float, typer.Option(help="Share of the entries, drawn one by one.", min=0.001, max=1)
    ] = 1.0,
    held: Annotated[
        float,
        typer.Option(
            help="Share of chains held near their coordinates; the others are disturbed and free.",
            min=0,
            max=1,
        ),
    ] = 0.5,
    noise: Annotated[
        float,
        typer.Option(
            help="Largest standard deviation of each coordinate of a free chain before it is relaxed, Å; the least is 0.1.",
            min=0,
        ),
    ] = 0.4,
    max_atoms: Annotated[int, typer.Option(help="Leave out larger chains.", min=1)] = 2_500,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.", min=0)] = 1,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    overwrite: Annotated[bool, typer.Option(help="Replace a finished store.")] = False,
) -> None:
    """Write a store of relaxed models: one protein chain of each entry, completed and minimized, with the B of its crystal.

    To train with them, so that predicted models are no surprise: `debye train RECIPE --rehearsal STORE`. A killed run
    goes on where it stopped. Entries without such a chain are listed, and are no error.
    """
    from debye.cli.terminal import progress_bar, report_store
    from debye.dataset.relax.relaxed import RelaxConfig, relax_store
    from debye.dataset.store.store import Store

    finished = (output / "manifest.json").exists() and not overwrite
    least = min(RelaxConfig().least_noise, noise)
    with progress_bar("Relaxing") as progress:
        relaxed = relax_store(
            Store.open(store),
            output,
            splits=split or (),
            config=RelaxConfig(
                share=share,
                held=held,
                least_noise=least,
                noise=noise,
                max_atoms=max_atoms,
                seed=seed,
            ),
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    if finished:
        typer.echo(f"{output}: already finished, nothing to do (--overwrite makes it anew)")
    report_store(relaxed)
