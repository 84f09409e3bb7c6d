"""``debye evaluate``: how well models predict a split, other crystals, and predicted structures."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from debye.cli.options import MatchTable, PredictedFolder
from debye.cli.terminal import progress_bar
from debye.version import library_version

if TYPE_CHECKING:
    from debye.benchmark.predicted_models import ModelMatch
    from debye.benchmark.store import RunConfig
    from debye.dataset.store.store import Store
    from debye.prediction.predictor import Predictor
    from debye.reports.evaluation import Provenance, Report
    from debye.reports.evaluation_tables import TextTable
    from debye.scores.correlations import CorrelationReport
    from debye.scores.evaluation import BootstrapConfig


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
        list[str] | None,
        typer.Argument(
            metavar="MODEL", help="Released models, checkpoints, or baselines of `debye models`."
        ),
    ] = None,
    *,
    data: Annotated[Path, typer.Option("--data", help="Data store, made by `debye data build`.")],
    split: Annotated[str | None, typer.Option(help="Split of the store to score.")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="CSV of pairs of crystals of one protein: the ceiling, also without a model.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    predicted: PredictedFolder = None,
    matches: MatchTable = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of reports, tables and figures.")
    ] = None,
    crystal: Annotated[
        Crystal,
        typer.Option(help="Show symmetry mates, hide them, or once each; none in --predicted."),
    ] = Crystal.BOTH,
    resolution: Annotated[
        Resolution,
        typer.Option(help="Tell the models the resolution, or not; never in --predicted."),
    ] = Resolution.GIVEN,
    noise: Annotated[
        float, typer.Option(help="Å, Gaussian noise put on every coordinate first.", min=0.0)
    ] = 0.0,
    noise_seed: Annotated[int, typer.Option(help="Seed of this noise.", min=0)] = 0,
    bootstrap: Annotated[int, typer.Option(help="Draws for the intervals.", min=0)] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of these draws.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Compare models on a split, on pairs of crystals (the ceiling) and on predicted structures.

    --split, --pairs and --predicted each make a report. Together, --pairs takes the pairs that have an
    entry in the split, or in the splits of the crystals of --predicted, and is drawn into the others.
    """
    from debye.benchmark.store import RunConfig, load_models
    from debye.dataset.store.store import Store
    from debye.models.allocator import keep_freed_memory
    from debye.scores.evaluation import BootstrapConfig

    keep_freed_memory()
    names = models or []
    _check(names, split, pairs, predicted, crystal)
    store = Store.open(data)
    if split is not None:
        store.entries(split)
    found = _read_matches(predicted, matches) if predicted else []
    config = RunConfig(
        crystal=crystal.value, resolution=resolution.value, noise=noise, noise_seed=noise_seed
    )
    job = _Job(
        store=store,
        models=load_models(names, device=device),
        config=config,
        bootstrap=BootstrapConfig(repeats=bootstrap, seed=seed),
        settings={"device": device, **_sources(names)},
    )
    reports = _score(job, split, pairs, predicted, found)
    _show(reports, out, details=len(names) == 1)


def _score(
    job: _Job,
    split: str | None,
    pairs: Path | None,
    predicted: Path | None,
    found: list[ModelMatch],
) -> list[tuple[Report | CorrelationReport, CorrelationReport | None]]:
    """Make the reports that were asked for, each with the ceiling that is drawn behind it: of its own split."""
    own = {split} if split is not None else set()
    other = _splits_of(job.store, found)
    scored = _score_pairs(job, pairs, sorted(own | other)) if pairs else None
    reports: list[tuple[Report | CorrelationReport, CorrelationReport | None]] = []
    if split is not None:
        reports.append((_score_split(job, split), _ceiling(scored, own)))
    if scored is not None:
        reports.append((scored, scored))
    if predicted is not None:
        ceiling = _ceiling(scored, other)
        reports.append((_score_predicted(job, predicted, found, ceiling), ceiling))
    return reports


def _show(
    reports: list[tuple[Report | CorrelationReport, CorrelationReport | None]],
    out: Path | None,
    *,
    details: bool,
) -> None:
    """Print the tables and write the files; exit with 1 where something failed."""
    for report, _ in reports:
        # Details of many models would fill screens; they are in the report.
        for table in report.comparison() + (report.details() if details else []):
            show_table(table)
    if out is not None:
        for report, ceiling in reports:
            for path in (*report.write(out), _draw(report, out, ceiling)):
                typer.echo(str(path))
    failures = [failure for report, _ in reports for failure in report.failures]
    for failure in failures:
        typer.echo(f"failed: {failure.model}, {failure.id}: {failure.reason}", err=True)
    if failures:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Job:
    """What the three kinds of reports share."""

    store: Store
    models: list[tuple[str, Predictor]]
    config: RunConfig
    bootstrap: BootstrapConfig
    settings: dict[str, str]

    def provenance(self, on: str, **more: str) -> Provenance:
        from debye.reports.evaluation import Provenance

        return Provenance(
            version=library_version(),
            data=self.store.path.name,
            digest=self.store.digest,
            split=on,
            command=shlex.join(["debye", *sys.argv[1:]]),
            settings=more | self.settings,
        )

    def told(self) -> dict[str, str]:
        """Say what the models are told about an entry, where that is a choice."""
        return {"resolution": self.config.resolution, **self.noise("entry")}

    def told_of_predicted(self) -> dict[str, str]:
        """Say what the models are told about a predicted structure, whatever the options are."""
        return {
            "crystal": "off: a predicted structure has none",
            "resolution": "unknown: a predicted structure has none",
            **self.noise("file"),
        }

    def noise(self, named: str) -> dict[str, str]:
        if not self.config.noise:
            return {}
        return {
            "noise": f"Gaussian, {self.config.noise:g} Å on every coordinate before bonds, edges, features "
            f"and mates are found, seed {self.config.noise_seed} with the name of the {named}"
        }


