"""Message passing primitives: fast gathers and sums over the edges of a graph.

The backward passes are written by hand: on a CPU the scatter that autograd would use for that of a gather is the
slowest step of a graph network (5 times slower here).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from debye.graph.graph import AtomGraph

PIECE_EDGES = 400_000
"""Edges that are summed at once without gradients."""


def bag_sum(
    values: Float[Tensor, "rows width"],
    order: Int[Tensor, " items"],
    pointer: Int[Tensor, " segments_plus_one"],
) -> Float[Tensor, "segments width"]:
    """Sum ``values[order]`` over consecutive segments; accumulated in float32 inside the kernel."""
    if order.numel() == 0:
        return values.new_zeros(len(pointer) - 1, values.shape[1])
    return F.embedding_bag(order, values, pointer, mode="sum", include_last_offset=True)


class _Gather(Function):
    @staticmethod
    def forward(ctx, values: Tensor, index: Tensor, order: Tensor, pointer: Tensor) -> Tensor:
        ctx.save_for_backward(order, pointer)
        return values.index_select(0, index)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        order, pointer = ctx.saved_tensors
        return bag_sum(gradient.contiguous(), order, pointer), None, None, None


class _Sum(Function):
    @staticmethod
    def forward(ctx, values: Tensor, index: Tensor, order: Tensor, pointer: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return bag_sum(values.contiguous(), order, pointer)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (index,) = ctx.saved_tensors
        return gradient.index_select(0, index), None, None, None


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
class Grouping:
    """Items that belong to groups, ready to be gathered from and summed into them."""

    index: Int[Tensor, " items"]
    """Group of each item."""
    order: Int[Tensor, " items"]
    """Items sorted by group."""
    pointer: Int[Tensor, " groups_plus_one"]
    """Where each group starts in ``order``."""

    @classmethod
    def of_sorted(cls, index: Int[Tensor, " items"], n_groups: int) -> Grouping:
        """Group items whose group never decreases."""
        return cls(index, torch.arange(len(index), device=index.device), _pointer(index, n_groups))

    @classmethod
    def of(cls, index: Int[Tensor, " items"], n_groups: int) -> Grouping:
        """Group items in any order."""
        return cls(index, torch.argsort(index, stable=True), _pointer(index, n_groups))

    @property
    def counts(self) -> Int[Tensor, " groups"]:
        """Number of items in each group."""
        return self.pointer.diff()

    def gather(self, values: Float[Tensor, "groups width"]) -> Float[Tensor, "items width"]:
        """Give each item the value of its group."""
        return _Gather.apply(values, self.index, self.order, self.pointer)  # type: ignore[return-value]

    def sum(self, values: Float[Tensor, "items width"]) -> Float[Tensor, "groups width"]:
        """Add up the values of each group; 0 for an empty one."""
        return _Sum.apply(values, self.index, self.order, self.pointer)  # type: ignore[return-value]

    def mean(self, values: Float[Tensor, "items width"]) -> Float[Tensor, "groups width"]:
        """Average the values of each group; 0 for an empty one."""
        return self.sum(values) / self.counts.clamp(min=1)[:, None].to(values.dtype)


def _pointer(index: Int[Tensor, " items"], n_groups: int) -> Int[Tensor, " groups_plus_one"]:
    counts = torch.bincount(index, minlength=n_groups)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


@dataclass(frozen=True, slots=True)
class MessageEdges:
    """All edges into a run of consecutive nodes, ready for gathers and sums; made once, used by every layer."""

    sender: Int[Tensor, " edges"]
    into: Grouping
    """Edges by receiver, counted from the first of ``nodes``."""
    out_of: Grouping | None
    """Edges by sender; None without gradients (sorting costs time)."""
    nodes: slice
    """The receivers."""
    edges: slice
    """Which edges of the graph."""

    @classmethod
    def of(
        cls,
        edge_index: Int[Tensor, "2 all_edges"],
        n_nodes: int,
        nodes: slice | None = None,
        edges: slice = slice(None),
    ) -> MessageEdges:
        """Prepare edges that are sorted by receiver: all of a graph, or those into a run of nodes."""
        nodes = slice(0, n_nodes) if nodes is None else nodes
        sender, receiver = edge_index[:, edges]
        into = Grouping.of_sorted(receiver - nodes.start, nodes.stop - nodes.start)
        out_of = Grouping.of(sender, n_nodes) if torch.is_grad_enabled() else None
        return cls(sender, into, out_of, nodes, edges)

    def gather_received(self, values: Float[Tensor, "nodes width"]) -> Float[Tensor, "edges width"]:
        """Return the value of each edge's receiver."""
        return self.into.gather(values[self.nodes])

    def gather_sent(self, values: Float[Tensor, "nodes width"]) -> Float[Tensor, "edges width"]:
        """Return the value of each edge's sender."""
        if self.out_of is None:
            return values.index_select(0, self.sender)
        return self.out_of.gather(values)

    def filtered_sum(
        self, filters: Float[Tensor, "edges width"], values: Float[Tensor, "nodes width"]
    ) -> Float[Tensor, "nodes width"]:
        r"""Add up what the senders of each node send, weighted channel by channel by the filters of their edges.

        .. math:: y_i = \sum_{j \to i} f_{ij} \odot x_j

        Reference: Schuett et al. (2017), SchNet, arXiv:1706.08566.
        """
        values = values.to(filters.dtype)
        return _FilteredSum.apply(filters, values, self.sender, self.into, self.out_of)  # type: ignore[return-value]

    def piecewise_sum(
        self,
        filters_of: Callable[[slice], Float[Tensor, "piece width"]],
        values: Float[Tensor, "nodes width"],
    ) -> Float[Tensor, "nodes width"]:
        """Return the same without gradients; the filters of a run of edges are made when they are used."""
        pointer, sums = self.into.pointer, []
        limits = range(PIECE_EDGES, int(pointer[-1]), PIECE_EDGES)
        cuts = torch.searchsorted(pointer, torch.tensor(limits, device=pointer.device)).tolist()
        for first, last in pairwise(sorted({0, *cuts, len(pointer) - 1})):
            start, stop = int(pointer[first]), int(pointer[last])
            filters = filters_of(slice(start, stop))
            filters *= values.to(filters.dtype).index_select(0, self.sender[start:stop])
            rows = torch.arange(len(filters), device=self.sender.device)
            sums.append(bag_sum(filters, rows, pointer[first : last + 1] - start))
        return torch.cat(sums)


