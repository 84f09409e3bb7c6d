"""Every row of the model catalog fulfils the contract of :mod:`debye.testing`."""

from __future__ import annotations

import pytest
import torch

from debye.errors import ConfigError
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.models.base import BaselineModel
from debye.models.baselines.means import NoSettings
from debye.models.catalog import CATALOG, build_model, find_model, model_config
from debye.models.checkpoint import CheckpointHeader
from debye.targets.b_factor import B_FACTOR
from debye.testing import check_model
from debye.testing.models import (
    check_gradient,
    check_head,
    check_invariance,
    check_overfits,
    check_saved_and_loaded,
    sample_graphs,
)


@pytest.fixture(scope="module", params=CATALOG)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def graphs(name):
    config = model_config(name).graph
    first, second = sample_graphs(config)
    if config.reads_crystal:
        assert bool(first.crystal_known.all())
    if config.crystal and config.radius is not None:
        assert bool(first.edge_mate.any()), "the contract must see symmetry mates"
    return first, second


def test_contract(name, graphs):
    torch.manual_seed(0)
    check_model(build_model(name), *graphs)


def test_saved_and_loaded(name, graphs):
    torch.manual_seed(0)
    header = CheckpointHeader(
        name=name, model=name, config=model_config(name).model_dump(mode="json")
    )
    check_saved_and_loaded(build_model(name), header, graphs[0])


def test_overfits(name, graphs):
    if not find_model(name).learned:
        pytest.skip("nothing to train by gradient")
    torch.manual_seed(0)
    graph = graphs[0]
    target = torch.randn(graph.n_atoms)
    check_overfits(build_model(name), graph, target)


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
        check_head(model, build_graph(in_crystal, model.graph_config))


def test_unknown_model_is_explained():
    with pytest.raises(ConfigError, match="Did you mean 'meta_gnn'"):
        find_model("meta-gnn")


def test_unknown_setting_is_explained():
    with pytest.raises(ConfigError, match=r"layer: .*The settings are graph, layers"):
        model_config("meta_gnn", {"layer": 3})


class ReadsCoordinates(BaselineModel):
    """Returns the x coordinate of each atom."""

    def forward(self, graph):
        return self.output(graph.position[:, 0].clone())


def test_the_contract_catches_a_model_that_depends_on_the_pose(peptide):
    model = ReadsCoordinates(NoSettings(), [B_FACTOR])
    with pytest.raises(AssertionError, match="under a rigid motion"):
        check_invariance(model, build_graph(peptide, GraphConfig()))


@pytest.mark.parametrize(
    "layer", ["layers.0.node_update.0", "heads.b_factor.atom.2", "atoms.embeddings.1"]
)
def test_the_contract_catches_a_layer_without_gradient(in_crystal, layer):
    model = build_model("meta_gnn", {"layers": 1})
    dead = model.get_submodule(layer)
    dead.forward = lambda *inputs: type(dead).forward(dead, *inputs).detach()
    with pytest.raises(AssertionError, match=f"no gradient reaches .*{layer}"):
        check_gradient(model, build_graph(in_crystal, model.graph_config))
