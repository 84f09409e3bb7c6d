"""The state object of the second stage: atoms and edges as flat tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from debye.errors import GraphError
from debye.graph.config import GraphConfig
from debye.graph.features import OTHER_COORDINATES, find_feature
from debye.structure.structure import EntityKind
from debye.targets.target import Per

PER_EDGE = ("edge_vector", "edge_bond", "edge_mate")
PER_RESIDUE_EDGE = ("residue_edge_vector", "residue_edge_bond", "residue_edge_mate")
PER_STRUCTURE = ("structure_scalars", "crystal_known")
PER_ATOM = (
    *("position", "categories", "scalars", "residue_index", "chain_index", "structure_index"),
    "entity_kind",
)
INDEXES = {
    "residue_index": "n_residues",
    "chain_index": "n_chains",
    "structure_index": "n_structures",
    "edge_index": "n_atoms",
    "residue_edge_index": "n_residues",
}
"""What each index counts: in a batch it is counted on from structure to structure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtomGraph:
    """One structure, or a batch of them, as a periodic graph of heavy atoms.

    An edge's sender may be a symmetry mate: ``edge_index`` names the original atom and ``edge_vector``
    points to its image. Edges are sorted by receiver, then sender, then mate, then length. Lengths in Å.
    """

    source: tuple[str, ...]
    """(structures) file or identifier of each structure."""
    config: GraphConfig
    """Names the columns of ``categories``, ``scalars`` and ``structure_scalars``."""
    position: Float[Tensor, "atoms 3"]
    """Cartesian coordinates, Å."""
    categories: Int[Tensor, "atoms categories"]
    """Categorical features, one column for each of ``config.node_categories``."""
    scalars: Float[Tensor, "atoms scalars"]
    """Continuous features, one column for each of ``config.node_scalars``."""
    residue_index: Int[Tensor, " atoms"]
    """Residue of each atom, counted through the batch."""
    chain_index: Int[Tensor, " atoms"]
    """Chain of each atom as the authors name it, ligands included; counted through the batch."""
    entity_kind: Int[Tensor, " atoms"]
    """An :class:`debye.structure.EntityKind` for each atom."""
    structure_index: Int[Tensor, " atoms"]
    """Structure of each atom, non-decreasing."""
    structure_scalars: Float[Tensor, "structures structure_scalars"]
    """Features of the whole structure, one column for each of ``config.structure_scalars``."""
    crystal_known: Bool[Tensor, " structures"]
    """True if symmetry mates are included (there may be none within reach)."""
    edge_index: Int[Tensor, "2 edges"]
    """Sender row, then receiver row."""
    edge_vector: Float[Tensor, "edges 3"]
    """From the receiver to the (image of the) sender, Å."""
    edge_bond: Int[Tensor, " edges"]
    """A :class:`debye.structure.BondOrder` for each edge: 0 none, 1 single, 2 double, 3 triple, 4 delocalized."""
    edge_mate: Bool[Tensor, " edges"]
    """True where the sender is a symmetry mate."""
    residue_edge_index: Int[Tensor, "2 residue_edges"]
    """Sender, then receiver, of the edges between residues; sorted as the edges between atoms."""
    residue_edge_vector: Float[Tensor, "residue_edges 3"]
    """From the centroid of the receiver to (the image of) that of the sender, Å."""
    residue_edge_bond: Bool[Tensor, " residue_edges"]
    """True where a bond joins the two residues."""
    residue_edge_mate: Bool[Tensor, " residue_edges"]
    """True where the sender is a symmetry mate."""

    def __post_init__(self) -> None:
        atoms, edges = len(self.position), self.edge_index.shape[1]
        where = self.source[0] if self.source else "graph"
        lengths = dict.fromkeys(PER_ATOM, atoms) | dict.fromkeys(PER_EDGE, edges)
        lengths |= dict.fromkeys(PER_RESIDUE_EDGE, self.residue_edge_index.shape[1])
        lengths |= dict.fromkeys(PER_STRUCTURE, len(self.source))
        for name, length in lengths.items():
            shape = tuple(getattr(self, name).shape)
            if shape[0] != length:
                raise GraphError(
                    where,
                    f"{atoms} positions, {edges} edges, {len(self.source)} sources, but {name} has shape {shape}",
                    "Build every tensor from the same atoms and edges",
                )
        # Not on other devices: it would wait for them, and the tensors were checked when they were made.
        on_cpu = self.edge_index.device.type == "cpu"
        if on_cpu and edges and not bool((self.edge_index[1].diff() >= 0).all()):
            raise GraphError(
                where,
                "its edges are not sorted by receiver",
                "Sort them, or build the graph with build_graph",
            )

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the batch."""
        return len(self.position)

    @property
    def n_edges(self) -> int:
        """Number of directed edges in the batch."""
        return self.edge_index.shape[1]

    @property
    def n_structures(self) -> int:
        """Number of structures in the batch."""
        return len(self.source)

    @property
    def n_residues(self) -> int:
        """Number of residues in the batch, ligands and ions included."""
        return int(self.residue_index.max()) + 1 if self.n_atoms else 0

    @property
    def n_chains(self) -> int:
        """Number of chains in the batch."""
        return int(self.chain_index.max()) + 1 if self.n_atoms else 0

    @property
    def is_polymer(self) -> Bool[Tensor, " atoms"]:
        """Which atoms belong to protein or nucleic acid; the others to ligands, ions and sugars."""
        return (self.entity_kind == EntityKind.PROTEIN) | (self.entity_kind == EntityKind.NUCLEIC)

    def receiver_pointer(self) -> Int[Tensor, " atoms_plus_one"]:
        """Return where each receiver's edges start (CSR), the number of edges last."""
        counts = torch.bincount(self.edge_index[1], minlength=self.n_atoms)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    def to(self, device: torch.device | str) -> AtomGraph:
        """Copy every tensor to a device."""
        moved = {
            item.name: getattr(self, item.name).to(device, non_blocking=True)
            for item in fields(self)
            if isinstance(getattr(self, item.name), Tensor)
        }
        return replace(self, **moved)

    def moved(self, rotation: Float[Tensor, "3 3"], shift: Float[Tensor, 3]) -> AtomGraph:
        """Rotate or reflect, then shift (Å): properties that do not change under reflection stay the same."""
        return replace(
            self,
            position=self.position @ rotation.T + shift,
            edge_vector=self.edge_vector @ rotation.T,
            residue_edge_vector=self.residue_edge_vector @ rotation.T,
        )

    def perturbed(self, displacement: Float[Tensor, "atoms 3"]) -> AtomGraph:
        """Displace atoms (Å) and keep the edges; a mate moves as its original does, unrotated."""
        sender, receiver = self.edge_index
        count = torch.bincount(self.residue_index, minlength=self.n_residues)
        centroid = displacement.new_zeros(len(count), 3)
        centroid.index_add_(0, self.residue_index, displacement)
        centroid /= count.clamp(min=1)[:, None]
        from_residue, to_residue = self.residue_edge_index
        return replace(
            self,
            position=self.position + displacement,
            edge_vector=self.edge_vector + displacement[sender] - displacement[receiver],
            residue_edge_vector=self.residue_edge_vector
            + centroid[from_residue]
            - centroid[to_residue],
        )

    def subset(self, keep: Bool[Tensor, " atoms"]) -> AtomGraph:
        """Return the graph of some atoms; residues and chains without atoms are dropped.

        Centroids of residues stay where they were: keep residues whole.
        """
        row = torch.cumsum(keep, 0) - 1
        edges = keep[self.edge_index].all(dim=0)
        residues, of_atom = torch.unique(self.residue_index[keep], return_inverse=True)
        residue_row = torch.full((self.n_residues,), -1)
        residue_row[residues] = torch.arange(len(residues))
        contacts = residue_row[self.residue_edge_index]
        kept = (contacts >= 0).all(dim=0)
        _, chain = torch.unique(self.chain_index[keep], return_inverse=True)
        cut = {name: getattr(self, name)[keep] for name in PER_ATOM}
        return replace(
            self,
            **cut | {"residue_index": of_atom, "chain_index": chain},
            **{name: getattr(self, name)[edges] for name in PER_EDGE},
            **{name: getattr(self, name)[kept] for name in PER_RESIDUE_EDGE},
            edge_index=row[self.edge_index[:, edges]],
            residue_edge_index=contacts[:, kept],
        )

    def permuted(self, order: Int[Tensor, " atoms"]) -> AtomGraph:
        """Reorder the atoms of a single structure: row ``i`` of the result is row ``order[i]`` of this."""
        new_row = torch.empty_like(order)
        new_row[order] = torch.arange(len(order))
        edges = new_row[self.edge_index]
        by_receiver = torch.argsort(edges[1] * self.n_atoms + edges[0], stable=True)
        return replace(
            self,
            **{name: getattr(self, name)[order] for name in PER_ATOM},
            **{name: getattr(self, name)[by_receiver] for name in PER_EDGE},
            edge_index=edges[:, by_receiver],
        )

    def keep_edges(self, keep: Bool[Tensor, " edges"] | Int[Tensor, " kept"]) -> AtomGraph:
        """Return the graph with only some of its edges, given as a mask or by row."""
        return replace(
            self,
            edge_index=self.edge_index[:, keep],
            **{name: getattr(self, name)[keep] for name in PER_EDGE},
        )

    def keep_residue_edges(
        self, keep: Bool[Tensor, " residue_edges"] | Int[Tensor, " kept"]
    ) -> AtomGraph:
        """Return the graph with only some of the edges between residues, given as a mask or by row."""
        return replace(
            self,
            residue_edge_index=self.residue_edge_index[:, keep],
            **{name: getattr(self, name)[keep] for name in PER_RESIDUE_EDGE},
        )

    def without_crystal(self) -> AtomGraph:
        """Hide the crystal: no edges from mates, and each feature of the crystal as in isolation.

        Equal to building the graph with ``crystal=False``, and much faster.

        Raises:
            GraphError: the graph has edges to nearest neighbors, which depend on the crystal.
        """
        if self.config.nearest is not None:
            raise GraphError(
                self.source[0],
                "without its crystal a graph of nearest neighbors has other edges",
                "Build it again with crystal=False",
            )
        names = self.config.node_scalars
        scalars = self.scalars.clone()
        for column, name in enumerate(names):
            isolated = find_feature(name).isolated_as
            if isolated is not None:
                scalars[:, column] = scalars[:, names.index(isolated)]
        facts = self.structure_scalars.clone()
        facts[:, self.config.hidden_with("crystal")] = 0.0
        return replace(
            self.keep_edges(~self.edge_mate).keep_residue_edges(~self.residue_edge_mate),
            scalars=scalars,
            structure_scalars=facts,
            crystal_known=torch.zeros_like(self.crystal_known),
        )

    def without_resolution(self, hidden: Bool[Tensor, " structures"]) -> AtomGraph:
        """Hide the resolution of some structures."""
        facts = self.structure_scalars.clone()
        for column in self.config.hidden_with("resolution"):
            facts[hidden, column] = 0.0
        return replace(self, structure_scalars=facts)

    def as_transfer_query(self) -> AtomGraph:
        """Return the graph for labels of another refinement: no crystal, no resolution, ``other_coordinates`` set.

        Raises:
            GraphError: the graph has edges to nearest neighbors, which depend on the crystal.
        """
        graph = self.without_crystal() if bool(self.crystal_known.any()) else self
        graph = graph.without_resolution(torch.ones(graph.n_structures, dtype=torch.bool))
        facts = graph.structure_scalars.clone()
        facts[:, [name == OTHER_COORDINATES for name in graph.config.structure_scalars]] = 1.0
        return replace(graph, structure_scalars=facts)


