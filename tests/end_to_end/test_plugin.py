"""The example package adds a target and a model: installed, checked, trained, and used to predict."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from debye.dataset.store.build import build_store
from debye.structure.write import write_structure
from debye.testing import build_peptide

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
RECIPE = """
name = "neighbors"
model = "neighbor_sum"
targets = ["neighbors"]
settings.width = 8
data.loader = { batch_atoms = 400, min_usable = 10 }
data.graph_workers = 1
training = { epochs = 2, learning_rate = 1e-2, precision = "32-true" }
"""


def run(folder: Path, *words: str) -> str:
    """Run Python with the packages that were installed into the folder."""
    paths = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed package, and a store of ten chains."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "plugin", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    run(folder, "-m", "pip", "install", *options, "--target", "site", "./plugin")
    generator = np.random.default_rng(0)
    rows = ["id,split,cluster"]
    for number in range(10):
        sequence = "".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), 14))
        write_structure(build_peptide(sequence), folder / f"{number}abc.cif")
        rows.append(f"{number}abc,{'val' if number > 6 else 'train'},c{number}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    (folder / "recipe.toml").write_text(RECIPE)
    build_store(folder / "index.csv", folder, folder / "store")
    return folder


def test_it_is_short():
    lines = (PLUGIN / "debye_neighbors.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 80


def test_its_own_test_passes(folder: Path) -> None:
    found = run(folder, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", "plugin", "plugin")
    assert "1 passed" in found


def test_it_is_trained_and_predicts(folder: Path) -> None:
    assert "neighbor_sum" in run(folder, "-m", "debye", "models")
    run(folder, "-m", "debye", "data", "label", "store", "--target", "neighbors")
    train = ["train", "recipe.toml", "--data", "store", "-o", "run", "--accelerator", "cpu"]
    checkpoint = run(folder, "-m", "debye", *train).split(": best epoch")[0].splitlines()[-1]
    predict = ["predict", "8abc.cif", "--model", checkpoint, "-o", "out", "--format", "csv"]
    run(folder, "-m", "debye", *predict)
    rows = list(csv.DictReader((folder / "out" / "8abc.csv").read_text().splitlines()))
    assert len(rows) > 80
    assert all(0 <= float(row["neighbors_predicted"]) < 200 for row in rows)
