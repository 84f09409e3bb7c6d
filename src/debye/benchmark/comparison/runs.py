"""Runs as processes, some at a time, each with a folder: its job, its result or failure, and how long it took."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

import debye
from debye.files import write_json, write_text
from debye.training.config import Recipe

JOB_FILE, RESULT_FILE, FAILURE_FILE = "job.json", "result.json", "failure.json"
SUMMARY_FILE, SCORES_FILE, ATTEMPTS_FILE = "summary.csv", "scores.parquet", "attempts.json"
PAIRS_FILE, PREDICTED_FILE = "pairs.csv", "predicted.csv"
LOG_FILE = "log.txt"
WATCH_PARENT = "--watch-parent"
BEAT_SECONDS = 2.0
"""A killed attempt counts until the last beat."""
DIGITS = 12
"""Of the digest of the source files, hexadecimal."""
RunKind = Literal["search", "seed", "fitted", "fixed"]


class RunJob(BaseModel, frozen=True, extra="forbid"):
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
    """Evaluated without training if there is no recipe; None: the catalog's model."""
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
    """Only pairs with an entry in one of these splits; empty: all."""
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

    def write(self, folder: Path) -> None:
        """Write the job into the folder of its run, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / JOB_FILE, self.model_dump_json(indent=1))

    @classmethod
    def read(cls, folder: Path) -> RunJob:
        """Read the job of a run."""
        return cls.model_validate_json((folder / JOB_FILE).read_text())


@dataclass(frozen=True, slots=True)
class RunFailure:
    """A run without a result, and why."""

    job: RunJob
    reason: str
    is_missing_package: bool = False
    """It needs a package that is not installed: left out, and the comparison has not failed."""


def write_failure(folder: Path, reason: str, is_missing_package: bool = False) -> None:
    """Write into the folder of a run why it has no result."""
    failure = {"reason": reason, "is_missing_package": is_missing_package}
    write_json(folder / FAILURE_FILE, failure, indent=None)


def read_failure(folder: Path) -> RunFailure:
    """Read why a run has no result."""
    return RunFailure(RunJob.read(folder), **json.loads((folder / FAILURE_FILE).read_text()))


def read_facts(folder: Path) -> dict[str, Any]:
    """Read what a finished run was, and what it cost."""
    return json.loads((folder / RESULT_FILE).read_text())["facts"]


def needs_package(error: BaseException) -> bool:
    """Return whether an error comes from a package that is not installed."""
    return isinstance(error, ImportError) or isinstance(error.__cause__, ImportError)


class Attempts(AbstractContextManager["Attempts"]):
    """Clock of one attempt and of those before it, in a file that a thread touches while it runs.

    Args:
        path: The file; if it exists, its attempts come first.
    """

    def __init__(self, path: Path, beat: float = BEAT_SECONDS) -> None:
        self.path = path
        self.beat = beat
        self.times = read_attempts(path)
        """Start (seconds since 1970) and duration of each attempt, s; that of this one is 0 until its end."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._touch, daemon=True)

    def __enter__(self) -> Attempts:
        self.times.append((round(time.time(), 2), 0.0))
        write_json(self.path, self.times, indent=None)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        started = self.times[-1][0]
        self.times[-1] = (started, round(time.time() - started, 2))
        write_json(self.path, self.times, indent=None)

    def _touch(self) -> None:
        while not self._over.wait(self.beat):
            os.utime(self.path)


def read_attempts(path: Path) -> list[tuple[float, float]]:
    """Return start and duration of each attempt in a file, s; one that was killed ends with the last touch."""
    times = [(float(a), float(b)) for a, b in json.loads(path.read_text())] if path.exists() else []
    if times and not times[-1][1]:
        started = times[-1][0]
        times[-1] = (started, round(max(0.0, path.stat().st_mtime - started), 2))
    return times


def source_digest(folder: Path | None = None) -> str:
    """Return a digest of all Python files of a package, by name and content; None: of debye."""
    folder = folder or Path(debye.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGITS]


