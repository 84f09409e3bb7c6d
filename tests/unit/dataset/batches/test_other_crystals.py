"""Chains that are asked for as another crystal, or another copy in the same one, has them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from homologs import protein, random_sequence, relative, write_entry

from debye.dataset.batches.augment import AugmentConfig, draw_other_crystal, rows_by_cluster
from debye.dataset.batches.graph_cache import GraphBuilder
from debye.dataset.batches.loader import LoaderConfig, make_loader
from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.graph.config import GraphConfig
from debye.structure.structure import Structure
from debye.targets.b_factor import B_FACTOR, relative_trust
from debye.targets.target import LabelSource, Per, Target

SEQUENCE = random_sequence(31)
ENTRIES: dict[str, tuple[str, Structure]] = {
    # Two copies in one crystal, a third in another, where it lacks its first residues.
    "1two": ("same", protein("1two", SEQUENCE, SEQUENCE, resolution=2.0)),
    "1one": ("same", protein("1one", SEQUENCE[5:], resolution=1.2)),
    # In the same cluster, but less than 90 % identical.
    "1kin": ("same", protein("1kin", relative(SEQUENCE, 32, changed=0.5))),
    "1odd": ("other", protein("1odd", random_sequence(33))),
    # No cluster says nothing about kinship.
    "1lon": ("", protein("1lon", SEQUENCE)),
}
ROW = {name: row for row, name in enumerate(sorted(ENTRIES))}
FACTS = ("resolution", "resolution_known", "crystal_known", "log_atoms", "other_coordinates")


@pytest.fixture(scope="module")
def homologs_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("homologs")
    with open(folder / "index.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "split", "cluster", "has_crystal"])
        writer.writeheader()
        for name, (cluster, structure) in ENTRIES.items():
            write_entry(folder / "structures", structure)
            row = {"id": name, "split": "train", "cluster": cluster, "has_crystal": 1}
            writer.writerow(row)
    return build_store(folder / "index.csv", folder / "structures", folder / "store")


def draws(store: Store, name: str, times: int = 30):
    clusters = rows_by_cluster(store.entries("train"), range(len(ENTRIES)))
    cluster = clusters.get(ENTRIES[name][0], [])
    return [
        draw_other_crystal(
            store,
            "train",
            ROW[name],
            cluster=cluster,
            generator=np.random.default_rng(seed),
        )
        for seed in range(times)
    ]


def test_copies_are_those_of_one_protein(homologs_store):
    rows = {name: {found.row for found in draws(homologs_store, name) if found} for name in ENTRIES}
    assert rows["1two"] == {ROW["1two"], ROW["1one"]}
    assert rows["1one"] == {ROW["1two"]}
    assert rows["1kin"] == rows["1odd"] == rows["1lon"] == set()


def test_values_are_those_of_the_other_copy(homologs_store):
    shown = ENTRIES["1two"][1]
    partner = ENTRIES["1one"][1]
    deposited = {
        (int(number), str(atom)): float(b)
        for number, atom, b in zip(
            partner.residue_index + 5, partner.atom_name, partner.b_iso, strict=True
        )
    }
    found = next(
        found for found in draws(homologs_store, "1two") if found and found.row == ROW["1one"]
    )
    (chain,) = set(shown.chain[found.keep])
    residue = shown.residue_index - shown.residue_index[shown.chain == chain].min()
    labels = found.labels(homologs_store, "train", B_FACTOR)
    rows = np.flatnonzero(found.keep)
    assert len(labels.value) == len(labels.usable) == len(rows)
    assert set(residue[rows[labels.usable]]) == set(range(5, len(SEQUENCE)))
    for row, value in zip(rows[labels.usable], labels.value[labels.usable], strict=True):
        wanted = deposited[int(residue[row]), str(shown.atom_name[row])]
        assert value == pytest.approx(wanted, abs=0.006)


def test_an_entrys_own_copy_is_the_other_chain(homologs_store):
    shown = ENTRIES["1two"][1]
    found = next(
        found for found in draws(homologs_store, "1two") if found and found.row == ROW["1two"]
    )
    (chain,) = set(shown.chain[found.keep])
    other = shown.chain != chain
    labels = found.labels(homologs_store, "train", B_FACTOR)
    np.testing.assert_allclose(labels.value, shown.b_iso[other], atol=0.006)


def test_only_values_of_atoms_come_from_another_copy(homologs_store):
    found = next(found for found in draws(homologs_store, "1two") if found)
    source = LabelSource(name="size")
    for per in (Per.RESIDUE, Per.STRUCTURE):
        target = Target(name="size", unit="", summary="Made.", per=per, source=source)
        assert not found.labels(homologs_store, "train", target).usable.any()


def load(store: Store, name: str, **filters):
    """Return the batches of one entry in 20 epochs."""
    config = LoaderConfig(augment=AugmentConfig(other_crystal=1.0), **filters)
    graphs = GraphBuilder(store, "train", GraphConfig(structure_scalars=FACTS))
    batches = make_loader(store, "train", (B_FACTOR,), graphs, config).dataset
    return [batches[epoch, (ROW[name],)] for epoch in range(20)]


@pytest.mark.slow
def test_a_sample_looks_like_a_predicted_model(homologs_store):
    batches = load(homologs_store, "1two")
    # The others drew 1kin, which is another protein.
    shown = [batch for batch in batches if batch.graph.structure_scalars[0, -1] == 1]
    assert 0 < len(shown) < len(batches)
    whole = ENTRIES["1two"][1]
    chains = {name: whole.position[whole.chain == name] for name in ("A", "B")}
    for batch in shown:
        position = batch.graph.position.numpy()
        assert any(np.allclose(position, chain, atol=0.002) for chain in chains.values())
        assert batch.graph.n_chains == 1
        assert not batch.graph.crystal_known.any()
        facts = dict(zip(FACTS, batch.graph.structure_scalars[0].tolist(), strict=True))
        assert facts.pop("log_atoms") == pytest.approx(np.log10(batch.graph.n_atoms) - 3.5)
        assert facts == {
            "resolution": 0,
            "resolution_known": 0,
            "crystal_known": 0,
            "other_coordinates": 1,
        }
        # Trust is that in the crystal which was asked: its own, at 2.0 Å, or 1one, at 1.2 Å, which lacks residues.
        labels = batch.labels["b_factor"]
        is_own = bool(labels.weight.all())
        assert labels.trust.item() == pytest.approx(
            relative_trust(2.0 if is_own else 1.2), abs=0.001
        )
        deposited = ENTRIES["1two" if is_own else "1one"][1]
        if is_own:
            mine = int(not np.allclose(position, chains["A"], atol=0.002))
            deposited = deposited.take(deposited.chain != "AB"[mine])
        told = labels.weight.numpy() > 0
        assert np.corrcoef(labels.value[told], deposited.b_iso)[0, 1] > 0.999


def test_what_has_no_copy_is_shown_as_it_is(homologs_store):
    for batch in load(homologs_store, "1odd"):
        assert batch.graph.crystal_known.all()
        assert batch.graph.structure_scalars[0, -1] == 0
        assert batch.labels["b_factor"].weight.all()


def test_entries_that_are_held_out_are_not_asked(homologs_store):
    shown = load(homologs_store, "1one", without=("1two",))
    assert all(batch.graph.structure_scalars[0, -1] == 0 for batch in shown)


@pytest.mark.slow
def test_samples_depend_on_the_epoch_alone(homologs_store):
    for one, two in zip(load(homologs_store, "1two"), load(homologs_store, "1two"), strict=True):
        assert torch.equal(one.labels["b_factor"].value, two.labels["b_factor"].value)
        assert torch.equal(one.graph.position, two.graph.position)
