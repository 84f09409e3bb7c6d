"""The evaluation of one run: every column of the report, crystal shown and hidden, crystal pairs, predicted structures."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from debye.benchmark.comparison.job import PAIRS_FILE, PREDICTED_FILE, SCORES_FILE, Job
from debye.benchmark.comparison.results import switch
from debye.benchmark.crystal_pairs import evaluate_pairs, read_pairs
from debye.benchmark.predicted_models import evaluate_predicted, read_matches
from debye.benchmark.store import Run, RunConfig, plan_runs, predict_entry
from debye.dataset.batches.graph_cache import GraphBuilder, GraphSource, find_graph_cache
from debye.dataset.store.store import Store
from debye.models.catalog import build_model
from debye.models.checkpoint import Checkpoint, CheckpointHeader, load_checkpoint
from debye.prediction.predictor import Predictor
from debye.reports.evaluation import Provenance
from debye.scores.correlations import CorrelationReport
from debye.scores.evaluation import BootstrapConfig, summarize
from debye.scores.scores import StructureScore, score_structure
from debye.scores.strata import PRIMARY

if TYPE_CHECKING:
    from debye.graph.graph import AtomGraph

TIMED_GRAPHS = 10
"""Entries whose graphs are built once more to say what that costs."""


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """One row of the results: a column of the report, crystal, class of atoms and stratum."""

    split: str
    crystal: bool
    atom_class: str
    stratum: str
    structures: int
    undefined: int
    atoms: int
    unpredicted: int
    failures: int
    """Entries of the split that could not be predicted."""
    measures: dict[str, float]


class ModelClock(AbstractContextManager["ModelClock"]):
    """Measures what the model alone takes, without graphs and scores."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.seconds = 0.0
        self.atoms = 0
        self._mark = 0.0
        self._hooks = [
            model.register_forward_pre_hook(self._start),
            model.register_forward_hook(self._stop),
        ]

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _start(self, _module: torch.nn.Module, _arguments: object) -> None:
        self._mark = _now()

    def _stop(self, _module: torch.nn.Module, arguments: tuple[AtomGraph], _output: object) -> None:
        self.seconds += _now() - self._mark
        self.atoms += arguments[0].n_atoms


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def score_run(
    job: Job, checkpoint: str | None, folder: Path, facts: dict[str, Any]
) -> list[SplitSummary]:
    """Predict and score all columns of the report; write the scores, the predictions, the pairs.

    Adds to ``facts`` what the model is and what prediction costs.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ConfigError: the baseline cannot be built, or no entry can be scored.
    """
    store = Store.open(job.store)
    predictor = Predictor(_load(job, checkpoint), device=job.device)
    runs = plan_runs([(job.contender, predictor)], "both")
    summaries: list[SplitSummary] = []
    tables: list[pd.DataFrame] = []
    predicted: dict[str, list[NDArray[np.float32]]] = {}
    with ModelClock(predictor.model) as clock:
        for name, ids in job.scored.items():
            split = _Split(store, job.splits[name], ids, predictor)
            found = split.predict(runs)
            np.savez(folder / f"predictions-{name}.npz", **split.arrays(runs))  # type: ignore[arg-type]
            predicted |= split.predicted
            for run, scores in zip(runs, found, strict=True):
                summaries += _summaries(name, run, scores, split.failures)
                tables.append(_table(name, run, scores))
    pd.concat(tables).to_parquet(folder / SCORES_FILE, index=False)
    facts |= {
        "parameters": sum(each.numel() for each in predictor.model.parameters()),
        "reads_crystal": predictor.graph_config.reads_crystal,
        "predict_seconds_per_million": 1e6 * clock.seconds / max(clock.atoms, 1),
        "graph_seconds_per_million": _graph_seconds(job, store, predictor),
    }
    if job.pairs is not None:
        _score_pairs(job, store, predictor, predicted, folder / PAIRS_FILE)
    if job.predicted is not None:
        facts["predicted_failures"] = _score_predicted(
            job, store, predictor, folder / PREDICTED_FILE
        )
    return summaries


class _Split:
    """Predictions of the entries of one column."""

    def __init__(
        self, store: Store, split: str, ids: tuple[str, ...], predictor: Predictor
    ) -> None:
        self.store, self.split = store, split
        wanted = set(ids)
        self.rows = [row for row, entry in enumerate(store.entries(split)) if entry.id in wanted]
        cache = find_graph_cache(store, split, predictor.graph_config)
        self.sources: Mapping[Any, GraphSource] = {predictor.graph_config: cache} if cache else {}
        self.predicted: dict[str, list[NDArray[np.float32]]] = {}
        """(atoms,) Å² for each run, by entry."""
        self.failures = 0

    def predict(self, runs: list[Run]) -> list[list[StructureScore]]:
        """Return the scores of each run."""
        scores: list[list[StructureScore]] = [[] for _ in runs]
        for row in self.rows:
            outcomes = predict_entry(
                self.store, self.split, row, runs, RunConfig(), sources=self.sources
            )
            name, failed = self.store.entries(self.split)[row].id, False
            self.predicted[name] = []
            for number, (values, failure) in enumerate(outcomes):
                scores[number] += score_structure(values)
                self.predicted[name].append(values.predicted)
                failed |= failure is not None
            self.failures += failed
        return scores

    def arrays(self, runs: list[Run]) -> dict[str, NDArray[np.float32]]:
        """Return the predictions by ``ENTRY.on`` and ``ENTRY.off``, the crystal."""
        return {
            f"{name}.{switch(run.crystal)}": values
            for name, each in self.predicted.items()
            for run, values in zip(runs, each, strict=True)
        }


