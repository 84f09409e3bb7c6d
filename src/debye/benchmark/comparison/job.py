"""One run of a comparison, in a process of its own: train, evaluate, leave the figures in its folder.

``python -m debye.benchmark.comparison RUNS/NAME/SEED`` reads ``job.json`` there and writes, the last one last:
``scores.parquet`` (a row for each structure), ``predictions-SPLIT.npz`` (Å², a row an atom), ``pairs.csv``,
``predicted.csv``, ``result.json``. With ``--watch-parent`` it ends with the process that started it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel

from debye.benchmark.comparison.attempts import Attempts
from debye.errors import DebyeError
from debye.files import write_text
from debye.reports.evaluation import without_nan
from debye.training.config import Recipe
from debye.version import library_version

JOB_FILE, RESULT_FILE, FAILURE_FILE = "job.json", "result.json", "failure.json"
SCORES_FILE, ATTEMPTS_FILE = "scores.parquet", "attempts.json"
PAIRS_FILE, PREDICTED_FILE = "pairs.csv", "predicted.csv"
WATCH_PARENT = "--watch-parent"
RunKind = Literal["search", "seed", "fitted", "fixed"]


class Job(BaseModel, frozen=True, extra="forbid"):
    """All that a run depends on."""

    contender: str
    kind: RunKind
    run: str
    """Name within the contender: the seed, or the number of the trial."""
    seed: int | None = None
    settings: dict[str, Any] = {}
    """What the search tries here, or chose."""
    model: str
    """Row of the catalog of models."""
    recipe: Recipe | None = None
    checkpoint: str | None = None
    """Evaluated as it stands, where there is no recipe to train; None: the catalog's model."""
    store: str
    digest: str
    """Of the store."""
    scored: dict[str, tuple[str, ...]] = {}
    """Entries of each column of the report, by id; nothing in a search."""
    splits: dict[str, str] = {}
    """Split of the store of each of these columns."""
    pairs: str | None = None
    """Table of crystal pairs."""
    pair_splits: tuple[str, ...] = ()
    """Only those with an entry in one of these splits; empty: all."""
    predicted: str | None = None
    """Folder of predicted structures."""
    matches: str | None = None
    """Table of the crystals that these are scored against."""
    device: str = "cpu"
    jobs: int | None = None
    """Runs at a time, this one included: they share the processor."""

    @property
    def title(self) -> str:
        """Contender and run in a few words."""
        return f"{self.contender} {self.kind} {self.run}"


def run_job(job: Job, folder: Path) -> None:
    """Do what is missing of a run; a finished one is left as it is, a stopped training goes on."""
    with FileLock(folder / "lock"):
        if (folder / RESULT_FILE).exists():
            return
        with Attempts(folder / ATTEMPTS_FILE) as attempts:
            facts = _facts(job)
            checkpoint = _train(job, folder, facts)
            summaries = []
            if job.scored:
                from debye.benchmark.comparison.score import score_run

                summaries = score_run(job, checkpoint, folder, facts)
        facts |= {
            "started": round(attempts.started),
            "seconds": attempts.seconds,
            "attempts": json.dumps(attempts.times),
            "peak_mib": peak_mib(),
        }
        result = without_nan({"facts": facts, "summaries": [asdict(row) for row in summaries]})
        write_text(folder / RESULT_FILE, json.dumps(result, indent=1))
        (folder / FAILURE_FILE).unlink(missing_ok=True)


def _facts(job: Job) -> dict[str, Any]:
    """Return what is known of a run before it starts."""
    from debye.benchmark.comparison.hardware import hardware
    from debye.benchmark.comparison.source import source_digest
    from debye.models.catalog import find_model

    card = find_model(job.model)
    return {
        "contender": job.contender,
        "kind": job.kind,
        "run": job.run,
        "seed": job.seed,
        "settings": json.dumps(job.settings) if job.settings else "",
        "model": job.model,
        "edge_features": card.edge_features,
        "vectors": card.vectors,
        "hardware": hardware(job.device),
        "device": job.device,
        "jobs": job.jobs,
        "version": library_version(),
        "source": source_digest(),
        "store": job.digest,
    }


def _train(job: Job, folder: Path, facts: dict[str, Any]) -> str | None:
    """Train or fit, and add what that cost to the facts; return the checkpoint, None for a bare baseline."""
    if job.recipe is None or job.kind == "fixed":
        return job.checkpoint
    from debye.dataset.store.store import Store
    from debye.training.cost import TrainingCost
    from debye.training.fit import fit

    cost, begun = TrainingCost(), time.perf_counter()
    result = fit(
        job.recipe,
        Store.open(job.store),
        folder,
        resume=True,
        accelerator="gpu" if job.device.startswith("cuda") else "cpu",
        devices=1,
        progress=False,
        callbacks=(cost,),
    )
    seconds, atoms = cost.seconds, cost.atoms
    if job.kind == "fitted":
        seconds, atoms = time.perf_counter() - begun, trained_atoms(job)
    facts |= {
        "val_r": result.val_r,
        "best_epoch": result.best_epoch,
        "train_atoms": atoms,
        "train_seconds": seconds,
        "train_seconds_per_million": 1e6 * seconds / atoms if atoms else None,
        "train_peak_mib": peak_mib(),
    }
    return str(result.checkpoint)


def trained_atoms(job: Job) -> int:
    """Return the atoms of one pass over the training data of a recipe."""
    from debye.dataset.batches.loader import choose_rows
    from debye.dataset.store.store import Store
    from debye.targets.catalog import find_targets

    if job.recipe is None:
        return 0
    store, data = Store.open(job.store), job.recipe.data
    rows, _ = choose_rows(store, data.split, find_targets(job.recipe.targets), data.loader)
    entries = store.entries(data.split)
    return sum(entries[row].n_atoms for row in rows)


def peak_mib() -> float:
    """Return the largest memory that this process had, MiB, mapped files included."""
    status = Path("/proc/self/status")
    # On Linux ru_maxrss starts with the peak of the process that started this one.
    if status.exists():
        found = next(
            (line for line in status.read_text().splitlines() if line.startswith("VmHWM")), ""
        )
        if found:
            return int(found.split()[1]) / (1 << 10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def write_failure(folder: Path, reason: str, is_missing_package: bool = False) -> None:
    """Leave in the folder of a run why it has no result."""
    failure = {"reason": reason, "is_missing_package": is_missing_package}
    write_text(folder / FAILURE_FILE, json.dumps(failure))


def needs_package(error: BaseException) -> bool:
    """Tell whether an error came of a package that is not installed."""
    return isinstance(error, ImportError) or isinstance(error.__cause__, ImportError)


def _end_with_parent() -> None:
    """Stop at once when the process that started this one ends: it held the other end of stdin."""

    def wait() -> None:
        # Not through sys.stdin: Python could not take its lock back at exit.
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(folder: Path, *, watch_parent: bool = False) -> int:
    """Run the job of a folder; a failure is left there as text.

    Args:
        folder: Of the run.
        watch_parent: End when standard input does: the process that started this one holds its other end.
    """
    if watch_parent:
        _end_with_parent()
    try:
        run_job(Job.model_validate_json((folder / JOB_FILE).read_text()), folder)
    except Exception as error:
        reason = str(error) if isinstance(error, DebyeError) else f"{type(error).__name__}: {error}"
        write_failure(folder, reason, needs_package(error))
        if isinstance(error, DebyeError):
            return 2
        raise
    return 0
