"""``debye evaluate``: how well models predict a split, other crystals, and predicted structures."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from debye.cli.options import DataStore, MatchTable, PairsTable, PredictedFolder
from debye.cli.terminal import progress_bar, report_failures, show_table
from debye.version import library_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from debye.benchmark.predicted_models import StructureMatch
    from debye.benchmark.store import EntryFailure, EvaluationConfig
    from debye.dataset.store.store import Store
    from debye.plots.distribution import Band
    from debye.prediction.predictor import Predictor
    from debye.reports.document import Document, Provenance
    from debye.scores.bootstrap import BootstrapConfig
    from debye.scores.summary import Correlations


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL", help="Released models, checkpoints, or baselines of `debye models`."
        ),
    ] = None,
    *,
    data: DataStore,
    split: Annotated[str | None, typer.Option(help="Split of the store to score.")] = None,
    pairs: PairsTable = None,
    predicted: PredictedFolder = None,
    matches: MatchTable = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of reports, tables and figures.")
    ] = None,
    crystal: Annotated[
        Literal["on", "off", "both"],
        typer.Option(
            help="Symmetry mates: on, off, or both (one row each). Ignored by --predicted."
        ),
    ] = "both",
    resolution: Annotated[
        Literal["given", "unknown"],
        typer.Option(help="Resolution that the models see; always unknown in --predicted."),
    ] = "given",
    noise: Annotated[
        float, typer.Option(help="Å, Gaussian noise added to every coordinate.", min=0.0)
    ] = 0.0,
    noise_seed: Annotated[int, typer.Option(help="Seed of the noise.", min=0)] = 0,
    bootstrap: Annotated[
        int, typer.Option(help="Bootstrap draws for the intervals.", min=0)
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Compare models on a split, on pairs of crystals (the ceiling) and on predicted structures.

    --split, --pairs and --predicted each make a report. Together, --pairs takes the pairs that have an
    entry in the split, or in the splits of the crystals of --predicted, and is drawn into the other figures.
    """
    from debye.benchmark.predicted_models import match_table, read_matches
    from debye.benchmark.store import EvaluationConfig, load_models
    from debye.dataset.store.store import Store
    from debye.models.allocator import keep_freed_memory
    from debye.plots.drawing import save_figure
    from debye.scores.bootstrap import BootstrapConfig

    keep_freed_memory()
    _check(names := models or [], split, pairs, predicted, crystal)
    store = Store.open(data)
    if split is not None:
        store.entries(split)
    work = _Evaluation(
        store=store,
        matches=read_matches(matches or match_table(predicted)) if predicted else [],
        models=load_models(names, device=device),
        config=EvaluationConfig(
            crystal=crystal, resolution=resolution, noise=noise, noise_seed=noise_seed
        ),
        bootstrap=BootstrapConfig(repeats=bootstrap, seed=seed),
        settings={"device": device, **_sources(names)},
    )
    reports = list(work.reports(split, pairs, predicted))
    # Details of many models would fill screens; they are in the report.
    for report in reports:
        for section in report.document.sections:
            for table in section.tables + (section.details if len(names) == 1 else ()):
                show_table(table)
    if out is not None:
        for report in reports:
            folder = out / report.folder
            files = report.document.write(folder)
            for path in (*files, save_figure(report.figure, folder / f"{report.stem}.png")):
                typer.echo(str(path))
    failures = [failure for report in reports for failure in report.failures]
    report_failures([f"{each.model}, {each.id}: {each.reason}" for each in failures])


