"""``debye train`` as a user runs it: to the end, killed and resumed, on several processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.models.checkpoint import load_checkpoint, read_header
from debye.structure.structure import Crystal, Entry
from debye.structure.write import write_structure
from debye.testing.peptide import build_peptide

RECIPE = """
name = "tiny"
model = "meta_gnn"
[settings]
layers = 1
node_width = 8
edge_width = 8
global_width = 8
embedding_width = 4
[data]
batches_per_epoch = 2
[data.loader]
batch_atoms = 300
min_usable = 10
hide_crystal = 0.5
[training]
epochs = 6
validate_every = 2
learning_rate = 1e-2
weight_average = 0.9
"""


def build_chains(folder: Path, residues: int) -> Path:
    """Store ten chains whose ends are hot, eight to train on and two to validate."""
    generator = np.random.default_rng(0)
    rows = ["id,split,cluster"]
    for number in range(10):
        sequence = "".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), residues))
        structure = build_peptide(sequence)
        middle = np.abs(structure.residue_index - (residues - 1) / 2)
        b = 15 + 3 * middle + generator.gamma(4.0, 0.5, len(structure))
        extent = np.ptp(structure.position, axis=0) + 2.6
        entry_id = f"{number}abc"
        structure = replace(
            structure,
            b_iso=np.round(b, 2).astype(np.float32),
            crystal=Crystal(cell=(*map(float, extent), 90.0, 90.0, 90.0), space_group="P 1"),
            entry=Entry(id=entry_id, method="X-RAY DIFFRACTION", resolution=1.5),
        )
        write_structure(structure, folder / f"{entry_id}.cif")
        rows.append(f"{entry_id},{'val' if number > 7 else 'train'},c{number}")
    index = folder / "index.csv"
    index.write_text("\n".join(rows) + "\n")
    build_store(index, folder, folder / "store")
    return folder / "store"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small chains, and a recipe beside them."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "tiny.toml").write_text(RECIPE)
    return build_chains(folder, residues=14)


def command(store: Path, out: Path, *more: str) -> list[str]:
    recipe = store.parent / "tiny.toml"
    words = ["train", str(recipe), "--data", str(store), "-o", str(out), "--accelerator", "cpu"]
    return [sys.executable, "-W", "ignore", "-m", "debye", *words, *more]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=False, env=environment
    )


@pytest.fixture(scope="module")
def finished(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run; what it wrote on the error stream is next to it."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = run(command(store, out))
    assert done.returncode == 0, done.stderr
    assert "mean per-structure r" in done.stdout
    out.with_suffix(".err").write_text(done.stderr)
    return out


def test_lightning_does_not_talk_about_itself(finished: Path) -> None:
    said = finished.with_suffix(".err").read_text()
    for chatter in ("GPU available", "TPU available", "Tip", "`Trainer.fit` stopped"):
        assert chatter not in said
    assert not said.strip()


def test_a_run_leaves_a_calibrated_checkpoint_and_logs(finished: Path) -> None:
    checkpoint = load_checkpoint(finished / "tiny.safetensors")
    header = checkpoint.header
    assert set(header.calibration) == {"b_factor"}
    assert header.training["recipe"]["training"]["epochs"] == 6
    assert len(header.training["store"]) >= 16
    assert 0 <= header.training["best_epoch"] < 6
    logged = next(finished.glob("logs/*/metrics.csv")).read_text()
    assert "val_r" in logged
    assert list(finished.glob("logs/*/events.out.tfevents.*"))


def test_killed_and_resumed_equals_uninterrupted(
    store: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(
        command(store, out),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not (out / "last.ckpt").exists() and process.poll() is None:
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    stopped = torch.load(out / "last.ckpt", weights_only=True)["epoch"]
    assert stopped < 5, "the run was at its end when it was killed"
    assert not (out / "tiny.safetensors").exists()
    resumed = run(command(store, out, "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    one, two = load_file(finished / "tiny.safetensors"), load_file(out / "tiny.safetensors")
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    assert read_header(out / "tiny.safetensors") == read_header(finished / "tiny.safetensors")


def test_a_finished_run_is_not_overwritten(store: Path, finished: Path) -> None:
    again = run(command(store, finished))
    assert again.returncode != 0
    assert "already has a run" in again.stderr
    other = run(command(store, finished, "--resume", "--set", "training.seed=5"))
    assert other.returncode != 0
    assert "another recipe" in other.stderr


def test_other_crystals_need_a_model_that_is_told_of_them(store: Path, tmp_path: Path) -> None:
    asked = ["--set", "data.loader.augment.other_crystal=0.5"]
    refused = run(command(store, tmp_path / "untold", *asked))
    assert refused.returncode != 0
    assert "Add other_coordinates to settings.graph.structure_scalars" in " ".join(
        refused.stderr.split()
    )
    assert not (tmp_path / "untold").exists()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Relaxed models of chains that are large enough."""
    folder = tmp_path_factory.mktemp("relaxed")
    chains, out = build_chains(folder, residues=45), folder / "models"
    words = [sys.executable, "-W", "ignore", "-m", "debye", "data", "relax", str(chains)]
    done = run([*words, "-o", str(out), "--held", "1"])
    assert done.returncode == 0, done.stderr
    assert "10 entries" in done.stdout
    return out


