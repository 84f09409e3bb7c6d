"""The committed reports are of the weights in the package, are whole, and name no folder of a machine."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from debye.models.checkpoint import read_header, released_checkpoints
from debye.prediction.predictor import DEFAULT_MODEL
from debye.scores.tables import rows_where

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
SPLITS = ("kinase", "kinase_unknown", "test", "test_noise", "val", "relaxed")


def read_report(split: str) -> dict:
    return json.loads((RESULTS / split / "report.json").read_text())


@pytest.mark.parametrize("split", SPLITS)
def test_reports_have_no_failures(split):
    assert read_report(split)["failures"] == []


@pytest.mark.parametrize("split", ["kinase", "test", "val"])
def test_reports_are_of_the_data_of_the_released_model(split):
    digest = read_header(DEFAULT_MODEL).training["store"]
    assert read_report(split)["provenance"]["digest"] == digest


@pytest.mark.parametrize("split", SPLITS)
def test_reports_have_the_rows_of_all_measures(split):
    rows, report = pd.read_csv(RESULTS / split / "summary.csv"), read_report(split)
    assert set(report["measures"]) <= set(rows)
    assert set(rows["atom_class"]) <= set(report["atom_classes"])
    assert not rows.duplicated(["model", "crystal", "atom_class", "stratum"]).any()
    assert rows["structures"].min() > 0
    text = (RESULTS / split / "report.md").read_text()
    for row in rows_where(rows, atom_class="protein", stratum="all").itertuples():
        shown = "–" if np.isnan(row.pearson_mean) else f"{row.pearson_mean:.3f}"
        assert f"| {row.model} | {row.crystal} | {shown} |" in text


def test_no_text_has_a_place_left_to_fill():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert [str(page) for page in pages if "@@" in page.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", ["waller", "waller-small", "meta_gnn"])
def test_reports_are_of_the_weights_in_the_package(split, name):
    digest = hashlib.sha256(released_checkpoints()[name].read_bytes()).hexdigest()
    assert digest in read_report(split)["provenance"]["settings"][f"model {name}"]


def test_no_tracked_text_names_a_folder_of_some_machine():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    folders = re.compile(r"(?<![\w.])/(tmp|home|root|work|Users)/\w")
    guilty = [
        name
        for name in listed.stdout.split()
        if name.endswith((".md", ".json", ".csv", ".toml", ".cff"))
        and folders.search((ROOT / name).read_text(encoding="utf-8"))
    ]
    assert guilty == []
