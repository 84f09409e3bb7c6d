from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from debye.dataset.store.statistics import (
    REFERENCES,
    split_statistics,
    store_histograms,
    store_statistics,
    write_statistics,
)
from debye.dataset.store.store import Store


def test_figures_of_a_split(store: Store) -> None:
    row = split_statistics(store, "train")
    structures = [store.structure("train", n) for n in range(4)]
    assert (row.proteins, row.percent_crystal) == (4, 75.0)
    assert row.total_atoms == sum(map(len, structures))
    assert row.mean_atoms == pytest.approx(row.total_atoms / 4)
    assert row.mean_residues == pytest.approx((20 + 40 + 60 + 22) / 4)
    assert row.mean_resolution == pytest.approx(1.8)
    assert row.usable_atoms == row.total_atoms
    assert row.mean_b == pytest.approx(np.mean([s.b_iso.mean() for s in structures]), rel=1e-6)
    assert row.std_b == pytest.approx(np.mean([s.b_iso.std() for s in structures]), rel=1e-6)


def test_published_sets_come_last_and_unknown_figures_are_empty(
    store: Store, tmp_path: Path
) -> None:
    rows = store_statistics(store)
    assert [row.split for row in rows[:2]] == ["train", "val"]
    assert rows[2:] == list(REFERENCES)
    write_statistics(rows, tmp_path / "stats.csv")
    with open(tmp_path / "stats.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert table[0]["proteins"] == "4"
    assert table[-1]["std_b"] == ""
    assert float(table[-1]["mean_atoms"]) == 3886


def test_histograms_hold_every_entry_of_every_split(store: Store) -> None:
    histograms = {item.quantity.name: item for item in store_histograms(store)}
    assert list(histograms) == ["residues", "atoms", "resolution", "mean B"]
    for item in histograms.values():
        assert item.unknown == {"train": 0, "val": 0}
        assert {split: int(own.sum()) for split, own in item.counts.items()} == {
            "train": 4,
            "val": 2,
        }
        assert (np.diff(item.edges) > 0).all()
    # All entries have 1.8 Å: one bin around it.
    assert len(histograms["resolution"].edges) == 2
    lengths = histograms["residues"]
    assert lengths.counts["train"][0] == 1
    assert lengths.counts["train"][-1] == 1
    assert np.diff(np.log(lengths.edges)) == pytest.approx(
        np.log(lengths.edges[1] / lengths.edges[0])
    )
