"""One run of a comparison, in a process of its own: train, evaluate, write the figures into its folder.

``python -m debye.benchmark.comparison.job RUNS/NAME/SEED`` reads ``job.json`` there and writes, the last one last:
``scores.parquet`` (a row a structure), ``predictions-SPLIT.npz`` (in the unit of the target, a row an item),
``summary.csv``, ``pairs.csv``, ``predicted.csv``, ``result.json``. With ``--watch-parent`` it ends with the
process that started it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from numpy.typing import NDArray

from debye.benchmark.comparison.runs import (
    ATTEMPTS_FILE,
    FAILURE_FILE,
    PAIRS_FILE,
    PREDICTED_FILE,
    RESULT_FILE,
    SCORES_FILE,
    SUMMARY_FILE,
    WATCH_PARENT,
    Attempts,
    RunJob,
    hardware,
    needs_package,
    source_digest,
    write_failure,
)
from debye.benchmark.crystal_pairs import evaluate_pairs, read_pairs
from debye.benchmark.predicted_models import evaluate_predicted, read_matches
from debye.benchmark.store import EvaluationConfig, model_views, predict_entry
from debye.dataset.batches.graph_cache import GraphBuilder, GraphSource, find_graph_cache
from debye.dataset.batches.loader import choose_rows
from debye.dataset.store.store import Store
from debye.errors import DebyeError
from debye.files import write_text
from debye.models.catalog import build_model, find_model
from debye.models.checkpoint import Checkpoint, CheckpointHeader, load_checkpoint
from debye.prediction.predictor import Predictor
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.scores import StructureScore, score_structure, score_table
from debye.scores.summary import primary_scores, summarize
from debye.scores.tables import to_json, write_table
from debye.targets.catalog import find_targets
from debye.version import library_version

if TYPE_CHECKING:
    from debye.graph.graph import AtomGraph

TIMED_GRAPHS = 10
"""Entries whose graphs are built once more to measure what that costs."""
NO_DRAWS = BootstrapConfig(repeats=0)


def run_job(job: RunJob, folder: Path) -> None:
    """Do what is missing of a run; a finished one is left as it is, a stopped training resumes."""
    with FileLock(folder / "lock"):
        if (folder / RESULT_FILE).exists():
            return
        with Attempts(folder / ATTEMPTS_FILE) as attempts:
            facts = _facts(job)
            checkpoint = _train(job, folder, facts)
            if job.scored:
                score_run(job, checkpoint, folder, facts)
        facts |= {
            "started": round(attempts.times[0][0]),
            "seconds": sum(seconds for _, seconds in attempts.times),
            "attempts": json.dumps(attempts.times),
            "peak_mib": peak_mib(),
        }
        write_text(folder / RESULT_FILE, to_json({"facts": facts}))
        (folder / FAILURE_FILE).unlink(missing_ok=True)


def _facts(job: RunJob) -> dict[str, Any]:
    """Return what is known of a run before it starts."""
    card = find_model(job.model)
    names = {"contender", "kind", "run", "seed", "model", "device", "jobs"}
    return job.model_dump(include=names) | {
        "settings": json.dumps(job.settings) if job.settings else "",
        "edge_features": card.edge_features,
        "vectors": card.vectors,
        "hardware": hardware(job.device),
        "version": library_version(),
        "source": source_digest(),
        "store": job.digest,
    }


def _train(job: RunJob, folder: Path, facts: dict[str, Any]) -> str | None:
    """Train or fit, and add the cost to the facts; return the checkpoint, None for a baseline without one."""
    if job.recipe is None or job.kind == "fixed":
        return job.checkpoint
    from debye.training.fit import fit
    from debye.training.module import TrainingCost

    store = Store.open(job.store)
    cost, begun = TrainingCost(), time.perf_counter()
    result = fit(
        job.recipe,
        store,
        folder,
        resume=True,
        accelerator="gpu" if job.device.startswith("cuda") else "cpu",
        devices=1,
        progress=False,
        callbacks=(cost,),
    )
    seconds, atoms = cost.seconds, cost.atoms
    if job.kind == "fitted":  # in one pass
        data = job.recipe.data
        entries = store.entries(data.split)
        rows, _ = choose_rows(store, data.split, find_targets(job.recipe.targets), data.loader)
        seconds, atoms = time.perf_counter() - begun, sum(entries[row].n_atoms for row in rows)
    facts |= {
        "val_r": result.val_r,
        "best_epoch": result.best_epoch,
        "train_atoms": atoms,
        "train_seconds": seconds,
        "train_seconds_per_million": 1e6 * seconds / atoms if atoms else None,
        "train_peak_mib": peak_mib(),
    }
    return str(result.checkpoint)


class ModelClock(AbstractContextManager["ModelClock"]):
    """Measures the time of the model alone, without graphs and scores."""

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


def score_run(job: RunJob, checkpoint: str | None, folder: Path, facts: dict[str, Any]) -> None:
    """Predict and score all columns of the report; write the files, add facts about model and cost."""
    store = Store.open(job.store)
    predictor = Predictor(_load(job, checkpoint), device=job.device)
    scores, summaries = list[pd.DataFrame](), list[pd.DataFrame]()
    predicted: dict[str, list[NDArray[np.float32]]] = {}
    with ModelClock(predictor.model) as clock:
        for name, ids in job.scored.items():
            found, own, failed = _predict(store, job.splits[name], ids, job.contender, predictor)
            # A model without mates has "off" only.
            arrays = {
                f"{entry}.{crystal}": values
                for entry, each in own.items()
                for crystal, values in zip(("on", "off")[-len(each) :], each, strict=True)
            }
            np.savez(folder / f"predictions-{name}.npz", **arrays)  # type: ignore[arg-type]
            scores.append(primary_scores(found).assign(split=name))
            summaries.append(summarize(found, NO_DRAWS).assign(split=name, failures=failed))
            predicted |= own
    write_table(folder / SCORES_FILE, pd.concat(scores))
    write_table(folder / SUMMARY_FILE, pd.concat(summaries))
    facts |= {
        "parameters": sum(each.numel() for each in predictor.model.parameters()),
        "reads_crystal": predictor.graph_config.reads_crystal,
        "predict_seconds_per_million": 1e6 * clock.seconds / max(clock.atoms, 1),
        "graph_seconds_per_million": _graph_seconds(job, store, predictor),
    }
    model = [(job.contender, predictor)]
    if job.pairs is not None:
        pairs, _ = evaluate_pairs(
            store,
            read_pairs(Path(job.pairs)),
            model,
            splits=job.pair_splits,
            # Models that read symmetry mates are shown them; crystal on comes first below, too.
            config=EvaluationConfig(crystal="on"),
            bootstrap=NO_DRAWS,
            known={name: values[:1] for name, values in predicted.items()},
            from_other=False,
        )
        write_table(folder / PAIRS_FILE, pairs.table().rename(columns={"model": "predictor"}))
    if job.predicted is not None:
        matches = read_matches(Path(job.matches or ""))
        against, failures = evaluate_predicted(
            store, Path(job.predicted), matches, model, bootstrap=NO_DRAWS
        )
        write_table(folder / PREDICTED_FILE, against.table().rename(columns={"model": "predictor"}))
        facts["predicted_failures"] = "; ".join(f"{each.id}: {each.reason}" for each in failures)


def _predict(
    store: Store, split: str, ids: tuple[str, ...], name: str, predictor: Predictor
) -> tuple[pd.DataFrame, dict[str, list[NDArray[np.float32]]], int]:
    """Return the scores of some entries, crystal on and off, the predictions by entry, and the failures."""
    cache = find_graph_cache(store, split, predictor.graph_config)
    sources: Mapping[Any, GraphSource] = {predictor.graph_config: cache} if cache else {}
    views = model_views([(name, predictor)], "both")
    scores: list[list[StructureScore]] = [[] for _ in views]
    predicted: dict[str, list[NDArray[np.float32]]] = {}
    wanted, failed = set(ids), 0
    for row, entry in enumerate(store.entries(split)):
        if entry.id not in wanted:
            continue
        outcomes = list(predict_entry(store, split, row, views, EvaluationConfig(), sources))
        for own, (values, _) in zip(scores, outcomes, strict=True):
            own += score_structure(values)
        predicted[entry.id] = [values.predicted for values, _ in outcomes]
        failed += any(failure is not None for _, failure in outcomes)
    tables = [
        score_table(own, model=name, crystal=view.crystal)
        for view, own in zip(views, scores, strict=True)
    ]
    return pd.concat(tables, ignore_index=True), predicted, failed


def _graph_seconds(job: RunJob, store: Store, predictor: Predictor) -> float:
    """Return the time to build graphs, seconds per million atoms, on some of the entries."""
    name, ids = next(reversed(job.scored.items()))
    builder = GraphBuilder(store, job.splits[name], predictor.graph_config)
    begun, atoms = time.perf_counter(), 0
    for entry_id in ids[:TIMED_GRAPHS]:
        atoms += builder.graph(store.row(job.splits[name], entry_id)).n_atoms
    return 1e6 * (time.perf_counter() - begun) / max(atoms, 1)


def _load(job: RunJob, checkpoint: str | None) -> Checkpoint:
    """Load what was trained or named; a baseline is built with the settings of its recipe."""
    if checkpoint is not None:
        return load_checkpoint(checkpoint, device=job.device)
    recipe, header = job.recipe, CheckpointHeader(name=job.contender, model=job.model, config={})
    if recipe is not None:
        header = header.model_copy(
            update={"config": dict(recipe.settings), "targets": recipe.targets}
        )
    model = build_model(job.model, header.config, header.find_targets()).eval()
    return Checkpoint(model, header, "catalog")


def peak_mib() -> float:
    """Return the largest memory that this process had, MiB, mapped files included."""
    status = Path("/proc/self/status")
    # On Linux ru_maxrss starts with the peak of the process that started this one.
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    if found:
        return int(found[1]) / (1 << 10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _wait_for_parent() -> None:
    """Stop at once when the process that started this one ends: it held the other end of stdin."""
    # Not through sys.stdin: Python could not take its lock back at exit.
    while os.read(0, 1024):
        pass
    os._exit(1)


def main(folder: Path, *, watch_parent: bool = False) -> int:
    """Run the job of a folder; the reason of a failure is written there.

    Args:
        watch_parent: End when standard input does: the process that started this one holds its other end.
    """
    if watch_parent:
        threading.Thread(target=_wait_for_parent, daemon=True).start()
    try:
        run_job(RunJob.read(folder), folder)
    except Exception as error:
        reason = str(error) if isinstance(error, DebyeError) else f"{type(error).__name__}: {error}"
        write_failure(folder, reason, needs_package(error))
        if isinstance(error, DebyeError):
            return 2
        raise
    return 0


if __name__ == "__main__":
    run_folder, *options = sys.argv[1:]
    sys.exit(main(Path(run_folder), watch_parent=options == [WATCH_PARENT]))
