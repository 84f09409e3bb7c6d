"""Convolutional models: what each convolution does with edges, multiple ones and those from mates."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module

import pytest
import torch

from debye.errors import ConfigError
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.models.catalog import CATALOG, build_model, find_model
from debye.models.convolutional.base import (
    START_SCALE,
    ConvolutionalModel,
    EdgeConvolutionalModel,
    subgraphs,
)
from debye.models.convolutional.convolutions import EGNN, displaced_vectors

CONVOLUTIONAL = [name for name, card in CATALOG.items() if ".convolutional." in card.module]
MEANS = {"graphsage", "gatv2", "graph_transformer", "nnconv"}
"""An average over the neighbors does not notice if every edge is there twice."""


@pytest.fixture(params=CONVOLUTIONAL)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def graph(in_crystal) -> AtomGraph:
    graph = build_graph(in_crystal, GraphConfig(radius=4.0))
    assert bool(graph.edge_mate.any())
    return graph


def small(name: str, seed: int = 0) -> ConvolutionalModel:
    torch.manual_seed(seed)
    model = build_model(name, {"layers": 2, "width": 16})
    assert isinstance(model, ConvolutionalModel)
    with torch.no_grad():
        # Untrained models start nearly flat: effects would be too small to be told from rounding.
        for last in (*model.updates, model.heads["b_factor"].atom[-1]):
            last.weight *= 2.0 / START_SCALE
    return model.eval()


def profile(model: ConvolutionalModel, graph: AtomGraph) -> torch.Tensor:
    with torch.no_grad():
        return model(graph).first.value


def with_edge(graph: AtomGraph, sender: int, receiver: int, *, mate: bool) -> AtomGraph:
    """Add one edge of 3 Å."""
    edges = torch.cat([graph.edge_index, torch.tensor([[sender], [receiver]])], dim=1)
    order = torch.argsort(edges[1], stable=True)
    return replace(
        graph,
        edge_index=edges[:, order],
        edge_vector=torch.cat([graph.edge_vector, torch.tensor([[0.0, 0.0, 3.0]])])[order],
        edge_bond=torch.cat([graph.edge_bond, torch.zeros(1, dtype=torch.long)])[order],
        edge_mate=torch.cat([graph.edge_mate, torch.tensor([mate])])[order],
    )


def doubled(graph: AtomGraph) -> AtomGraph:
    twice = torch.arange(graph.n_edges).repeat_interleave(2)
    return replace(
        graph,
        edge_index=graph.edge_index[:, twice],
        edge_vector=graph.edge_vector[twice],
        edge_bond=graph.edge_bond[twice],
        edge_mate=graph.edge_mate[twice],
    )


def test_the_catalog_says_what_a_convolution_can_use(name):
    model = small(name)
    assert find_model(name).edge_features == isinstance(model, EdgeConvolutionalModel)
    assert find_model(name).vectors == isinstance(model, EGNN)
    assert ("edges" in model.encoders) == find_model(name).edge_features


@pytest.mark.parametrize("what", ["edge_vector", "edge_bond", "edge_mate"])
def test_edge_features_count_where_they_can(name, graph, what):
    changes = {
        "edge_vector": 0.8 * graph.edge_vector,
        "edge_bond": (graph.edge_bond + 1) % 5,
        "edge_mate": ~graph.edge_mate,
    }
    model = small(name)
    before, after = (
        profile(model, each) for each in (graph, replace(graph, **{what: changes[what]}))
    )
    if find_model(name).edge_features:
        assert (before - after).abs().max() > 1e-5
    else:
        assert torch.equal(before, after)


def test_directions_count_where_they_can(name, graph):
    """Each edge turns on its own and keeps its length."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(graph.edge_vector.shape, generator=generator)
    direction *= (graph.edge_vector.norm(dim=1) / direction.norm(dim=1))[:, None]
    model = small(name)
    if isinstance(model, EGNN):
        push_harder(model)
    before, after = (
        profile(model, each) for each in (graph, replace(graph, edge_vector=direction))
    )
    change = (before - after).abs().max()
    assert change > 1e-4 if find_model(name).vectors else change < 2e-5


def test_positions_do_not_count_beside_edge_vectors(name, graph):
    model = small(name)
    elsewhere = replace(graph, position=torch.randn_like(graph.position))
    assert torch.equal(profile(model, graph), profile(model, elsewhere))


@pytest.mark.parametrize("mate", [False, True])
def test_a_second_edge_between_a_pair_counts(name, graph, mate):
    sender, receiver = graph.edge_index[:, 40].tolist()
    more = with_edge(graph, sender, receiver, mate=mate)
    model = small(name)
    assert (profile(model, graph) - profile(model, more))[receiver].abs() > 1e-4