def receiver_runs(
    pointer: Int[Tensor, " nodes_plus_one"], largest: int
) -> list[tuple[slice, slice]]:
    """Cut nodes into runs that receive about ``largest`` edges each; return them with their edges.

    With gradients there is one run: autograd keeps every edge anyway.

    Args:
        pointer: Where each node's edges start, the number of edges last.
        largest: Exceeded only by a single node with more edges.
    """
    n_nodes, starts = len(pointer) - 1, [0]
    while starts[-1] < n_nodes:
        stop = n_nodes
        if not torch.is_grad_enabled():
            limit = int(pointer[starts[-1]]) + largest
            stop = int(torch.searchsorted(pointer, limit, right=True)) - 1
        starts.append(min(max(stop, starts[-1] + 1), n_nodes))
    return [
        (slice(first, last), slice(int(pointer[first]), int(pointer[last])))
        for first, last in pairwise(starts)
    ]


def edge_chunks(graph: AtomGraph, largest: int) -> list[MessageEdges]:
    """Cut the edges of a graph as :func:`receiver_runs` does, ready to be gathered and summed."""
    return [
        MessageEdges.of(graph.edge_index, graph.n_atoms, atoms, edges)
        for atoms, edges in receiver_runs(graph.receiver_pointer(), largest)
    ]
