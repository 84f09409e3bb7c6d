"""Edges of every kind, against brute force, and what a graph must not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from debye.errors import GraphError
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph, join
from debye.structure.bonds import find_bonds
from debye.structure.structure import Crystal

FULL = GraphConfig(
    node_categories=("element", "locant", "residue", "entity_kind"),
    node_scalars=(
        "contact_number_5",
        "contact_number_10",
        "wcn",
        "crystal_contact_number_5",
        "crystal_contact_number_10",
        "crystal_wcn",
        "from_first_residue",
    ),
    structure_scalars=("resolution", "resolution_known", "crystal_known", "log_atoms"),
)


def edge_set(graph: AtomGraph) -> set[tuple]:
    vector = np.rint(graph.edge_vector.numpy() * 100).astype(int)
    rows = zip(
        *graph.edge_index.tolist(), graph.edge_mate.tolist(), *vector.T.tolist(), strict=True
    )
    return set(rows)


def test_radius_edges_equal_brute_force(peptide):
    graph = build_graph(peptide, GraphConfig(radius=4.0))
    distance = np.linalg.norm(peptide.position[:, None] - peptide.position[None], axis=-1)
    expected = (distance <= 4.0) & ~np.eye(len(peptide), dtype=bool)
    found = np.zeros_like(expected)
    found[graph.edge_index[0], graph.edge_index[1]] = True
    bonds = find_bonds(peptide)
    expected[bonds.pairs[:, 0], bonds.pairs[:, 1]] = True
    expected[bonds.pairs[:, 1], bonds.pairs[:, 0]] = True
    assert np.array_equal(found, expected)
    assert graph.n_edges == expected.sum()


def test_every_bond_is_an_edge_with_its_order_in_both_directions(peptide):
    bonds = find_bonds(peptide)
    for config in (GraphConfig(), GraphConfig(radius=None), GraphConfig(radius=1.0)):
        graph = build_graph(peptide, config)
        bonded = graph.edge_bond > 0
        found = {
            (s, r): order
            for s, r, order in zip(
                *graph.edge_index[:, bonded].tolist(), graph.edge_bond[bonded].tolist(), strict=True
            )
        }
        expected = {}
        for (i, j), order in zip(bonds.pairs.tolist(), bonds.order.tolist(), strict=True):
            expected[i, j] = expected[j, i] = order
        assert found == expected


def test_nearest_edges_come_on_top_of_radius_edges_once(peptide):
    radius = build_graph(peptide, GraphConfig(radius=4.0, covalent=False))
    nearest = build_graph(peptide, GraphConfig(radius=None, nearest=16, covalent=False))
    both = build_graph(peptide, GraphConfig(radius=4.0, nearest=16, covalent=False))
    assert edge_set(both) == edge_set(radius) | edge_set(nearest)
    assert both.n_edges == len(edge_set(both))
    assert int(torch.bincount(nearest.edge_index[1]).min()) >= 16


def test_edges_are_sorted_by_receiver_and_vectors_point_to_the_sender(in_crystal):
    graph = build_graph(in_crystal, FULL)
    assert bool((graph.edge_index[1].diff() >= 0).all())
    own = ~graph.edge_mate
    sender, receiver = graph.edge_index[:, own]
    expected = graph.position[sender] - graph.position[receiver]
    torch.testing.assert_close(graph.edge_vector[own], expected)
    assert bool(graph.edge_mate.any()), "this cell was made so that mates are near"
    pointer = graph.receiver_pointer()
    assert int(pointer[-1]) == graph.n_edges
    counted = torch.bincount(graph.edge_index[1], minlength=graph.n_atoms)
    assert torch.equal(pointer.diff(), counted)


def test_hiding_the_crystal_equals_building_without_it(in_crystal):
    hidden = build_graph(in_crystal, FULL).without_crystal()
    never = build_graph(in_crystal, FULL.model_copy(update={"crystal": False}))
    assert edge_set(hidden) == edge_set(never)
    torch.testing.assert_close(hidden.scalars, never.scalars)
    torch.testing.assert_close(hidden.structure_scalars, never.structure_scalars)
    assert not bool(hidden.crystal_known.any())


def test_mates_raise_the_crystal_features_only(in_crystal):
    graph = build_graph(in_crystal, FULL)
    names = FULL.node_scalars
    own = graph.scalars[:, names.index("contact_number_10")]
    crystal = graph.scalars[:, names.index("crystal_contact_number_10")]
    assert bool((crystal >= own).all())
    assert float(crystal.sum()) > float(own.sum())


def test_a_larger_isolated_radius_does_not_hide_the_crystal(in_crystal):
    names = ("contact_number_5", "crystal_contact_number_5", "contact_number_12")
    graph = build_graph(in_crystal, GraphConfig(node_scalars=names))
    fewer = build_graph(in_crystal, GraphConfig(node_scalars=names[:2]))
    torch.testing.assert_close(graph.scalars[:, :2], fewer.scalars)
    assert float(graph.scalars[:, 1].sum()) > float(graph.scalars[:, 0].sum())


def test_an_impossible_crystal_is_left_out(peptide):
    clashing = replace(peptide, crystal=Crystal(cell=(6, 6, 6, 90, 90, 90), space_group="P 1"))
    graph = build_graph(clashing, FULL)
    assert not bool(graph.crystal_known.any())
    assert not bool(graph.edge_mate.any())


def test_the_b_column_is_not_looked_at(in_crystal):
    hot = replace(in_crystal, b_iso=np.full(len(in_crystal), 99.0, np.float32))
    first, second = build_graph(in_crystal, FULL), build_graph(hot, FULL)
    assert torch.equal(first.scalars, second.scalars)
    assert torch.equal(first.categories, second.categories)
    assert torch.equal(first.edge_index, second.edge_index)


def test_atom_order_only_relabels(in_crystal):
    order = np.random.default_rng(3).permutation(len(in_crystal))
    graph = build_graph(in_crystal, FULL)
    shuffled = build_graph(in_crystal.take(order), FULL)
    relabelled = graph.permuted(torch.from_numpy(order))
    assert edge_set(shuffled) == edge_set(relabelled)
    assert torch.equal(shuffled.categories, relabelled.categories)
    torch.testing.assert_close(shuffled.scalars, relabelled.scalars)


def test_joined_graphs_keep_their_edges_apart(peptide, in_crystal):
    one, two = build_graph(peptide, FULL), build_graph(in_crystal, FULL)
    both = join([one, two])
    assert both.n_structures == 2
    assert both.n_edges == one.n_edges + two.n_edges
    structure_of = both.structure_index[both.edge_index]
    assert torch.equal(structure_of[0], structure_of[1])
    second = both.structure_index == 1
    assert torch.equal(both.position[second], two.position)
    assert int(both.residue_index.max()) + 1 == 2 * peptide.n_residues


def test_unsorted_edges_are_refused(peptide):
    graph = build_graph(peptide, GraphConfig())
    with pytest.raises(GraphError, match="sorted by receiver"):
        graph.keep_edges(torch.arange(graph.n_edges).flip(0))


def test_nearest_edges_cannot_be_hidden_afterwards(in_crystal):
    graph = build_graph(in_crystal, GraphConfig(nearest=8))
    with pytest.raises(GraphError, match="crystal=False"):
        graph.without_crystal()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"node_categories": ("degree_5",)}, "'degree_5' is a scalar"),
        ({"node_scalars": ("element",)}, "'element' is a category"),
        ({"node_scalars": ("degree_5", "degree_5")}, "listed 2 times"),
        ({"node_scalars": ("degre_5",)}, "Did you mean 'degree_5'"),
        ({"structure_scalars": ("temperature",)}, "no structure feature is called 'temperature'"),
    ],
)
def test_features_that_cannot_be_used_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        GraphConfig.model_validate(change)


def test_a_transfer_query_hides_crystal_and_resolution(in_crystal):
    config = FULL.model_copy(
        update={"structure_scalars": (*FULL.structure_scalars, "other_coordinates")}
    )
    graph = build_graph(in_crystal, config, resolution=1.5)
    query = graph.as_transfer_query()
    assert query.structure_scalars[0].tolist() == pytest.approx(
        [0.0, 0.0, 0.0, float(graph.structure_scalars[0, 3]), 1.0]
    )
    torch.testing.assert_close(query.scalars, graph.without_crystal().scalars)


def test_joining_different_configurations_is_refused(peptide):
    with pytest.raises(GraphError, match="different configurations"):
        join([build_graph(peptide, FULL), build_graph(peptide, GraphConfig())])


def test_no_atoms_is_a_clear_error(peptide):
    with pytest.raises(GraphError, match="no atoms"):
        build_graph(peptide.take(np.zeros(0, int)), FULL)


def test_resolution_can_be_given_and_hidden(peptide):
    graph = build_graph(peptide, FULL, resolution=1.5)
    assert graph.structure_scalars[0, :2].tolist() == [-1.0, 1.0]
    hidden = graph.without_resolution(torch.ones(1, dtype=torch.bool))
    assert hidden.structure_scalars[0, :2].tolist() == [0.0, 0.0]


def test_a_graph_without_edge_kinds_is_refused():
    with pytest.raises(ValueError, match="edge kind"):
        GraphConfig(covalent=False, radius=None)


def test_a_crystal_feature_needs_its_isolated_twin():
    with pytest.raises(ValueError, match="needs wcn"):
        GraphConfig(node_scalars=("crystal_wcn",))


def test_shapes_are_checked_while_tests_run(peptide):
    graph = build_graph(peptide, GraphConfig())
    with pytest.raises(TypeCheckError, match=r"Expected type: .*Float\[Tensor, '3 3'\]"):
        graph.moved(torch.eye(2), shift=torch.zeros(3))
