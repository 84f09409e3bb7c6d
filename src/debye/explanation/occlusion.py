"""Occlusion: predict again without each neighbor, each symmetry copy, and each kind of input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from debye.dataset.batches.augment import NAME_FEATURES
from debye.explanation.case import Contribution, FeatureEffect
from debye.explanation.neighbors import Kind, Neighbor
from debye.graph.features import USUAL_WCN, FeatureContext, find_feature, packing_radii
from debye.graph.neighbors import copy_contact_number
from debye.structure.bonds import Bonds
from debye.structure.crystal import COINCIDENT, Mates

if TYPE_CHECKING:
    from debye.explanation.case import Case
    from debye.graph.graph import AtomGraph
    from debye.structure.structure import Structure

BOND_FEATURES = ("bond_count", "highest_bond")
"""Categorical features that follow from bonds; their code 0 is that of an atom without any."""
ATOMS_AT_ONCE = 100_000
"""Most atoms in simultaneous predictions: limits the memory to about 1 GiB."""
SAME_PLACE = 0.05
"""Å. A sender this near to an atom of the copy is that atom: float32 rounds to 1e-4 Å at most."""


def occlude_neighbors(
    case: Case, neighbors: list[Neighbor], *, workers: int = 1
) -> list[Contribution]:
    """Return the effect of each neighbor: the prediction with it minus the prediction without it.

    A residue is removed as if it were not in the file: its symmetry copies go too, and every feature is
    computed again. If a symmetry copy is removed, all other copies stay. The mean and spread of B of the
    structure are kept, so that an effect does not include the change of the mean of all atoms. Each worker is
    a thread with its own prediction; there are fewer for large structures.
    """
    before, whole = torch.get_num_threads(), case.predicted
    workers = max(1, min(workers, ATOMS_AT_ONCE // len(case.structure)))
    # Torch and numpy release the interpreter lock while they compute. The number of torch's threads is a
    # setting of each thread: predictions that all use every core would wait for each other.
    share = (max(1, before // workers),)
    settings = {"initializer": torch.set_num_threads, "initargs": share}
    try:
        with ThreadPoolExecutor(workers, **settings) as pool:
            without = list(pool.map(partial(_without, case), neighbors))
    finally:
        torch.set_num_threads(before)
    pairs = zip(neighbors, without, strict=True)
    return [Contribution(neighbor, whole - value) for neighbor, value in pairs]


def hide_features(case: Case, neighbors: list[Neighbor]) -> list[FeatureEffect]:
    """Return the effect of each kind of input that is known.

    Symmetry mates are hidden molecule by molecule, if they are among the neighbors, and all together.
    """
    with_it, found = case.mean(case.output), []
    for name, graph in _hidden(case, neighbors).items():
        output = case.predict(graph)
        own_level = float(with_it - case.mean(output, own_level=True))
        found.append(FeatureEffect(name, float(with_it - case.mean(output)), own_level))
    return found


def without_copy(graph: AtomGraph, structure: Structure, copy: Neighbor) -> AtomGraph:
    """Return the graph of a crystal without the edges of one copy of a residue, and without it in features.

    All other copies and the edges of the original stay. Removing every copy in turn leaves the graph of the
    isolated molecule, except for the features of the whole structure.
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

    sender, receiver = graph.residue_edge_index
    count = torch.bincount(graph.residue_index, minlength=graph.n_residues).clamp(min=1)
    centroid = torch.zeros(graph.n_residues, 3, dtype=torch.float64)
    centroid.index_add_(0, graph.residue_index, graph.position.double())
    image = (centroid / count[:, None])[receiver] + graph.residue_edge_vector
    center = torch.from_numpy(copy.position.mean(axis=0, dtype=np.float64))
    from_residue = graph.residue_edge_mate & (sender == graph.residue_index[copy.rows[0]])
    return sends, from_residue & _is_near(image, center)


