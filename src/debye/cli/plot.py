"""``debye plot structure``: structures colored by deposited and predicted B, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from debye.cli.options import INPUTS, CrystalOption, Mirror, names_in
from debye.cli.terminal import progress_bar, report_failures

if TYPE_CHECKING:
    from debye.plots.pymol import Style

Styles = Annotated[
    str, typer.Option(help="Comma-separated columns: cartoon, putty, surface, spheres.")
]
Colors = Annotated[
    Literal["blue-red", "cividis"], typer.Option(help="Color scale, from low to high B.")
]
Limits = Annotated[
    tuple[float, float] | None,
    typer.Option(
        help="Ends of the color scale, Å² [2nd and 98th percentile of all values].",
        metavar="LOW HIGH",
    ),
]
Size = Annotated[int, typer.Option(help="Width of a rendered panel, pixels.", min=50, max=4000)]


def structure(
    inputs: Annotated[list[str] | None, INPUTS] = None,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Picture to write: .png .jpg .pdf .svg.")
    ],
    predicted: Annotated[
        list[Path] | None,
        typer.Option(
            help="Annotated copy of each INPUT, in the same order, instead of running a model. Repeatable."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data store with the entries, instead of INPUT.")
    ] = None,
    entries: Annotated[
        str | None, typer.Option(help="Entries of the store, separated by commas.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the entries; without --entries all of its entries.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name of a released model or baseline, or a checkpoint file.")
    ] = "waller",
    crystal: CrystalOption = "auto",
    style: Styles = "cartoon,surface",
    colors: Colors = "blue-red",
    limits: Limits = None,
    size: Size = 700,
    small: Annotated[
        bool, typer.Option("--small", help="Write a PNG of 256 colors, a third of the size.")
    ] = False,
    mirror: Mirror = None,
    pymol: Annotated[
        Path | None, typer.Option(help="Path of PyMOL [DEBYE_PYMOL, or pymol on PATH].")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Longest time of PyMOL for one structure (s).", min=1)
    ] = 600.0,
) -> None:
    """Draw structures colored by deposited and by predicted B, on one scale, with PyMOL.

    Each row is a structure, each column a representation colored by deposited or by predicted B. All
    pictures of a row have the same camera. Files without B-factors, such as predicted models, are drawn
    by their prediction only.
    """
    from debye.benchmark.cases import cases_from_files, cases_from_pairs, cases_from_store
    from debye.dataset.store.store import Store
    from debye.plots.pymol import PictureConfig, find_pymol
    from debye.plots.structure import check_target, save_structures

    config = PictureConfig(
        styles=cast("tuple[Style, ...]", tuple(names_in(style))),  # checked by the config
        palette=colors,
        limits=limits,
        size=size,
        is_small=small,
        program=pymol,
        timeout=timeout,
    )
    # Before anything is predicted.
    check_target(output)
    find_pymol(pymol)
    files, names = inputs or [], names_in(entries)
    _check_sources(bool(files), bool(predicted), data is not None, bool(names or split))
    if data is not None:
        cases, failures = cases_from_store(Store.open(data), model, entries=names, split=split)
    elif predicted:
        cases, failures = cases_from_pairs(files, predicted)
    else:
        cases, failures = cases_from_files(files, model, crystal=crystal, mirror=mirror)
    if cases:
        with progress_bar("Drawing") as progress:
            picture = save_structures(cases, output, config, progress=progress)
        failures += picture.failures
        low, high = picture.limits
        typer.echo(f"{', '.join(picture.drawn)}: {low:.4g} to {high:.4g} Å² → {output}")
    report_failures([str(failure) for failure in failures])


def _check_sources(inputs: bool, predicted: bool, data: bool, entries: bool) -> None:
    """Refuse sources that contradict each other, and none at all."""
    from debye.errors import ConfigError

    where, remedy = "plot structure", "Name entries of the store by --entries, or leave out --data"
    if data and (inputs or predicted):
        raise ConfigError(where, "files and a data store are given", remedy)
    if entries and not data:
        problem = "--entries and --split name entries of a data store, and none is given"
        raise ConfigError(where, problem, "Give --data STORE")
    if not data and not inputs:
        remedy = "Give files or identifiers, or --data STORE with --entries or --split"
        raise ConfigError(where, "no structure is given", remedy)
