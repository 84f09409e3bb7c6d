"""What is special about Waller: rigid bodies, tables of edges, and what it may not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.neighbors import residue_centroids
from debye.models import waller
from debye.models.baselines.elastic_network import gaussian_network
from debye.models.layers import connectivity
from debye.models.layers.connectivity import Grouping
from debye.models.layers.encoders import TABLE_STEP
from debye.models.layers.rigid_body import BODY_SIZE, FARTHEST, LARGEST_STATE, RigidBody
from debye.models.waller import Waller, WallerConfig
from debye.targets.b_factor import B_FACTOR


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Waller(WallerConfig(), (B_FACTOR,)).eval()


def test_a_rigid_body_is_a_quadratic_function_of_position():
    torch.manual_seed(0)
    body = RigidBody(4, 2)
    state, place = torch.randn(6, 4), torch.randn(6, 3) * BODY_SIZE / 2
    bodies = Grouping.of(torch.tensor([0, 0, 0, 0, 1, 1]), 2)
    found = body(state, place, bodies)
    assert found.shape == (6, body.outputs)
    s, y = body.weights(state)[:4], place[:4] / BODY_SIZE
    constant = s.mean(0)
    vector = (s[:, :, None] * y[:, None, :]).mean(0)
    matrix = torch.einsum("ps,pa,pb->sab", s, y, y) / 4
    expected = torch.cat(
        [
            constant.expand(4, 2),
            y @ vector.T,
            torch.einsum("pa,sab,pb->ps", y, matrix, y),
        ],
        dim=1,
    )
    torch.testing.assert_close(found[:4], expected)


@pytest.mark.parametrize(("state", "place"), [(1e6, 1.0), (1.0, 1e4)])
def test_what_a_rigid_body_feeds_back_is_bounded(state, place):
    body = RigidBody(4, 2)
    torch.manual_seed(0)
    usual = 3 * torch.randn(6, 4), BODY_SIZE * torch.randn(6, 3)
    bodies = Grouping.of(torch.tensor([0, 0, 0, 0, 1, 1]), 2)
    far = body(state * usual[0], place * usual[1], bodies).abs().max()
    largest = (
        LARGEST_STATE * 4**0.5 * body.weights.weight.norm(dim=1).max()
        + body.weights.bias.abs().max()
    )
    assert far <= largest * FARTHEST**4


def test_edges_from_a_table_are_those_computed(model, peptide):
    graph = build_graph(peptide, model.graph_config)
    encoder = model.atom_edges
    with torch.no_grad():
        exact = encoder(graph)
        assert exact.row is None
        with torch.autocast("cpu", torch.bfloat16):
            tabled = encoder(graph)
    assert tabled.row is not None
    found = tabled.value.float()[tabled.row]
    # bfloat16 keeps 8 bits of numbers near 1; half a step changes a Gaussian of 0.33 Å by as much.
    assert (found - exact.value).abs().max() < 0.05
    assert (found - exact.value).abs().mean() < 0.004
    assert len(tabled.value) < 20_000 * 0.004 / TABLE_STEP


def test_long_bonds_have_a_row_of_their_own_length(model, peptide):
    graph = build_graph(peptide, model.graph_config)
    far = replace(
        graph,
        edge_vector=graph.edge_vector[:1] * 0 + torch.tensor([[40.0, 0, 0]]),
        edge_index=graph.edge_index[:, :1],
        edge_bond=torch.ones(1, dtype=torch.long),
        edge_mate=torch.zeros(1, dtype=torch.bool),
    )
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        tabled = model.atom_edges(far)
        exact = model.atom_edges.describe(torch.tensor([40.0]), torch.ones(1, dtype=torch.long))
    torch.testing.assert_close(tabled.value[tabled.row], exact, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("vectors", [0, 4])
def test_residue_edges_with_lengths_from_a_table_are_those_computed(vectors, monkeypatch):
    torch.manual_seed(3)
    encoder = Waller(WallerConfig(vectors=vectors), (B_FACTOR,)).residue_edges
    vector = torch.cat([torch.randn(500, 3) * 8.0, torch.tensor([[40.0, 0, 0]])])  # Å
    edges = (
        vector,
        torch.arange(501) % 5 == 0,
        torch.arange(501) % 5 == 1,
        *torch.randn(2, 501, 3 * vectors),
    )
    with torch.no_grad():
        exact = encoder.describe(*edges)
        monkeypatch.setattr(waller, "_uses_tables", lambda length: True)
        tabled = encoder.describe(*edges)
    assert not torch.equal(tabled, exact)
    # Half a step, on the flank of a Gaussian whose width is 250 steps.
    torch.testing.assert_close(tabled, exact, atol=0.002, rtol=0)
    assert exact.abs().mean() > 0.03


def test_elastic_motion_is_that_of_a_gaussian_network_of_the_residues(in_crystal):
    torch.manual_seed(0)
    model = Waller(WallerConfig(elastic=True), (B_FACTOR,)).eval()
    graph = build_graph(in_crystal, model.graph_config)
    hidden = graph.without_crystal()
    seen = []
    model.pool.register_forward_hook(lambda module, known, result: seen.append(known[0][:, -1]))
    with torch.no_grad():
        model(hidden)
        model(graph)
    alone = gaussian_network(residue_centroids(in_crystal), waller.ELASTIC_CUTOFF)
    np.testing.assert_allclose(seen[0], np.log(alone), atol=1e-4)
    assert seen[1].mean() < seen[0].mean()  # neighbors in the crystal hold


def test_an_elastic_network_needs_edges_between_residues():
    with pytest.raises(ValueError, match=r"residue_radius of at least 12"):
        WallerConfig(elastic=True, graph=GraphConfig(residue_radius=8.0))


def test_mates_at_both_levels_matter(model, in_crystal):
    graph = build_graph(in_crystal, model.graph_config)
    with torch.no_grad():
        whole = model(graph).first.value
        no_atoms = model(graph.keep_edges(~graph.edge_mate)).first.value
        no_residues = model(graph.keep_residue_edges(~graph.residue_edge_mate)).first.value
    assert (whole - no_atoms).abs().max() > 1e-4
    assert (whole - no_residues).abs().max() > 1e-4


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("mates", "deaf"), [("residues", "keep_edges"), ("atoms", "keep_residue_edges")]
)
def test_mates_may_be_heard_at_one_level_only(in_crystal, mates, deaf, half):
    torch.manual_seed(0)
    model = Waller(WallerConfig(mates=mates), (B_FACTOR,)).eval()
    graph = build_graph(in_crystal, model.graph_config)
    is_mate = graph.edge_mate if deaf == "keep_edges" else graph.residue_edge_mate
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        shown = model(graph).first.value
        without = model(getattr(graph, deaf)(~is_mate)).first.value
        alone = model(graph.without_crystal()).first.value
    torch.testing.assert_close(shown, without)
    assert (shown - alone).abs().max() > 1e-4


@pytest.mark.parametrize("half", [False, True])
def test_pieces_predict_what_the_whole_does(model, in_crystal, monkeypatch, half):
    graph = build_graph(in_crystal, model.graph_config)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        whole = model(graph)
        monkeypatch.setattr(connectivity, "PIECE_EDGES", 300)
        monkeypatch.setattr(waller, "PIECE_EDGES", 300)
        pieces = model(graph)
    torch.testing.assert_close(pieces.first.value, whole.first.value)


def test_features_may_be_left_out(peptide):
    config = WallerConfig(
        graph={"residue_radius": 10.0, "node_scalars": (), "structure_scalars": ()},
        vectors=0,
        rigid_terms=0,
    )
    output = Waller(config, (B_FACTOR,))(build_graph(peptide, config.graph))
    assert bool(torch.isfinite(output.first.value).all())


def test_a_mean_and_sd_that_no_crystal_has_are_replaced(model, peptide):
    graph = build_graph(peptide, model.graph_config)
    last = model.heads["b_factor"].structure[-1]
    lowest, usual, _ = B_FACTOR.log_mean_sd_range
    with torch.no_grad():
        for bias in (1e6, -1e6, float("nan")):
            last.bias.fill_(bias)
            assert model(graph).first.log_mean_sd[0].tolist() == pytest.approx(usual)
        last.weight.zero_()
        last.bias.copy_(torch.tensor([3.5, 2.0]))
        assert model(graph).first.log_mean_sd[0].tolist() == pytest.approx([3.5, 2.0])
        last.bias.fill_(-1e6)
        assert model.train()(graph).first.log_mean_sd[0, 0] < lowest[0]
