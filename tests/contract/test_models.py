"""Every row of the model catalog fulfils the contract of :mod:`debye.testing`."""

from __future__ import annotations

import pytest
import torch
from outputs import b_output

from debye import testing
from debye.errors import ConfigError
from debye.graph.build import build_graph
from debye.models.catalog import CATALOG, build_model, find_model, model_config
from debye.models.checkpoint import CheckpointHeader
from debye.testing.peptide import build_peptide


@pytest.fixture(scope="module", params=CATALOG)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def graphs(name, in_crystal):
    config = model_config(name).graph
    other = build_peptide("GASTKW", phi=-60.0, psi=-45.0)
    first = build_graph(in_crystal, config)
    if config.reads_crystal:
        assert bool(first.crystal_known.all())
    if config.crystal and config.radius is not None:
        assert bool(first.edge_mate.any()), "the contract is to be run with mates"
    return first, build_graph(other, config)


def test_contract(name, graphs):
    torch.manual_seed(0)
    testing.check_model(build_model(name), *graphs)


def test_saved_and_loaded(name, graphs):
    torch.manual_seed(0)
    header = CheckpointHeader(
        name=name, model=name, config=model_config(name).model_dump(mode="json")
    )
    testing.check_saved_and_loaded(build_model(name), header, graphs[0])


def test_overfits(name, graphs):
    if not find_model(name).learned:
        pytest.skip("nothing to train by gradient")
    torch.manual_seed(0)
    graph = graphs[0]
    target = torch.randn(graph.n_atoms)
    testing.check_overfits(build_model(name), graph, target)


def test_head(name, graphs):
    if not find_model(name).learned:
        pytest.skip("nothing to train by gradient")
    torch.manual_seed(0)
    testing.check_head(build_model(name), graphs[0])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ((), "must declare its head"),
        (("nothing",), "no submodule nothing"),
        (("norm",), "log_mean_sd of b_factor does not depend on the head"),
        (("heads.b_factor.structure",), "value of b_factor does not depend on the head"),
        (("atoms", "edges", "structures", "layers", "norm", "heads"), "whole model"),
    ],
)
def test_the_contract_catches_a_wrong_head(in_crystal, monkeypatch, head, message):
    model = build_model("meta_gnn", {"layers": 1})
    monkeypatch.setattr(type(model), "head", head)
    with pytest.raises(AssertionError, match=message):
        testing.check_head(model, build_graph(in_crystal, model.graph_config))


def test_unknown_model_is_explained():
    with pytest.raises(ConfigError, match="Did you mean 'meta_gnn'"):
        find_model("meta-gnn")


def test_unknown_setting_is_explained():
    with pytest.raises(ConfigError, match=r"layer: .*The settings are graph, layers"):
        model_config("meta_gnn", {"layer": 3})


class Broken(torch.nn.Module):
    """Reads raw coordinates: the contract must notice."""

    def forward(self, graph):
        return b_output(graph.position[:, 0].clone())


def test_the_contract_catches_a_model_that_depends_on_the_pose(peptide):
    from debye.graph.config import GraphConfig

    graph = build_graph(peptide, GraphConfig())
    with pytest.raises(AssertionError, match="under a rigid motion"):
        testing.check_invariance(Broken(), graph)  # type: ignore[arg-type]
