"""The table of the data: kept while it holds, written again when other edges are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from debye.benchmark.comparison import dataset
from debye.benchmark.comparison.dataset import EVERY_TRAINED, read_dataset, write_dataset
from debye.benchmark.comparison.sample import Samples
from debye.graph.config import GraphConfig

SAMPLES = Samples(
    train_split="train",
    train=("1aaa", "1bbb"),
    is_subset=False,
    left_out=0,
    val_split="val",
    val=("1ccc",),
    scored={"train": ("1aaa",), "val": ("1ccc",)},
)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Splits whose figures were asked for."""
    asked: list[str] = []

    def figures(store, split, ids, config) -> dict[str, float]:
        asked.append(split)
        return {"structures": len(ids)} | ({"edges": 7} if config else {})

    monkeypatch.setattr(dataset, "_figures", figures)
    return asked


def write(folder: Path, config: GraphConfig | None, edges_of: str) -> list[dict]:
    return read_dataset(write_dataset(None, SAMPLES, config, edges_of, folder).parent)  # type: ignore[arg-type]


def test_edges_are_added_when_there_is_somebody_to_train(counted: list[str], tmp_path: Path):
    rows = write(tmp_path, None, "")
    assert [(row["split"], row["role"], row["structures"]) for row in rows] == [
        ("train", "trained on", 2),
        ("val", "scored", 1),
    ]
    assert write(tmp_path, None, "") == rows
    assert len(counted) == 2
    rows = write(tmp_path, GraphConfig(), EVERY_TRAINED)
    assert [(row["edges"], row["edges_of"]) for row in rows] == [(7, EVERY_TRAINED)] * 2
    assert write(tmp_path, GraphConfig(), EVERY_TRAINED) == rows
    assert len(counted) == 4
    assert write(tmp_path, GraphConfig(), "gcn")[0]["edges_of"] == "gcn"
