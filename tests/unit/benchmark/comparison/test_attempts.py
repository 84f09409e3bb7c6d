"""Time over several attempts, also of one that was killed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from debye.benchmark.comparison.runs import Attempts, read_attempts, source_digest


def test_a_killed_attempt_counts_until_its_last_beat(tmp_path: Path):
    path = tmp_path / "attempts.json"
    path.write_text(json.dumps([[1000.0, 5.0], [2000.0, 0.0]]))
    os.utime(path, (2030.5, 2030.5))
    with Attempts(path) as attempts:
        assert attempts.times[:2] == [(1000.0, 5.0), (2000.0, 30.5)]
    assert attempts.times[0][0] == 1000.0
    assert sum(seconds for _, seconds in attempts.times) == pytest.approx(35.5, abs=2)
    assert read_attempts(path) == attempts.times


def test_the_file_is_touched_while_it_runs(tmp_path: Path):
    path = tmp_path / "attempts.json"
    with Attempts(path, beat=0.01):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 20
        while path.stat().st_mtime < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1


def test_an_attempt_that_failed_has_its_time(tmp_path: Path):
    path = tmp_path / "attempts.json"

    def fail() -> None:
        with Attempts(path):
            time.sleep(0.02)
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    ((_, seconds),) = json.loads(path.read_text())
    assert seconds >= 0.02
    assert read_attempts(tmp_path / "nothing") == []


def test_the_digest_changes_with_name_and_content(tmp_path: Path):
    (tmp_path / "a.py").write_text("x = 1\n")
    first = source_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("none")
    assert source_digest(tmp_path) == first
    (tmp_path / "a.py").write_text("x = 2\n")
    second = source_digest(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({first, second, source_digest(tmp_path), source_digest()}) == 4
