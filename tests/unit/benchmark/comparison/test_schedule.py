"""Runs as processes, with stand-ins that end at once: order, failures, what follows, another try."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from debye.benchmark.comparison.runs import RunJob, Schedule, Step, Task, launch

Outcome = Callable[[Task], int]


def succeed(task: Task) -> int:
    (task.folder / "result.json").write_text("{}")
    return 0


@dataclass(eq=False)
class FakeProcess:
    """Ended as soon as it is asked."""

    returncode: int
    stdin: None = None

    def poll(self) -> int:
        return self.returncode


@dataclass
class Runs:
    """A schedule whose processes do what a table says, and what came of it."""

    folder: Path
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    launched: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def task(self, name: str, order: tuple[int, int] = (0, 0)) -> Task:
        job = RunJob(contender=name, kind="seed", run="1", model="gcn", store="", digest="")
        return Task(job, self.folder / name, 1.0, order)

    def launch(self, task: Task) -> FakeProcess:
        task.folder.mkdir(exist_ok=True)
        (task.folder / "job.json").write_text(task.job.model_dump_json())
        (task.folder / "failure.json").unlink(missing_ok=True)
        self.launched.append(task.job.contender)
        return FakeProcess(self.outcomes.get(task.job.contender, succeed)(task))

    def run(self, tasks, follow=lambda task, failure: []):
        made = Schedule(
            follow,
            jobs=2,
            on_step=self.steps.append,
            total=len(tasks),
            expected_weight=len(tasks),
            start=self.launch,  # type: ignore[arg-type]
            poll_seconds=0.0,
        )
        return made.run(tasks)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_tasks_go_in_order_and_what_follows_joins_them(runs: Runs):
    later, first = runs.task("later", (2, 0)), runs.task("first", (0, 1))
    follow = {"first": [runs.task("followed", (1, 0))]}
    failures = runs.run([later, first], lambda task, failure: follow.get(task.job.contender, []))
    assert failures == []
    assert runs.launched == ["first", "later", "followed"]
    assert [step.done for step in runs.steps] == [1, 2, 3]


def test_a_failed_run_is_told_and_the_others_go_on(runs: Runs):
    def fail(task: Task) -> int:
        (task.folder / "failure.json").write_text(
            json.dumps({"reason": "no memory", "is_missing_package": False})
        )
        return 2

    runs.outcomes = {"bad": fail, "killed": lambda task: -signal.SIGKILL}
    failures = runs.run([runs.task(name) for name in ("bad", "killed", "good")])
    assert {each.job.contender: each.reason for each in failures} == {
        "bad": "no memory",
        "killed": "the process ended with signal 9, see log.txt of the run",
    }
    assert sorted(runs.launched) == ["bad", "good", "killed"]
    assert any("bad seed 1 failed: no memory" in step.ended for step in runs.steps)


def test_another_call_tries_failures_again_and_nothing_else(runs: Runs):
    runs.outcomes = {"bad": lambda task: 1}
    assert len(runs.run([runs.task("bad"), runs.task("good")])) == 1
    runs.outcomes, runs.launched = {}, []
    assert runs.run([runs.task("bad"), runs.task("good")]) == []
    assert runs.launched == ["bad"]
    assert not (runs.folder / "bad" / "failure.json").exists()
    assert any("good seed 1 was finished before" in step.ended for step in runs.steps)


def test_the_real_launch_passes_the_job_and_watches_the_parent(tmp_path: Path, monkeypatch):
    asked = []
    monkeypatch.setattr("subprocess.Popen", lambda words, **options: asked.append((words, options)))
    task = Runs(tmp_path).task("a")
    launch(task)
    ((words, options),) = asked
    assert words[1:] == ["-m", "debye.benchmark.comparison.job", str(task.folder), "--watch-parent"]
    assert options["env"]["OMP_NUM_THREADS"] == "1"
    assert RunJob.read(task.folder) == task.job
