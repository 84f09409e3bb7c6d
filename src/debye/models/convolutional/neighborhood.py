"""Edges as torch_geometric's convolutions take them: the whole graph, or a piece where it is large."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from debye.graph.graph import AtomGraph
from debye.models.layers.connectivity import receiver_runs


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """All edges into a run of consecutive atoms, numbered as a graph of their own.

    Every atom of the run has all of its edges; the others that take part only send.
    """

    atoms: Int[Tensor, " nodes"] | None
    """Row of each node among the atoms of the graph, those of the run first; None: all as they come."""
    n_receivers: int
    """Number of atoms of the run."""
    index: Int[Tensor, "2 edges"]
    """Sender, then receiver, as nodes. A pair may be joined by several edges, and an atom with itself."""
    mate: Bool[Tensor, " edges"]
    """True where the sender is a symmetry mate."""
    vector: Float[Tensor, "edges 3"]
    """From the receiver to the (image of the) sender, Å."""
    features: Float[Tensor, "edges edge_width"] | None
    """What each edge is; None: the convolution cannot use it."""
    degree: Int[Tensor, " nodes"]
    """Number of edges into each node in the whole graph."""

    def take(self, rows: Float[Tensor, "atoms width"]) -> Float[Tensor, "nodes width"]:
        """Return the rows of the nodes."""
        return rows if self.atoms is None else rows[self.atoms]

    def received(self, rows: Float[Tensor, "nodes width"]) -> Float[Tensor, "receivers width"]:
        """Return the rows of the run."""
        return rows[: self.n_receivers]


def neighborhoods(
    graph: AtomGraph, features: Float[Tensor, "edges edge_width"] | None, largest: int
) -> list[Neighborhood]:
    """Cut a graph into pieces of about ``largest`` edges; with gradients there is one piece."""
    degree = torch.bincount(graph.edge_index[1], minlength=graph.n_atoms)
    found = []
    for run, edges in receiver_runs(graph, largest):
        index, atoms = graph.edge_index[:, edges], None
        if run != slice(0, graph.n_atoms):
            atoms, index = _renumbered(index, run, graph.n_atoms)
        found.append(
            Neighborhood(
                atoms=atoms,
                n_receivers=run.stop - run.start,
                index=index,
                vector=graph.edge_vector[edges],
                mate=graph.edge_mate[edges],
                features=None if features is None else features[edges],
                degree=degree if atoms is None else degree[atoms],
            )
        )
    return found


def _renumbered(
    index: Int[Tensor, "2 edges"], run: slice, n_atoms: int
) -> tuple[Int[Tensor, " nodes"], Int[Tensor, "2 edges"]]:
    """Number the atoms of a run first, then the others that send to it."""
    outside = torch.zeros(n_atoms, dtype=torch.bool, device=index.device)
    outside[index[0]] = True
    outside[run] = False
    receivers = torch.arange(run.start, run.stop, device=index.device)
    atoms = torch.cat([receivers, outside.nonzero().squeeze(1)])
    node = torch.empty(n_atoms, dtype=index.dtype, device=index.device)
    node[atoms] = torch.arange(len(atoms), device=index.device)
    return atoms, node[index]
