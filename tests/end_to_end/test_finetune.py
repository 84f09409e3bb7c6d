"""``debye finetune`` as a user runs it: new entries, a family with broken files, killed and resumed."""

from __future__ import annotations

import csv
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
from typer.testing import CliRunner

from debye.cli.main import app
from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.models.catalog import build_model, model_config
from debye.models.checkpoint import (
    CheckpointHeader,
    checkpoint_digest,
    read_header,
    save_checkpoint,
)
from debye.structure.structure import Crystal, Entry
from debye.structure.write import write_structure
from debye.testing.peptide import build_peptide

pytest.importorskip("lightning")
# Lightning warns of what is meant here: few batches, logged at every step, loaded by this process.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SETTINGS = {"layers": 1, "node_width": 8, "edge_width": 8, "global_width": 8, "embedding_width": 4}
FAST = ["--set", "epochs=2", "--set", "batch_atoms=300", "--set", "bootstrap=50"]
ON_CPU = ["--accelerator", "cpu"]


def write_entry(path: Path, seed: int, sequence: str | None = None) -> None:
    """A short helix whose ends are hot, in a crystal of its own."""
    generator = np.random.default_rng(seed)
    drawn = "".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), 14))
    structure = build_peptide(sequence or drawn)
    middle = np.abs(structure.residue_index - 6.5)
    b = 15 + 3 * middle + generator.gamma(4.0, 0.5, len(structure))
    position = structure.position + generator.normal(0, 0.03, structure.position.shape)
    extent = np.ptp(position, axis=0) + 3.0
    structure = replace(
        structure,
        position=np.round(position, 3).astype(np.float32),
        b_iso=np.round(b, 2).astype(np.float32),
        crystal=Crystal(cell=(*map(float, extent), 90.0, 90.0, 90.0), space_group="P 1"),
        entry=Entry(id=path.stem, method="X-RAY DIFFRACTION", resolution=1.5),
    )
    write_structure(structure, path)


