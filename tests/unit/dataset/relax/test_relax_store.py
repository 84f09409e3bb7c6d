"""A store of relaxed models, made from another store."""

from __future__ import annotations

import shutil

import pytest
import torch
from pydantic import ValidationError

from debye.dataset.batches.graph_cache import GraphBuilder
from debye.dataset.relax import relax_store as relaxed
from debye.dataset.relax.relax_store import RelaxConfig, relax_store
from debye.dataset.store.store import Store
from debye.errors import ConfigError, StoreError, StructureError
from debye.graph.config import GraphConfig
from debye.targets.b_factor import B_FACTOR

pytestmark = pytest.mark.slow  # minimizations


CONFIG = RelaxConfig(iterations=20)


@pytest.fixture(scope="module")
def models(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return relax_store(store, tmp_path_factory.mktemp("relaxed") / "store", config=CONFIG)


def test_every_entry_with_a_large_chain_has_a_model(store, models):
    assert models.splits == store.splits
    for split in store.splits:
        found = {entry.id: entry for entry in models.entries(split)}
        failed = {failure["id"] for failure in models.failures if failure["split"] == split}
        assert {entry.id for entry in store.entries(split)} == found.keys() | failed
        assert not found.keys() & failed
        for entry in store.entries(split):
            if entry.id in found:
                model = found[entry.id]
                assert model.is_predicted
                assert (model.cluster, model.resolution, model.crystal) == (
                    entry.cluster,
                    None,
                    None,
                )
    assert all("no protein chain of at most" in failure["reason"] for failure in models.failures)
    assert models.manifest["relaxed"]["store"] == store.digest


def test_values_are_those_of_the_crystal(store, models):
    for row, entry in enumerate(models.entries("train")):
        own = store.structure("train", store.row("train", entry.id))
        usable = store.labels("train", store.row("train", entry.id), B_FACTOR).usable
        deposited = {
            (chain, number, name): b
            for chain, number, name, b, used in zip(
                own.chain.tolist(),
                own.residue_number.tolist(),
                own.atom_name.tolist(),
                own.b_iso.tolist(),
                usable.tolist(),
                strict=True,
            )
            if used
        }
        model = models.structure("train", row)
        has_value = models.labels("train", row, B_FACTOR).usable
        named = list(
            zip(
                model.chain.tolist(),
                model.residue_number.tolist(),
                model.atom_name.tolist(),
                strict=True,
            )
        )
        assert [key in deposited for key in named] == has_value.tolist()
        assert [deposited[key] for key in named if key in deposited] == model.b_iso[
            has_value
        ].tolist()
        assert entry.n_usable == has_value.sum()


def test_graphs_are_marked_as_not_from_a_crystal(models):
    config = GraphConfig(structure_scalars=("other_coordinates", "resolution_known"))
    graph = GraphBuilder(models, "train", config).graph(0)
    assert graph.structure_scalars.tolist() == [[1.0, 0.0]]
    assert not bool(graph.crystal_known.any())
    assert not bool(torch.isnan(graph.position).any())


def test_a_share_of_the_entries_is_drawn_one_by_one(store, models, tmp_path):
    half = relax_store(store, tmp_path / "half", config=CONFIG.model_copy(update={"share": 0.5}))
    listed = {entry.id for split in models.splits for entry in models.entries(split)}
    drawn = {entry.id for split in half.splits for entry in half.entries(split)}
    assert set() < drawn < listed
    for split in half.splits:
        for entry in half.entries(split):
            row = models.row(split, entry.id)
            assert entry.digest == models.entries(split)[row].digest


def test_held_and_free_are_drawn_by_entry(store, models, tmp_path):
    noise = {
        entry.id: float(entry.columns["relaxed_noise"])
        for split in models.splits
        for entry in models.entries(split)
    }
    assert {value == 0 for value in noise.values()} == {True, False}
    assert all(value == 0 or 0.1 <= value <= 0.4 for value in noise.values())
    held = relax_store(
        store, tmp_path / "held", splits=["val"], config=CONFIG.model_copy(update={"held": 1.0})
    )
    assert held.splits == ("val",)
    assert {entry.columns["relaxed_noise"] for entry in held.entries("val")} == {"0.000"}


def test_a_stopped_run_resumes(store, models, tmp_path, monkeypatch):
    out = tmp_path / "store"
    monkeypatch.setattr(relaxed, "PART_ENTRIES", 2)
    done: list[int] = []

    def stop(count: int, total: int) -> None:
        done.append(count)
        if count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relax_store(store, out, config=CONFIG, progress=stop)
    assert not (out / "manifest.json").exists()
    done.clear()
    finished = relax_store(store, out, config=CONFIG, progress=lambda count, _: done.append(count))
    assert done[0] == 2
    assert finished.digest == models.digest
    assert not list(out.glob("parts-*"))


def test_a_finished_store_is_kept_or_refused(store, models, tmp_path):
    out = tmp_path / "store"
    shutil.copytree(models.path, out)
    assert relax_store(store, out, config=CONFIG).digest == models.digest
    with pytest.raises(StoreError, match="--overwrite"):
        relax_store(store, out, config=CONFIG.model_copy(update={"seed": 2}))


def test_a_share_that_draws_nothing_is_refused(store, tmp_path):
    with pytest.raises(StoreError, match="no entry of train, val is drawn"):
        relax_store(store, tmp_path / "s", config=CONFIG.model_copy(update={"share": 1e-9}))


def test_noise_is_halved_where_an_amino_acid_turns_over(store, models, tmp_path, monkeypatch):
    tries: list[float] = []

    def count(structure):
        # Asked of every model, then of its chain: the first two models have one more.
        tries.append(0.0)
        return [0] if len(tries) in (1, 3) else []

    monkeypatch.setattr(relaxed, "inverted_residues", count)
    free = CONFIG.model_copy(update={"held": 0.0})
    row = next(row for row, entry in enumerate(store.entries("train")) if entry.id == "1aab")
    entry, _ = relaxed.relaxed_entry(store, "train", row, free)
    assert len(tries) == 6
    assert 0.1 / 4 <= float(entry.columns["relaxed_noise"]) <= 0.4 / 4
    monkeypatch.setattr(
        relaxed, "inverted_residues", lambda structure: [0] * structure.entry.is_predicted
    )
    with pytest.raises(StructureError, match="is inverted in every relaxation"):
        relaxed.relaxed_entry(store, "train", row, free)


def test_an_unknown_split_is_named(store, tmp_path):
    with pytest.raises(StoreError, match="no split is called 'moon'"):
        relax_store(store, tmp_path / "store", splits=["moon"], config=CONFIG)
    assert not (tmp_path / "store").exists()


def test_a_range_of_noise_has_a_lower_and_an_upper_end():
    with pytest.raises(ValidationError, match="least_noise"):
        RelaxConfig(least_noise=0.5, noise=0.2)


def test_without_the_extra_it_says_how_to_get_it(store, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="openmm and pdbfixer cannot be imported"):
        relax_store(store, tmp_path / "store")
