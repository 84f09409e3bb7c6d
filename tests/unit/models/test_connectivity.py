"""Gathers, sums and filtered sums against plain torch, values and gradients; pieces equal the whole."""

from __future__ import annotations

import pytest
import torch

from debye.graph.build import build_graph
from debye.models.layers import connectivity
from debye.models.layers.connectivity import Grouping, MessageEdges, edge_chunks
from debye.models.meta_gnn import MetaGNN, MetaGNNConfig
from debye.targets.b_factor import B_FACTOR


@pytest.fixture(params=[True, False], ids=["sorted", "unsorted"])
def grouping(request):
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(0, 7, (40,), generator=generator)
    index = index[index != 3]  # an empty group
    if request.param:
        index = index.sort().values
        return index, Grouping.of_sorted(index, 8)
    return index, Grouping.of(index, 8)


def test_sum_and_mean(grouping):
    index, groups = grouping
    values = torch.randn(len(index), 5, dtype=torch.float64, requires_grad=True)
    expected = torch.zeros(8, 5, dtype=torch.float64).index_add(0, index, values)
    torch.testing.assert_close(groups.sum(values), expected)
    torch.testing.assert_close(
        groups.mean(values), expected / torch.bincount(index, minlength=8).clamp(min=1)[:, None]
    )
    assert torch.autograd.gradcheck(groups.sum, (values,))


def test_gather(grouping):
    index, groups = grouping
    values = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(groups.gather(values), values[index])
    assert torch.autograd.gradcheck(groups.gather, (values,))


def test_no_items():
    groups = Grouping.of(torch.zeros(0, dtype=torch.long), 3)
    assert groups.sum(torch.zeros(0, 2)).tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize("largest", [1, 50, 10_000])
def test_chunks_cover_every_edge_once_and_end_between_receivers(peptide, largest):
    graph = build_graph(peptide, MetaGNNConfig().graph)
    with torch.no_grad():
        chunks = edge_chunks(graph, largest)
    assert [chunk.edges.start for chunk in chunks[1:]] == [c.edges.stop for c in chunks[:-1]]
    assert chunks[0].edges.start == 0
    assert chunks[-1].edges.stop == graph.n_edges
    assert sum(chunk.nodes.stop - chunk.nodes.start for chunk in chunks) == graph.n_atoms
    degree = int(torch.bincount(graph.edge_index[1]).max())
    assert all(chunk.edges.stop - chunk.edges.start <= max(largest, degree) for chunk in chunks)


def test_small_chunks_predict_what_the_whole_does(peptide):
    torch.manual_seed(0)
    whole = MetaGNN(MetaGNNConfig(), (B_FACTOR,)).eval()
    pieces = MetaGNN(MetaGNNConfig(), (B_FACTOR,)).eval()
    pieces.load_state_dict(whole.state_dict())
    pieces.edge_chunk = 100
    graph = build_graph(peptide, MetaGNNConfig().graph)
    with torch.no_grad():
        one, other = whole(graph), pieces(graph)
    torch.testing.assert_close(one.first.value, other.first.value, atol=1e-5, rtol=0)
    torch.testing.assert_close(one.first.log_mean_sd, other.first.log_mean_sd, atol=1e-5, rtol=0)


@pytest.fixture
def edge_index():
    generator = torch.Generator().manual_seed(0)
    receiver = torch.randint(0, 9, (60,), generator=generator).sort().values
    sender = torch.randint(0, 9, (60,), generator=generator)
    keep = receiver != 4  # a node without neighbors
    return torch.stack([sender[keep], receiver[keep]])


def plain(edge_index, filters, values):
    sender, receiver = edge_index
    return torch.zeros_like(values).index_add(0, receiver, filters * values[sender])


def test_filtered_sum_and_gradients(edge_index):
    filters = torch.randn(edge_index.shape[1], 3, dtype=torch.float64, requires_grad=True)
    values = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    near = MessageEdges.of(edge_index, 9)
    torch.testing.assert_close(
        near.filtered_sum(filters, values), plain(edge_index, filters, values)
    )
    assert torch.autograd.gradcheck(near.filtered_sum, (filters, values))
    assert torch.autograd.gradcheck(
        lambda values: near.filtered_sum(filters.detach(), values), (values,)
    )


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_pieces_equal_the_whole(edge_index, piece, monkeypatch):
    monkeypatch.setattr(connectivity, "PIECE_EDGES", piece)
    table, values = torch.randn(5, 3), torch.randn(9, 3)
    row = torch.arange(edge_index.shape[1]) % 5
    with torch.no_grad():
        near = MessageEdges.of(edge_index, 9)
        found = near.piecewise_sum(lambda edges: table[row[edges]], values)
    torch.testing.assert_close(found, plain(edge_index, table[row], values))


def test_no_edges():
    none = torch.zeros(2, 0, dtype=torch.long)
    with torch.no_grad():
        near = MessageEdges.of(none, 3)
        found = near.piecewise_sum(lambda edges: torch.ones(0, 2), torch.ones(3, 2))
    assert found.tolist() == [[0.0, 0.0]] * 3
