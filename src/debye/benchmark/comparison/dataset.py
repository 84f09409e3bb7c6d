"""The table of the data: structures, atoms and edges that were trained on and scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from debye.benchmark.comparison.results import Row, records
from debye.benchmark.comparison.sample import TRAIN_SAMPLE, Samples
from debye.benchmark.comparison.write_table import write_table
from debye.dataset.batches.graph_cache import GraphBuilder, find_graph_cache
from debye.dataset.store.statistics import split_figures
from debye.dataset.store.store import Store
from debye.graph.config import GraphConfig

DATA_FILE = "data.csv"
EVERY_TRAINED = "every trained recipe"
"""Whose edges are counted, where all have the same graphs."""


def write_dataset(
    store: Store, samples: Samples, config: GraphConfig | None, edges_of: str, folder: Path
) -> Path:
    """Write one row for what was trained on and for each scored split; the same table is kept.

    Args:
        store: The data store.
        samples: Entries by id.
        config: The graphs whose edges are counted, with symmetry mates; None: none are.
        edges_of: Whose graphs these are, in words.
        folder: Of the comparison.
    """
    path = folder / DATA_FILE
    if path.exists() and read_dataset(folder)[0].get("edges_of") == (edges_of or None):
        return path
    used = {TRAIN_SAMPLE: samples.train}
    used |= {name: ids for name, ids in samples.scored.items() if name != TRAIN_SAMPLE}
    rows = []
    for name, ids in used.items():
        split = samples.train_split if name == TRAIN_SAMPLE else name
        own = {"role": _role(name), "split": split, "edges_of": edges_of}
        rows.append(own | _figures(store, split, ids, config))
    write_table(path, pd.DataFrame(rows))
    return path


def read_dataset(folder: Path) -> list[Row]:
    """Read what :func:`write_dataset` wrote."""
    return records(pd.read_csv(folder / DATA_FILE))


def _role(name: str) -> str:
    return "trained on" if name == TRAIN_SAMPLE else "scored"


def _figures(
    store: Store, split: str, ids: tuple[str, ...], config: GraphConfig | None
) -> dict[str, float]:
    wanted = set(ids)
    rows = [row for row, entry in enumerate(store.entries(split)) if entry.id in wanted]
    found = {name: values[rows] for name, values in split_figures(store, split).items()}
    figures: dict[str, float] = {
        "structures": len(rows),
        "residues": found["residues"].sum(),
        "atoms": found["atoms"].sum(),
    }
    if config is not None:
        graphs = find_graph_cache(store, split, config) or GraphBuilder(store, split, config)
        figures["edges"] = sum(graphs.graph(row).n_edges for row in rows)
    for name, column in (
        ("resolution", "mean_resolution"),
        ("mean B", "mean_b"),
        ("std B", "std_b"),
    ):
        known = found[name][np.isfinite(found[name])]
        figures[column] = known.mean() if known.size else np.nan
    return figures
