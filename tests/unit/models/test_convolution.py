"""Filtered sums against plain torch, values and gradients; tables and pieces equal the whole."""

from __future__ import annotations

import pytest
import torch

from debye.models.layers import convolution
from debye.models.layers.convolution import MessageEdges


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


def test_sum_and_gradients(edge_index):
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
    monkeypatch.setattr(convolution, "PIECE_EDGES", piece)
    table, values = torch.randn(5, 3), torch.randn(9, 3)
    row = torch.arange(edge_index.shape[1]) % 5
    with torch.no_grad():
        near = MessageEdges.of(edge_index, 9)
        found = near.piecewise_sum(lambda edges: table[row[edges]], values)
    torch.testing.assert_close(found, plain(edge_index, table[row], values))


def test_no_edges():
    nobody = torch.zeros(2, 0, dtype=torch.long)
    with torch.no_grad():
        near = MessageEdges.of(nobody, 3)
        found = near.piecewise_sum(lambda edges: torch.ones(0, 2), torch.ones(3, 2))
    assert found.tolist() == [[0.0, 0.0]] * 3
