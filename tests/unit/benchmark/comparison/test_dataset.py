"""The table of the data: the counts of a store, kept while they hold, written again for other edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from debye.benchmark.comparison.plan import DATA_FILE, EVERY_TRAINED, Samples, write_dataset
from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.structure.structure import Entry
from debye.structure.write import write_structure
from debye.testing.peptide import build_peptide

SEQUENCES = {"1aaa": "MKWHEFRGPYCIT", "1bbb": "DEKRHNQSTY", "1ccc": "LLKKLLKKLLEE"}
SAMPLES = Samples(
    train_split="train",
    train=("1aaa", "1bbb"),
    is_subset=False,
    left_out=0,
    val_split="val",
    val=("1ccc",),
    scored={"train": ("1aaa",), "val": ("1ccc",)},
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("dataset")
    for entry_id, sequence in SEQUENCES.items():
        structure = build_peptide(sequence, source=entry_id)
        b = np.linspace(10, 30, len(structure), dtype=np.float32)
        entry = Entry(id=entry_id, method="X-RAY DIFFRACTION", resolution=1.5)
        write_structure(replace(structure, b_iso=b, entry=entry), folder / f"{entry_id}.cif")
    rows = "id,split,cluster\n1aaa,train,a\n1bbb,train,b\n1ccc,val,c\n"
    (folder / "index.csv").write_text(rows)
    return build_store(folder / "index.csv", folder, folder / "store")


def test_counts_are_those_of_the_store_and_edges_those_of_the_graphs(store, tmp_path: Path):
    write_dataset(store, SAMPLES, None, "", tmp_path)
    found = pd.read_csv(tmp_path / DATA_FILE)
    assert found["role"].tolist() == ["trained on", "scored"]
    assert found["split"].tolist() == ["train", "val"]
    assert found["structures"].tolist() == [2, 1]
    assert found["residues"].tolist() == [23, 12]
    assert found["atoms"][1] == store.entries("val")[0].n_atoms
    assert found["mean_resolution"].tolist() == [1.5, 1.5]
    assert found["mean_b"].tolist() == pytest.approx([20.0, 20.0], abs=0.1)
    assert "edges" not in found
    config = GraphConfig(radius=4.0)
    write_dataset(store, SAMPLES, config, EVERY_TRAINED, tmp_path)
    found = pd.read_csv(tmp_path / DATA_FILE)
    graph = build_graph(store.structure("val", 0), config, bonds=store.bonds("val", 0))
    assert found["edges"][1] == graph.n_edges
    assert set(found["edges_of"]) == {EVERY_TRAINED}


def test_the_same_table_is_kept(store, tmp_path: Path):
    for edges_of, is_kept in (("", True), ("gcn", False), ("gcn", True)):
        if is_kept and not (tmp_path / DATA_FILE).exists():
            write_dataset(store, SAMPLES, None, edges_of, tmp_path)
        before = (tmp_path / DATA_FILE).stat().st_mtime_ns
        config = GraphConfig(radius=4.0) if edges_of else None
        write_dataset(store, SAMPLES, config, edges_of, tmp_path)
        assert ((tmp_path / DATA_FILE).stat().st_mtime_ns == before) == is_kept
