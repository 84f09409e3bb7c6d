"""Waller: messages between atoms, between residues and along rigid bodies, with crystal contacts.

Atoms exchange messages along bonds and contacts and are averaged into residues. Residues exchange messages over a
longer range, and with their chain as a rigid body. A last atom layer refines the values of each residue.
Named after Ivar Waller, of the Debye-Waller factor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from debye.graph.config import GraphConfig
from debye.graph.features import category_size
from debye.graph.graph import AtomGraph
from debye.models.base import AtomModel, ModelOutput
from debye.models.baselines.elastic_network import kirchhoff_fluctuations
from debye.models.layers.connectivity import PIECE_EDGES, Grouping, MessageEdges
from debye.models.layers.encoders import GaussianBasis, cosine_cutoff, mlp, table_rows
from debye.models.layers.heads import Features, Heads, HeadWidths
from debye.models.layers.rigid_body import RigidBody
from debye.structure.bonds import BondOrder
from debye.targets.target import Target

USUAL_BOND = 1.45  # Å
LARGEST_STRAIN = 0.8  # Å, from the usual bond; larger ones are limited to it
ATOM_DEGREE, RESIDUE_DEGREE = 4.0, 6.0
"""Sums over neighbors are divided by these, roots of usual degrees."""
ELASTIC_CUTOFF = 12.0
"""Å, between centroids. The best cutoff of those tried between Cα atoms in the crystal on the validation split."""
VECTOR_SIZE = 2.0
"""Å. Usual distance of an atom from the centroid of its residue."""


class WallerConfig(BaseModel, frozen=True, extra="forbid"):
    """Size of the network, and the graphs that it reads."""

    graph: GraphConfig = GraphConfig(residue_radius=14.0)
    atom_width: PositiveInt = 64
    residue_width: PositiveInt = 128
    edge_width: PositiveInt = 32
    """Width of the description of an edge, from which each layer makes its filters."""
    atom_layers: PositiveInt = 2
    """Layers on atoms before residues are made of them."""
    residue_layers: PositiveInt = 4
    last_layers: PositiveInt = 1
    """Layers on atoms after the residues."""
    basis: Annotated[int, Field(ge=2)] = 16
    """Number of Gaussians that describe an edge's length."""
    vectors: NonNegativeInt = 8
    """Learned directions of each residue, against which those of its edges are measured."""
    rigid_terms: NonNegativeInt = 8
    """Weights from which each chain's quadratic function of position is pooled; 0: no such term."""
    mates: Literal["everywhere", "atoms", "residues"] = "everywhere"
    """Nodes that receive messages from symmetry mates."""
    elastic: bool = False
    """Also give each residue its exact fluctuation in a Gaussian network of residues (:data:`ELASTIC_CUTOFF`),
    with symmetry mates where they are included. Solved on the CPU; the cost grows faster than the size."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the channels of every update that training sets to zero."""

    @model_validator(mode="after")
    def _elastic_network_has_edges(self) -> WallerConfig:
        if self.elastic and (self.graph.residue_radius or 0.0) < ELASTIC_CUTOFF:
            raise ValueError(f"elastic needs a graph.residue_radius of at least {ELASTIC_CUTOFF:g}")
        return self


class AtomEmbedding(nn.Module):
    """Adds up an embedding of each categorical feature and a projection of the continuous ones."""

    offset: Tensor

    def __init__(self, config: GraphConfig, width: int) -> None:
        super().__init__()
        sizes = [category_size(name) for name in config.node_categories]
        self.table = nn.Embedding(sum(sizes), width)
        self.register_buffer("offset", torch.tensor([sum(sizes[:i]) for i in range(len(sizes))]))
        scalars = len(config.node_scalars)
        self.project = nn.Linear(scalars, width) if scalars else None
        self.mix = mlp(width, 2 * width, width)

    def forward(self, graph: AtomGraph) -> Float[Tensor, "atoms width"]:
        """Encode every atom of a graph."""
        known = F.embedding_bag(graph.categories + self.offset, self.table.weight, mode="sum")
        if self.project is not None:
            known = known + self.project(graph.scalars)
        return known + self.mix(known)


