from __future__ import annotations

import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from fake_store import FakeStore

from debye.dataset.batches.augment import AugmentConfig, part_of
from debye.dataset.batches.graph_cache import GraphBuilder, open_graph_cache
from debye.dataset.batches.loader import (
    BatchSampler,
    LoaderConfig,
    choose_rows,
    graph_items,
    hides_crystal,
    make_loader,
)
from debye.dataset.store.labels import label_store
from debye.dataset.store.store import Store, StoreEntry
from debye.errors import StoreError
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph, join
from debye.structure.structure import Structure
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import TRAINING_LIMIT, Labels, LabelSource, Per, Target

SIZES = np.random.default_rng(3).integers(200, 9000, 300)


def sampler(**changes: object) -> BatchSampler:
    sharding = {k: changes.pop(k) for k in ("rank", "world_size") if k in changes}
    per_epoch = changes.pop("batches_per_epoch", None)
    config = LoaderConfig(**{"batch_atoms": 8000, **changes})
    return BatchSampler(range(300), SIZES, config, batches_per_epoch=per_epoch, **sharding)


def test_every_entry_comes_once_an_epoch_within_the_budget() -> None:
    keys = sampler().keys(4)
    rows = [row for _, group in keys for row in group]
    assert sorted(rows) == list(range(300))
    for _, group in keys:
        assert SIZES[list(group)].sum() <= 8000 or len(group) == 1


def test_batches_are_well_filled() -> None:
    assert len(sampler().keys(0)) < 1.6 * SIZES.sum() / 8000


def test_order_depends_on_seed_and_epoch_alone() -> None:
    assert sampler().keys(2) == sampler().keys(2)
    assert sampler().keys(2)[0][1] != sampler().keys(3)[0][1]
    assert sampler().keys(2)[0] != sampler(seed=2).keys(2)[0]


def test_without_shuffle_the_order_is_that_of_the_split() -> None:
    keys = sampler(shuffle=False).keys(7)
    assert [row for _, group in keys for row in group] == list(range(300))


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_an_epoch_in_equal_parts(world_size: int) -> None:
    shards = [sampler(rank=rank, world_size=world_size).keys(1) for rank in range(world_size)]
    assert len({len(shard) for shard in shards}) == 1
    rows = [row for shard in shards for _, group in shard for row in group]
    assert set(rows) == set(range(300))
    repeated = len([key for shard in shards for key in shard]) - len(sampler().keys(1))
    assert 0 <= repeated < world_size