def _score_split(job: _Job, split: str) -> Report:
    from debye.benchmark.store import evaluate_store
    from debye.reports.evaluation import make_report

    with progress_bar(f"Evaluating on {split}") as progress:
        evaluations, failures = evaluate_store(
            job.store,
            split,
            job.models,
            config=job.config,
            bootstrap=job.bootstrap,
            progress=progress,
        )
    return make_report(evaluations, job.provenance(split, **job.told()), failures)


def _splits_of(store: Store, matches: list[ModelMatch]) -> set[str]:
    """Return the splits of the crystals that predicted structures are matched to."""
    from debye.benchmark.crystal_pairs import locate_entries

    place = locate_entries(store) if matches else {}
    return {place[match.entry][0] for match in matches if match.entry in place}


def _ceiling(pairs: CorrelationReport | None, splits: set[str]) -> CorrelationReport | None:
    """Return the pairs of some splits, of all that were scored."""
    from debye.benchmark.crystal_pairs import pairs_of

    return pairs_of(pairs, splits) if pairs is not None else None


def _score_pairs(job: _Job, path: Path, splits: list[str]) -> CorrelationReport:
    from debye.benchmark.crystal_pairs import evaluate_pairs, read_pairs

    with progress_bar(f"Comparing the crystals of {path.name}") as progress:
        return evaluate_pairs(
            job.store,
            read_pairs(path),
            job.models,
            provenance=job.provenance(", ".join(splits) or "all splits", **job.told()),
            splits=splits,
            config=job.config,
            bootstrap=job.bootstrap,
            progress=progress,
        )


def _score_predicted(
    job: _Job, folder: Path, matches: list[ModelMatch], ceiling: CorrelationReport | None
) -> CorrelationReport:
    from debye.benchmark.predicted_models import evaluate_predicted, with_baselines

    with progress_bar(f"Predicting the structures of {folder.name}") as progress:
        return evaluate_predicted(
            job.store,
            folder,
            matches,
            with_baselines(job.models, device=job.settings["device"]),
            provenance=job.provenance(folder.name, **job.told_of_predicted()),
            config=job.config,
            bootstrap=job.bootstrap,
            references=[ceiling.mean(ceiling.rows[0], next(iter(ceiling.groups)))]
            if ceiling
            else [],
            progress=progress,
        )


def _read_matches(folder: Path, table: Path | None) -> list[ModelMatch]:
    from debye.benchmark.predicted_models import match_table, read_matches

    return read_matches(table or match_table(folder))


def _draw(report: Report | CorrelationReport, out: Path, ceiling: CorrelationReport | None) -> Path:
    """Draw one report, with the range of the ceiling behind it where there is one."""
    from debye.plots.distribution import Band, save_correlations, save_distribution
    from debye.scores.correlations import CorrelationReport

    title = f"{report.provenance.split} · {report.provenance.data}"
    band = Band.quartiles(ceiling.rows[0].pearson, ceiling.rows[0].model) if ceiling else None
    if isinstance(report, CorrelationReport):
        title = f"{report.title} · {title}"
        return save_correlations(report, out / f"{report.name}.png", title=title, band=band)
    return save_distribution(report.evaluations, out / "distribution.png", title=title, band=band)


def _check(
    names: list[str],
    split: str | None,
    pairs: Path | None,
    predicted: Path | None,
    crystal: Crystal,
) -> None:
    from debye.errors import ConfigError

    if split is None and pairs is None and predicted is None:
        raise ConfigError(
            "evaluate",
            problem="nothing to evaluate on",
            remedy="Give --split NAME, --pairs CSV or --predicted FOLDER",
        )
    if split is not None and not names:
        raise ConfigError(
            "evaluate",
            problem="no model is given",
            remedy="Name at least one, or leave out --split",
        )
    if predicted is not None and split is None and pairs is None and crystal is Crystal.ON:
        raise ConfigError(
            "evaluate",
            problem="--crystal on, but a predicted structure has no crystal",
            remedy="Leave out --crystal, or name crystals to score with --split or --pairs",
        )


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
