"""A crystal without one copy of a residue: edges and features as if it had been left out from the start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from debye.explanation.case import Case, make_case
from debye.explanation.neighbors import Kind, find_neighbors
from debye.explanation.occlusion import edges_of_copy, without_copy
from debye.structure.structure import Crystal


@pytest.fixture(scope="module")
def case(predictor, in_crystal) -> Case:
    """Four residues that touch their copies along one axis only: few copies are within any reach."""
    few = in_crystal.take(in_crystal.residue_index < 4)
    width = float(np.ptp(few.position[:, 2])) - 1.0
    crystal = Crystal(cell=(70.0, 70.0, width, 90.0, 90.0, 90.0), space_group="P 1")
    return make_case(predictor, replace(few, crystal=crystal), "A:2")


def all_copies(case, reach):
    everywhere = [
        near
        for index in range(4)
        for near in find_neighbors(
            case.structure,
            np.flatnonzero(case.structure.residue_index == index),
            reach,
            in_crystal=True,
        )
        if near.kind == Kind.MATE
    ]
    return list({(near.residue.index, near.operation): near for near in everywhere}.values())


def test_without_every_copy_the_molecule_is_alone(case):
    graph = case.graph
    assert int(graph.edge_mate.sum()) > 20
    for copy in all_copies(case, reach=27.0):
        graph = without_copy(graph, case.structure, copy)
    alone = case.graph.without_crystal()
    assert torch.equal(graph.edge_index, alone.edge_index)
    assert torch.equal(graph.residue_edge_index, alone.residue_edge_index)
    torch.testing.assert_close(graph.scalars, alone.scalars, rtol=0, atol=2e-4)


def test_each_edge_of_a_mate_belongs_to_one_copy(case):
    count = torch.zeros(case.graph.n_edges)
    for copy in all_copies(case, reach=6.0):
        sends, _ = edges_of_copy(case.graph, copy)
        assert set(case.graph.residue_index[case.graph.edge_index[0, sends]].tolist()) <= {
            copy.residue.index
        }
        count += sends
    assert torch.equal(count, case.graph.edge_mate.float())


def test_the_graph_of_the_case_stays_as_it_is(case):
    before = case.graph.scalars.clone()
    without_copy(case.graph, case.structure, all_copies(case, reach=6.0)[0])
    assert torch.equal(before, case.graph.scalars)


def test_an_atom_on_an_axis_is_not_its_own_copy(case):
    copy = all_copies(case, reach=6.0)[0]
    on_itself = replace(copy, position=case.structure.position[copy.rows].copy())
    cut = without_copy(case.graph, case.structure, on_itself)
    assert cut.n_edges == case.graph.n_edges
    assert torch.equal(cut.scalars, case.graph.scalars)
