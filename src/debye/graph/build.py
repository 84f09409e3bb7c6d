"""From a structure to its atomic graph."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from debye.errors import GraphError, StructureError
from debye.graph.config import GraphConfig
from debye.graph.features import (
    FeatureContext,
    find_feature,
    mate_reach,
    packing_radii,
    structure_features,
)
from debye.graph.graph import AtomGraph
from debye.graph.neighbors import (
    NO_NEIGHBORS,
    Neighbors,
    find_residue_edges,
    merge,
    nearest_neighbors,
    radius_neighbors,
)
from debye.structure.bonds import Bonds, find_bonds
from debye.structure.crystal import Mates, crystal_problem, symmetry_mates
from debye.structure.row_keys import text_numbers
from debye.structure.structure import Structure

NEAREST_REACH = 12.0
"""Å. Distance up to which mates count among the nearest neighbors of an atom."""
SHORTEST_REACH = 3.0
"""Å. Distance up to which mates are searched where only their presence matters."""


def build_graph(
    structure: Structure,
    config: GraphConfig,
    *,
    bonds: Bonds | None = None,
    resolution: float | None = None,
) -> AtomGraph:
    """Connect the atoms of a structure and describe them; the B column is not read.

    Symmetry mates are included if ``config.crystal`` is set and the crystal of the structure can be used
    (:func:`debye.structure.crystal.crystal_problem`).

    Args:
        structure: Heavy atoms of one conformer, see :func:`debye.structure.select.select_atoms`.
        config: Edges and features.
        bonds: Of the structure; found if not given.
        resolution: Å; that of the entry if not given.

    Raises:
        GraphError: the structure has no atoms.
    """
    if not len(structure):
        raise GraphError(
            structure.source,
            "no atoms are left after selection",
            "Give a structure with at least one heavy atom that is not water",
        )
    bonds = find_bonds(structure) if bonds is None else bonds
    mates = _mates(structure, config)
    context = FeatureContext(
        structure,
        bonds,
        mates,
        resolution=structure.entry.resolution if resolution is None else resolution,
        packing_radii=packing_radii(config.node_scalars),
    )
    edges, order = _edges(structure.position, mates, bonds, config)
    contacts, joined = NO_NEIGHBORS, NO_NEIGHBORS.is_mate
    if config.residue_radius is not None:
        contacts, joined = find_residue_edges(
            structure, bonds, config.residue_radius, in_crystal=mates is not None
        )
    chain = np.unique(text_numbers(structure.chain), return_inverse=True)[1]
    return AtomGraph(
        source=(structure.source,),
        config=config,
        position=torch.from_numpy(structure.position),
        categories=_columns(context, config.node_categories, np.int64),
        scalars=_columns(context, config.node_scalars, np.float32),
        residue_index=torch.from_numpy(structure.residue_index.astype(np.int64)),
        chain_index=torch.from_numpy(chain.astype(np.int64)),
        entity_kind=torch.from_numpy(structure.entity_kind.astype(np.int64)),
        structure_index=torch.zeros(len(structure), dtype=torch.long),
        structure_scalars=torch.from_numpy(structure_features(context, config.structure_scalars)),
        edge_index=_edge_index(edges),
        edge_vector=torch.from_numpy(edges.vector),
        edge_bond=torch.from_numpy(order.astype(np.int64)),
        edge_mate=torch.from_numpy(edges.is_mate),
        residue_edge_index=_edge_index(contacts),
        residue_edge_vector=torch.from_numpy(contacts.vector),
        residue_edge_bond=torch.from_numpy(joined),
        residue_edge_mate=torch.from_numpy(contacts.is_mate),
        crystal_known=torch.tensor([mates is not None]),
    )


def _mates(structure: Structure, config: GraphConfig) -> Mates | None:
    """Return the mates that edges and features need, or None if the crystal is not used."""
    if not config.crystal or crystal_problem(structure.crystal, len(structure)) is not None:
        return None
    reach = max(config.radius or 0.0, mate_reach(config.node_scalars))
    if config.nearest is not None:
        reach = max(reach, NEAREST_REACH)
    try:
        return symmetry_mates(structure, reach or SHORTEST_REACH)
    except StructureError:  # atoms clash with mates: cell and coordinates do not belong together
        return None


def _edge_index(edges: Neighbors) -> torch.Tensor:
    return torch.from_numpy(np.stack([edges.sender, edges.receiver]).astype(np.int64))


def _columns(context: FeatureContext, names: tuple[str, ...], dtype: type) -> torch.Tensor:
    atoms = len(context.structure)
    if not names:
        return torch.from_numpy(np.zeros((atoms, 0), dtype))
    columns = [find_feature(name).compute(context).astype(dtype) for name in names]
    return torch.from_numpy(np.stack(columns, axis=1))


def _edges(
    position: NDArray[np.float32], mates: Mates | None, bonds: Bonds, config: GraphConfig
) -> tuple[Neighbors, NDArray[np.int8]]:
    """Return all edges of all kinds, each once, with their bond orders."""
    mates = Mates() if mates is None else mates
    kinds = []
    if config.radius is not None:
        kinds.append(radius_neighbors(position, mates, config.radius))
    if config.nearest is not None:
        near = nearest_neighbors(position, mates, config.nearest)
        if config.radius is not None:
            near = near.take(np.flatnonzero((near.vector**2).sum(axis=1) > config.radius**2))
        kinds.append(near)
    found = kinds[0] if len(kinds) == 1 else merge(kinds)[0]
    both = np.concatenate([bonds.pairs, bonds.pairs[:, ::-1]])
    order = np.concatenate([bonds.order, bonds.order])
    edge_order = np.zeros(len(found), np.int8)
    place = _find(found, both, len(position))
    edge_order[place[place >= 0]] = order[place >= 0]
    if not config.covalent or (place >= 0).all():
        return found, edge_order
    missing = both[place < 0]
    extra = Neighbors(
        sender=missing[:, 0],
        receiver=missing[:, 1],
        vector=position[missing[:, 0]] - position[missing[:, 1]],
        is_mate=np.zeros(len(missing), bool),
    )
    joined, rows = merge([found, extra])
    return joined, np.concatenate([edge_order, order[place < 0]])[rows]


def _find(edges: Neighbors, pairs: NDArray[np.integer], atoms: int) -> NDArray[np.int64]:
    """Return the row of the edge between the very atoms of each pair (sender, receiver), or -1."""
    if not len(edges) or not len(pairs):
        return np.full(len(pairs), -1)
    key = edges.receiver.astype(np.int64) * atoms + edges.sender
    wanted = pairs[:, 1].astype(np.int64) * atoms + pairs[:, 0]
    # Edges are sorted by receiver, sender, mate: the first of equals is the one within the structure.
    place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    return np.where((key[place] == wanted) & ~edges.is_mate[place], place, -1)