def item_count(graph: AtomGraph, per: Per) -> int:
    """Return the number of values of a batch."""
    return {Per.ATOM: graph.n_atoms, Per.RESIDUE: graph.n_residues}.get(per, graph.n_structures)


def join(graphs: Sequence[AtomGraph]) -> AtomGraph:
    """Batch graphs of one configuration: atoms, edges and structures one after the other.

    Raises:
        GraphError: no graphs, or graphs of different configurations.
    """
    if not graphs:
        raise GraphError("batch", "no graphs to join", "Give at least one graph")
    if len(graphs) == 1:
        return graphs[0]
    first = graphs[0]
    if any(graph.config != first.config for graph in graphs):
        raise GraphError(
            graphs[0].source[0],
            "graphs of different configurations cannot be one batch",
            "Build all graphs with the same GraphConfig",
        )

    stacked = {
        name: torch.cat([getattr(graph, name) for graph in graphs])
        for name in (*PER_ATOM, *PER_EDGE, *PER_RESIDUE_EDGE, *PER_STRUCTURE)
    }
    for name, count in INDEXES.items():
        starts = accumulate((getattr(graph, count) for graph in graphs), initial=0)
        shifted = [
            getattr(graph, name) + start for graph, start in zip(graphs, starts, strict=False)
        ]
        stacked[name] = torch.cat(shifted, dim=-1)
    source = tuple(name for graph in graphs for name in graph.source)
    return AtomGraph(source=source, config=first.config, **stacked)
