"""How long something took over several attempts: one that was killed could not say so itself."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

from debye.files import write_text

BEAT_SECONDS = 2.0
"""A killed attempt counts until the last beat."""


class Attempts(AbstractContextManager["Attempts"]):
    """Clock of one attempt and of those before it, kept in a file that a thread touches while it runs.

    Args:
        path: The file; where there is one, its attempts come first.
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
        """What all attempts took that have ended."""
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
