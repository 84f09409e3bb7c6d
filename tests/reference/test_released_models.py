"""Released weights: gold predictions, and what they must reach on real crystals."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from debye.models.checkpoint import read_header, released_checkpoints
from debye.prediction.predictor import DEFAULT_MODEL, Predictor
from debye.structure.read import read_structure

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "designed_protein.cif"
GOLD = Path(__file__).parent / "gold_predictions.csv"
"""Written by ``python tests/reference/make_gold.py``; look at the change before you commit a new one."""
LARGEST = 8_000_000
"""Bytes of a released checkpoint: it travels in the wheel."""


def test_there_is_a_default_model():
    assert DEFAULT_MODEL in released_checkpoints()


@pytest.mark.parametrize("name", released_checkpoints())
def test_headers_say_where_the_weights_come_from(name):
    path = released_checkpoints()[name]
    header = read_header(name)
    assert header.name == name
    assert header.training["store"], "the digest of the training data"
    assert header.training["recipe"]["name"] == name
    assert path.stat().st_size < LARGEST
    assert path.with_suffix(".md").exists(), "every released checkpoint has a model card"


def test_gold_predictions():
    """Float32 on another CPU or library version may differ in the last digits, not by 0.05 Å²."""
    expected: dict[str, list[float]] = {}
    with GOLD.open() as file:
        for row in csv.DictReader(file):
            expected.setdefault(row["model"], []).append(float(row["b_predicted"]))
    assert expected, "an empty gold file would check nothing"
    for name, values in expected.items():
        predictor = Predictor.from_checkpoint(name, precision="float32")
        found = predictor.predict(EXAMPLE).b_predicted
        assert np.allclose(found[np.isfinite(found)], values, atol=0.05, rtol=0)


def test_kinases_are_predicted_well(benchmark_data):
    """A loose floor on some entries that were never trained on: a wrong feature column falls below it."""
    with (benchmark_data / "index.csv").open() as file:
        kinases = [row["id"] for row in csv.DictReader(file) if row["split"] == "kinase"][::20]
    predictor = Predictor.from_checkpoint(DEFAULT_MODEL)
    correlations = []
    for entry in kinases:
        path = benchmark_data / "structures" / entry[1:3] / f"{entry}.bcif.gz"
        prediction = predictor.predict(path)
        b = read_structure(path).b_iso
        used = np.isfinite(prediction.b_predicted)
        correlations.append(np.corrcoef(prediction.b_predicted[used], b[used])[0, 1])
    assert len(correlations) >= 10
    assert np.mean(correlations) > 0.8