@dataclass(frozen=True, slots=True)
class EdgeDescriptions:
    """Features of each edge; edges may share a row, or be computed on demand."""

    value: Float[Tensor, "rows width"]
    row: Int[Tensor, " edges"] | None = None
    """Row of each edge; None: row ``i`` describes edge ``i``."""
    make: Callable[[slice], Float[Tensor, "piece width"]] | None = None
    """Describes a run of edges, in place of rows that would not fit into memory all at once."""

    @classmethod
    def of_pieces(
        cls, n_edges: int, make: Callable[[slice], Float[Tensor, "piece width"]]
    ) -> EdgeDescriptions:
        """Compute all edges now if a gradient is needed or they are few, otherwise on demand."""
        everything = make(slice(0, n_edges if torch.is_grad_enabled() else PIECE_EDGES))
        if torch.is_grad_enabled() or n_edges <= PIECE_EDGES:
            return cls(everything)
        return cls(everything[:0], make=make)

    def filters_of(self, filters: nn.Module) -> Callable[[slice], Float[Tensor, "piece width"]]:
        """Return what makes the filters for a run of edges; for use without gradients."""
        if self.row is not None:
            table, row = filters(self.value), self.row
            return lambda edges: table.index_select(0, row[edges])
        make = self.make
        return lambda edges: filters(self.value[edges] if make is None else make(edges))


class AtomEdgeEncoder(nn.Module):
    """Describes an edge by length, bond order, strain of the bond, and whether a mate sends."""

    def __init__(self, config: WallerConfig) -> None:
        super().__init__()
        self.reach = config.graph.radius or 5.0
        self.hears_mates = config.mates != "residues"
        self.basis = GaussianBasis(largest=self.reach, size=config.basis)
        self.kind = nn.Embedding(2 * len(BondOrder), config.edge_width)
        self.project = nn.Linear(config.basis + 2, config.edge_width)

    def forward(self, graph: AtomGraph) -> EdgeDescriptions:
        """Encode the edges of a graph; from a table if bfloat16 rounds more than the table's steps."""
        length = graph.edge_vector.norm(dim=-1)
        kind = graph.edge_bond.int().add_(graph.edge_mate, alpha=len(BondOrder))
        if not _uses_tables(length):
            return EdgeDescriptions.of_pieces(
                len(length), lambda edges: self.describe(length[edges], kind[edges])
            )
        kinds = torch.arange(self.kind.num_embeddings, device=length.device, dtype=kind.dtype)
        lengths = self.basis.table_distances(at_least=USUAL_BOND + LARGEST_STRAIN)
        table = self.describe(lengths.repeat(len(kinds)), kinds.repeat_interleave(len(lengths)))
        row = table_rows(length, len(lengths))
        return EdgeDescriptions(table, row.add_(kind, alpha=len(lengths)))

    def describe(
        self, length: Float[Tensor, " edges"], kind: Int[Tensor, " edges"]
    ) -> Float[Tensor, "edges width"]:
        """Encode edges; those near the reach (Å) fade out, bonds excepted."""
        bonded = kind % len(BondOrder) > 0
        strain = (length - USUAL_BOND).clamp(-LARGEST_STRAIN, LARGEST_STRAIN) * 5.0 * bonded
        columns = [self.basis(length), strain[:, None], (strain * strain)[:, None]]
        described = self.project(torch.cat(columns, dim=1))
        fade = torch.where(bonded, 1.0, cosine_cutoff(length, self.reach))
        if not self.hears_mates:
            fade = fade * (kind < len(BondOrder))
        described = F.silu(described + self.kind(kind).to(described.dtype))
        return described * fade[:, None].to(described.dtype)


class ResidueVectors(nn.Module):
    """Directions of each residue: learned weighted means of its atoms' positions about its centroid."""

    def __init__(self, width: int, vectors: int) -> None:
        super().__init__()
        self.weights = nn.Linear(width, vectors)

    def forward(
        self,
        atoms: Float[Tensor, "atoms width"],
        arm: Float[Tensor, "atoms 3"],
        residues: Grouping,
    ) -> Float[Tensor, "residues 3 vectors"]:
        """Return the vectors, near unit scale; ``arm`` is that of :class:`Hierarchy`."""
        weight = self.weights(atoms).float()
        moments = (arm / VECTOR_SIZE)[:, :, None] * weight[:, None, :]
        return residues.mean(moments.flatten(1)).view(-1, 3, weight.shape[1])


