r"""Sums over neighbors, each weighted channel by channel by a filter that the edge gives.

.. math:: y_i = \sum_{j \to i} f_{ij} \odot x_j

Reference: Schuett et al. (2017), SchNet, arXiv:1706.08566. The backward pass is written by hand: it keeps
no product of filter and value, and sums where autograd would scatter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from debye.models.layers.connectivity import Grouping, bag_sum


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
class Neighborhood:
    """Who sends to whom at one level of the graph; made once, used by every layer."""

    sender: Int[Tensor, " edges"]
    into: Grouping
    """Edges by receiver."""
    out_of: Grouping | None
    """Edges by sender; None where no gradient is wanted (sorting costs time)."""

    @classmethod
    def of(cls, edge_index: Int[Tensor, "2 edges"], n_nodes: int) -> Neighborhood:
        """Prepare edges that are sorted by receiver."""
        sender, receiver = edge_index
        back = Grouping.of(sender, n_nodes) if torch.is_grad_enabled() else None
        return cls(sender, Grouping.of_sorted(receiver, n_nodes), back)

    @property
    def receiver(self) -> Int[Tensor, " edges"]:
        """Receiver of each edge."""
        return self.into.index

    def gather_sent(self, values: Float[Tensor, "nodes width"]) -> Float[Tensor, "edges width"]:
        """Give each edge what its sender holds."""
        if self.out_of is None:
            return values.index_select(0, self.sender)
        return self.out_of.gather(values)

    def filtered_sum(
        self, filters: Float[Tensor, "edges width"], values: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "nodes width"]:
        """Add up what the senders of each node send, weighted by the filters of their edges."""
        values = values.to(filters.dtype)
        return _FilteredSum.apply(filters, values, self.sender, self.into, self.out_of)  # type: ignore[return-value]
