"""What the folder of one run holds: its job, its result or failure, and how long it took."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

import debye
from debye.files import write_text
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
    write_text(folder / FAILURE_FILE, json.dumps(failure))


def read_failure(folder: Path) -> RunFailure:
    """Read why a run has no result."""
    found = json.loads((folder / FAILURE_FILE).read_text())
    return RunFailure(RunJob.read(folder), found["reason"], found["is_missing_package"])


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
        beat: Seconds between touches.
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
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        started = self.times[-1][0]
        self.times[-1] = (started, round(time.time() - started, 2))
        self._write()

    @property
    def started(self) -> float:
        """Start of the first attempt."""
        return self.times[0][0]

    @property
    def seconds(self) -> float:
        """Duration of all attempts that have ended."""
        return sum(seconds for _, seconds in self.times)

    def _write(self) -> None:
        write_text(self.path, json.dumps(self.times))

    def _touch(self) -> None:
        while not self._over.wait(self.beat):
            os.utime(self.path)


def read_attempts(path: Path) -> list[tuple[float, float]]:
    """Return start and duration of each attempt in a file, s; one that was killed ends with the last touch."""
    if not path.exists():
        return []
    times = [(float(started), float(seconds)) for started, seconds in json.loads(path.read_text())]
    if times and not times[-1][1]:
        started = times[-1][0]
        times[-1] = (started, round(max(0.0, path.stat().st_mtime - started), 2))
    return times


def source_digest(folder: Path | None = None) -> str:
    """Return a digest of all Python files of a package, by name and content.

    Args:
        folder: Of the package; None: of debye.
    """
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
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
