"""Message passing primitives: fast gathers and sums over the edges of a graph.

``index_select`` and ``embedding_bag`` with a hand-written backward: on a CPU the scatter that autograd
would use for the backward of a gather is the slowest step of a graph network (5 times slower here).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from debye.graph.graph import AtomGraph


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
class EdgeChunk:
    """All edges into a run of consecutive atoms."""

    edges: slice
    """Which edges of the graph."""
    receivers: Grouping
    """Edges of the chunk by receiver, counted from the chunk's first atom."""
    atoms: slice
    """The receiving atoms."""
    sender: Int[Tensor, " edges"]
    senders: Grouping | None
    """Edges of the chunk by sender; None where no gradient is wanted (sorting costs time)."""

    def gather_received(self, values: Float[Tensor, "atoms w"]) -> Float[Tensor, "edges w"]:
        """Give each edge what its receiver contributes."""
        return self.receivers.gather(values[self.atoms])

    def gather_sent(self, values: Float[Tensor, "atoms w"]) -> Float[Tensor, "edges w"]:
        """Give each edge what its sender contributes."""
        if self.senders is None:
            return values.index_select(0, self.sender)
        return self.senders.gather(values)


def receiver_runs(graph: AtomGraph, largest: int) -> list[tuple[slice, slice]]:
    """Cut atoms into runs that receive about ``largest`` edges each; return them with their edges.

    With gradients there is one run: then nothing is gained, since autograd keeps every edge anyway.
    """
    pointer = graph.receiver_pointer()
    starts = [0]
    while starts[-1] < graph.n_atoms:
        if torch.is_grad_enabled():
            starts.append(graph.n_atoms)
            continue
        limit = int(pointer[starts[-1]]) + largest
        stop = int(torch.searchsorted(pointer, limit, right=True)) - 1
        starts.append(min(max(stop, starts[-1] + 1), graph.n_atoms))
    return [
        (slice(first, last), slice(int(pointer[first]), int(pointer[last])))
        for first, last in pairwise(starts)
    ]


def edge_chunks(graph: AtomGraph, largest: int) -> list[EdgeChunk]:
    """Cut the edges of a graph as :func:`receiver_runs` does, ready to be gathered and summed."""
    with_gradient = torch.is_grad_enabled()
    chunks = []
    for atoms, edges in receiver_runs(graph, largest):
        sender, receiver = graph.edge_index[:, edges]
        chunks.append(
            EdgeChunk(
                edges=edges,
                receivers=Grouping.of_sorted(receiver - atoms.start, atoms.stop - atoms.start),
                atoms=atoms,
                sender=sender,
                senders=Grouping.of(sender, graph.n_atoms) if with_gradient else None,
            )
        )
    return chunks
