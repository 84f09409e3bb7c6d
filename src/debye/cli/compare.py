"""``debye compare``: many models on the same data, with several seeds, side by side."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from debye.cli.options import MatchTable, PairsTable, PredictedFolder
from debye.errors import ConfigError

if TYPE_CHECKING:
    from debye.benchmark.comparison.runs import Step


def compare(
    recipes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE",
            help="Recipes (.toml) to train; released models, checkpoints and baselines to evaluate.",
        ),
    ] = None,
    *,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data store, made by `debye data build`.")
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the runs, results and the report.")
    ] = Path("comparison"),
    seeds: Annotated[int, typer.Option(help="Runs of each recipe.", min=1)] = 3,
    splits: Annotated[
        str | None,
        typer.Option(
            help="Splits to evaluate, comma-separated [those of val,test,kinase in the store]."
        ),
    ] = None,
    subset: Annotated[
        int | None,
        typer.Option(help="Entries of the training split that all recipes train on [all].", min=1),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Entries of each split that are scored [all].", min=1)
    ] = None,
    share: Annotated[
        float, typer.Option(help="Share of the budget that each trial of a [search] gets.")
    ] = 0.2,
    draw: Annotated[int, typer.Option(help="Seed of the subset and of all samples.", min=0)] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change every trained recipe: section.key=value; repeatable."),
    ] = None,
    reference: Annotated[
        str, typer.Option(help="Reference model for the differences [meta_gnn, else the first].")
    ] = "",
    pairs: PairsTable = None,
    predicted: PredictedFolder = None,
    matches: MatchTable = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Runs at a time [one a core, or one on a GPU].", min=1),
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="Device for training and prediction.")
    ] = "cpu",
    quick: Annotated[
        bool, typer.Option("--quick", help="Smoke test: run every step on very little data.")
    ] = False,
    report_only: Annotated[
        Path | None,
        typer.Option(
            "--report-only",
            help="Only make the report of this folder again.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Train recipes with several seeds, evaluate them and other models, and write a report.

    The same command resumes after a stop: finished runs are kept.
    """
    if report_only is not None:
        return _write_report(report_only)
    if data is None:
        raise typer.BadParameter("is required unless --report-only is given", param_hint="--data")
    if matches is not None and predicted is None:
        raise typer.BadParameter("needs --predicted", param_hint="--map")
    given = {"seeds": seeds, "subset": subset, "limit": limit, "share": share, "draw_seed": draw}
    given |= {"settings": settings or (), "device": device}
    given |= {"splits": [name for name in (splits or "").split(",") if name]}
    options = {"pairs": pairs, "predicted": predicted, "matches": matches, "reference": reference}
    return _run(recipes or [], data, out, given, jobs, options | {"quick": quick})


def _write_report(folder: Path) -> None:
    from debye.plots.comparison import draw_comparison
    from debye.reports.comparison import write_report

    for path in write_report(folder, draw_comparison):
        typer.echo(str(path))


def _run(
    recipes: list[str],
    data: Path,
    out: Path,
    given: dict[str, Any],
    jobs: int | None,
    options: dict[str, Any],
) -> None:
    """Run the comparison and write its report; exit with 1 if a run failed."""
    from pydantic import ValidationError

    from debye.benchmark.comparison.plan import CompareConfig
    from debye.cli.train import prepare_training
    from debye.errors import explain_validation

    try:
        config = CompareConfig.model_validate(given)
    except ValidationError as error:
        raise ConfigError("compare", explain_validation(error), "See docs/comparison.md") from error
    config = config.quick() if options.pop("quick") else config
    prepare_training("debye compare")
    from debye.benchmark.comparison.compare import Comparison, usual_jobs
    from debye.benchmark.comparison.contenders import read_contenders
    from debye.dataset.store.store import Store

    comparison = Comparison(
        contenders=read_contenders(recipes, config.settings),
        store=Store.open(data),
        out=out,
        config=config,
        jobs=jobs or usual_jobs(config.device),
        command=shlex.join(["debye", *sys.argv[1:]]),
        on_step=_show_step,
        on_message=lambda text: typer.echo(text, err=True),
        **options,
    )
    failures = comparison.run()
    _write_report(out)
    for failure in failures:
        word = "left out" if failure.is_missing_package else "failed"
        typer.echo(f"{word}: {failure.job.title}: {failure.reason}", err=True)
    if any(not failure.is_missing_package for failure in failures):
        raise typer.Exit(1)


def _show_step(step: Step) -> None:
    """Write one line for each run that ended."""
    left = ""
    if step.seconds_left is not None and step.done < step.total:
        left = f", about {step.seconds_left / 60:.0f} min left"
    now = f"; now {', '.join(step.running)}" if step.running else ""
    typer.echo(f"[{step.done}/{step.total}{left}] {step.ended}{now}", err=True)
