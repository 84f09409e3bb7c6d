"""``debye evaluate``: how well models predict a split of a data store."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from debye.evaluation.tables import TextTable


class Crystal(StrEnum):
    """Whether the models see symmetry mates."""

    ON = "on"
    OFF = "off"
    BOTH = "both"


class Resolution(StrEnum):
    """Whether the models are told the resolution."""

    GIVEN = "given"
    UNKNOWN = "unknown"


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(help="Released models, checkpoints, or baselines of `debye models`."),
    ],
    data: Annotated[Path, typer.Option("--data", help="Data store, made by `debye data build`.")],
    split: Annotated[str, typer.Option(help="Split of the store.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of report, tables and figure.")
    ] = None,
    crystal: Annotated[
        Crystal, typer.Option(help="Show symmetry mates, hide them, or once each.")
    ] = Crystal.BOTH,
    resolution: Annotated[
        Resolution, typer.Option(help="Tell the models the resolution, or not.")
    ] = Resolution.GIVEN,
    bootstrap: Annotated[int, typer.Option(help="Draws for the intervals.", min=0)] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of these draws.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Compare models on a split: Pearson r per structure first, then errors, classes, strata."""
    import debye
    from debye.cli.data import progress_bar
    from debye.data.store import Store
    from debye.evaluation.evaluation import BootstrapConfig
    from debye.evaluation.report import Provenance, make_report
    from debye.prediction.run import RunConfig, evaluate_store, load_models

    store = Store.open(data)
    store.entries(split)
    loaded = load_models(models, device=device)
    with progress_bar(f"Evaluating on {split}") as progress:
        evaluations, failures = evaluate_store(
            store,
            split,
            loaded,
            config=RunConfig(crystal=crystal.value, resolution=resolution.value),
            bootstrap=BootstrapConfig(repeats=bootstrap, seed=seed),
            progress=progress,
        )
    provenance = Provenance(
        version=debye.__version__,
        data=data.name,
        digest=store.digest,
        split=split,
        command=shlex.join(["debye", *sys.argv[1:]]),
        settings={"resolution": resolution.value, "device": device, **_sources(models)},
    )
    report = make_report(evaluations, provenance, failures)
    # Details of many models would fill screens; they are in the report.
    tables = report.comparison() + (report.details() if len(models) == 1 else [])
    for table in tables:
        show_table(table)
    if out is not None:
        from debye.plots.distribution import save_distribution

        figure = save_distribution(
            evaluations, out / "distribution.png", title=f"{split} · {data.name}"
        )
        for path in (*report.write(out), figure):
            typer.echo(str(path))
    for failure in failures:
        typer.echo(f"failed: {failure.model}, {failure.id}: {failure.reason}", err=True)
    if failures:
        raise typer.Exit(1)


def _sources(models: list[str]) -> dict[str, str]:
    """Say which bytes each model came from: a file may be trained again under the same name."""
    import hashlib

    from debye.errors import CheckpointError
    from debye.models.checkpoint import find_checkpoint

    sources = {}
    for name in models:
        try:
            digest = hashlib.sha256(find_checkpoint(name).read_bytes()).hexdigest()
            sources[f"model {name}"] = f"sha256 {digest}"
        except CheckpointError:
            sources[f"model {name}"] = "baseline of the catalog, default settings"
    return sources


def show_table(table: TextTable) -> None:
    """Print a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        # A pipe has no width of its own: lines as long as the table needs are easier to search.
        console = Console(width=200)
    shown = Table(title=table.title, caption=table.note or None, title_justify="left")
    for column, name in enumerate(table.header):
        shown.add_column(name, justify="left" if column < table.labels else "right")
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)
