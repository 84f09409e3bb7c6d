from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from debye.dataset.packing import pack
from debye.dataset.store.resumable_map import concatenate, open_flat, run_parts
from debye.errors import StoreError


def count_up(start: int, stop: int, log: Path) -> dict[str, np.ndarray]:
    """Return numbers, and leave a trace of each call."""
    with open(log, "a") as file:
        file.write(f"{start}\n")
    return {"number": np.arange(start, stop), "square": np.arange(start, stop)[:, None] ** 2.0}


def die(number: int) -> dict[str, np.ndarray]:
    """End as a process does that the kernel kills for its memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {"number": np.array([number])}


def tasks(log: Path) -> list[tuple[int, int, Path]]:
    return [(10 * n, 10 * n + n, log) for n in range(4)]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_parts_come_in_order_whoever_made_them(tmp_path: Path, workers: int) -> None:
    seen: list[tuple[int, int]] = []
    parts = run_parts(
        count_up,
        tasks(tmp_path / "log"),
        [0, 1, 2, 3],
        tmp_path / "parts",
        workers=workers,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert concatenate(parts, "number", tmp_path / "number.npy") == 6
    assert open_flat(tmp_path / "number.npy").tolist() == [10, 20, 21, 30, 31, 32]
    concatenate(parts, "square", tmp_path / "square.npy")
    assert open_flat(tmp_path / "square.npy").shape == (6, 1)
    assert seen[0] == (0, 6)
    assert seen[-1] == (6, 6)


def test_finished_parts_are_not_made_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = run_parts(count_up, tasks(log), [1] * 4, tmp_path / "parts")
    first[2].unlink()
    (tmp_path / "parts" / "part-00001.123.tmp").write_bytes(b"half a part")
    log.unlink()
    again = run_parts(count_up, tasks(log), [1] * 4, tmp_path / "parts")
    assert again == first
    assert log.read_text().split() == ["20"]


@pytest.mark.slow
def test_a_dead_worker_is_reported_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="fewer workers"):
        run_parts(die, [(1,), (2,)], [1, 1], tmp_path / "parts", workers=2)


def test_an_error_of_the_work_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        run_parts(count_up, [(1, 2)], [1], tmp_path / "parts")


def test_empty_arrays_can_be_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 3), np.float32))
    assert open_flat(tmp_path / "none.npy").shape == (0, 3)


SLOW_JOB = """
import sys, time
from pathlib import Path
import numpy as np
from debye.dataset.store.resumable_map import run_parts

def work(number):
    time.sleep(0.2)
    return {"number": np.array([number])}

if __name__ == "__main__":
    run_parts(work, [(n,) for n in range(100)], [1] * 100, Path(sys.argv[1]), workers=2)
"""


@pytest.mark.slow
def test_killed_parent_leaves_finished_parts_and_no_process(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(SLOW_JOB)
    folder = tmp_path / "parts"
    job = subprocess.Popen([sys.executable, str(script), str(folder)], start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("part-*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    deadline = time.monotonic() + 20
    while _group_lives(job.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _group_lives(job.pid)
    found = sorted(folder.glob("part-*.npz"))
    assert 3 <= len(found) < 100
    for part in found:
        with np.load(part) as arrays:
            assert arrays["number"].shape == (1,)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_groups_keep_order_and_size() -> None:
    sizes = [5, 1, 1, 9, 2, 2, 2, 2]
    groups = list(pack(enumerate(sizes), 6))
    assert [i for group in groups for i in group] == list(range(8))
    assert all(len(group) == 1 or sum(sizes[i] for i in group) <= 6 for group in groups)


def test_what_is_too_large_is_alone_and_nothing_is_no_group() -> None:
    assert list(pack(enumerate([9, 9, 1]), 5)) == [[0], [1], [2]]
    assert list(pack(enumerate([]), 5)) == []
    assert list(pack(enumerate([0, 0]), 5)) == [[0, 1]]
