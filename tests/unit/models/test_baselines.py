"""Baselines say what their formula says, alone and in batches, and survive a checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from debye.errors import ConfigError
from debye.graph.build import build_graph
from debye.graph.graph import AtomGraph, join
from debye.graph.neighbors import packing, weighted_contact_number
from debye.models.base import AtomModel, Sample
from debye.models.baselines.geometry import standardize
from debye.models.catalog import build_model, model_config
from debye.structure.crystal import Mates, symmetry_mates
from debye.structure.structure import Crystal, Structure
from debye.testing.models import (
    check_batch_independence,
    check_input_unchanged,
    check_invariance,
    check_isolated_atom,
    check_output,
    check_permutation,
    check_without_edges,
)
from debye.testing.peptide import build_peptide, combine, from_atoms

NAMES = (
    "structure_mean",
    "train_mean",
    "locant_element_mean",
    "contact_number",
    "weighted_contact_number",
)


@pytest.fixture(scope="module")
def crystal() -> Structure:
    peptide = build_peptide("ACDEFGHIKLMNPQRSTVWY" * 2, source="crystal")
    centered = peptide.position - peptide.position.mean(axis=0)
    axes = np.linalg.svd(centered, full_matrices=False)[2]
    position = (centered @ axes[[1, 2, 0]].T + [8.5, 0, 20]).astype(np.float32)
    cell = Crystal(cell=(34.0, 18.0, 70.0, 90.0, 94.0, 90.0), space_group="P 1 21 1")
    return replace(peptide, position=position, crystal=cell)


def z_score(value: np.ndarray) -> np.ndarray:
    return (value - value.mean()) / value.std()


LEVEL = torch.tensor([[3.0, 2.0]], dtype=torch.float64)


def fitted(structure: Structure) -> AtomModel:
    model = build_model("locant_element_mean")
    graph = build_graph(structure, model.graph_config)
    model.fit([Sample(graph, torch.linspace(-1, 2, graph.n_atoms), LEVEL)])
    return model


@pytest.mark.parametrize("name", NAMES)
def test_contract(name, crystal, peptide):
    model = fitted(crystal) if name == "locant_element_mean" else build_model(name)
    first, second = (build_graph(s, model.graph_config) for s in (crystal, peptide))
    for check in (
        check_output,
        check_input_unchanged,
        check_invariance,
        check_permutation,
        check_isolated_atom,
        check_without_edges,
    ):
        check(model, first)
    check_batch_independence(model, first, second)
    assert not list(model.parameters()), "nothing here is learned by gradient"


def test_structure_mean_is_flat(crystal):
    model = build_model("structure_mean")
    assert not model(build_graph(crystal, model.graph_config)).first.value.any()


@pytest.mark.parametrize("radius", [5.0, 10.0])
@pytest.mark.parametrize("mates", [True, False])
def test_contact_number(crystal, radius, mates):
    model = build_model("contact_number", {"radius": radius, "crystal": mates})
    profile = model(build_graph(crystal, model.graph_config)).first.value.numpy()
    isolated, packed = packing(crystal.position, symmetry_mates(crystal, 12.0), [radius])
    counted = (packed if mates else isolated).contacts[:, 0]
    np.testing.assert_allclose(profile, z_score(-counted), atol=1e-5)
    assert (isolated.contacts != packed.contacts).any(), "the mates must matter in this test"


@pytest.mark.parametrize("mates", [True, False])
def test_weighted_contact_number(crystal, mates):
    model = build_model("weighted_contact_number", {"crystal": mates})
    profile = model(build_graph(crystal, model.graph_config)).first.value.numpy()
    isolated, packed = weighted_contact_number(crystal, symmetry_mates(crystal, 5.0))
    np.testing.assert_allclose(profile, z_score(1 / (packed if mates else isolated)), atol=1e-4)


@pytest.mark.parametrize("name", ["contact_number", "weighted_contact_number"])
def test_hidden_crystal_equals_none(name, crystal):
    model, isolated = (build_model(name, {"crystal": shown}) for shown in (True, False))
    graph = build_graph(crystal, model.graph_config)
    hidden = model(graph.without_crystal()).first.value
    alone = isolated(build_graph(crystal, isolated.graph_config)).first.value
    torch.testing.assert_close(hidden, alone)
    assert not torch.allclose(hidden, model(graph).first.value, atol=1e-2)


def test_a_lone_ion_does_not_flatten_the_rest(peptide):
    far = peptide.position.max(axis=0) + 200.0
    ion = from_atoms([("ZN", "ZN", far)], residue_name="ZN", residue_number=99, chain="B")
    model = build_model("weighted_contact_number", {"crystal": False})
    profile = model(build_graph(combine([peptide, ion]), model.graph_config)).first.value
    assert torch.isfinite(profile).all()
    assert profile.argmax() == len(peptide)
    assert profile[:-1].std() > 0.1


def test_locant_element_mean_is_the_shrunk_mean_of_each_kind(crystal, peptide):
    model = build_model("locant_element_mean", {"prior_count": 10.0})
    stream, rows = [], []
    generator = torch.Generator().manual_seed(0)
    for structure in (crystal, peptide):
        graph = build_graph(structure, model.graph_config)
        value = torch.randn(graph.n_atoms, generator=generator)
        value[::7] = torch.nan
        stream.append(Sample(graph, value, LEVEL + len(stream)))
        rows.append(torch.cat([graph.categories, value[:, None].double()], dim=1))
    model.fit(iter(stream))
    graph = build_graph(crystal, model.graph_config)
    profile = model(graph).first.value
    seen = torch.cat(rows)
    for atom in range(0, graph.n_atoms, 5):
        same = (seen[:, :2] == graph.categories[atom]).all(dim=1) & torch.isfinite(seen[:, 2])
        expected = seen[same, 2].sum() / (same.sum() + 10.0)
        assert profile[atom].item() == pytest.approx(expected.item(), abs=1e-6)
    mean = LEVEL + (len(stream) - 1) / 2
    torch.testing.assert_close(model(graph).first.log_mean_sd.double(), mean)
    again = profile.clone()
    model.fit(stream)
    torch.testing.assert_close(model(graph).first.value, again, msg="fit starts anew")


def test_train_mean_is_the_mean_over_structures_of_their_means(peptide):
    model = build_model("train_mean")
    graph = build_graph(peptide, model.graph_config)
    means = torch.tensor([10.0, 20.0, 60.0], dtype=torch.float64)
    levels = torch.stack([means, torch.full((3,), 4.0, dtype=torch.float64)], dim=1).log()
    model.fit(Sample(graph, torch.zeros(graph.n_atoms), level[None]) for level in levels)
    output = model(graph)
    torch.testing.assert_close(output.first.log_mean_sd.exp(), torch.tensor([[30.0, 4.0]]))
    assert not output.first.value.any()
    with pytest.raises(ConfigError, match="nothing to fit to"):
        model.fit([])


def test_locant_element_mean_travels_in_its_state(crystal):
    model = fitted(crystal)
    copy = build_model("locant_element_mean")
    graph = build_graph(crystal, model.graph_config)
    assert not copy(graph).first.value.any(), "before fit every kind is unseen"
    copy.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    torch.testing.assert_close(copy(graph).first.value, model(graph).first.value)
    assert isinstance(copy, nn.Module)
    assert copy(graph).first.value.any()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("contact_number", {"radius": 6.0}, "5, 7, 10, 12 Å, not 6 Å"),
        ("weighted_contact_number", {"smallest": 0.0}, "smallest"),
        *((name, {"surprise": 1}, "surprise") for name in NAMES),
    ],
)
def test_unknown_settings_are_refused(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        model_config(name, settings)


def test_standardize_large_offsets_and_flat_structures():
    generator = torch.Generator().manual_seed(1)
    value = torch.cat([1000 + torch.randn(50, generator=generator), torch.full((30,), 0.1)])
    index = torch.repeat_interleave(torch.tensor([0, 2]), torch.tensor([50, 30]))
    found = standardize(value, index, 3)
    assert found[:50].mean().item() == pytest.approx(0, abs=1e-5)
    assert found[:50].std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert not found[50:].any()


def test_batches_of_baselines_with_and_without_crystal(crystal, peptide):
    model = build_model("weighted_contact_number")
    graphs: list[AtomGraph] = [build_graph(s, model.graph_config) for s in (peptide, crystal)]
    both = model(join(graphs)).first.value
    apart = torch.cat([model(graph).first.value for graph in graphs])
    torch.testing.assert_close(both, apart)
    isolated, _ = weighted_contact_number(peptide, Mates())
    np.testing.assert_allclose(both[: len(peptide)], z_score(1 / isolated), atol=1e-4)
