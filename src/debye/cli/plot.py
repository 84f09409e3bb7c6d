"""``debye plot structure``: structures colored by deposited and predicted B, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from debye.cli.data import progress_bar

if TYPE_CHECKING:
    from debye.benchmark.cases import StructureCase
    from debye.errors import DebyeError
    from debye.plots.structure_scene import Style


def structure(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Structure files (.cif .bcif .pdb .ent, each also .gz), folders, PDB identifiers or "
            "AlphaFold DB accessions.",
        ),
    ] = None,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Picture to write: .png .jpg .pdf .svg."),
    ],
    predicted: Annotated[
        list[Path] | None,
        typer.Option(
            help="Copy of an INPUT with predicted B, once for each, in the same order: no model is run.",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data store to take entries from, not files.")
    ] = None,
    entries: Annotated[str | None, typer.Option(help="Entries of the store: ID,ID,…")] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of these entries; alone: all of its entries.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Released model by name, a checkpoint file, or a baseline.")
    ] = "waller",
    crystal: Annotated[
        Literal["auto", "on", "off"],
        typer.Option(help="Symmetry mates of files: auto uses those of a sound crystal."),
    ] = "auto",
    style: Annotated[
        str, typer.Option(help="Columns, out of cartoon, putty, surface, spheres.")
    ] = "cartoon,surface",
    colors: Annotated[
        Literal["blue-red", "cividis"], typer.Option(help="Color scale, from low to high B.")
    ] = "blue-red",
    limits: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Ends of the scale, Å²; the 2nd and 98th percentile of all values.",
            metavar="LOW HIGH",
        ),
    ] = None,
    size: Annotated[
        int, typer.Option(help="Width of a panel as it is rendered, pixels.", min=50, max=4000)
    ] = 700,
    small: Annotated[
        bool, typer.Option("--small", help="PNG of 256 colors, a third of the size.")
    ] = False,
    mirror: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `<id[1:3]>/<id>.bcif.gz` to read identifiers from before downloading.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    pymol: Annotated[
        Path | None, typer.Option(help="PyMOL; that of DEBYE_PYMOL, or the one on PATH.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds that PyMOL may take for one structure.", min=1)
    ] = 600.0,
) -> None:
    """Draw structures colored by deposited and by predicted B, on one scale, with PyMOL.

    A row is a structure, a column a representation by deposited or by predicted B. The camera is the same
    in a row. Where a file holds no B-factors, as predicted models, only the prediction is drawn.
    """
    from debye.plots.pymol import find_pymol
    from debye.plots.structure import check_target, save_structures
    from debye.plots.structure_scene import PictureConfig

    styles = tuple(name.strip() for name in style.split(",") if name.strip())
    config = PictureConfig(
        styles=cast("tuple[Style, ...]", styles),  # checked by the config
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
    if data is not None:
        _refuse_files(inputs, predicted)
        cases, failures = _from_store(data, model, entries, split)
    else:
        _refuse_store(inputs, entries, split)
        cases, failures = _from_files(inputs or [], predicted or [], model, crystal, mirror)
    if cases:
        with progress_bar("Drawing") as progress:
            picture = save_structures(cases, output, config, progress=progress)
        failures += picture.failures
        low, high = picture.limits
        typer.echo(f"{', '.join(picture.drawn)}: {low:.4g} to {high:.4g} Å² → {output}")
    for failure in failures:
        typer.echo(f"failed: {failure}", err=True)
    if failures:
        raise typer.Exit(1)


def _from_store(
    data: Path, model: str, entries: str | None, split: str | None
) -> tuple[list[StructureCase], list[DebyeError]]:
    from debye.benchmark.cases import cases_from_store
    from debye.dataset.store.store import Store

    names = [name.strip() for name in (entries or "").split(",") if name.strip()]
    return cases_from_store(Store.open(data), model, entries=names, split=split)


def _from_files(
    inputs: list[str],
    predicted: list[Path],
    model: str,
    crystal: Literal["auto", "on", "off"],
    mirror: Path | None,
) -> tuple[list[StructureCase], list[DebyeError]]:
    from debye.benchmark.cases import cases_from_files, cases_from_pairs

    if predicted:
        return cases_from_pairs(inputs, predicted)
    return cases_from_files(inputs, model, crystal=crystal, mirror=mirror)


def _refuse_files(inputs: list[str] | None, predicted: list[Path] | None) -> None:
    from debye.errors import ConfigError

    if inputs or predicted:
        raise ConfigError(
            "plot structure",
            problem="files and a data store are given",
            remedy="Name entries of the store by --entries, or leave out --data",
        )


def _refuse_store(inputs: list[str] | None, entries: str | None, split: str | None) -> None:
    from debye.errors import ConfigError

    if entries or split:
        raise ConfigError(
            "plot structure",
            problem="--entries and --split name entries of a data store, and none is given",
            remedy="Give --data STORE",
        )
    if not inputs:
        raise ConfigError(
            "plot structure",
            problem="no structure is given",
            remedy="Give files or identifiers, or --data STORE with --entries or --split",
        )
