"""Edges between residues against brute force, and how graphs are cut, hidden and disturbed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.neighbors import find_residue_edges, residue_centroids
from debye.structure.bonds import find_bonds
from debye.structure.structure import Structure

CONFIG = GraphConfig(
    radius=4.0, residue_radius=12.0, node_scalars=(), structure_scalars=("crystal_volume",)
)


def brute_force(structure: Structure, radius: float) -> list[tuple]:
    """Every pair of centroids within reach, copies in the 26 cells around included."""
    centroid = np.stack(
        [
            structure.position[structure.residue_index == residue].astype(np.float64).mean(0)
            for residue in range(structure.n_residues)
        ]
    )
    cell = np.array(structure.crystal.cell[:3]) if structure.crystal else np.zeros(3)
    shifts = np.stack(np.meshgrid(*[range(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    shifts = shifts if structure.crystal else np.zeros((1, 3), int)
    found = []
    for shift in shifts:
        for receiver, here in enumerate(centroid):
            for sender, there in enumerate(centroid):
                vector = there + shift * cell - here
                is_self = not shift.any() and sender == receiver
                if not is_self and np.linalg.norm(vector) <= radius:
                    found.append((receiver, sender, bool(shift.any()), *np.rint(vector * 50)))
    return sorted(found)


@pytest.mark.parametrize("crystal", [True, False])
def test_edges_equal_brute_force(in_crystal, crystal):
    shown = in_crystal if crystal else replace(in_crystal, crystal=None)
    edges = find_residue_edges(shown, find_bonds(shown), 12.0, in_crystal=crystal)[0]
    rows = zip(
        edges.receiver.tolist(),
        edges.sender.tolist(),
        edges.is_mate.tolist(),
        *np.rint(edges.vector.astype(np.float64) * 50).T,
        strict=True,
    )
    expected = brute_force(shown, 12.0)
    assert sorted(rows) == expected
    assert any(row[2] for row in expected) == crystal


def test_bonds_join_neighbors_in_sequence_only(peptide):
    edges, is_bonded = find_residue_edges(peptide, find_bonds(peptide), 12.0, in_crystal=False)
    apart = np.abs(edges.sender - edges.receiver)
    assert (is_bonded == (apart == 1)).all()


def test_centroids_are_means(peptide):
    first = peptide.position[peptide.residue_index == 0].mean(0)
    assert residue_centroids(peptide)[0] == pytest.approx(first, abs=1e-5)


def test_a_hidden_crystal_equals_a_graph_without_one(in_crystal):
    hidden = build_graph(in_crystal, CONFIG).without_crystal()
    isolated = build_graph(replace(in_crystal, crystal=None), CONFIG)
    assert torch.equal(hidden.residue_edge_index, isolated.residue_edge_index)
    assert torch.equal(hidden.residue_edge_vector, isolated.residue_edge_vector)
    assert torch.equal(hidden.structure_scalars, isolated.structure_scalars)


def test_one_chain_of_a_graph_equals_the_graph_of_one_chain(in_crystal):
    isolated = replace(in_crystal, crystal=None)
    whole = build_graph(isolated, CONFIG)
    keep = torch.from_numpy(in_crystal.chain == "B")
    cut = whole.subset(keep)
    alone = build_graph(isolated.take(keep.numpy()), CONFIG)
    # The bond to the other chain is gone in both; atom features know nothing of other atoms here.
    for name in ("position", "residue_index", "chain_index", "edge_index", "residue_edge_index"):
        assert torch.equal(getattr(cut, name), getattr(alone, name)), name
    assert torch.equal(cut.residue_edge_bond, alone.residue_edge_bond)
    torch.testing.assert_close(cut.residue_edge_vector, alone.residue_edge_vector)


def test_a_disturbed_graph_has_the_vectors_of_the_disturbed_structure(peptide):
    graph = build_graph(peptide, CONFIG)
    step = torch.from_numpy(
        np.random.default_rng(0).normal(0, 0.2, (len(peptide), 3)).astype(np.float32)
    )
    moved = graph.perturbed(step)
    sender, receiver = moved.edge_index
    torch.testing.assert_close(
        moved.edge_vector, moved.position[sender] - moved.position[receiver], atol=1e-4, rtol=0
    )
    centroid = torch.from_numpy(
        residue_centroids(replace(peptide, position=moved.position.numpy()))
    )
    sender, receiver = moved.residue_edge_index
    torch.testing.assert_close(
        moved.residue_edge_vector, centroid[sender] - centroid[receiver], atol=1e-4, rtol=0
    )


def test_mates_of_a_shifted_structure_move_with_it(in_crystal):
    graph = build_graph(in_crystal, CONFIG)
    moved = graph.perturbed(torch.ones(len(in_crystal), 3))
    torch.testing.assert_close(moved.edge_vector, graph.edge_vector, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        moved.residue_edge_vector, graph.residue_edge_vector, atol=1e-4, rtol=0
    )
