from __future__ import annotations

import gzip
import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deadly_drawings import kill_on_good1, kill_once

from debye.plots.profile import save_profile
from debye.prediction import stream
from debye.prediction.inputs import Input, expand_inputs
from debye.prediction.stream import PredictionPlan, predict_all


@pytest.fixture
def plan(tiny_checkpoint, tmp_path) -> PredictionPlan:
    return PredictionPlan(model=str(tiny_checkpoint), out=tmp_path / "out", precision="float32")


@pytest.fixture
def inputs(peptide_cif: Path, peptide_pdb: Path, tmp_path: Path) -> list[Input]:
    """Five good files and two bad ones in one folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        (folder / f"good{number}.cif").write_bytes(peptide_cif.read_bytes())
    (folder / "good4.pdb.gz").write_bytes(gzip.compress(peptide_pdb.read_bytes()))
    (folder / "empty.cif").write_bytes(b"")
    (folder / "page.pdb").write_text("<html>moved</html>")
    return expand_inputs([folder])[0]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_bad_inputs_do_not_stop_good_ones(inputs, plan, workers):
    plan = replace(plan, batch_atoms=300)
    outcomes = {Path(item.name).name: item for item in predict_all(inputs, plan, workers=workers)}
    failed = {name for name, item in outcomes.items() if item.status == "failed"}
    assert failed == {"empty.cif", "page.pdb"}
    assert "empty.cif" in outcomes["empty.cif"].message
    assert len(outcomes) == 7
    assert sorted(path.name for path in plan.out.iterdir()) == sorted(
        f"good{number}.{kind}" for number in range(5) for kind in ("cif", "csv")
    )


@pytest.mark.slow
def test_workers_change_nothing(inputs, plan, tmp_path):
    list(predict_all(inputs, plan, workers=1))
    other = replace(plan, out=tmp_path / "other", batch_atoms=1)
    list(predict_all(inputs, other, workers=2))
    for path in plan.out.iterdir():
        if path.suffix == ".csv":
            assert np.allclose(
                np.genfromtxt(path, delimiter=",", skip_header=1, usecols=(8, 9, 10)),
                np.genfromtxt(
                    other.out / path.name, delimiter=",", skip_header=1, usecols=(8, 9, 10)
                ),
                atol=0.011,
            )


def test_existing_results_are_skipped_unless_overwritten(inputs, plan):
    list(predict_all(inputs, plan))
    target = plan.out / "good0.csv"
    target.write_text("mine")
    again = list(predict_all(inputs, plan))
    assert [item.status for item in again].count("skipped") == 5
    files = f"{plan.out}/good0.cif, {plan.out}/good0.csv"
    assert again[0].message == f"skipped: {files} exist (--overwrite to replace)"
    assert target.read_text() == "mine"
    list(predict_all(inputs, replace(plan, overwrite=True)))
    assert target.read_text() != "mine"


def test_only_missing_files_are_written(inputs, plan):
    list(predict_all(inputs[1:2], plan))
    (plan.out / "good0.cif").write_text("mine")
    outcomes = list(predict_all(inputs[1:2], replace(plan, formats=("cif", "parquet"))))
    assert [item.status for item in outcomes] == ["done"]
    assert (plan.out / "good0.cif").read_text() == "mine"
    assert (plan.out / "good0.parquet").stat().st_size > 1000


def test_the_output_folder_may_not_hold_the_input(inputs, plan):
    source = inputs[1].path
    before = source.read_bytes()
    outcomes = list(predict_all(inputs[1:2], replace(plan, out=source.parent)))
    assert outcomes[0].status == "failed"
    assert "would replace the input" in outcomes[0].message
    assert source.read_bytes() == before


def test_a_bug_is_one_failed_input(inputs, plan, monkeypatch):
    def explode(*args, **settings):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("debye.prediction.prepare.build_graph", explode)
    outcomes = list(predict_all(inputs[1:3], plan))
    assert [item.status for item in outcomes] == ["failed", "failed"]
    assert "ZeroDivisionError: no such luck" in outcomes[0].message


def test_a_batch_that_fails_is_tried_one_by_one(inputs, plan, monkeypatch):
    from debye.prediction.predictor import Predictor

    finish = Predictor.finish

    def picky(self, batch):
        if len(batch) > 1:
            raise MemoryError
        return finish(self, batch)

    monkeypatch.setattr(Predictor, "finish", picky)
    outcomes = list(predict_all(inputs[1:4], plan))
    assert [item.status for item in outcomes] == ["done"] * 3


@pytest.mark.slow
def test_a_killed_worker_costs_one_input(inputs, plan):
    good = [item for item in inputs if item.stem.startswith("good")]
    plan = replace(plan, draw=kill_on_good1, batch_atoms=1)
    outcomes = {Path(item.name).name: item for item in predict_all(good, plan, workers=2)}
    assert len(outcomes) == 5
    assert {name for name, item in outcomes.items() if item.status == "failed"} == {"good1.cif"}
    assert "the process died" in outcomes["good1.cif"].message


@pytest.mark.slow
def test_an_accidental_death_costs_nothing(inputs, plan):
    good = [item for item in inputs if item.stem.startswith("good")]
    plan = replace(plan, draw=kill_once, batch_atoms=1)
    outcomes = list(predict_all(good, plan, workers=2))
    assert (plan.out.parent / "died").exists()
    assert sorted(item.name for item in outcomes) == sorted(item.name for item in good)
    assert {item.status for item in outcomes} == {"done"}


PARENT = """
import os, sys, time
from pathlib import Path
from debye.prediction.inputs import expand_inputs
from debye.prediction.stream import PredictionPlan, predict_all

def hang(prediction, path):
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path.with_suffix(".pid"))
    time.sleep(600)

if __name__ == "__main__":
    model, folder, out = sys.argv[1:]
    plan = PredictionPlan(model=model, out=Path(out), formats=(), draw=hang, batch_atoms=1)
    plan.out.mkdir()
    list(predict_all(expand_inputs([folder])[0], plan, workers=2))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_workers_end_with_a_killed_parent(inputs, plan, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, script, plan.model, tmp_path / "in", plan.out]
    workers: list[int] = []
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as parent:
        try:
            wait_until(lambda: len(list(plan.out.glob("*.pid"))) == 2, seconds=60)
            workers = [int(path.read_text()) for path in plan.out.glob("*.pid")]
            assert all(runs(pid) for pid in workers)
            parent.kill()
            parent.wait()
            wait_until(lambda: not any(runs(pid) for pid in workers), seconds=20)
            assert not any(runs(pid) for pid in workers)
        finally:
            parent.kill()
            for pid in filter(runs, workers):
                os.kill(pid, signal.SIGKILL)


def wait_until(is_so, seconds: float) -> None:
    """Wait for a condition, or that the time is over."""
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.05)


def runs(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_plot_and_table(inputs, plan):
    outcomes = list(predict_all(inputs[1:2], replace(plan, draw=save_profile, table=True)))
    assert (plan.out / "good0.png").read_bytes().startswith(b"\x89PNG")
    assert len(outcomes[0].table.splitlines()) == 14


def test_preloaded_modules_exist():
    # The fork server ignores missing ones.
    assert all(importlib.util.find_spec(name) for name in stream.PRELOADED)


@pytest.mark.slow
def test_the_parent_of_workers_imports_nothing_slow():
    code = "import sys, debye.prediction.stream; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "torch", "pyarrow"} & set(run.stdout.split())