def _summaries(
    name: str, run: Run, scores: list[StructureScore], failures: int
) -> list[SplitSummary]:
    evaluation = summarize(
        scores, model=run.name, crystal=run.crystal, bootstrap=BootstrapConfig(repeats=0)
    )
    return [
        SplitSummary(
            split=name,
            crystal=run.crystal,
            atom_class=row.atom_class,
            stratum=row.stratum,
            structures=row.structures,
            undefined=row.undefined,
            atoms=row.atoms,
            unpredicted=row.unpredicted,
            failures=failures,
            measures=row.estimates,
        )
        for row in evaluation.summaries
    ]


def _table(name: str, run: Run, scores: list[StructureScore]) -> pd.DataFrame:
    """Return the scores of protein atoms, a row a structure."""
    rows = [asdict(score) for score in scores if score.atom_class == PRIMARY]
    frame = pd.DataFrame(rows)
    frame.insert(0, "split", name)
    frame.insert(1, "crystal", switch(run.crystal))
    return frame


def _graph_seconds(job: Job, store: Store, predictor: Predictor) -> float:
    """Return what it takes to build graphs, seconds per million atoms, on some of the entries."""
    name, ids = next(reversed(job.scored.items()))
    builder = GraphBuilder(store, job.splits[name], predictor.graph_config)
    begun, atoms = time.perf_counter(), 0
    for entry_id in ids[:TIMED_GRAPHS]:
        atoms += builder.graph(store.row(job.splits[name], entry_id)).n_atoms
    return 1e6 * (time.perf_counter() - begun) / max(atoms, 1)


def _load(job: Job, checkpoint: str | None) -> Checkpoint:
    """Load what was trained or named; a baseline is built with the settings of its recipe."""
    if checkpoint is not None:
        return load_checkpoint(checkpoint, device=job.device)
    settings = job.recipe.settings if job.recipe is not None else {}
    targets = job.recipe.targets if job.recipe is not None else ("b_factor",)
    header = CheckpointHeader(
        name=job.contender, model=job.model, config=dict(settings), targets=targets
    )
    return Checkpoint(
        build_model(job.model, settings, header.find_targets()).eval(), header, "catalog"
    )


def _score_pairs(
    job: Job,
    store: Store,
    predictor: Predictor,
    predicted: Mapping[str, list[NDArray[np.float32]]],
    path: Path,
) -> None:
    """Correlate the crystals of each pair, and the model with the same atoms; a row a pair and predictor.

    Models that read symmetry mates are shown them.
    """
    report = evaluate_pairs(
        store,
        read_pairs(Path(job.pairs or "")),
        [(job.contender, predictor)],
        provenance=_no_provenance(store),
        splits=job.pair_splits,
        config=RunConfig(crystal="on"),
        bootstrap=BootstrapConfig(repeats=0),
        # Crystal on comes first, where the model reads it at all.
        known={name: values[:1] for name, values in predicted.items()},
        from_other=False,
    )
    _write_correlations(report, path)


def _score_predicted(job: Job, store: Store, predictor: Predictor, path: Path) -> str:
    """Correlate the model, and pLDDT, with crystals of the predicted proteins; a row a match and predictor.

    What cannot be read or predicted has an empty cell; the reasons are returned.
    """
    report = evaluate_predicted(
        store,
        Path(job.predicted or ""),
        read_matches(Path(job.matches or "")),
        [(job.contender, predictor)],
        provenance=_no_provenance(store),
        bootstrap=BootstrapConfig(repeats=0),
    )
    _write_correlations(report, path)
    return "; ".join(f"{failure.id}: {failure.reason}" for failure in report.failures)


def _no_provenance(store: Store) -> Provenance:
    """Return an empty one: that of the comparison is in its report."""
    return Provenance(version="", data="", digest=store.digest, split="", command="", settings={})


def _write_correlations(report: CorrelationReport, path: Path) -> None:
    """Write a row for each predictor and item that it was scored on."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["predictor", "crystal", *report.items[0], "pearson"])
        for row in report.rows:
            asked = row.counted(np.ones(len(report.items), bool))
            for item, value, counts in zip(report.items, row.pearson, asked, strict=True):
                if counts:
                    cells = ["" if _is_nan(cell) else cell for cell in (*item.values(), value)]
                    writer.writerow([row.model, row.crystal, *cells])


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and not np.isfinite(value)