class ResidueEdgeEncoder(nn.Module):
    """Describes an edge between residues by length, direction, bond, and whether a mate sends."""

    def __init__(self, config: WallerConfig) -> None:
        super().__init__()
        self.reach = config.graph.residue_radius or 14.0
        self.hears_mates = config.mates != "atoms"
        self.basis = GaussianBasis(largest=self.reach, size=config.basis)
        self.kind = nn.Embedding(3, config.edge_width)
        self.project = nn.Linear(config.basis + 2 * config.vectors, config.edge_width)

    def forward(
        self,
        graph: AtomGraph,
        vectors: Float[Tensor, "residues 3 vectors"],
        neighborhood: MessageEdges,
    ) -> EdgeDescriptions:
        """Encode the edges between residues."""
        flat = vectors.flatten(1)

        def describe(edges: slice) -> Float[Tensor, "piece width"]:
            if torch.is_grad_enabled():  # then the piece is the whole
                ends = [neighborhood.into.gather(flat), neighborhood.gather_sent(flat)]
            else:  # on a CPU faster than flat[...]
                rows = neighborhood.into.index[edges], neighborhood.sender[edges]
                ends = [flat.index_select(0, each) for each in rows]
            names = ("residue_edge_vector", "residue_edge_bond", "residue_edge_mate")
            return self.describe(*(getattr(graph, name)[edges] for name in names), *ends)

        return EdgeDescriptions.of_pieces(len(graph.residue_edge_vector), describe)

    def describe(
        self,
        vector: Float[Tensor, "edges 3"],
        is_bonded: Bool[Tensor, " edges"],
        is_mate: Bool[Tensor, " edges"],
        at_receiver: Float[Tensor, "edges components"],
        at_sender: Float[Tensor, "edges components"],
    ) -> Float[Tensor, "edges width"]:
        """Encode edges; those near the reach fade out, bonds excepted."""
        length = vector.norm(dim=-1)
        direction = vector / length.clamp(min=1e-3)[:, None]
        columns = []
        if at_receiver.shape[1]:
            # The rotation of a mate is unknown here, so its own directions cannot be used.
            columns.append(_along(at_receiver, direction))
            columns.append(_along(at_sender, direction) * ~is_mate[:, None])
        if not _uses_tables(length):
            described = self.project(torch.cat([self.basis(length), *columns], dim=1))
        else:
            described = self._projected(length, columns)
        kind = self.kind(is_bonded.long() + 2 * is_mate).to(described.dtype)
        fade = torch.where(is_bonded, 1.0, cosine_cutoff(length, self.reach))
        if not self.hears_mates:
            fade = fade * ~is_mate
        return F.silu(described + kind) * fade[:, None].to(described.dtype)

    def _projected(
        self, length: Float[Tensor, " edges"], columns: list[Float[Tensor, "edges _"]]
    ) -> Float[Tensor, "edges width"]:
        """Project lengths, through a table, and further columns."""
        of_length, of_columns = self.project.weight.tensor_split([self.basis.size], dim=1)
        lengths = self.basis.table_distances()
        table = F.linear(self.basis(lengths), of_length, self.project.bias)
        added = table.index_select(0, table_rows(length, len(lengths)))
        return added + F.linear(torch.cat(columns, dim=1), of_columns) if columns else added


