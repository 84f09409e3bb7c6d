"""``debye evaluate`` as a user runs it, on a store of peptides that this project builds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from debye.cli.main import app
from debye.dataset.store.build import build_store
from debye.models.catalog import build_model
from debye.models.checkpoint import CheckpointHeader, save_checkpoint
from debye.plots import distribution
from debye.structure.read import read_structure
from debye.structure.structure import Crystal, Entry
from debye.structure.write import write_structure
from debye.testing.peptide import build_peptide

FILES = {"report.md", "summary.csv", "per_structure.csv", "report.json", "distribution.png"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six peptides with a B that rises along the chain."""
    folder = tmp_path_factory.mktemp("evaluate")
    place = folder / "structures" / "aa"
    place.mkdir(parents=True)
    generator = np.random.default_rng(2)
    ids = [f"{number}aaa" for number in range(1, 7)]
    for entry_id in ids:
        sequence = "".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), 25))
        structure = build_peptide(sequence, source=entry_id)
        b = 15 + structure.residue_index + generator.gamma(4.0, 1.5, len(structure))
        extent = np.ptp(structure.position, axis=0)
        structure = replace(
            structure,
            b_iso=np.round(b, 2).astype(np.float32),
            crystal=Crystal(
                cell=(*(float(x) for x in np.round(extent - 2, 2)), 90.0, 90.0, 90.0),
                space_group="P 1",
            ),
            entry=Entry(id=entry_id, method="X-RAY DIFFRACTION", resolution=1.8),
        )
        write_structure(structure, place / f"{entry_id}.cif")
    rows = "".join(f"{entry_id},test,c{entry_id[0]}\n" for entry_id in ids)
    (folder / "index.csv").write_text(f"id,split,cluster\n{rows}")
    build_store(folder / "index.csv", folder / "structures", folder / "store")
    return folder / "store"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two untrained networks of different weights: what is tested is the way, not the skill."""
    folder = tmp_path_factory.mktemp("models")
    settings = {"layers": 1, "node_width": 16, "edge_width": 8, "global_width": 8}
    paths = []
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        header = CheckpointHeader(name=name, model="meta_gnn", config=settings)
        save_checkpoint(folder / f"{name}.safetensors", build_model("meta_gnn", settings), header)
        paths.append(str(folder / f"{name}.safetensors"))
    return paths


def run(*arguments: object):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_two_models_give_one_comparison(store, checkpoints, tmp_path):
    out = tmp_path / "out"
    result = run(*checkpoints, "--data", store, "--split", "test", "-o", out, "--bootstrap", 50)
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == FILES
    rows = list(csv.DictReader((out / "summary.csv").read_text().splitlines()))
    protein = [r for r in rows if (r["atom_class"], r["stratum"]) == ("protein", "all")]
    assert [(row["model"], row["crystal"]) for row in protein] == [
        ("first", "on"),
        ("first", "off"),
        ("second", "on"),
        ("second", "off"),
    ]
    assert {row["structures"] for row in protein} == {"6"}
    for row in protein:
        assert f"{float(row['pearson_mean']):.3f}" in result.output
    data = json.loads((out / "report.json").read_text())
    assert data["provenance"]["split"] == "test"
    assert len(data["provenance"]["digest"]) == 64
    assert len(data["differences"]) == 3
    assert (out / "distribution.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_run_gives_the_same_bytes(store, checkpoints, tmp_path):
    arguments = (checkpoints[0], "--data", store, "--split", "test", "--bootstrap", 50)
    for name in ("a", "b"):
        assert run(*arguments, "-o", tmp_path / name).exit_code == 0
    for name in FILES - {"report.md", "report.json"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_without_a_folder_only_tables_are_shown(store, checkpoints, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(
        *(checkpoints[0], "--data", store, "--split", "test", "--crystal", "off"),
        *("--resolution", "unknown", "--bootstrap", 0),
    )
    assert result.exit_code == 0, result.output
    assert "Correlation per structure" in result.output
    assert "Worst 10 structures" in result.output
    assert list(tmp_path.iterdir()) == []


def test_noise_is_stated_in_the_report(store, checkpoints, tmp_path):
    arguments = (checkpoints[0], "--data", store, "--split", "test", "--bootstrap", 0)
    for name, noise in (("plain", ()), ("noisy", ("--noise", 0.2, "--noise-seed", 3))):
        assert run(*arguments, *noise, "-o", tmp_path / name).exit_code == 0
    assert "noise" not in (tmp_path / "plain" / "report.md").read_text()
    assert "0.2 Å on every coordinate" in (tmp_path / "noisy" / "report.md").read_text()
    first, second = (
        (tmp_path / name / "per_structure.csv").read_text() for name in ("plain", "noisy")
    )
    assert first != second


def test_the_ceiling_and_predicted_structures_stand_beside_the_split(store, checkpoints, tmp_path):
    out, folder = tmp_path / "out", tmp_path / "predicted"
    (tmp_path / "pairs.csv").write_text(
        "id1,chain1,id2,chain2,same_space_group,pair_group\n1aaa,A,1aaa,A,1,p0\n"
    )
    entry = store.parent / "structures" / "aa" / "2aaa.cif"
    folder.mkdir()
    (folder / "model.cif").write_text(entry.read_text())
    (folder / "map.csv").write_text("model_file,crystal_id,chain,best_match\nmodel.cif,2aaa,A,1\n")
    result = run(
        *(checkpoints[0], "--data", store, "--split", "test", "--crystal", "off", "-o", out),
        *("--pairs", tmp_path / "pairs.csv", "--predicted", folder, "--bootstrap", 20),
        *("--noise", 0.1),
    )
    assert result.exit_code == 0, result.output
    extra = {
        f"{name}.{suffix}"
        for name in ("pairs", "predicted_models")
        for suffix in ("md", "csv", "json", "png")
    }
    assert {path.name for path in out.iterdir()} == FILES | extra
    means = json.loads((out / "pairs.json").read_text())["means"]
    assert means[0]["model"] == "crystal to crystal"
    assert means[0]["mean"] == pytest.approx(1.0)
    report = (out / "predicted_models.md").read_text()
    assert "crystal to crystal" in report
    assert "0.1 Å on every coordinate" in report
    assert "unknown: a predicted structure has none" in report


def test_each_report_has_the_ceiling_of_its_own_split(store, checkpoints, tmp_path, monkeypatch):
    """Pairs of the split agree perfectly, those of the predicted structures do not."""
    ids = [f"{number}aaa" for number in range(1, 4)]
    generator = np.random.default_rng(5)
    for entry_id in ids:
        source = store.parent / "structures" / "aa" / "1aaa.cif"
        structure = read_structure(source)
        if entry_id == "3aaa":
            b = structure.b_iso + generator.normal(0, 8, len(structure))
            structure = replace(structure, b_iso=np.round(b, 2).clip(2).astype(np.float32))
        structure = replace(structure, entry=replace(structure.entry, id=entry_id))
        write_structure(structure, tmp_path / f"{entry_id}.cif")
    (tmp_path / "index.csv").write_text(
        "id,split,cluster\n1aaa,test,c1\n2aaa,kinase,c2\n3aaa,kinase,c3\n"
    )
    build_store(tmp_path / "index.csv", tmp_path, tmp_path / "store")
    (tmp_path / "pairs.csv").write_text(
        "id1,chain1,id2,chain2,same_space_group,pair_group\n"
        "1aaa,A,1aaa,A,1,p0\n2aaa,A,3aaa,A,1,p1\n"
    )
    folder = tmp_path / "predicted"
    folder.mkdir()
    (folder / "model.cif").write_text((tmp_path / "2aaa.cif").read_text())
    (folder / "map.csv").write_text("model_file,crystal_id,chain,best_match\nmodel.cif,2aaa,A,1\n")
    bands = {}
    whole = distribution.plot_samples

    def note(samples, *, axis, title, band):
        bands[title] = band.middle
        return whole(samples, axis=axis, title=title, band=band)

    monkeypatch.setattr(distribution, "plot_samples", note)
    result = run(
        *(checkpoints[0], "--data", tmp_path / "store", "--split", "test", "--crystal", "off"),
        *("--pairs", tmp_path / "pairs.csv", "--predicted", folder, "--bootstrap", 0),
        *("-o", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    means = json.loads((tmp_path / "out" / "predicted_models.json").read_text())["means"]
    (reference,) = [row for row in means if row["model"] == "crystal to crystal"]
    assert (reference["items"], reference["mean"] < 0.95) == (1, True)
    split, pairs, predicted = bands.values()
    assert split == pytest.approx(1.0)
    assert predicted == pytest.approx(reference["mean"])
    assert reference["mean"] < pairs < 1


def test_without_anything_to_evaluate_on_the_choices_are_named(store, checkpoints):
    for arguments, message in (
        ((checkpoints[0], "--data", store), "nothing to evaluate on"),
        (("--data", store, "--split", "test"), "no model is given"),
        (
            (checkpoints[0], "--data", store, "--predicted", store, "--crystal", "on"),
            "a predicted structure has no crystal",
        ),
    ):
        assert message in str(run(*arguments).exception)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--split": "tset"}, "no split is called 'tset'"),
        ({"--data": "nowhere"}, "no finished data store"),
        ({"model": "no-such-model"}, "no-such-model"),
    ],
)
def test_mistakes_are_explained_before_anything_runs(store, checkpoints, change, message):
    options = {"model": checkpoints[0], "--data": store, "--split": "test"} | change
    model = options.pop("model")
    result = run(model, *(item for pair in options.items() for item in pair))
    assert result.exit_code != 0
    assert message in str(result.exception)
