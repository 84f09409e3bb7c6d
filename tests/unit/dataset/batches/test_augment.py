"""What training hides and disturbs: as often as asked, nothing else, the same each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from debye.dataset.batches import augment as module
from debye.dataset.batches.augment import AugmentConfig, augment
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.models.catalog import model_config
from debye.structure.structure import Crystal, EntityKind
from debye.training.config import read_recipe

CONFIG = GraphConfig(
    radius=4.0, residue_radius=10.0, node_categories=("element", "locant", "residue")
)


@pytest.fixture
def graph(peptide, monkeypatch):
    """Two chains, the last residue a ligand."""
    monkeypatch.setattr(module, "FEWEST_ATOMS", 10)
    chain = np.where(peptide.residue_index < 6, "A", "B")
    kind = np.where(peptide.residue_index == 12, EntityKind.LIGAND, EntityKind.PROTEIN)
    shown = replace(
        peptide, chain=chain, chain_label=chain.copy(), entity_kind=kind.astype(np.int8)
    )
    return build_graph(shown, CONFIG)


def run(graph, seed=0, **settings):
    return augment(graph, AugmentConfig(**settings), np.random.default_rng(seed))


def test_nothing_asked_nothing_done(graph):
    shown, keep = run(graph)
    assert keep.all()
    assert shown is graph


def test_one_chain_is_left(graph):
    left = set()
    for seed in range(20):
        shown, keep = run(graph, seed, one_chain=1.0)
        assert shown.n_chains == 1
        assert shown.n_atoms == int(keep.sum())
        assert torch.equal(shown.position, graph.position[keep])
        left.add(int(graph.chain_index[keep][0]))
    assert left == {0, 1}


def test_ligands_leave(graph):
    shown, keep = run(graph, no_ligands=1.0)
    assert torch.equal(keep, graph.entity_kind == EntityKind.PROTEIN)
    assert (shown.entity_kind == EntityKind.PROTEIN).all()


def test_in_a_crystal_nothing_leaves(graph, peptide):
    extent = np.ptp(peptide.position, axis=0) + 3.0
    crystal = Crystal(cell=(*map(float, extent), 90.0, 90.0, 90.0), space_group="P 1")
    inside = build_graph(replace(peptide, crystal=crystal), CONFIG)
    assert bool(inside.crystal_known.all())
    _, keep = run(inside, one_chain=1.0, no_ligands=1.0)
    assert keep.all()


def test_noise_has_the_size_that_was_drawn(graph):
    sizes = []
    for seed in range(40):
        shown, _ = run(graph, seed, noise=0.4, noisy=1.0)
        sizes.append(float((shown.position - graph.position).std()))
    assert min(sizes) > 0.0
    assert max(sizes) < 0.5
    assert np.mean(sizes) == pytest.approx(0.2, abs=0.06)
    untouched = [run(graph, seed, noise=0.4, noisy=0.5)[0] is graph for seed in range(40)]
    assert 8 < sum(untouched) < 32


def test_hidden_names_become_other_residue_by_residue(graph):
    shown, _ = run(graph, nameless=0.5)
    names = graph.config.node_categories
    residue = shown.categories[:, names.index("residue")]
    hidden = residue == 0
    assert 0 < int(hidden.sum()) < len(hidden)
    for number in range(graph.n_residues):
        assert len(set(hidden[graph.residue_index == number].tolist())) == 1
    locant = shown.categories[:, names.index("locant")]
    changed = locant != graph.categories[:, names.index("locant")]
    assert not (changed & ~hidden).any(), "atom names go only where the residue's name went"
    element = names.index("element")
    assert torch.equal(shown.categories[:, element], graph.categories[:, element])


def test_the_same_seed_gives_the_same(graph):
    settings = {"noise": 0.3, "noisy": 1.0, "one_chain": 0.5, "nameless": 0.3}
    one, two = run(graph, 3, **settings)[0], run(graph, 3, **settings)[0]
    assert torch.equal(one.position, two.position)
    assert torch.equal(one.categories, two.categories)


def test_what_is_left_is_described_as_if_nothing_else_had_been_there(peptide, monkeypatch):
    """With the features of the released model: counts of bonds and atoms are those of the part."""
    monkeypatch.setattr(module, "FEWEST_ATOMS", 10)
    recipe = read_recipe(Path(__file__).parents[4] / "recipes" / "waller.toml")
    config = model_config(recipe.model, recipe.settings).graph
    chain = np.where(peptide.residue_index < 6, "A", "B")
    isolated = replace(peptide, chain=chain, chain_label=chain.copy())
    shown, keep = run(build_graph(isolated, config), one_chain=1.0)
    alone = build_graph(isolated.take(keep.numpy()), config)
    for name in ("categories", "structure_scalars", "edge_bond", "residue_edge_bond"):
        assert torch.equal(getattr(shown, name), getattr(alone, name)), name
