"""Which atoms are the nodes of an elastic network, and back from nodes to atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from debye.graph.graph import AtomGraph
from debye.models.baselines.standardize import standardize
from debye.structure.chemistry import ELEMENTS, LOCANTS

CATEGORIES = ("element", "locant")
"""Columns that a graph needs for :func:`residue_nodes`."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of all structures of a batch, sorted by structure."""

    atom: Int[np.ndarray, " nodes"]
    """The atom that stands for each."""
    of_atom: Int[np.ndarray, " atoms"]
    """The node whose value each atom gets."""


def atom_nodes(graph: AtomGraph) -> Nodes:
    """Make every atom a node."""
    every = np.arange(graph.n_atoms)
    return Nodes(every, every)


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

    Nodes that nothing holds (NaN) get the largest value of their structure.
    """
    structure = graph.structure_index.cpu().numpy()[nodes.atom]
    largest = np.zeros(graph.n_structures)
    known = np.isfinite(fluctuation)
    np.maximum.at(largest, structure[known], fluctuation[known])
    filled = np.where(known, fluctuation, largest[structure])
    value = torch.from_numpy(filled[nodes.of_atom]).to(graph.position.device)
    profile = standardize(value, graph.structure_index, graph.n_structures)
    return profile.to(graph.position.dtype)