class _Report(NamedTuple):
    """A document, and the figure next to it."""

    document: Document
    figure: Figure
    stem: str
    """Of the figure's file."""
    failures: list[EntryFailure]
    folder: str = ""
    """Within that of the evaluation."""


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """What the three kinds of reports share."""

    store: Store
    matches: list[StructureMatch]
    models: list[tuple[str, Predictor]]
    config: EvaluationConfig
    bootstrap: BootstrapConfig
    settings: dict[str, str]

    def reports(
        self, split: str | None, pairs: Path | None, predicted: Path | None
    ) -> Iterator[_Report]:
        """Make the reports, each with the ceiling of its own split in the figure."""
        from debye.benchmark.crystal_pairs import (
            evaluate_pairs,
            locate_entries,
            pairs_of,
            read_pairs,
        )
        from debye.benchmark.predicted_models import evaluate_predicted, with_baselines

        own = {split} if split is not None else set()
        place = locate_entries(self.store) if self.matches else {}
        other = {place[match.entry][0] for match in self.matches if match.entry in place}
        how = {"config": self.config, "bootstrap": self.bootstrap}
        ceiling, failures, on = None, [], sorted(own | other)
        if pairs is not None:
            with progress_bar(f"Comparing the crystals of {pairs.name}") as progress:
                ceiling, failures = evaluate_pairs(
                    self.store, read_pairs(pairs), self.models, splits=on, progress=progress, **how
                )
        if split is not None:
            yield from self._split(split, pairs_of(ceiling, own) if ceiling else None)
        if ceiling is not None:
            provenance = self._provenance(", ".join(on) or "all splits")
            yield self._correlations(ceiling, provenance, failures, ceiling)
        if predicted is not None:
            models = with_baselines(self.models, device=self.settings["device"])
            with progress_bar(f"Predicting the structures of {predicted.name}") as progress:
                found, failures = evaluate_predicted(
                    self.store, predicted, self.matches, models, progress=progress, **how
                )
            band = pairs_of(ceiling, other) if ceiling else None
            provenance = self._provenance(predicted.name, is_predicted=True)
            yield self._correlations(found, provenance, failures, band, is_reference=True)

    def _split(self, split: str, ceiling: Correlations | None) -> Iterator[_Report]:
        from debye.benchmark.store import evaluate_store
        from debye.plots.distribution import plot_samples, samples_of
        from debye.reports.evaluation import evaluation_document, items_of
        from debye.scores.summary import primary_scores

        with progress_bar(f"Evaluating on {split}") as progress:
            scored = evaluate_store(
                self.store, split, self.models, config=self.config, progress=progress
            )
        provenance = self._provenance(split)
        for each in scored:
            document = evaluation_document(
                each.scores, each.target, provenance, self.bootstrap, each.failures
            )
            axis = f"Pearson r per structure, {items_of(each.target)}"
            title = f"{split} · {provenance.data}"
            samples = samples_of(primary_scores(each.scores))
            figure = plot_samples(samples, axis=axis, title=title, band=_band(ceiling))
            folder = each.target.name if len(scored) > 1 else ""
            yield _Report(document, figure, "distribution", each.failures, folder)

    def _correlations(
        self,
        found: Correlations,
        provenance: Provenance,
        failures: list[EntryFailure],
        ceiling: Correlations | None,
        *,
        is_reference: bool = False,
    ) -> _Report:
        """Make a report of correlations; the ceiling is in the figure, as a reference in the table too."""
        from debye.plots.distribution import plot_samples, samples_of
        from debye.reports.evaluation import correlation_document

        references = ceiling.means().head(1) if ceiling and is_reference else None
        document = correlation_document(found, provenance, failures, references)
        primary = found.take(next(iter(found.groups.values()))).table()
        title = f"{found.title} · {provenance.split} · {provenance.data}"
        samples, axis = samples_of(primary, "pair"), "Pearson r, protein heavy atoms"
        figure = plot_samples(samples, axis=axis, title=title, band=_band(ceiling))
        return _Report(document, figure, found.name, failures)

    def _provenance(self, on: str, *, is_predicted: bool = False) -> Provenance:
        """Say what was scored, and what the models saw."""
        from debye.reports.document import Provenance

        seen = {"resolution": self.config.resolution}
        if is_predicted:
            none = "a predicted structure has none"
            seen = {"crystal": f"off: {none}", "resolution": f"unknown: {none}"}
        if self.config.noise:
            seen["noise"] = (
                f"Gaussian, {self.config.noise:g} Å on every coordinate before bonds, edges, features and mates "
                f"are found, seed {self.config.noise_seed} with the name of the "
                f"{'file' if is_predicted else 'entry'}"
            )
        return Provenance(
            version=library_version(),
            data=self.store.path.name,
            digest=self.store.digest,
            split=on,
            command=shlex.join(["debye", *sys.argv[1:]]),
            settings=seen | self.settings,
        )


def _band(ceiling: Correlations | None) -> Band | None:
    """Return the range of the first predictor, the ceiling, for figures."""
    from debye.plots.distribution import Band
    from debye.scores.scores import by_run

    if ceiling is None:
        return None
    name, _, rows = next(by_run(ceiling.scores))
    return Band.quartiles(rows["pearson"].to_numpy(), name)


def _check(
    names: list[str], split: str | None, pairs: Path | None, predicted: Path | None, crystal: str
) -> None:
    from debye.errors import ConfigError

    if split is None and pairs is None and predicted is None:
        remedy = "Give --split NAME, --pairs CSV or --predicted FOLDER"
        raise ConfigError("evaluate", "nothing to evaluate on", remedy)
    if split is not None and not names:
        remedy = "Name at least one, or leave out --split"
        raise ConfigError("evaluate", "no model is given", remedy)
    if predicted is not None and split is None and pairs is None and crystal == "on":
        problem = "--crystal on, but a predicted structure has no crystal"
        remedy = "Leave out --crystal, or name crystals to score with --split or --pairs"
        raise ConfigError("evaluate", problem, remedy)


def _sources(models: list[str]) -> dict[str, str]:
    """Return the digest of each model's file: a model may be trained again under the same name."""
    import hashlib

    from debye.errors import CheckpointError
    from debye.models.checkpoint import find_checkpoint

    def source(name: str) -> str:
        try:
            return f"sha256 {hashlib.sha256(find_checkpoint(name).read_bytes()).hexdigest()}"
        except CheckpointError:
            return "baseline of the catalog, default settings"

    return {f"model {name}": source(name) for name in models}
