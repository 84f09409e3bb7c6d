from __future__ import annotations

import gzip
import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debye.plots.profile import save_profile
from debye.prediction import stream
from debye.prediction.inputs import Input, expand_inputs
from debye.prediction.stream import Job, batches, planned_atoms, predict_all


@pytest.fixture
def job(tiny_checkpoint, tmp_path) -> Job:
    return Job(model=str(tiny_checkpoint), out=tmp_path / "out", precision="float32")


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


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_inputs_do_not_stop_good_ones(inputs, job, workers, monkeypatch):
    monkeypatch.setattr(stream, "BATCH_ATOMS", 300)
    outcomes = {Path(item.name).name: item for item in predict_all(inputs, job, workers=workers)}
    failed = {name for name, item in outcomes.items() if item.status == "failed"}
    assert failed == {"empty.cif", "page.pdb"}
    assert "empty.cif" in outcomes["empty.cif"].message
    assert len(outcomes) == 7
    assert sorted(path.name for path in job.out.iterdir()) == sorted(
        f"good{number}.{kind}" for number in range(5) for kind in ("cif", "csv")
    )


def test_workers_change_nothing(inputs, job, tmp_path, monkeypatch):
    list(predict_all(inputs, job, workers=1))
    monkeypatch.setattr(stream, "BATCH_ATOMS", 1)
    other = replace(job, out=tmp_path / "other")
    list(predict_all(inputs, other, workers=2))
    for path in job.out.iterdir():
        if path.suffix == ".csv":
            assert np.allclose(
                np.genfromtxt(path, delimiter=",", skip_header=1, usecols=(8, 9, 10)),
                np.genfromtxt(
                    other.out / path.name, delimiter=",", skip_header=1, usecols=(8, 9, 10)
                ),
                atol=0.011,
            )


def test_existing_results_are_kept_unless_told(inputs, job):
    list(predict_all(inputs, job))
    target = job.out / "good0.csv"
    target.write_text("mine")
    again = list(predict_all(inputs, job))
    assert [item.status for item in again].count("kept") == 5
    assert target.read_text() == "mine"
    list(predict_all(inputs, replace(job, overwrite=True)))
    assert target.read_text() != "mine"


def test_only_missing_files_are_written(inputs, job):
    list(predict_all(inputs[1:2], job))
    (job.out / "good0.cif").write_text("mine")
    outcomes = list(predict_all(inputs[1:2], replace(job, formats=("cif", "parquet"))))
    assert [item.status for item in outcomes] == ["done"]
    assert (job.out / "good0.cif").read_text() == "mine"
    assert (job.out / "good0.parquet").stat().st_size > 1000


def test_the_output_folder_may_not_hold_the_input(inputs, job):
    source = inputs[1].path
    before = source.read_bytes()
    outcomes = list(predict_all(inputs[1:2], replace(job, out=source.parent)))
    assert outcomes[0].status == "failed"
    assert "would replace the input" in outcomes[0].message
    assert source.read_bytes() == before


def test_a_bug_is_one_failed_input(inputs, job, monkeypatch):
    def explode(*args, **settings):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("debye.prediction.prepare.build_graph", explode)
    outcomes = list(predict_all(inputs[1:3], job))
    assert [item.status for item in outcomes] == ["failed", "failed"]
    assert "ZeroDivisionError: no such luck" in outcomes[0].message


def test_a_batch_that_fails_is_tried_one_by_one(inputs, job, monkeypatch):
    from debye.prediction.predictor import Predictor

    finish = Predictor.finish

    def picky(self, batch):
        if len(batch) > 1:
            raise MemoryError
        return finish(self, batch)

    monkeypatch.setattr(Predictor, "finish", picky)
    outcomes = list(predict_all(inputs[1:4], job))
    assert [item.status for item in outcomes] == ["done"] * 3


def kill_on_good1(group, job):
    """Stand-in for a worker that the system kills when it meets one input."""
    if any(item.stem == "good1" for item in group):
        os.kill(os.getpid(), signal.SIGKILL)
    return _PREDICT_GROUP(group, job)


_PREDICT_GROUP = stream._predict_group


