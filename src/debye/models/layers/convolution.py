r"""Sums over neighbors, each weighted channel by channel by a filter that the edge gives.

.. math:: y_i = \sum_{j \to i} f_{ij} \odot x_j

Reference: Schuett et al. (2017), SchNet, arXiv:1706.08566. The backward pass is written by hand: it keeps
no product of filter and value, and sums where autograd would scatter. Without gradients edges go through in
pieces, and a filter lives no longer than its piece.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from debye.models.layers.connectivity import Grouping, bag_sum

PIECE_EDGES = 400_000
"""Edges that are summed at once where no gradient is wanted."""


class _FilteredSum(Function):
    @staticmethod
    def forward(
        ctx,
        filters: Tensor,
        values: Tensor,
        sender: Tensor,
        into: Grouping,
        out_of: Grouping | None,
    ) -> Tensor:
        ctx.save_for_backward(filters, values, sender)
        ctx.into, ctx.out_of = into, out_of
        return bag_sum(filters * values.index_select(0, sender), into.order, into.pointer)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        filters, values, sender = ctx.saved_tensors
        received = gradient.index_select(0, ctx.into.index)
        to_filters = to_values = None
        if ctx.needs_input_grad[0]:
            to_filters = received * values.index_select(0, sender)
        if ctx.needs_input_grad[1]:
            back = ctx.out_of
            to_values = bag_sum(received.mul_(filters), back.order, back.pointer)
        return to_filters, to_values, None, None, None


@dataclass(frozen=True, slots=True)
class MessageEdges:
    """Edges between atoms, or between residues, ready for sums over senders; made once, used by every layer."""

    sender: Int[Tensor, " edges"]
    into: Grouping
    """Edges by receiver."""
    out_of: Grouping | None
    """Edges by sender; None where no gradient is wanted (sorting costs time)."""

    @classmethod
    def of(cls, edge_index: Int[Tensor, "2 edges"], n_nodes: int) -> MessageEdges:
        """Prepare edges that are sorted by receiver."""
        sender, receiver = edge_index
        back = Grouping.of(sender, n_nodes) if torch.is_grad_enabled() else None
        return cls(sender, Grouping.of_sorted(receiver, n_nodes), back)

    @property
    def receiver(self) -> Int[Tensor, " edges"]:
        """Receiver of each edge."""
        return self.into.index

    def gather_sent(self, values: Float[Tensor, "nodes width"]) -> Float[Tensor, "edges width"]:
        """Return the value of each edge's sender."""
        if self.out_of is None:
            return values.index_select(0, self.sender)
        return self.out_of.gather(values)

    def filtered_sum(
        self, filters: Float[Tensor, "edges width"], values: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "nodes width"]:
        """Add up what the senders of each node send, weighted by the filters of their edges."""
        values = values.to(filters.dtype)
        return _FilteredSum.apply(filters, values, self.sender, self.into, self.out_of)  # type: ignore[return-value]

    def piecewise_sum(
        self,
        filters_of: Callable[[slice], Float[Tensor, "piece width"]],
        values: Float[Tensor, "nodes width"],
    ) -> Float[Tensor, "nodes width"]:
        """Do the same where no gradient is wanted, with filters that are made for a run of edges at a time."""
        pointer = self.into.pointer
        sums = []
        for first, last in pairwise(self._pieces()):
            start, stop = int(pointer[first]), int(pointer[last])
            filters = filters_of(slice(start, stop))
            filters *= values.to(filters.dtype).index_select(0, self.sender[start:stop])
            edges = torch.arange(stop - start, device=self.sender.device)
            sums.append(bag_sum(filters, edges, pointer[first : last + 1] - start))
        return torch.cat(sums)

    def _pieces(self) -> list[int]:
        """Cut between receivers, so that a piece has about :data:`PIECE_EDGES` edges."""
        pointer = self.into.pointer
        limits = range(PIECE_EDGES, int(pointer[-1]), PIECE_EDGES)
        cuts = torch.searchsorted(pointer, torch.tensor(limits, device=pointer.device)).tolist()
        return sorted({0, *cuts, len(pointer) - 1})