def make_store(folder: Path, splits: dict[str, int], seed: int) -> Path:
    """Build a store of small entries, each a cluster of its own."""
    (folder / "files").mkdir(parents=True)
    rows = ["id,split,cluster"]
    for split, count in splits.items():
        for number in range(count):
            entry_id = f"{split[0]}{seed}{number:02d}"
            write_entry(folder / "files" / f"{entry_id}.cif", 100 * seed + len(rows))
            rows.append(f"{entry_id},{split},c{seed}{len(rows)}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return build_store(folder / "index.csv", folder / "files", folder / "store").path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An old store, a new one, a folder of a family, and a model that says it was trained on the old."""
    folder = tmp_path_factory.mktemp("finetune")
    old = make_store(folder / "old", {"train": 4, "val": 2}, seed=1)
    make_store(folder / "new", {"train": 8}, seed=2)
    family = folder / "family"
    family.mkdir()
    for number in range(3):
        write_entry(family / f"Crystal{number}.pdb", number, "MKWHEFRGPYCITL")
    (family / "broken.cif").write_text("data_x\nloop_\n_atom_site.id\n")
    torch.manual_seed(1)
    header = CheckpointHeader(
        name="base",
        model="meta_gnn",
        config=model_config("meta_gnn", SETTINGS).model_dump(mode="json"),
        training={"store": Store.open(old).digest, "recipe": {"loss": {"spread": 0.2}}},
    )
    save_checkpoint(folder / "base.safetensors", build_model("meta_gnn", SETTINGS), header)
    return folder


def words(place: Path, data: str, out: Path, *more: str) -> list[str]:
    model, old = place / "base.safetensors", place / "old" / "store"
    return [
        *("finetune", str(model), str(place / data), "-o", str(out), "--old", str(old)),
        *(*ON_CPU, *FAST, *more),
    ]


def kill_when(arguments: list[str], sign: Path) -> None:
    """Run the command in a process of its own and kill it as soon as a file appears."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "debye", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 500
    while not sign.exists() and process.poll() is None:
        assert time.monotonic() < deadline, f"{sign} did not appear"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


def same_weights(first: Path, second: Path) -> bool:
    one, two = load_file(first), load_file(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def tuned(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tuned"
    result = CliRunner().invoke(app, words(place, "new/store", out), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.split())
    assert "Before and after" in shown
    assert "new, held out" in shown
    assert "old validation" in shown
    assert "used neither for training nor to choose the epoch" in shown
    return out


@pytest.fixture(scope="module")
def family(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "family"
    result = CliRunner().invoke(
        app, words(place, "family", out, "--family"), catch_exceptions=False
    )
    assert result.exit_code == 1, "one file was refused"
    shown = " ".join(result.output.split())
    assert "refused: broken" in shown
    assert "3 of 3: without crystal2" in shown
    assert "a further crystal of the same protein" in shown
    return out


def test_the_checkpoint_is_calibrated_and_knows_its_ancestor(place, tuned):
    header = read_header(tuned / "tuned.safetensors")
    assert set(header.calibration) == {"b_factor"}
    assert header.training["parent"]["name"] == "base"
    assert header.training["parent"]["sha256"] == checkpoint_digest(place / "base.safetensors")
    assert header.training["store"] == Store.open(place / "new" / "store").digest
    assert header.training["old_store"] == Store.open(place / "old" / "store").digest
    recipe = header.training["recipe"]
    assert recipe["start"]["train"] == "all"
    assert recipe["loss"]["spread"] == 0.2, "the loss is that of the start model"
    assert not same_weights(place / "base.safetensors", tuned / "tuned.safetensors")


def test_the_report_holds_every_set_and_no_trained_entry(tuned):
    with open(tuned / "structures.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["entries"] for row in rows} == {"new, held out", "old validation"}
    assert {row["model"] for row in rows} == {"before", "after"}
    recipe = read_header(tuned / "tuned.safetensors").training["recipe"]["data"]
    chose = set(recipe["validation_only"])
    reported = {row["structure"] for row in rows if row["entries"] == "new, held out"}
    assert reported
    assert not chose & reported
    assert chose | reported == set(recipe["loader"]["without"])
    report = (tuned / "report.md").read_text()
    assert "sha256" in report
    assert "| old validation | on |" in report


def test_it_predicts_and_evaluates_like_any_other(place, tuned, tmp_path):
    model = str(tuned / "tuned.safetensors")
    source = str(place / "family" / "Crystal0.pdb")
    predict = ["predict", source, "--model", model, "-o", str(tmp_path)]
    assert CliRunner().invoke(app, predict, catch_exceptions=False).exit_code == 0
    store = str(place / "old" / "store")
    evaluate = ["evaluate", model, "--data", store, "--split", "val", "--bootstrap", "0"]
    result = CliRunner().invoke(app, evaluate, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_head_alone_leaves_the_rest_and_a_chain_keeps_its_ancestors(place, tuned, tmp_path):
    out = tmp_path / "second"
    arguments = words(place, "new/store", out, "--mode", "head")
    arguments[1] = str(tuned / "tuned.safetensors")
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    first, second = load_file(tuned / "tuned.safetensors"), load_file(out / "second.safetensors")
    changed = {name.split(".")[0] for name in first if not torch.equal(first[name], second[name])}
    assert changed
    assert changed <= {"norm", "heads"}
    parent = read_header(out / "second.safetensors").training["parent"]
    assert parent["name"] == "tuned"
    assert parent["training"]["parent"]["name"] == "base"


def test_a_left_out_member_is_never_trained_on(family):
    for number in range(3):
        folder = family / "folds" / f"fold-{number + 1:02d}"
        recipe = next(folder.glob("*.safetensors"))
        only = read_header(recipe).training["recipe"]["data"]["loader"]["only"]
        assert only == [f"crystal{other}" for other in range(3) if other != number]
    final = read_header(family / "family.safetensors")
    assert final.training["recipe"]["data"]["loader"]["only"] == [
        "crystal0",
        "crystal1",
        "crystal2",
    ]
    assert set(final.calibration) == {"b_factor"}
    assert not list((family / "folds").glob("*/*.ckpt"))
    with open(family / "structures.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["entries"] == "left-out members"]
    assert {row["structure"] for row in rows} == {"crystal0", "crystal1", "crystal2"}
    report = (family / "report.md").read_text()
    assert "leave-one-out" in report
    assert "## Refused" in report


@pytest.mark.slow
def test_killed_in_a_fold_and_resumed_equals_uninterrupted(place, family, tmp_path):
    out = tmp_path / "family"
    arguments = words(place, "family", out, "--family")
    kill_when(arguments, out / "folds" / "fold-02" / "last.ckpt")
    first = out / "folds" / "fold-01" / "left_out.json"
    written = first.stat().st_mtime_ns
    assert not (out / "family.safetensors").exists()
    again = CliRunner().invoke(app, arguments)
    assert "already has a run" in str(again.exception)
    result = CliRunner().invoke(app, [*arguments, "--resume"], catch_exceptions=False)
    assert result.exit_code == 1, result.output
    assert first.stat().st_mtime_ns == written, "a finished fold was done again"
    assert same_weights(out / "family.safetensors", family / "family.safetensors")
    assert (out / "changes.csv").read_text() == (family / "changes.csv").read_text()
    assert read_header(out / "family.safetensors") == read_header(family / "family.safetensors")


def test_a_folder_of_another_fine_tuning_is_refused(place, tuned):
    other = words(place, "new/store", tuned, "--resume", "--set", "seed=5")
    error = CliRunner().invoke(app, other).exception
    assert "has a run with another config" in str(error)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "epoch=3"], "epoch: Extra inputs are not permitted"),
        (["--set", "learning_rate=-1"], "learning_rate"),
        (["--val", "nothing"], "no split is called 'nothing'"),
    ],
)
def test_wrong_settings_are_explained(place, tmp_path, more, message):
    result = CliRunner().invoke(app, words(place, "new/store", tmp_path / "x", *more))
    assert message in str(result.exception)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("more", [["--ids", "a"], ["--family", "--val", "val"]])
def test_options_that_do_not_go_together_are_a_usage_error(place, tmp_path, more):
    result = CliRunner().invoke(app, words(place, "new/store", tmp_path / "x", *more))
    assert result.exit_code == 2


def test_a_baseline_has_nothing_to_fine_tune(place, tmp_path):
    arguments = words(place, "new/store", tmp_path / "x")
    arguments[1] = "locant_element_mean"
    assert "nothing to fine-tune" in str(CliRunner().invoke(app, arguments).exception)
