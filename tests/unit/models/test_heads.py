"""Models of several targets: each has its head, and what they share is learned from all of them."""

from __future__ import annotations

import pytest
import torch

from debye.errors import ConfigError
from debye.graph.build import build_graph
from debye.graph.graph import AtomGraph, join
from debye.models.base import AtomModel
from debye.models.catalog import build_model
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import LabelSource, Per, Target
from debye.testing.peptide import build_peptide

SMALL = {
    "meta_gnn": {"layers": 1, "node_width": 16, "edge_width": 8, "global_width": 8},
    "waller": {"atom_width": 16, "residue_width": 16, "edge_width": 8, "residue_layers": 2},
}


def made(name: str, per: Per) -> Target:
    return Target(name=name, unit="", summary="Made.", per=per, source=LabelSource(name=name))


THREE = (B_FACTOR, made("size", Per.RESIDUE), made("whole", Per.STRUCTURE))


@pytest.fixture(params=SMALL)
def model(request: pytest.FixtureRequest) -> AtomModel:
    torch.manual_seed(0)
    return build_model(request.param, SMALL[request.param], THREE).eval()


@pytest.fixture
def graphs(model: AtomModel, in_crystal) -> list[AtomGraph]:
    other = build_peptide("GASTKW", source="other")
    return [build_graph(each, model.graph_config) for each in (in_crystal, other)]


def test_each_target_has_its_values(model: AtomModel, graphs: list[AtomGraph]) -> None:
    graph = join(graphs)
    values = model(graph).values
    assert list(values) == ["b_factor", "size", "whole"]
    counts = {"b_factor": graph.n_atoms, "size": graph.n_residues, "whole": 2}
    for name, count in counts.items():
        assert values[name].value.shape == (count,)
        assert values[name].log_error is not None
        assert values[name].log_error.shape == (count,)
    assert values["b_factor"].log_mean_sd is not None
    assert values["b_factor"].log_mean_sd.shape == (2, 2)
    assert values["size"].log_mean_sd is values["whole"].log_mean_sd is None


def test_every_head_learns_and_its_own_target_alone_reaches_it(
    model: AtomModel, graphs: list[AtomGraph]
) -> None:
    for name in (target.name for target in THREE):
        model.zero_grad()
        output = model.train()(graphs[0]).values[name]
        parts = (output.value, output.log_error, output.log_mean_sd)
        sum(part.square().sum() for part in parts if part is not None).backward()
        reached = {
            each.split(".")[1]
            for each, weight in model.named_parameters()
            if each.startswith("heads.") and weight.grad is not None and bool(weight.grad.any())
        }
        assert reached == {name}
        own = model.get_submodule(f"heads.{name}").parameters()
        assert all(weight.grad is not None and bool(weight.grad.any()) for weight in own)
        trunk = [
            weight.grad
            for each, weight in model.named_parameters()
            if each.startswith("atoms.") and weight.grad is not None
        ]
        assert any(bool(gradient.any()) for gradient in trunk)


def test_batched_values_are_those_of_each_structure_alone(
    model: AtomModel, graphs: list[AtomGraph]
) -> None:
    with torch.no_grad():
        both, alone = model(join(graphs)).values, [model(graph).values for graph in graphs]
    for name, together in both.items():
        for part in ("value", "log_error", "log_mean_sd"):
            if getattr(together, part) is None:
                continue
            expected = torch.cat([getattr(each[name], part) for each in alone])
            torch.testing.assert_close(getattr(together, part), expected, atol=2e-5, rtol=1e-4)


def test_residues_in_any_order_of_atoms_get_the_same_values(
    model: AtomModel, graphs: list[AtomGraph]
) -> None:
    order = torch.randperm(graphs[0].n_atoms, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        values = model(graphs[0]).values["size"].value
        shuffled = model(graphs[0].permuted(order)).values["size"].value
    assert values.std() > 0
    torch.testing.assert_close(shuffled, values, atol=2e-5, rtol=1e-4)


def test_a_further_target_changes_neither_the_values_nor_the_weights_of_the_first(
    model: AtomModel, graphs: list[AtomGraph]
) -> None:
    name = "waller" if type(model).__name__ == "Waller" else "meta_gnn"
    single = build_model(name, SMALL[name], (B_FACTOR,)).eval()
    shared = {key: value for key, value in model.state_dict().items() if key in single.state_dict()}
    single.load_state_dict(shared)
    with torch.no_grad():
        alone, among = single(graphs[0]).first, model(graphs[0]).first
    torch.testing.assert_close(alone.value, among.value)
    torch.testing.assert_close(alone.log_mean_sd, among.log_mean_sd)


def test_a_baseline_takes_one_target_per_atom() -> None:
    with pytest.raises(ConfigError, match=r"cannot predict size \(per residue\)"):
        build_model("contact_number", {}, THREE[1:2])
    with pytest.raises(ConfigError, match=r"cannot predict b_factor .*, size"):
        build_model("contact_number", {}, THREE[:2])
