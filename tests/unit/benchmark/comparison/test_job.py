"""One run in a process of its own."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from debye.benchmark.comparison.job import main
from debye.benchmark.comparison.runs import RunJob

PRINT_PEAK = "from debye.benchmark.comparison.job import peak_mib; print(peak_mib())"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="macOS counts the peak of a process by itself")
def test_the_peak_of_a_child_does_not_start_with_that_of_its_parent():
    ballast = np.ones(40_000_000)  # 305 MiB
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRINT_PEAK],
        capture_output=True,
        text=True,
        check=True,
    )
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert own > ballast.nbytes / 2**20
    assert float(child.stdout) < own - 100


def test_what_a_run_fails_of_is_left_in_its_folder(tmp_path: Path):
    job = RunJob(contender="a", kind="fixed", run="1", model="gcn", store="nowhere", digest="")
    job = job.model_copy(update={"scored": {"test": ("1abc",)}, "splits": {"test": "test"}})
    (tmp_path / "job.json").write_text(job.model_dump_json())
    assert main(tmp_path) == 2
    assert "nowhere" in (tmp_path / "failure.json").read_text()
