"""Baselines that read positions alone: contact numbers, Gaussian (GNM) and anisotropic (ANM) networks."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, PositiveFloat, field_validator
from torch import Tensor

from debye.graph.config import GraphConfig
from debye.graph.features import PACKING_RADII, USUAL_WCN
from debye.graph.graph import AtomGraph
from debye.models.base import BaselineModel, ModelOutput
from debye.models.baselines.elastic_network import (
    ANM_CUTOFF,
    GNM_CUTOFF,
    anisotropic_network,
    kirchhoff_fluctuations,
)
from debye.structure.chemistry import ELEMENTS, LOCANTS

CATEGORIES = ("element", "locant")
"""Columns that a graph needs for :func:`residue_nodes`."""


class ContactNumberConfig(BaseModel, frozen=True, extra="forbid"):
    """Neighbors that count."""

    radius: float = 10.0
    """Å; one of :data:`debye.graph.features.PACKING_RADII`."""
    crystal: bool = True
    """Symmetry mates count if they are known."""

    @field_validator("radius")
    @classmethod
    def _is_computed(cls, radius: float) -> float:
        if radius not in PACKING_RADII:
            known = ", ".join(f"{known:g}" for known in PACKING_RADII)
            raise ValueError(f"contacts are counted within {known} Å, not {radius:g} Å")
        return radius

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads."""
        isolated = f"contact_number_{self.radius:g}"
        names = (isolated, f"crystal_{isolated}") if self.crystal else (isolated,)
        return GraphConfig.plain(crystal=self.crystal, node_scalars=names)


class ContactNumber(BaselineModel):
    """Predicts the negative number of heavy atoms within a radius, standardized in each structure.

    Reference: Halle (2002), PNAS 99, 1274-1279.
    """

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Standardize the last scalar: the contact number with mates, if they count."""
        value = -graph.scalars[:, -1]
        return self.output(standardize(value, graph.structure_index, graph.n_structures))


class WeightedContactNumberConfig(BaseModel, frozen=True, extra="forbid"):
    """Neighbors that count."""

    crystal: bool = True
    """Symmetry mates count if they are known."""
    smallest: PositiveFloat = 0.5
    """Å⁻². A smaller weighted contact number counts as this: the inverse of that of a lone ion would outweigh all."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads."""
        names = ("wcn", "crystal_wcn") if self.crystal else ("wcn",)
        return GraphConfig.plain(crystal=self.crystal, node_scalars=names)


class WeightedContactNumber(BaselineModel):
    r"""Predicts :math:`1 / \sum_j d_{ij}^{-2}`, standardized in each structure.

    Reference: Lin, Shih, Hwang, Kao, Lee & Chen (2008), Proteins 72, 929-935.
    """

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Invert and standardize the last scalar: the sum with mates, if they count."""
        packed = (USUAL_WCN * graph.scalars[:, -1]).clamp(min=self.config.smallest)
        return self.output(standardize(1 / packed, graph.structure_index, graph.n_structures))


class GNMConfig(BaseModel, frozen=True, extra="forbid"):
    """Nodes, and their distance in contact."""

    level: Literal["residue", "atom"] = "residue"
    """Nodes: one per residue (Cα, phosphorus, or the atom nearest to the centroid), or every atom."""
    cutoff: PositiveFloat = GNM_CUTOFF
    """Å. Usual are 7 between residues, 5 between atoms."""
    crystal: bool = True
    """Symmetry mates are in contact too, and move as their originals do."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads."""
        return GraphConfig.plain(
            covalent=False, radius=self.cutoff, crystal=self.crystal, node_categories=CATEGORIES
        )


class GNM(BaselineModel):
    """Predicts the mean-square fluctuation of each node from all modes, standardized in each structure.

    References: Bahar, Atilgan & Erman (1997), doi:10.1016/S1359-0278(97)00024-2; with crystal
    contacts: Kundu, Melton, Sorensen & Phillips (2002), doi:10.1016/S0006-3495(02)75203-X.
    """

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Solve each structure's network of edges between nodes."""
        every = np.arange(graph.n_atoms)
        nodes = Nodes(every, every) if self.config.level == "atom" else residue_nodes(graph)
        edges = graph.edge_index.cpu().numpy()
        ends = nodes.of_atom[edges]
        sender, receiver = ends[:, (nodes.atom[ends] == edges).all(axis=0)]
        fluctuation = kirchhoff_fluctuations(len(nodes.atom), sender, receiver)
        return self.output(to_atoms(fluctuation, nodes, graph))


class ANMConfig(BaseModel, frozen=True, extra="forbid"):
    """Distance of nodes in contact."""

    cutoff: PositiveFloat = ANM_CUTOFF
    """Å, between residues: their Cα, phosphorus, or atom nearest to the centroid."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads; their edges are not used."""
        return GraphConfig.plain(node_categories=CATEGORIES)