def test_an_edge_from_an_atoms_own_mate_counts(name, graph):
    """Libraries take an edge from an atom to itself for a self loop, and may replace it by theirs."""
    model = small(name)
    once = with_edge(graph, 7, 7, mate=True)
    twice = with_edge(once, 7, 7, mate=True)
    found = [profile(model, each)[7] for each in (graph, once, twice)]
    assert (found[0] - found[1]).abs() > 1e-4
    assert (found[1] - found[2]).abs() > 1e-4


def test_only_means_do_not_notice_that_every_edge_is_there_twice(name, graph):
    model = small(name)
    change = (profile(model, graph) - profile(model, doubled(graph))).abs().max()
    assert change < 2e-5 if name in MEANS else change > 1e-3


@pytest.mark.parametrize("largest", [1, 50])
def test_pieces_equal_the_whole(name, graph, largest):
    model = small(name)
    if isinstance(model, EGNN):
        push_harder(model)
    whole = profile(model, graph)
    model.edge_chunk = largest
    torch.testing.assert_close(profile(model, graph), whole, atol=5e-5, rtol=0)


def test_mixed_precision_trains(name, graph):
    model = small(name).train()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(graph)
    assert output.first.value.dtype == torch.float32
    (output.first.value.square().sum() + output.first.log_mean_sd.square().sum()).backward()
    assert all(
        bool(torch.isfinite(each.grad).all())
        for each in model.parameters()
        if each.grad is not None
    )


def test_gcn_is_its_equation(graph):
    """Against a dense matrix of the number of edges between each pair."""
    model = small("gcn")
    more = with_edge(with_edge(graph, 7, 7, mate=True), 3, 9, mate=True)
    counts = torch.zeros(more.n_atoms, more.n_atoms)
    counts.index_put_(
        (more.edge_index[1], more.edge_index[0]), torch.ones(more.n_edges), accumulate=True
    )
    counts += torch.eye(more.n_atoms)
    scale = counts.sum(1).rsqrt()
    nodes = torch.randn(more.n_atoms, 16)
    convolution = model.convolutions[0]
    expected = (
        scale[:, None] * (counts @ (scale[:, None] * convolution.lin(nodes))) + convolution.bias
    )
    found = model.convolve(convolution, nodes, subgraphs(more, None, 10**9)[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def push_harder(model: EGNN) -> None:
    """Undo the small steps at the start, so that displacements matter."""
    with torch.no_grad():
        for convolution in model.convolutions[:-1]:
            convolution.shift[-1].weight *= 10_000.0


def test_egnn_is_equivariant(graph):
    """What atoms make of their messages is invariant; how far they are displaced turns with the molecule."""
    model = small("egnn")
    push_harder(model)
    rotation = torch.linalg.qr(torch.randn(3, 3)).Q
    nodes = torch.randn(graph.n_atoms, 16)
    features = model.describe_edges(graph)
    found = [
        model.convolutions[0](nodes, graph.edge_index, vector, features)
        for vector in (graph.edge_vector, graph.edge_vector @ rotation.T)
    ]
    (made, shift), (made_turned, shift_turned) = found
    assert shift.abs().max() > 0.01
    torch.testing.assert_close(made, made_turned, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(shift @ rotation.T, shift_turned, atol=1e-4, rtol=1e-4)


def test_egnn_leaves_mates_where_they_are(graph):
    displaced = torch.randn_like(graph.position)
    piece = subgraphs(graph, None, 10**9)[0]
    moved = displaced_vectors(piece, displaced)
    sender, receiver = graph.edge_index
    inside = ~graph.edge_mate
    between = (graph.position + displaced)[sender] - (graph.position + displaced)[receiver]
    torch.testing.assert_close(moved[inside], between[inside], atol=1e-4, rtol=0)
    expected = (graph.edge_vector - displaced[receiver])[graph.edge_mate]
    torch.testing.assert_close(moved[graph.edge_mate], expected)


def test_schnet_sees_nothing_beyond_its_reach(graph):
    """The cosine of the library would rise again."""
    model = small("schnet")
    longer = []
    for factor in (4.5, 6.0):
        vector = graph.edge_vector.clone()
        vector[3] *= factor / vector[3].norm()
        longer.append(profile(model, replace(graph, edge_vector=vector)))
    assert torch.equal(*longer)
    assert (longer[0] - profile(model, graph)).abs().max() > 1e-6


@pytest.mark.parametrize("name", ["gatv2", "graph_transformer"])
def test_heads_share_the_width(name):
    with pytest.raises(ConfigError, match="width 30 cannot be shared by 4 heads"):
        build_model(name, {"width": 30})


def test_without_torch_geometric(name, monkeypatch):
    """The released models do without; the others say what to install."""
    for loaded in [module for module in sys.modules if module.startswith("torch_geometric.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    monkeypatch.delitem(sys.modules, find_model(name).module, raising=False)
    with pytest.raises(ConfigError, match=rf"{name}: needs torch_geometric.*debye\[train\]"):
        build_model(name)
    for module in ("debye.models.meta_gnn", "debye.models.waller", "debye.models.layers.encoders"):
        monkeypatch.delitem(sys.modules, module, raising=False)
        import_module(module)