def hardware(device: str = "cpu") -> str:
    """Return processor and number of cores, or the name of the GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(torch.device(device))
    cpuinfo = Path("/proc/cpuinfo")
    found = (
        re.search(r"^model name.*?:(.*)", cpuinfo.read_text(), re.M) if cpuinfo.exists() else None
    )
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


@dataclass(frozen=True, slots=True)
class Task:
    """One run and its folder."""

    job: RunJob
    folder: Path
    weight: float
    """Its cost in runs of a whole budget: for the time left."""
    order: tuple[int, int]
    """Lower goes first."""

    @property
    def is_done(self) -> bool:
        """Whether it has a result."""
        return (self.folder / RESULT_FILE).exists()


@dataclass(frozen=True, slots=True)
class Step:
    """The state after a run has ended."""

    ended: str
    """What ended, and how."""
    done: int
    total: int
    running: tuple[str, ...]
    seconds_left: float | None
    """An estimate from the runs that are finished; None before the first one is."""


def launch(task: Task) -> subprocess.Popen[bytes]:
    """Start a run in a process of its own, of one thread, that ends when this one ends."""
    task.job.write(task.folder)
    (task.folder / FAILURE_FILE).unlink(missing_ok=True)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with (task.folder / LOG_FILE).open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "debye.benchmark.comparison.job",
                str(task.folder),
                WATCH_PARENT,
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | threads,
        )


@dataclass(slots=True)
class Schedule:
    """Runs tasks, and those that follow from their results."""

    follow: Callable[[Task, RunFailure | None], Sequence[Task]]
    """Returns the tasks that a finished or failed task makes possible."""
    jobs: int
    """Processes at a time."""
    on_step: Callable[[Step], None]
    """Called whenever a run has ended."""
    total: int
    """Runs expected in all."""
    expected_weight: float
    start: Callable[[Task], subprocess.Popen[bytes]] = launch
    """Starts the process of a task."""
    poll_seconds: float = 0.1
    failures: list[RunFailure] = field(default_factory=list)
    _waiting: list[Task] = field(default_factory=list)
    _running: dict[subprocess.Popen[bytes], tuple[Task, float]] = field(default_factory=dict)
    _done: int = 0
    _timed: tuple[float, float] = (0.0, 0.0)
    """Seconds and weight of the runs that ended well."""

    def run(self, tasks: Sequence[Task]) -> list[RunFailure]:
        """Run all tasks and what follows from them; return those that failed.

        Processes that still run are ended when this is interrupted; what they trained is kept.
        """
        self._waiting = list(tasks)
        try:
            while self._waiting or self._running:
                self._fill()
                self._collect()
                if self._running:
                    time.sleep(self.poll_seconds)
        finally:
            for process in self._running:
                process.kill()
                process.wait()
        return self.failures

    def _fill(self) -> None:
        """Fill the free places; tasks that are done already take none."""
        while self._waiting and len(self._running) < self.jobs:
            self._waiting.sort(key=lambda task: task.order)
            task = self._waiting.pop(0)
            if task.is_done:
                self._end(task, None, "was finished before", 0.0)
            else:
                self._running[self.start(task)] = (task, time.monotonic())

    def _collect(self) -> None:
        for process in [each for each in self._running if each.poll() is not None]:
            task, begun = self._running.pop(process)
            if process.stdin is not None:
                process.stdin.close()
            seconds = time.monotonic() - begun
            if task.is_done:
                self._end(task, None, f"took {duration(seconds)}", seconds)
                continue
            if not (task.folder / FAILURE_FILE).exists():  # it was killed
                code = process.returncode
                how = f"signal {-code}" if code < 0 else f"exit status {code}"
                reason = f"the process ended with {how}, see {LOG_FILE} of the run"
                write_failure(task.folder, reason)
            failure = read_failure(task.folder)
            self.failures.append(failure)
            self._end(task, failure, f"failed: {failure.reason}", seconds)

    def _end(self, task: Task, failure: RunFailure | None, how: str, seconds: float) -> None:
        self._done += 1
        self.expected_weight -= task.weight
        if seconds and failure is None:
            self._timed = (self._timed[0] + seconds, self._timed[1] + task.weight)
        self._waiting += self.follow(task, failure)
        seconds, weight = self._timed
        left = seconds / weight * max(self.expected_weight, 0.0) / self.jobs if weight else None
        running = tuple(task.job.title for task, _ in self._running.values())
        self.on_step(Step(f"{task.job.title} {how}", self._done, self.total, running, left))

    def drop(self, runs: int, weight: float) -> None:
        """Expect fewer runs: those of a contender whose search failed."""
        self.total -= runs
        self.expected_weight -= weight


def duration(seconds: float) -> str:
    """Return a duration in words.

    Example:
        >>> duration(42.3), duration(150), duration(7300)
        ('42 s', '2.5 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
