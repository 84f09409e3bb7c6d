"""``debye data build`` and ``debye data stats``, run as a user runs them."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import homologs
import numpy as np
import pytest

from debye.dataset.store.store import Store
from debye.structure.write import write_structure
from debye.testing.peptide import build_peptide

ENTRIES = 40


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty built chains with B-factors, in two splits."""
    folder = tmp_path_factory.mktemp("data")
    structure = build_peptide("MKWHEFRGPYCITLSDNQVA" * 3)
    generator = np.random.default_rng(0)
    rows = ["id,split,cluster,resolution"]
    for number in range(ENTRIES):
        b = np.round(20 + generator.gamma(4.0, 3.0, len(structure)), 2).astype(np.float32)
        entry_id = f"{number % 9 + 1}x{number:02d}"
        nested = folder / "structures" / entry_id[1:3]
        nested.mkdir(parents=True, exist_ok=True)
        write_structure(replace(structure, b_iso=b), nested / f"{entry_id}.cif.gz")
        rows.append(f"{entry_id},{'val' if number % 5 == 0 else 'train'},c{number},1.50")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


def command(*words: object) -> list[str]:
    start = "from debye.cli.main import main; main()"
    return [sys.executable, "-c", start, "data", *map(str, words)]


def build_command(data_folder: Path, out: Path, *more: object) -> list[str]:
    structures = data_folder / "structures"
    index = data_folder / "index.csv"
    return command("build", "--index", index, "--structures", structures, "-o", out, *more)


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def test_build_then_stats(data_folder: Path, tmp_path: Path) -> None:
    built = run(build_command(data_folder, tmp_path / "store"))
    assert built.returncode == 0, built.stderr
    assert "40 entries" in built.stdout
    store = Store.open(tmp_path / "store")
    assert store.digest in built.stdout
    assert "already finished" not in built.stdout
    again = run(build_command(data_folder, tmp_path / "store"))
    assert again.returncode == 0, again.stderr
    assert "already finished, nothing to do (--overwrite rebuilds)" in again.stdout
    table = tmp_path / "stats.csv"
    shown = run(command("stats", tmp_path / "store", "--csv", table))
    assert shown.returncode == 0, shown.stderr
    assert "train" in shown.stdout
    with open(table, newline="") as file:
        rows = {row["split"]: row for row in csv.DictReader(file)}
    assert (rows["train"]["proteins"], rows["val"]["proteins"]) == ("32", "8")
    assert float(rows["val"]["mean_resolution"]) == pytest.approx(1.5)


def test_build_goes_on_after_kill_9(data_folder: Path, tmp_path: Path) -> None:
    whole = run(build_command(data_folder, tmp_path / "whole", "--workers", 2))
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "killed"
    job = subprocess.Popen(
        build_command(data_folder, out),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("parts-*/part-*.npz")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    kept = {part: part.stat().st_mtime_ns for part in out.glob("parts-*/part-*.npz")}
    assert kept
    assert not (out / "manifest.json").exists()
    resumed = run(build_command(data_folder, out))
    assert resumed.returncode == 0, resumed.stderr
    assert Store.open(out).digest == Store.open(tmp_path / "whole").digest


def test_failures_are_told_and_the_rest_is_stored(data_folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.csv"
    index.write_text((data_folder / "index.csv").read_text() + "9zzz,train,,\n")
    result = run(
        command(
            "build",
            "--index",
            index,
            "--structures",
            data_folder / "structures",
            "-o",
            tmp_path / "store",
            "--split",
            "train",
        )
    )
    assert result.returncode == 1
    assert "failed: 9zzz (train)" in result.stderr
    assert "32 entries" in result.stdout


def test_errors_are_one_line(data_folder: Path, tmp_path: Path) -> None:
    result = run(build_command(data_folder, tmp_path / "store", "--split", "tset"))
    assert result.returncode == 2
    assert "Choose from val, train" in result.stderr
    assert "Traceback" not in result.stderr
    missing = run(command("stats", tmp_path))
    assert missing.returncode == 2
    assert "no finished data store" in missing.stderr


def test_build_by_a_recipe(mmseqs: str, tmp_path: Path) -> None:
    homologs.write_archive(tmp_path / "archive")
    (tmp_path / "recipe.toml").write_text('name = "test"\n[splits]\nvalidation = 0\ntest = 1\n')
    words = ["build", "--recipe", tmp_path / "recipe.toml", "--structures", tmp_path / "archive"]
    built = run(command(*words, "-o", tmp_path / "store", "--as-of", "2026-01-31"))
    assert built.returncode == 1, built.stderr
    assert "failed: 1xxx" in built.stderr
    assert "1  left out: resolution worse than 3.0 Å" in built.stdout
    store = Store.open(tmp_path / "store")
    assert store.digest in built.stdout
    assert store.manifest["date"] == "2026-01-31"
    neither = run(command("build", "--structures", tmp_path / "archive", "-o", tmp_path / "x"))
    assert neither.returncode == 2
    assert "--recipe" in neither.stderr


def test_stats_draw_histograms(data_folder: Path, tmp_path: Path) -> None:
    assert run(build_command(data_folder, tmp_path / "store")).returncode == 0
    shown = run(command("stats", tmp_path / "store", "--plot", tmp_path / "h.png"))
    assert shown.returncode == 0, shown.stderr
    assert "mean B / Å², % of entries" in shown.stdout
    assert "█" in shown.stdout
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
