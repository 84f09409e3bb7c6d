"""Integrated gradients: complete, zero where nothing is varied, and refused where there is no path."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from debye.errors import CheckpointError
from debye.explanation.case import make_case
from debye.explanation.explanation import explain_case
from debye.explanation.gradients import integrate_gradients
from debye.explanation.neighbors import Kind, find_neighbors
from debye.explanation.occlusion import occlude_neighbors


def neighbors_of(case, reach=8.0):
    return find_neighbors(case.structure, case.rows, reach, in_crystal=case.in_crystal)


@pytest.mark.slow
def test_attributions_make_up_the_difference_from_the_baseline(case):
    found = integrate_gradients(case, neighbors_of(case), tolerance=1e-3)
    total = sum(
        float(part.sum())
        for part in (found.atoms, found.edges, found.residue_edges, found.structure_scalars)
    )
    difference = case.predicted - found.baseline
    assert abs(difference) > 0.1
    assert abs(total - difference) <= 1e-3 * max(1.0, abs(difference))
    assert total + found.remainder == pytest.approx(difference, abs=1e-4)


@pytest.mark.slow
def test_the_effects_that_are_shown_leave_nothing_out(case):
    found = explain_case(case, method="gradients")
    assert found.baseline is not None
    shown = [item.effect for item in (*found.contributions, *found.features)]
    assert sum(shown) + found.remainder == pytest.approx(
        found.case.predicted - found.baseline, abs=1e-3
    )


def test_edges_that_a_model_does_not_read_explain_nothing(gcn, in_crystal):
    case = make_case(gcn, in_crystal, "A:5")
    found = integrate_gradients(case, neighbors_of(case), tolerance=1e-3)
    assert found.edges.shape == (case.graph.n_edges,)
    assert found.edges.abs().max() == 0.0
    total = float(found.atoms.sum() + found.structure_scalars.sum())
    assert abs(case.predicted - found.baseline) > 0.1
    assert total + found.remainder == pytest.approx(case.predicted - found.baseline, abs=1e-3)


def test_only_neighbors_are_varied(case):
    neighbors = neighbors_of(case, 3.5)
    found = integrate_gradients(case, neighbors, most=8)
    varied = {near.residue.index for near in neighbors if near.kind != Kind.MATE}
    varied.add(case.residue.index)
    apart = torch.tensor([index not in varied for index in case.graph.residue_index.tolist()])
    assert bool(apart.any())
    assert found.atoms[apart].abs().max() == 0.0
    assert found.atoms[~apart].abs().max() > 0.0
    far = apart[case.graph.edge_index[0]] & ~case.graph.edge_mate
    assert found.edges[far].abs().max() == 0.0


def test_more_points_leave_less_unattributed(case):
    errors = [
        abs(integrate_gradients(case, neighbors_of(case), fewest=n, most=n).remainder)
        for n in (1, 16)
    ]
    assert errors[1] < 0.1 * errors[0]


def test_without_any_neighbor_the_start_of_the_path_is_an_atom_that_nobody_sees(waller, in_crystal):
    """In Waller edges without a description send nothing: as if there were none."""
    case = make_case(waller, in_crystal, "A:5", crystal="off")
    found = integrate_gradients(case, neighbors_of(case, 60.0), most=8)
    graph = case.graph
    bare = graph.keep_edges(torch.zeros(graph.n_edges, dtype=torch.bool))
    bare = bare.keep_residue_edges(torch.zeros_like(graph.residue_edge_mate))
    unnamed = replace(
        bare,
        categories=torch.zeros_like(graph.categories),
        scalars=torch.zeros_like(graph.scalars),
        structure_scalars=graph.structure_scalars * torch.tensor([0.0, 0.0, 1.0, 1.0]),
    )
    assert found.baseline == pytest.approx(float(case.mean(case.predict(unnamed))), abs=1e-3)


def test_the_model_keeps_no_hooks_and_no_gradients(case):
    before = case.predict(case.graph).first.value
    integrate_gradients(case, neighbors_of(case), most=8)
    assert all(not module._forward_hooks for module in case.model.modules())
    assert all(parameter.grad is None for parameter in case.model.parameters())
    assert torch.equal(case.predict(case.graph).first.value, before)


def test_a_model_without_encoders_is_refused_but_can_be_occluded(counting, in_crystal):
    case = make_case(counting, in_crystal, "A:5")
    with pytest.raises(CheckpointError, match=r"no gradients to follow\. Explain it by occlusion"):
        explain_case(case, method="gradients")
    assert occlude_neighbors(case, neighbors_of(case))