class Layer(nn.Module):
    """One round of messages: filtered sums over neighbors, then an update of the nodes."""

    def __init__(self, width: int, config: WallerConfig, degree: float, extra: int = 0) -> None:
        super().__init__()
        self.degree = degree
        self.norm = nn.LayerNorm(width)
        self.send = nn.Linear(width, width)
        self.filters = nn.Linear(config.edge_width, width, bias=False)
        self.update = mlp(2 * width + extra, 2 * width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        nodes: Float[Tensor, "nodes width"],
        edges: EdgeDescriptions,
        neighborhood: MessageEdges,
        *extra: Float[Tensor, "nodes _"],
    ) -> Float[Tensor, "nodes width"]:
        """Return the nodes after the round; ``extra`` are further inputs of the update."""
        normal = self.norm(nodes)
        sent = self.send(normal)
        if torch.is_grad_enabled():
            total = neighborhood.filtered_sum(self.filters(edges.value), sent)
        else:
            total = neighborhood.piecewise_sum(edges.filters_of(self.filters), sent)
        known = [each.to(total.dtype) for each in (normal, total / self.degree, *extra)]
        return nodes + self.dropout(self.update(torch.cat(known, dim=1)))


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Hierarchy of a batch: atoms in residues, residues in chains and structures."""

    residues: Grouping
    """Atoms by residue."""
    chains: Grouping
    """Residues by chain."""
    structures: Grouping
    """Residues by structure."""
    arm: Float[Tensor, "atoms 3"]
    """From the centroid of the residue to the atom, Å."""
    place: Float[Tensor, "residues 3"]
    """From the center of the chain to the centroid of the residue, Å."""

    @classmethod
    def of(cls, graph: AtomGraph) -> Hierarchy:
        """Return the hierarchy of a graph."""
        residues = Grouping.of(graph.residue_index, graph.n_residues)
        first = residues.order[residues.pointer[:-1].clamp(max=max(0, graph.n_atoms - 1))]
        chains = Grouping.of(graph.chain_index[first], graph.n_chains)
        structures = Grouping.of(graph.structure_index[first], graph.n_structures)
        # Relative to an atom of the structure: float32 is coarse far from the origin.
        number = torch.arange(graph.n_structures, device=graph.position.device)
        origin = graph.position[torch.searchsorted(graph.structure_index, number)]
        position = graph.position - origin[graph.structure_index]
        centroid = residues.mean(position)
        center = chains.mean(centroid)
        return cls(
            residues=residues,
            chains=chains,
            structures=structures,
            arm=position - centroid[residues.index],
            place=centroid - center[chains.index],
        )


class Waller(AtomModel):
    """Hierarchical graph network over atoms, residues and chains; see the module."""

    encoders = MappingProxyType(
        {"atoms": "atoms", "edges": "atom_edges", "residue_edges": "residue_edges"}
    )
    head = ("atom_norm", "heads")
    fact_weights = ("structures.weight",)

    def __init__(self, config: WallerConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config = config.graph
        atom, residue = config.atom_width, config.residue_width
        self.atoms = AtomEmbedding(config.graph, atom)
        self.atom_edges = AtomEdgeEncoder(config)
        self.atom_layers = _layers(config.atom_layers, atom, config, ATOM_DEGREE)
        self.pool = nn.Linear(atom + 1 + config.elastic, residue)
        self.vectors = ResidueVectors(atom, config.vectors) if config.vectors else None
        self.residue_edges = ResidueEdgeEncoder(config)
        facts = len(config.graph.structure_scalars)
        self.structures = nn.Linear(facts, residue) if facts else None
        bodies = config.residue_layers if config.rigid_terms else 0
        self.bodies = nn.ModuleList(RigidBody(residue, config.rigid_terms) for _ in range(bodies))
        extra = residue + 3 * config.rigid_terms
        self.residue_layers = _layers(config.residue_layers, residue, config, RESIDUE_DEGREE, extra)
        self.state_updates = nn.ModuleList(
            mlp(2 * residue, residue, residue) for _ in range(config.residue_layers)
        )
        self.residue_norm = nn.LayerNorm(residue)
        self.spread_out = nn.Linear(residue, atom)
        self.last_layers = _layers(config.last_layers, atom, config, ATOM_DEGREE)
        self.atom_norm = nn.LayerNorm(atom)
        widths = HeadWidths(atom=atom, atom_hidden=atom, residue=residue, structure=residue)
        self.heads = Heads(targets, widths, exact=True)

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Predict every target of a batch."""
        levels = Hierarchy.of(graph)
        contacts = MessageEdges.of(graph.edge_index, graph.n_atoms)
        atoms, edges = self.atoms(graph), self.atom_edges(graph)
        for layer in self.atom_layers:
            atoms = layer(atoms, edges, contacts)
        residues, state = self._residues(graph, levels, atoms)
        normal = self.residue_norm(residues)
        atoms = atoms + levels.residues.gather(self.spread_out(normal))
        for layer in self.last_layers:
            atoms = layer(atoms, edges, contacts)
        features = Features(
            atom=self.atom_norm(atoms), residue=normal, structure=state, residues=levels.residues
        )
        output = self.heads.read(graph, features)
        # In training a bound would stop the gradient that leads back.
        return output if self.training else _within_range(output, self.targets)

    def _residues(
        self, graph: AtomGraph, levels: Hierarchy, atoms: Float[Tensor, "atoms width"]
    ) -> tuple[Float[Tensor, "residues wide"], Float[Tensor, "structures wide"]]:
        """Return the features of residues and structures after all layers."""
        neighborhood = MessageEdges.of(graph.residue_edge_index, graph.n_residues)
        size = levels.residues.counts[:, None].to(atoms.dtype).log()
        known = [levels.residues.mean(atoms), size]
        if self.config.elastic:
            known.append(_elastic_motion(graph).to(atoms.dtype)[:, None])
        residues = self.pool(torch.cat(known, dim=1))
        vectors = graph.position.new_zeros(graph.n_residues, 3, 0)
        if self.vectors is not None:
            vectors = self.vectors(atoms, levels.arm, levels.residues)
        edges = self.residue_edges(graph, vectors, neighborhood)
        state = residues.new_zeros(graph.n_structures, residues.shape[1], dtype=torch.float32)
        if self.structures is not None:
            with _exactly(state):
                state = self.structures(graph.structure_scalars)
        for number, layer in enumerate(self.residue_layers):
            extra = [levels.structures.gather(state)]
            if self.bodies:
                extra.append(self.bodies[number](residues, levels.place, levels.chains))
            residues = layer(residues, edges, neighborhood, *extra)
            mean = levels.structures.mean(residues.float())
            with _exactly(state):
                state = state + self.state_updates[number](torch.cat([state, mean], dim=1))
        return residues, state


