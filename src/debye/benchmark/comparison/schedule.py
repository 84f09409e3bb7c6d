"""Runs as processes: a number of them at a time, without those that are finished already."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from debye.benchmark.comparison.run_folder import (
    FAILURE_FILE,
    LOG_FILE,
    RESULT_FILE,
    WATCH_PARENT,
    RunFailure,
    RunJob,
    read_failure,
    write_failure,
)


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
            [sys.executable, "-m", "debye.benchmark.comparison", str(task.folder), WATCH_PARENT],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | threads,
        )


@dataclass(slots=True)
class Schedule:
    """Runs tasks, and those that follow from their results.

    Args:
        follow: Returns the tasks that a finished or failed task makes possible.
        jobs: Processes at a time.
        on_step: Called whenever a run has ended.
    """

    follow: Callable[[Task, RunFailure | None], Sequence[Task]]
    jobs: int
    on_step: Callable[[Step], None]
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
            else:
                failure = _failure(task, process.returncode)
                self.failures.append(failure)
                self._end(task, failure, f"failed: {failure.reason}", seconds)

    def _end(self, task: Task, failure: RunFailure | None, how: str, seconds: float) -> None:
        self._done += 1
        self.expected_weight -= task.weight
        if seconds and failure is None:
            self._timed = (self._timed[0] + seconds, self._timed[1] + task.weight)
        self._waiting += self.follow(task, failure)
        self.on_step(
            Step(
                ended=f"{task.job.title} {how}",
                done=self._done,
                total=self.total,
                running=tuple(task.job.title for task, _ in self._running.values()),
                seconds_left=self._seconds_left(),
            )
        )

    def _seconds_left(self) -> float | None:
        seconds, weight = self._timed
        return seconds / weight * max(self.expected_weight, 0.0) / self.jobs if weight else None

    def drop(self, runs: int, weight: float) -> None:
        """Expect fewer runs: those of a contender whose search failed."""
        self.total -= runs
        self.expected_weight -= weight


def _failure(task: Task, code: int) -> RunFailure:
    """Return why a process ended without a result; if it was killed the reason is written here."""
    if not (task.folder / FAILURE_FILE).exists():
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        write_failure(task.folder, f"the process ended with {how}, see {LOG_FILE} of the run")
    return read_failure(task.folder)


def duration(seconds: float) -> str:
    """Return a duration in words.

    Example:
        >>> duration(42.3), duration(150), duration(7300)
        ('42 s', '2.5 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
