"""Entry point of ``debye``: the table of commands, and how errors reach the user."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from debye.cli import (
    compare,
    data,
    data_archives,
    data_training,
    evaluate,
    explain,
    finetune,
    models,
    plot,
    predict,
    train,
)
from debye.errors import DebyeError
from debye.version import library_version

app = typer.Typer(
    # The usual markup would swallow text in brackets.
    rich_markup_mode="markdown",
    name="debye",
    help="Predict per-atom crystallographic B-factors from protein structures.",
    no_args_is_help=True,
    # A plain traceback can be pasted into a report.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="Build, update and describe data stores for training and evaluation.", no_args_is_help=True
)
plot_app = typer.Typer(help="Draw structures colored by their B-factors.", no_args_is_help=True)

# Commands import slow packages (numpy, gemmi, torch) inside their functions, so that `--help` is quick.
for command in (
    predict.predict, explain.explain, evaluate.evaluate, train.train, finetune.finetune,
    compare.compare, models.models,
):  # fmt: skip
    app.command()(command)
for command in (
    data_archives.search, data_archives.fetch, data.build, data_training.label, data_training.relax,
    data.update, data.stats,
):  # fmt: skip
    data_app.command()(command)
app.add_typer(data_app, name="data")
plot_app.command()(plot.structure)
app.add_typer(plot_app, name="plot")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"debye {library_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Predict per-atom crystallographic B-factors from protein structures."""


def main() -> None:
    """Run the command line; an error of the package is shown as one line, with exit code 2."""
    try:
        app()
    except DebyeError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
