from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from debye.dataset.batches import graph_cache
from debye.dataset.batches.graph_cache import (
    GraphBuilder,
    GraphCache,
    cache_key,
    encode_vectors,
    open_graph_cache,
)
from debye.dataset.packing import pack
from debye.dataset.store.store import Store
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph

CONFIGS = {
    "default": GraphConfig(),
    "covalent": GraphConfig(radius=None),
    "nearest": GraphConfig(radius=None, covalent=False, nearest=12),
    "isolated": GraphConfig(crystal=False),
    "residues": GraphConfig(residue_radius=10.0, node_categories=(), node_scalars=()),
}
EXACT = (
    "position",
    "categories",
    "scalars",
    "residue_index",
    "entity_kind",
    "structure_index",
    "structure_scalars",
    "crystal_known",
    "edge_index",
    "edge_bond",
    "edge_mate",
    "chain_index",
    "residue_edge_index",
    "residue_edge_bond",
    "residue_edge_mate",
)


def assert_same(first: AtomGraph, second: AtomGraph) -> None:
    """Compare two graphs; vectors of mates are kept to 0.001 Å."""
    assert first.source == second.source
    assert first.config == second.config
    for name in EXACT:
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=0, atol=0)
    error = (first.edge_vector - second.edge_vector).abs().amax(dim=1)
    assert (error <= 0.000503).all()  # half of 0.001 Å, and rounding of float32
    # Coordinates have three decimals: edges within the structure are exact but for rounding at 100 Å.
    assert (error[~first.edge_mate] <= 2e-5).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_cached_graphs_equal_those_built_anew(store: Store, tmp_path: Path, name: str) -> None:
    config = CONFIGS[name]
    cache = open_graph_cache(store, "train", config, folder=tmp_path)
    builder = GraphBuilder(store, "train", config)
    assert len(cache) == len(store.entries("train"))
    for row in range(len(cache)):
        built = builder.graph(row)
        assert_same(cache.graph(row), built)
        if config.nearest is None:
            assert_same(cache.graph(row).without_crystal(), built.without_crystal())


def test_crystals_are_in_the_cache_except_where_the_index_refuses(store: Store) -> None:
    cache = open_graph_cache(store, "train", GraphConfig())
    known = {
        entry.id: bool(cache.graph(row).crystal_known)
        for row, entry in enumerate(store.entries("train"))
    }
    assert known == {"1aaa": True, "1aab": True, "1aac": True, "1aad": False}
    assert cache.graph(0).edge_mate.any()


@pytest.mark.slow
def test_processes_and_interruption_change_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_cache, "PART_ATOMS", 300)
    whole = open_graph_cache(store, "train", GraphConfig(), folder=tmp_path / "a", workers=2)
    calls = []

    def fails_late(*task: object) -> object:
        calls.append(task)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return part(*task)

    part = graph_cache.graph_part
    monkeypatch.setattr(graph_cache, "graph_part", fails_late)
    with pytest.raises(KeyboardInterrupt):
        open_graph_cache(store, "train", GraphConfig(), folder=tmp_path / "b")
    resumed = open_graph_cache(store, "train", GraphConfig(), folder=tmp_path / "b")
    n_parts = len(list(pack(((e, e.n_atoms) for e in store.entries("train")), 300)))
    assert len(calls) == 3 + n_parts - 2, "the two finished parts are not built again"
    for row in range(len(whole)):
        assert_same(whole.graph(row), resumed.graph(row))
    assert not list(tmp_path.rglob("*.npz"))


def test_a_finished_cache_is_opened_not_built(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_graph_cache(store, "train", GraphConfig(), folder=tmp_path)
    monkeypatch.setattr(graph_cache, "graph_part", None)
    again = open_graph_cache(store, "train", GraphConfig(), folder=tmp_path)
    assert again.path == first.path


def test_a_configuration_without_crystal_gets_graphs_without_mates(
    store: Store, tmp_path: Path
) -> None:
    inside = open_graph_cache(store, "train", GraphConfig(), folder=tmp_path)
    alone = open_graph_cache(store, "train", GraphConfig(crystal=False), folder=tmp_path)
    rows = range(len(inside))
    assert any(bool(inside.graph(row).edge_mate.any()) for row in rows)
    for row in rows:
        graph = alone.graph(row)
        assert not bool(graph.crystal_known.any())
        assert not bool(graph.edge_mate.any())


def test_processes_that_train_together_build_once(store: Store, tmp_path: Path) -> None:
    """Two threads stand for two ranks: each opens the lock anew, as two processes do."""
    with ThreadPoolExecutor(2) as pool:
        caches = list(
            pool.map(
                lambda _: open_graph_cache(store, "train", GraphConfig(), folder=tmp_path), range(2)
            )
        )
    assert_same(caches[0].graph(1), caches[1].graph(1))
    assert not list(tmp_path.rglob("*.npz"))


def test_key_follows_what_the_graphs_depend_on(store: Store) -> None:
    base = cache_key(store, "train", GraphConfig())
    assert base == cache_key(store, "train", GraphConfig())
    assert base != cache_key(store, "val", GraphConfig())
    assert base != cache_key(store, "train", GraphConfig(radius=5.5))


@pytest.mark.parametrize(("longest", "error"), [(32.7, 0.00051), (100.0, 0.0016)])
def test_the_longest_edge_sets_the_error(longest: float, error: float) -> None:
    vector = np.array([[0.1234567, 2.0, -3.0], [0.0, longest, 0.0]], np.float32)
    stored, unit = encode_vectors(vector)
    assert stored.dtype == np.int16
    assert np.abs(stored * unit - vector).max() < error


def test_long_edges_in_one_graph_do_not_change_the_others(store: Store, tmp_path: Path) -> None:
    config = GraphConfig(residue_radius=60.0)
    cache = open_graph_cache(store, "train", config, folder=tmp_path)
    builder = GraphBuilder(store, "train", config)
    lengths = []
    for row in range(len(cache)):
        built = builder.graph(row)
        assert_same(cache.graph(row), built)
        error = (cache.graph(row).residue_edge_vector - built.residue_edge_vector).abs().max()
        lengths.append(built.residue_edge_vector.abs().max())
        assert error <= 0.51 * max(0.001, lengths[-1] / 32_767)
    assert max(lengths) > 32.767


def test_cached_tensors_may_be_changed(store: Store) -> None:
    cache = open_graph_cache(store, "train", GraphConfig())
    cache.graph(0).position.add_(1.0)
    cache.graph(0).edge_vector.mul_(2.0)
    assert_same(cache.graph(0), GraphCache(cache.path).graph(0))