def test_processes_of_a_step_have_batches_of_like_size() -> None:
    shards = [sampler(rank=rank, world_size=2).keys(1) for rank in range(2)]
    alone = sampler().keys(1)
    loads = [[SIZES[list(group)].sum() for _, group in shard] for shard in shards]
    slowest = np.max(loads, axis=0).mean()
    in_turn = [SIZES[list(group)].sum() for _, group in alone[: len(alone) // 2 * 2]]
    assert slowest < np.reshape(in_turn, (-1, 2)).max(axis=1).mean() - 300
    assert slowest < 1.05 * np.mean(loads)
    assert loads[0] != sorted(loads[0])
    assert 0.3 < np.greater(*loads).mean() < 0.7


def test_more_processes_than_batches() -> None:
    few = BatchSampler([5], [100], LoaderConfig(), rank=3, world_size=4)
    assert few.keys(0) == [(0, (5,))]


def test_stream_of_fixed_epochs_passes_over_all_data_and_resumes() -> None:
    chosen = sampler(batches_per_epoch=100)
    assert len(chosen) == 100
    whole = [key for epoch in range(6) for key in _epoch(chosen, epoch)]
    passes = [key for epoch in range(9) for key in sampler().keys(epoch)]
    assert whole == passes[:600]
    assert _epoch(sampler(batches_per_epoch=100), 4) == whole[400:500]


def _epoch(chosen: BatchSampler, epoch: int) -> list:
    chosen.set_epoch(epoch)
    return list(chosen)


def test_share_of_hidden_crystals() -> None:
    config = LoaderConfig(hide_crystal=0.4)
    hidden = [hides_crystal(config, epoch, row) for epoch in range(40) for row in range(100)]
    # 4000 draws: the standard deviation of the share is 0.008.
    assert np.mean(hidden) == pytest.approx(0.4, abs=0.03)
    first, second = np.array(hidden).reshape(40, 100)[:2]
    assert (first != second).any()
    assert not hides_crystal(LoaderConfig(hide_crystal=0.0), 0, 0)
    assert hides_crystal(LoaderConfig(hide_crystal=1.0), 0, 0)


def chosen_of(entries: list[StoreEntry], config: LoaderConfig) -> tuple[list[int], Counter[str]]:
    store = FakeStore({"train": entries})
    return choose_rows(store, "train", (B_FACTOR,), config)  # type: ignore[arg-type]


def test_filters_count_what_they_leave_out() -> None:
    base = StoreEntry(id="1abc", split="train", n_atoms=1000, n_usable=900)
    entries = [
        base,
        replace(base, n_usable=3),
        replace(base, n_atoms=5000),
        replace(base, representative=False),
        replace(base, columns={"near364": "1"}),
        replace(base, columns={"near364": "0"}),
    ]
    config = LoaderConfig(max_atoms=4000, representative_only=True, exclude_tags=("near364",))
    rows, left_out = chosen_of(entries, config)
    assert rows == [0, 5]
    assert left_out["tagged near364"] == 1
    assert sum(left_out.values()) == 4
    assert len(left_out) == 4
    assert chosen_of(entries, LoaderConfig())[0] == [0, 2, 3, 4, 5]


def test_older_settings_mean_the_same() -> None:
    assert LoaderConfig.model_validate({"exclude_near364": True}).exclude_tags == ("near364",)
    assert LoaderConfig.model_validate({"exclude_near364": False}) == LoaderConfig()


@pytest.fixture(scope="module")
def graphs(store: Store) -> GraphBuilder:
    return GraphBuilder(store, "train", GraphConfig())


def test_batches_hold_standardized_targets(store: Store, graphs: GraphBuilder) -> None:
    loader = make_loader(store, "train", (B_FACTOR,), graphs, LoaderConfig(batch_atoms=400))
    seen = []
    for batch in loader:
        graph, labels = batch.graph, batch.labels["b_factor"]
        assert labels.value.shape == labels.weight.shape == (graph.n_atoms,)
        assert labels.log_mean_sd.shape == (graph.n_structures, 2)
        assert labels.value.abs().max() <= TRAINING_LIMIT
        assert (labels.value[labels.weight == 0] == 0).all()
        for number, entry_id in enumerate(graph.source):
            mine = graph.structure_index == number
            b = store.values("train", store.row("train", entry_id), "b_iso")
            location, scale = labels.log_mean_sd[number].exp().tolist()
            restored = B_FACTOR.restore(labels.value[mine], location, scale)
            inside = labels.value[mine].abs() < TRAINING_LIMIT
            np.testing.assert_allclose(restored[inside], b[inside.numpy()], rtol=1e-4)
            seen.append(entry_id)
    assert sorted(seen) == [entry.id for entry in store.entries("train")]


def test_hidden_crystal_is_the_isolated_structure(store: Store, graphs: GraphBuilder) -> None:
    shown, hidden = (
        next(
            iter(
                make_loader(
                    store,
                    "train",
                    (B_FACTOR,),
                    graphs,
                    LoaderConfig(hide_crystal=share, shuffle=False),
                )
            )
        )
        for share in (0.0, 1.0)
    )
    assert shown.graph.edge_mate.any()
    assert not hidden.graph.edge_mate.any()
    torch.testing.assert_close(shown.labels["b_factor"].value, hidden.labels["b_factor"].value)


@pytest.mark.slow
def test_loading_in_other_processes_gives_the_same(store: Store) -> None:
    cache = open_graph_cache(store, "train", GraphConfig())
    batches = []
    for workers in (0, 2):
        config = LoaderConfig(batch_atoms=400, hide_crystal=0.5, workers=workers)
        loader = make_loader(store, "train", (B_FACTOR,), cache, config)
        loader.sampler.set_epoch(3)
        batches.append(list(loader))
    for here, there in zip(*batches, strict=True):
        assert here.graph.source == there.graph.source
        torch.testing.assert_close(here.labels["b_factor"].value, there.labels["b_factor"].value)
        torch.testing.assert_close(here.graph.edge_vector, there.graph.edge_vector)


def test_endless_stream_of_a_small_split(store: Store, graphs: GraphBuilder) -> None:
    loader = make_loader(store, "train", (B_FACTOR,), graphs, LoaderConfig(), batches_per_epoch=5)
    assert len(list(islice(loader, 10))) == 5


def test_batch_moves_to_a_device(store: Store, graphs: GraphBuilder) -> None:
    loader = make_loader(store, "train", (B_FACTOR,), graphs, LoaderConfig())
    moved = next(iter(loader)).to("meta")
    assert (
        moved.labels["b_factor"].value.device.type == moved.graph.edge_index.device.type == "meta"
    )


def test_nothing_left_is_an_error_with_reasons(store: Store, graphs: GraphBuilder) -> None:
    with pytest.raises(StoreError, match="4 more than 10 atoms"):
        make_loader(store, "train", (B_FACTOR,), graphs, LoaderConfig(max_atoms=10))


def test_what_is_left_out_is_logged(
    store: Store, graphs: GraphBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    config = LoaderConfig(representative_only=True)
    kept = len(choose_rows(store, "train", (B_FACTOR,), config)[0])
    assert 0 < kept < len(store.entries("train"))
    with caplog.at_level("INFO", "debye.dataset.batches.loader"):
        make_loader(store, "train", (B_FACTOR,), graphs, config)
    (record,) = caplog.records
    assert f"{kept} of 4 entries of split train are used" in record.getMessage()
    assert f"{4 - kept} not the representative of its cluster" in record.getMessage()


def test_store_travels_to_workers_as_a_path(store: Store) -> None:
    store.values("train", 0, "b_iso")
    assert len(pickle.dumps(store)) < 1000


def test_entries_are_chosen_and_held_out_by_id() -> None:
    entries = [StoreEntry(id=name, split="train", n_usable=100) for name in ("a", "b", "c")]
    rows, left_out = chosen_of(entries, LoaderConfig(only=("c", "a")))
    assert rows == [0, 2]
    assert left_out == {"not among the chosen entries": 1}
    rows, left_out = chosen_of(entries, LoaderConfig(without=("a",)))
    assert rows == [1, 2]
    assert left_out == {"held out": 1}
    assert chosen_of(entries, LoaderConfig(only=("a",), without=("a",)))[0] == []


def sizes_of(structure: Structure) -> Labels:
    return Labels.where_finite(np.bincount(structure.residue_index))


def length_of(structure: Structure) -> Labels:
    """Return the number of residues; one entry has none."""
    value = np.nan if structure.source == "1aab" else structure.n_residues
    return Labels.where_finite(np.array([value]))


def made(name: str, per: Per, compute: Callable[[Structure], Labels]) -> Target:
    source = LabelSource(name=name, compute=compute)
    return Target(name=name, unit="", summary="Made.", per=per, source=source)


SIZE = made("size", Per.RESIDUE, sizes_of).scaled(6.0, 2.0)
LENGTH = made("length", Per.STRUCTURE, length_of).scaled(30.0, 10.0)


@pytest.fixture(scope="module")
def labelled(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store with labels per residue and per structure."""
    copy = shutil.copytree(store.path, tmp_path_factory.mktemp("labelled") / "store")
    own = Store.open(copy)
    for target in (SIZE, LENGTH):
        label_store(own, target)
    return own


def test_a_batch_has_the_labels_of_each_target(labelled: Store) -> None:
    graphs = GraphBuilder(labelled, "train", GraphConfig())
    config = LoaderConfig(batch_atoms=400)
    for batch in make_loader(labelled, "train", (B_FACTOR, SIZE, LENGTH), graphs, config):
        graph = batch.graph
        assert list(batch.labels) == ["b_factor", "size", "length"]
        size = batch.labels["size"]
        assert size.weight.tolist() == [1.0] * graph.n_residues
        counts = torch.bincount(graph.residue_index).float()
        torch.testing.assert_close(SIZE.restore(size.value), counts)
        length = batch.labels["length"]
        known = [source != "1aab" for source in graph.source]
        assert length.weight.tolist() == [float(each) for each in known]
        residues = torch.bincount(graph_items(graph, Per.RESIDUE).structure_index).float()
        restored = LENGTH.restore(length.value)
        torch.testing.assert_close(restored[known], residues[known])
        assert (length.value[~torch.tensor(known)] == 0).all()
        for labels in batch.labels.values():
            assert labels.log_mean_sd.shape == (graph.n_structures, 2)
            assert labels.trust.shape == (graph.n_structures,)
        assert (size.trust == 1).all()


def test_an_entry_is_used_if_any_target_has_enough_labels(labelled: Store) -> None:
    every = list(range(len(labelled.entries("train"))))
    missing = labelled.row("train", "1aab")
    config = LoaderConfig(min_usable=50)
    assert missing not in choose_rows(labelled, "train", (LENGTH,), config)[0]
    assert choose_rows(labelled, "train", (LENGTH, B_FACTOR), config)[0] == every
    # An eighth of the bound for values per residue.
    residues = [entry.n_residues for entry in labelled.entries("train")]
    bound = 8 * sorted(residues)[1]
    rows, left_out = choose_rows(labelled, "train", (SIZE,), LoaderConfig(min_usable=bound))
    assert rows == [row for row in every if residues[row] >= sorted(residues)[1]]
    assert sum(left_out.values()) == 1


def test_a_store_without_labels_of_a_target_is_refused(store: Store, graphs: GraphBuilder) -> None:
    with pytest.raises(StoreError, match="no labels of length"):
        make_loader(store, "train", (B_FACTOR, LENGTH), graphs, LoaderConfig())


def test_a_part_of_a_structure_keeps_the_labels_of_its_residues_alone(
    labelled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_half(graph: AtomGraph, config: AugmentConfig, generator: np.random.Generator):
        keep = graph.residue_index < graph.n_residues // 2
        return part_of(graph, keep), keep

    monkeypatch.setattr("debye.dataset.batches.loader.augment", first_half)
    graphs = GraphBuilder(labelled, "train", GraphConfig())
    config = LoaderConfig(augment=AugmentConfig(nameless=0.5), min_usable=10, shuffle=False)
    batch = next(iter(make_loader(labelled, "train", (SIZE, LENGTH), graphs, config)))
    size, length = batch.labels["size"], batch.labels["length"]
    assert len(size.value) == batch.graph.n_residues
    counts = torch.bincount(batch.graph.residue_index).float()
    torch.testing.assert_close(SIZE.restore(size.value), counts)
    assert not length.weight.any(), "a value of the whole does not hold for a part"


def test_items_are_atoms_residues_or_structures(labelled: Store) -> None:
    config = GraphConfig()
    builder = GraphBuilder(labelled, "train", config)
    graph = join([builder.graph(row) for row in range(2)])
    atoms, residues, whole = (graph_items(graph, per) for per in Per)
    assert torch.equal(atoms.structure_index, graph.structure_index)
    assert len(residues.structure_index) == graph.n_residues
    for number in range(2):
        mine = graph.residue_index[graph.structure_index == number].unique()
        assert (residues.structure_index[mine] == number).all()
    assert whole.structure_index.tolist() == [0, 1]
    assert {items.n_structures for items in (atoms, residues, whole)} == {2}
    assert bool(residues.is_protein.all())