class ANM(BaselineModel):
    """Predicts the mean-square fluctuation of each residue from all modes, standardized in each structure.

    Symmetry mates are not used: an image moves along the rotated direction of its original, and edges do not contain
    the rotation. Contacts come from positions: edges between all atoms would be a thousand times as many.

    Reference: Atilgan, Durell, Jernigan, Demirel, Keskin & Bahar (2001), doi:10.1016/S0006-3495(01)76033-X.
    """

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Solve the network of each structure."""
        nodes = residue_nodes(graph)
        position = graph.position.double().cpu().numpy()[nodes.atom]
        structure = graph.structure_index.cpu().numpy()[nodes.atom]
        fluctuation = np.full(len(nodes.atom), np.nan)
        for number in range(graph.n_structures):
            mine = structure == number
            fluctuation[mine] = anisotropic_network(position[mine], self.config.cutoff)
        return self.output(to_atoms(fluctuation, nodes, graph))


class Nodes(NamedTuple):
    """The nodes of all structures of a batch, sorted by structure."""

    atom: Int[np.ndarray, " nodes"]
    """Atom of each node."""
    of_atom: Int[np.ndarray, " atoms"]
    """Node of each atom."""


def residue_nodes(graph: AtomGraph) -> Nodes:
    """Make every residue a node: its Cα, else its phosphorus, else the atom nearest to its centroid.

    Ligands, sugars and ions are residues too. ``graph`` has the categories :data:`CATEGORIES`.
    """
    columns = [graph.config.node_categories.index(name) for name in CATEGORIES]
    element, locant = graph.categories[:, columns].T.cpu().numpy()
    usual = (locant == LOCANTS.index("CA")) | (
        (locant == LOCANTS.index("phosphate")) & (element == ELEMENTS.index("P"))
    )
    position = graph.position.double().cpu().numpy()
    _, residue = np.unique(graph.residue_index.cpu().numpy(), return_inverse=True)
    from_centroid = np.linalg.norm(position - _means(position, residue), axis=1)
    structure = graph.structure_index.cpu().numpy()
    from_center = np.linalg.norm(position - _means(position, structure), axis=1)
    # Both atoms of a pair are as near to their centroid: the inner one, whatever their order.
    order = np.lexsort((from_center, from_centroid.round(3), ~usual, residue))
    first = np.searchsorted(residue[order], np.arange(residue.max(initial=-1) + 1))
    return Nodes(order[first], residue)


def _means(
    position: Float[np.ndarray, "atoms 3"], group: Int[np.ndarray, " atoms"]
) -> Float[np.ndarray, "atoms 3"]:
    """Return the mean position of each atom's group."""
    count = np.maximum(np.bincount(group), 1)
    return np.stack([(np.bincount(group, axis) / count)[group] for axis in position.T], axis=1)


def to_atoms(
    fluctuation: Float[np.ndarray, " nodes"], nodes: Nodes, graph: AtomGraph
) -> Float[Tensor, " atoms"]:
    """Return the fluctuation of each atom's node, standardized within each structure.

    Nodes without contacts (NaN) get the largest value of their structure.
    """
    structure = graph.structure_index.cpu().numpy()[nodes.atom]
    largest = np.zeros(graph.n_structures)
    known = np.isfinite(fluctuation)
    np.maximum.at(largest, structure[known], fluctuation[known])
    filled = np.where(known, fluctuation, largest[structure])
    value = torch.from_numpy(filled[nodes.of_atom]).to(graph.position.device)
    value = standardize(value, graph.structure_index, graph.n_structures)
    return value.to(graph.position.dtype)


def standardize(
    value: Float[Tensor, " atoms"], structure_index: Int[Tensor, " atoms"], n_structures: int
) -> Float[Tensor, " atoms"]:
    """Return how many standard deviations each value lies above the mean of its structure; 0 if all are equal.

    Example:
        >>> standardize(torch.tensor([1.0, 3.0, 7.0]), torch.tensor([0, 0, 1]), 2).tolist()
        [-1.0, 1.0, 0.0]
    """
    # In float64: a structure gets the same result alone and in a batch.
    exact = value.double()
    count = torch.bincount(structure_index, minlength=n_structures).clamp(min=1)

    def mean(of: Tensor) -> Tensor:
        total = of.new_zeros(n_structures).index_add_(0, structure_index, of)
        return (total / count)[structure_index]

    centered = exact - mean(exact)
    spread = mean(centered.square()).sqrt()
    # Equal values differ from their mean by rounding.
    flat = spread <= 1e-9 * exact.abs().clamp(min=1)
    return torch.where(flat, 0.0, centered / spread.clamp(min=1e-30)).to(value.dtype)
