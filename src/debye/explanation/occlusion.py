"""Occlusion: predict again without each neighbor, each symmetry copy, and each kind of input."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from debye.dataset.batches.augment import NAME_FEATURES
from debye.explanation.explanation import Contribution, FeatureEffect
from debye.explanation.surroundings import Kind, Neighbor
from debye.explanation.symmetry_mates import without_copy

if TYPE_CHECKING:
    from debye.explanation.case import Case
    from debye.graph.graph import AtomGraph

BOND_FEATURES = ("bond_count", "highest_bond")
"""Categorical features that follow from bonds; their code 0 is that of an atom without any."""
ATOMS_AT_ONCE = 100_000
"""Most atoms in simultaneous predictions: limits the memory to about 1 GiB."""


def occlude_neighbors(
    case: Case, neighbors: list[Neighbor], *, workers: int = 1
) -> list[Contribution]:
    """Return the effect of each neighbor: the prediction with it minus the prediction without it.

    A residue is removed as if it were not in the file: its symmetry copies go too, and every feature is
    computed again. If a symmetry copy is removed, all other copies stay. The mean and spread of B of the
    structure are kept, so that an effect does not include the change of the mean of all atoms.

    Args:
        case: What is explained.
        neighbors: From :func:`debye.explanation.surroundings.find_neighbors`.
        workers: Threads, each with its own prediction; fewer for large structures.
    """
    whole = float(case.with_fixed_level(case.output))
    workers = max(1, min(workers, ATOMS_AT_ONCE // len(case.structure)))
    without = _together([partial(_without, case, neighbor) for neighbor in neighbors], workers)
    return [
        Contribution(neighbor=neighbor, effect=whole - value)
        for neighbor, value in zip(neighbors, without, strict=True)
    ]


def hide_features(case: Case, neighbors: list[Neighbor]) -> list[FeatureEffect]:
    """Return the effect of each kind of input that is known.

    Symmetry mates are hidden molecule by molecule, if they are among the neighbors, and all together.
    """
    return [
        FeatureEffect(
            name=name,
            effect=float(case.with_fixed_level(case.output) - case.with_fixed_level(output)),
            with_level=float(case.with_own_level(case.output) - case.with_own_level(output)),
        )
        for name, graph in _hidden(case, neighbors).items()
        for output in [case.predict(graph)]
    ]


def _without(case: Case, neighbor: Neighbor) -> float:
    if neighbor.kind == Kind.MATE:
        return float(case.with_fixed_level(case.predict(_without_copies(case, [neighbor]))))
    keep = np.ones(len(case.structure), bool)
    keep[neighbor.rows] = False
    graph = case.rebuilt(case.structure.take(keep))
    rows = np.cumsum(keep)[case.rows] - 1
    return float(case.with_fixed_level(case.predict(graph), rows))


def _without_copies(case: Case, copies: list[Neighbor]) -> AtomGraph:
    graph = case.graph
    for copy in copies:
        graph = without_copy(graph, case.structure, copy)
    return graph


def _hidden(case: Case, neighbors: list[Neighbor]) -> dict[str, AtomGraph]:
    """Return a graph without each kind of input that the model has."""
    graph = case.graph
    hidden = {}
    if names := _columns(graph, lambda name: name in NAME_FEATURES or name.startswith("residue_")):
        hidden["its own name"] = _without_codes(case, names)
    hidden["its own bonds"] = _without_bonds(case)
    if case.prepared.resolution is not None and graph.config.hidden_with("resolution"):
        hidden["the resolution"] = graph.without_resolution(torch.ones(1, dtype=torch.bool))
    mates = [neighbor for neighbor in neighbors if neighbor.kind == Kind.MATE]
    for operation in dict.fromkeys(mate.operation for mate in mates):
        copies = [mate for mate in mates if mate.operation == operation]
        if len(copies) > 1:
            hidden[f"the mate {operation}: {len(copies)} residues"] = _without_copies(case, copies)
    if case.in_crystal:
        hidden["all symmetry mates"] = case.rebuilt(replace(case.structure, crystal=None))
    return hidden


def _columns(graph: AtomGraph, wanted: Callable[[str], bool]) -> list[int]:
    return [column for column, name in enumerate(graph.config.node_categories) if wanted(name)]


def _without_codes(case: Case, columns: list[int]) -> AtomGraph:
    """Set categories of the residue to 0: ``other`` or none."""
    categories = case.graph.categories.clone()
    rows = np.flatnonzero(case.structure.residue_index == case.residue.index)
    categories[torch.from_numpy(rows)[:, None], torch.tensor(columns, dtype=torch.long)] = 0
    return replace(case.graph, categories=categories)


def _without_bonds(case: Case) -> AtomGraph:
    """Turn the bonds of the residue's atoms into contacts, and drop those that are too long for one."""
    graph = _without_codes(case, _columns(case.graph, lambda name: name in BOND_FEATURES))
    own = case.residue.index
    touched = (graph.residue_index[graph.edge_index] == own).any(dim=0)
    residue_touched = (graph.residue_edge_index == own).any(dim=0)
    graph = replace(
        graph,
        edge_bond=graph.edge_bond.masked_fill(touched, 0),
        residue_edge_bond=graph.residue_edge_bond & ~residue_touched,
    )
    was_bond = touched & (case.graph.edge_bond > 0)
    if graph.config.nearest is not None:
        return graph
    far = graph.edge_vector.norm(dim=-1) > (graph.config.radius or 0.0)
    return graph.keep_edges(~(was_bond & far))


def _together(jobs: list[Callable[[], float]], workers: int) -> list[float]:
    """Run jobs in threads: torch and numpy release the interpreter lock while they compute."""
    before = torch.get_num_threads()
    # A setting of each thread: predictions that all use every core would wait for each other.
    share = max(1, before // workers)
    try:
        with ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(share,)
        ) as pool:
            return list(pool.map(lambda job: job(), jobs))
    finally:
        torch.set_num_threads(before)
