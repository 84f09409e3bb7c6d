"""Runs as processes: so many at a time, the next one when one ends, none that is finished already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from debye.benchmark.comparison.job import (
    FAILURE_FILE,
    JOB_FILE,
    RESULT_FILE,
    WATCH_PARENT,
    Job,
    write_failure,
)
from debye.files import write_text

LOG_FILE = "log.txt"
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Task:
    """One run and the folder that it leaves its figures in."""

    job: Job
    folder: Path
    weight: float
    """What it takes, in runs of a whole budget: for the time left."""
    order: tuple[int, int]
    """Lower goes first."""

    @property
    def is_done(self) -> bool:
        """Whether its figures are there."""
        return (self.folder / RESULT_FILE).exists()


@dataclass(frozen=True, slots=True)
class Failure:
    """A run without a result, and why."""

    job: Job
    reason: str
    is_missing_package: bool = False
    """It needs something that is not installed: left out, and no reason to fail."""


@dataclass(frozen=True, slots=True)
class Step:
    """What there is to say when a run ended."""

    ended: str
    """What ended, and how."""
    done: int
    total: int
    running: tuple[str, ...]
    seconds_left: float | None
    """An estimate from the runs that are finished; None before the first one is."""


@dataclass(slots=True)
class _Pace:
    """How long a unit of weight takes."""

    seconds: float = 0.0
    weight: float = 0.0

    def add(self, seconds: float, weight: float) -> None:
        self.seconds += seconds
        self.weight += weight

    def left(self, weight: float, jobs: int) -> float | None:
        return self.seconds / self.weight * weight / jobs if self.weight else None


@dataclass(slots=True)
class Schedule:
    """Runs tasks, and those that follow from their results.

    Args:
        follow: Returns the tasks that a finished task makes possible; told of failures too.
        jobs: Processes at a time.
        say: Told whenever a run has ended.
    """

    follow: Callable[[Task, Failure | None], Sequence[Task]]
    jobs: int
    say: Callable[[Step], None]
    total: int
    """Runs expected in all."""
    expected_weight: float
    failures: list[Failure] = field(default_factory=list)
    _waiting: list[Task] = field(default_factory=list)
    _running: dict[subprocess.Popen[bytes], tuple[Task, float]] = field(default_factory=dict)
    _done: int = 0
    _pace: _Pace = field(default_factory=_Pace)

    def run(self, tasks: Sequence[Task]) -> list[Failure]:
        """Run all tasks and what follows from them; return those that failed.

        Processes that still run are ended when this is interrupted; what they trained is kept.
        """
        self._waiting = list(tasks)
        try:
            while self._waiting or self._running:
                self._start()
                self._collect()
                if self._running:
                    time.sleep(POLL_SECONDS)
        finally:
            for process in self._running:
                process.kill()
                process.wait()
        return self.failures

    def _start(self) -> None:
        """Fill the free places; tasks that are done already take none."""
        while self._waiting and len(self._running) < self.jobs:
            self._waiting.sort(key=lambda task: task.order)
            task = self._waiting.pop(0)
            if task.is_done:
                self._end(task, None, "was finished before", 0.0)
            else:
                self._running[_launch(task)] = (task, time.monotonic())

    def _collect(self) -> None:
        for process in [each for each in self._running if each.poll() is not None]:
            task, begun = self._running.pop(process)
            if process.stdin is not None:
                process.stdin.close()
            seconds = time.monotonic() - begun
            if task.is_done:
                self._end(task, None, f"took {duration(seconds)}", seconds)
            else:
                failure = _failure(task, process.returncode)
                self.failures.append(failure)
                self._end(task, failure, f"failed: {failure.reason}", seconds)

    def _end(self, task: Task, failure: Failure | None, how: str, seconds: float) -> None:
        self._done += 1
        self.expected_weight -= task.weight
        if seconds and failure is None:
            self._pace.add(seconds, task.weight)
        self._waiting += self.follow(task, failure)
        self.say(
            Step(
                ended=f"{task.job.title} {how}",
                done=self._done,
                total=self.total,
                running=tuple(task.job.title for task, _ in self._running.values()),
                seconds_left=self._pace.left(max(self.expected_weight, 0.0), self.jobs),
            )
        )

    def drop(self, runs: int, weight: float) -> None:
        """Expect fewer runs: those of a contender whose search failed."""
        self.total -= runs
        self.expected_weight -= weight


def _launch(task: Task) -> subprocess.Popen[bytes]:
    """Start a run in a process of its own, of one thread, that ends when this one ends."""
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / FAILURE_FILE).unlink(missing_ok=True)
    write_text(task.folder / JOB_FILE, task.job.model_dump_json(indent=1))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with (task.folder / LOG_FILE).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "debye.benchmark.comparison", str(task.folder), WATCH_PARENT],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | threads,
        )


def _failure(task: Task, code: int) -> Failure:
    """Return why a process ended without a result; what it could not leave itself is written for it."""
    if not (task.folder / FAILURE_FILE).exists():
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        write_failure(task.folder, f"the process ended with {how}, see {LOG_FILE} of the run")
    return read_failure(task.folder)


def read_failure(folder: Path) -> Failure:
    """Return what a run that failed left in its folder."""
    job = Job.model_validate_json((folder / JOB_FILE).read_text())
    found = json.loads((folder / FAILURE_FILE).read_text())
    return Failure(job, found["reason"], found["is_missing_package"])


def duration(seconds: float) -> str:
    """Return a duration in words.

    Example:
        >>> duration(42.3), duration(150), duration(7300)
        ('42 s', '2.5 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
