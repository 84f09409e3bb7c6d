"""One symmetry copy of a residue as a graph sees it, and the graph without it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from debye.graph.features import USUAL_WCN, FeatureContext, find_feature, packing_radii
from debye.graph.neighbors import copy_contact_number
from debye.structure.bonds import Bonds
from debye.structure.crystal import COINCIDENT, Mates

if TYPE_CHECKING:
    from debye.explanation.surroundings import Neighbor
    from debye.graph.graph import AtomGraph
    from debye.structure.structure import Structure

SAME_PLACE = 0.05
"""Å. A sender this near to an atom of the copy is that atom: float32 rounds to 1e-4 Å at most."""


def without_copy(graph: AtomGraph, structure: Structure, copy: Neighbor) -> AtomGraph:
    """Return the graph of a crystal without the edges of one copy of a residue, and without it in features.

    All other copies and the edges of the original stay. Removing every copy in turn leaves the graph of the
    isolated molecule, except for the features of the whole structure.

    Args:
        graph: Of one structure in its crystal.
        structure: The same atoms.
        copy: A symmetry mate.
    """
    sends, residue_sends = edges_of_copy(graph, copy)
    scalars = graph.scalars.clone()
    names = [name for name in graph.config.node_scalars if find_feature(name).isolated_as]
    for name, added in zip(names, _additions(structure, copy, names), strict=True):
        scalars[:, graph.config.node_scalars.index(name)] -= added
    cut = graph.keep_edges(~sends).keep_residue_edges(~residue_sends)
    return replace(cut, scalars=scalars)


def edges_of_copy(
    graph: AtomGraph, copy: Neighbor
) -> tuple[Bool[Tensor, " edges"], Bool[Tensor, " residue_edges"]]:
    """Return masks of the edges between atoms, and between residues, that one copy of a residue sends."""
    place = torch.full((graph.n_atoms, 3), torch.nan)
    place[copy.rows] = torch.from_numpy(copy.position)
    sender, receiver = graph.edge_index
    image = graph.position[receiver] + graph.edge_vector
    sends = graph.edge_mate & _is_near(image, place[sender])

    residue = int(graph.residue_index[copy.rows[0]])
    sender, receiver = graph.residue_edge_index
    count = torch.bincount(graph.residue_index, minlength=graph.n_residues).clamp(min=1)
    centroid = torch.zeros(graph.n_residues, 3, dtype=torch.float64)
    centroid.index_add_(0, graph.residue_index, graph.position.double())
    image = (centroid / count[:, None])[receiver] + graph.residue_edge_vector
    center = torch.from_numpy(copy.position.mean(axis=0, dtype=np.float64))
    from_residue = graph.residue_edge_mate & (sender == residue)
    return sends, from_residue & _is_near(image, center)


def _is_near(one: Float[Tensor, "rows 3"], other: Float[Tensor, "*rows 3"]) -> Tensor:
    return (one - other).norm(dim=-1) < SAME_PLACE  # False where the other is nan


def _additions(
    structure: Structure, copy: Neighbor, names: list[str]
) -> list[Float[Tensor, " atoms"]]:
    """Return what the copy adds to each feature of the crystal: all of these are sums over mates."""
    if not names:
        return []
    # An atom on a symmetry axis is its own copy, which does not count.
    apart = cKDTree(structure.position).query(copy.position)[0] > COINCIDENT
    rows, position = copy.rows[apart].astype(np.int32), copy.position[apart]
    if not len(rows):
        return [torch.zeros(len(structure))] * len(names)
    context = FeatureContext(
        structure,
        Bonds(pairs=np.zeros((0, 2), np.int32), order=np.zeros(0, np.int8)),
        Mates(rows, position),
        packing_radii=packing_radii(names),
    )
    added = []
    for name in names:
        if name == "crystal_wcn":
            found = copy_contact_number(structure.position, position) / np.float32(USUAL_WCN)
        else:
            feature = find_feature(name)
            isolated = find_feature(feature.isolated_as or name)
            found = feature.compute(context) - isolated.compute(context)
        added.append(torch.from_numpy(found))
    return added