def _layers(number: int, *settings: Any) -> nn.ModuleList:
    return nn.ModuleList(Layer(*settings) for _ in range(number))


def _within_range(output: ModelOutput, targets: Sequence[Target]) -> ModelOutput:
    """Replace log mean and sd outside the range of a target by the usual ones: rigid bodies gave a mean of 1e29 Å² once."""
    values = dict(output.values)
    for target in targets:
        value = values[target.name]
        if target.log_mean_sd_range is None or value.log_mean_sd is None:
            continue
        found = value.log_mean_sd
        low, usual, high = found.new_tensor(target.log_mean_sd_range)
        inside = ((found >= low) & (found <= high)).all(dim=1, keepdim=True)
        values[target.name] = replace(value, log_mean_sd=torch.where(inside, found, usual))
    return ModelOutput(values=values)


def _elastic_motion(graph: AtomGraph) -> Float[Tensor, " residues"]:
    """Return the log fluctuation of each residue in a Gaussian network; 0, above all others, without contacts."""
    near = graph.residue_edge_vector.norm(dim=-1) <= ELASTIC_CUTOFF
    sender, receiver = graph.residue_edge_index[:, near].cpu().numpy()
    fluctuation = kirchhoff_fluctuations(graph.n_residues, sender, receiver)
    return torch.from_numpy(fluctuation).log().nan_to_num().to(graph.position)


def _exactly(state: Float[Tensor, "structures width"]) -> torch.autocast:
    """Disable autocast: features of structures have few rows, and bfloat16 would change the mean B by a percent."""
    return torch.autocast(state.device.type, enabled=False)


def _uses_tables(length: Float[Tensor, " edges"]) -> bool:
    """Return whether length encodings come from tables: if bfloat16 rounds more than their steps."""
    kind = length.device.type
    rounds = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16
    return rounds and not torch.is_grad_enabled()


def _along(
    vectors: Float[Tensor, "edges components"], direction: Float[Tensor, "edges 3"]
) -> Float[Tensor, "edges vectors"]:
    x, y, z = vectors.chunk(3, dim=1)
    return x * direction[:, 0:1] + y * direction[:, 1:2] + z * direction[:, 2:3]


CONFIG = WallerConfig
MODEL = Waller