def test_relaxed_models_are_mixed_in(store: Path, models: Path, tmp_path: Path) -> None:
    mixed = ["--set", "rehearsal.share=1.0", "--set", "training.epochs=2"]
    finished = run(command(store, tmp_path / "mixed", *mixed, "--rehearsal", str(models)))
    assert finished.returncode == 0, finished.stderr
    header = load_checkpoint(tmp_path / "mixed" / "tiny.safetensors").header
    assert header.training["old_store"] == Store.open(models).digest


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (["--set", "rehearsal.share=1.0"], "its store is None"),
        (["--rehearsal", "MODELS"], "rehearsal is None"),
        (
            ["--set", "rehearsal.split=val", "--rehearsal", "MODELS"],
            "2 entries of the validation split are in split val",
        ),
        (
            [
                "--set",
                "rehearsal.split=val",
                "--set",
                "training.keep=last",
                "--rehearsal",
                "MODELS",
            ],
            "2 entries of the validation split are in split val",
        ),
    ],
)
def test_a_rehearsal_without_a_store_or_of_what_validates_is_refused(
    settings: list[str], problem: str, store: Path, models: Path, tmp_path: Path
) -> None:
    words = [str(models) if word == "MODELS" else word for word in settings]
    refused = run(command(store, tmp_path / "refused", *words))
    assert refused.returncode != 0
    assert problem in " ".join(refused.stderr.split())
    assert not (tmp_path / "refused").exists()


def ablate(store: Path, plan: Path, out: Path) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).parents[2] / "scripts" / "ablate.py"
    words = [sys.executable, "-W", "ignore", str(script), str(plan), "--data", str(store)]
    return run([*words, "-o", str(out), "--jobs", "1"])


@pytest.mark.slow
def test_ablations_are_kept_only_where_nothing_changed(store: Path, tmp_path: Path) -> None:
    plan, recipe, out = (tmp_path / name for name in ("plan.toml", "tiny.toml", "runs"))
    recipe.write_text(RECIPE)
    lines = [
        f'recipe = "{recipe}"',
        'settings = ["training.epochs=1", "training.validate_every=1"]',
        "[variants]",
        "base = []",
        'wide = ["settings.node_width=12"]',
        'wrong = ["training.nonsense=1"]',
    ]
    plan.write_text("\n".join(lines))
    done = ablate(store, plan, out)
    assert done.returncode == 1
    assert "wrong failed" in done.stderr
    assert "nonsense" in done.stderr
    base, wide = csv.DictReader((out / "ablations.csv").read_text().splitlines())
    assert wide["settings"].endswith("training.validate_every=1; settings.node_width=12")
    for name in ("val_r", "val_r_crystal", "val_r_isolated", "val_r_noise"):
        assert float(base[f"{name}_difference"]) == 0
        difference = float(wide[name]) - float(base[name])
        assert float(wide[f"{name}_difference"]) == pytest.approx(difference, abs=2e-4)
    assert base["val_r_noise"] != base["val_r_isolated"]
    results = {name: (out / name / "result.json") for name in ("base", "wide")}
    # A setting that was added since, and left alone, changes nothing.
    older = json.loads(results["base"].read_text())
    assert older["recipe"]["loss"].pop("ligands") == 1.0
    results["base"].write_text(json.dumps(older))
    before = {name: path.stat().st_mtime_ns for name, path in results.items()}
    plan.write_text("\n".join([*lines[:-2], 'wide = ["settings.node_width=10"]']))
    done = ablate(store, plan, out)
    assert done.returncode == 0, done.stderr
    assert results["base"].stat().st_mtime_ns == before["base"], "the same run was done again"
    assert results["wide"].stat().st_mtime_ns > before["wide"]
    recipe.write_text(RECIPE.replace("learning_rate = 1e-2", "learning_rate = 1e-3"))
    plan.write_text("\n".join(lines[:-2]))
    done = ablate(store, plan, out)
    assert done.returncode == 0, done.stderr
    assert results["base"].stat().st_mtime_ns > before["base"], "another recipe, an old result"
    (again,) = csv.DictReader((out / "ablations.csv").read_text().splitlines())
    assert again["val_r"] != base["val_r"]


@pytest.mark.slow
def test_two_processes_train_together(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "pair"
    done = run(command(store, out, "--devices", "2", "--set", "training.epochs=2"))
    assert done.returncode == 0, done.stderr
    header = load_checkpoint(out / "tiny.safetensors").header
    assert header.training["hardware"].startswith("2")
    assert set(header.calibration) == {"b_factor"}
    assert done.stdout.count("mean per-structure r") == 1