def _is_near(one: Float[Tensor, "rows 3"], other: Float[Tensor, "*rows 3"]) -> Tensor:
    return (one - other).norm(dim=-1) < SAME_PLACE  # False where the other is nan


def _additions(
    structure: Structure, copy: Neighbor, names: list[str]
) -> list[Float[Tensor, " atoms"]]:
    """Return what the copy adds to each feature of the crystal: all of these are sums over mates."""
    # An atom on a symmetry axis is its own copy, which does not count.
    apart = cKDTree(structure.position).query(copy.position)[0] > COINCIDENT
    rows, position = copy.rows[apart].astype(np.int32), copy.position[apart]
    if not len(rows):
        return [torch.zeros(len(structure))] * len(names)
    no_bonds = Bonds(pairs=np.zeros((0, 2), np.int32), order=np.zeros(0, np.int8))
    mates = Mates(rows, position)
    context = FeatureContext(structure, no_bonds, mates, packing_radii=packing_radii(names))
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


def _without(case: Case, neighbor: Neighbor) -> float:
    """Return the prediction without a neighbor."""
    if neighbor.kind == Kind.MATE:
        graph = without_copy(case.graph, case.structure, neighbor)
        return float(case.mean(case.predict(graph)))
    keep = np.ones(len(case.structure), bool)
    keep[neighbor.rows] = False
    graph = case.rebuilt(case.structure.take(keep))
    return float(case.mean(case.predict(graph), np.cumsum(keep)[case.rows] - 1))


def _hidden(case: Case, neighbors: list[Neighbor]) -> dict[str, AtomGraph]:
    """Return a graph without each kind of input that the model has."""
    graph, hidden = case.graph, {}
    categories = graph.config.node_categories
    names = [name for name in categories if name in NAME_FEATURES or name.startswith("residue_")]
    if names:
        hidden["its own name"] = _without_codes(case, names)
    hidden["its own bonds"] = _without_bonds(case)
    if case.prepared.resolution is not None and graph.config.hidden_with("resolution"):
        hidden["the resolution"] = graph.without_resolution(torch.ones(1, dtype=torch.bool))
    copies_by: dict[str, list[Neighbor]] = {}
    for neighbor in neighbors:
        if neighbor.kind == Kind.MATE:
            copies_by.setdefault(neighbor.operation, []).append(neighbor)
    for operation, copies in copies_by.items():
        if len(copies) > 1:
            cut = graph
            for copy in copies:
                cut = without_copy(cut, case.structure, copy)
            hidden[f"the mate {operation}: {len(copies)} residues"] = cut
    if case.in_crystal:
        hidden["all symmetry mates"] = case.rebuilt(replace(case.structure, crystal=None))
    return hidden


def _without_codes(case: Case, names: list[str]) -> AtomGraph:
    """Set categories of the residue to 0: ``other`` or none."""
    categories = case.graph.categories.clone()
    own = case.graph.residue_index == case.residue.index
    for name in names:
        categories[own, case.graph.config.node_categories.index(name)] = 0
    return replace(case.graph, categories=categories)


def _without_bonds(case: Case) -> AtomGraph:
    """Turn the bonds of the residue's atoms into contacts, and drop those that are too long for one."""
    known = case.graph.config.node_categories
    graph = _without_codes(case, [name for name in BOND_FEATURES if name in known])
    own = case.residue.index
    touched = (graph.residue_index[graph.edge_index] == own).any(dim=0)
    residue_touched = (graph.residue_edge_index == own).any(dim=0)
    was_bond = touched & (graph.edge_bond > 0)
    graph = replace(
        graph,
        edge_bond=graph.edge_bond.masked_fill(touched, 0),
        residue_edge_bond=graph.residue_edge_bond & ~residue_touched,
    )
    if graph.config.nearest is not None:
        return graph
    far = graph.edge_vector.norm(dim=-1) > (graph.config.radius or 0.0)
    return graph.keep_edges(~(was_bond & far))