def test_a_killed_worker_costs_one_input(inputs, job, monkeypatch):
    # Forked here, so that the children know the stand-in; the real pool is tested above.
    monkeypatch.setattr(
        stream,
        "_pool",
        lambda workers: ProcessPoolExecutor(workers, multiprocessing.get_context("fork")),
    )
    monkeypatch.setattr(stream, "_predict_group", kill_on_good1)
    monkeypatch.setattr(stream, "BATCH_ATOMS", 1)
    good = [item for item in inputs if item.stem.startswith("good")]
    outcomes = {Path(item.name).name: item for item in predict_all(good, job, workers=2)}
    assert len(outcomes) == 5
    assert {name for name, item in outcomes.items() if item.status == "failed"} == {"good1.cif"}
    assert "the process died" in outcomes["good1.cif"].message


def die_once(group, job):
    """Stand-in for a worker that is killed once, for no fault of its input."""
    marker = job.out.parent / "died"
    if any(item.stem == "good1" for item in group) and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with open(job.out.parent / "groups", "a") as file:
        file.write("".join(f"{item.stem}\n" for item in group))
    return _PREDICT_GROUP(group, job)


def test_an_accidental_death_costs_nothing(inputs, job, monkeypatch):
    pools = []

    def forked(workers):
        pools.append(workers)
        return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"))

    monkeypatch.setattr(stream, "_pool", forked)
    monkeypatch.setattr(stream, "_predict_group", die_once)
    monkeypatch.setattr(stream, "BATCH_ATOMS", 1)
    good = [item for item in inputs if item.stem.startswith("good")]
    outcomes = list(predict_all(good, job, workers=2))
    assert sorted(item.name for item in outcomes) == sorted(item.name for item in good)
    assert {item.status for item in outcomes} == {"done"}
    assert len(pools) == 2
    assert pools[0] == 2


PARENT = """
import os, sys, time
from debye.prediction import stream

def main():
    pool = stream._pool(2)
    for future in [pool.submit(os.getpid), pool.submit(time.sleep, 0.2), pool.submit(os.getpid)]:
        future.result()
    pids = list(pool._processes)
    for _ in pids:
        pool.submit(time.sleep, 600)
    print(*pids, flush=True)
    time.sleep(600)

if __name__ == "__main__":
    main()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    workers = []
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            workers = [int(word) for word in parent.stdout.readline().split()]
            assert len(workers) == 2
            assert all(runs(pid) for pid in workers)
            parent.kill()
            parent.wait()
            end = time.monotonic() + 20
            while any(runs(pid) for pid in workers) and time.monotonic() < end:
                time.sleep(0.05)
            assert not any(runs(pid) for pid in workers)
        finally:
            parent.kill()
            for pid in filter(runs, workers):
                os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    """Tell whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_plot_and_table(inputs, job):
    outcomes = list(predict_all(inputs[1:2], replace(job, draw=save_profile, table=True)))
    assert (job.out / "good0.png").read_bytes().startswith(b"\x89PNG")
    assert len(outcomes[0].table.splitlines()) == 14


def test_planned_sizes(peptide_cif, peptide_pdb, peptide, benchmark_data):
    def plan(path: Path) -> int:
        return planned_atoms(Input(name="x", path=path, stem="x"))

    assert 0.3 < plan(peptide_pdb) / len(peptide) < 3
    binary = benchmark_data / "formats" / "1acj.bcif.gz"
    assert 0.3 < plan(binary) / 4192 < 3
    assert planned_atoms(Input(name="4hhb", path=None, stem="4hhb")) == 5000


def test_batches_keep_order_and_size():
    sizes = [5, 1, 1, 9, 2, 2, 2, 2]
    groups = list(batches([(i, size) for i, size in enumerate(sizes)], largest=6))
    assert [i for group in groups for i in group] == list(range(8))
    assert all(len(group) == 1 or sum(sizes[i] for i in group) <= 6 for group in groups)


def test_preloaded_modules_exist():
    # The fork server passes over those that do not.
    assert all(importlib.util.find_spec(name) for name in stream.PRELOADED)


def test_the_parent_of_workers_imports_nothing_slow():
    code = "import sys, debye.prediction.stream; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "torch", "pyarrow"} & set(run.stdout.split())
