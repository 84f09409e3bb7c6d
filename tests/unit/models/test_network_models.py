"""GNM and ANM of a graph: which atoms are nodes, who touches whom, and what each atom gets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from debye.graph.build import build_graph
from debye.models.baselines.elastic_network import anisotropic_network, gaussian_network
from debye.models.baselines.geometry import ANMConfig, residue_nodes, to_atoms
from debye.models.catalog import build_model
from debye.structure.structure import Crystal, EntityKind, Entry
from debye.testing.models import check_permutation
from debye.testing.peptide import combine, from_atoms, moved


def z_score(value: np.ndarray) -> np.ndarray:
    return (value - value.mean()) / value.std()


@pytest.fixture(scope="module")
def with_ligand(peptide):
    """A ligand of two atoms, far away: the inner one is its node."""
    x, y, z = peptide.position.mean(axis=0)
    pair = [("C1", "C", np.array([x + 61.2, y, z])), ("O1", "O", np.array([x + 60.0, y, z]))]
    return combine([peptide, from_atoms(pair, residue_name="CMO", residue_number=99, chain="B")])


def test_nodes_are_alpha_carbons_and_the_inner_atom_of_a_pair(with_ligand):
    graph = build_graph(with_ligand, ANMConfig().graph)
    nodes = residue_nodes(graph)
    assert with_ligand.atom_name[nodes.atom].tolist() == ["CA"] * 13 + ["O1"]
    np.testing.assert_array_equal(nodes.of_atom, with_ligand.residue_index)


def test_gnm_gives_each_residue_that_of_its_alpha_carbon(peptide):
    model = build_model("gnm", {"crystal": False})
    profile = model(build_graph(peptide, model.graph_config)).first.value.numpy()
    expected = gaussian_network(peptide.position[peptide.atom_name == "CA"])
    np.testing.assert_allclose(profile, z_score(expected[peptide.residue_index]), atol=1e-4)


def test_gnm_of_all_atoms(peptide):
    model = build_model("gnm", {"level": "atom", "cutoff": 5.0, "crystal": False})
    profile = model(build_graph(peptide, model.graph_config)).first.value.numpy()
    expected = gaussian_network(peptide.position, 5.0)
    np.testing.assert_allclose(profile, z_score(expected), atol=1e-4)


def test_anm_gives_each_residue_that_of_its_alpha_carbon(peptide):
    model = build_model("anm")
    profile = model(build_graph(peptide, model.graph_config)).first.value.numpy()
    expected = anisotropic_network(peptide.position[peptide.atom_name == "CA"])
    assert np.flatnonzero(np.isnan(expected)).tolist() == [12], "the end of the strand is loose"
    expected[12] = np.nanmax(expected)
    np.testing.assert_allclose(profile, z_score(expected[peptide.residue_index]), atol=1e-3)


def test_mates_are_springs_to_their_originals(in_crystal):
    model, isolated = (
        build_model("gnm", {"cutoff": 12.0, "crystal": shown}) for shown in (True, False)
    )
    graph = build_graph(in_crystal, model.graph_config)
    hidden = model(graph.without_crystal()).first.value
    torch.testing.assert_close(
        hidden, isolated(build_graph(in_crystal, isolated.graph_config)).first.value
    )
    assert not torch.allclose(hidden, model(graph).first.value, atol=1e-2)
    # Kirchhoff matrix of the nodes, every image of a node counted, inverted by numpy.
    nodes = np.flatnonzero(in_crystal.atom_name == "CA")
    shifts = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T
    matrix = np.zeros((len(nodes), len(nodes)))
    place = in_crystal.position[nodes].astype(np.float64)
    for shift in shifts * np.array(in_crystal.crystal.cell[:3]):
        near = np.linalg.norm(place[:, None] - place[None] - shift, axis=2) <= 12.0
        np.fill_diagonal(near, False)
        matrix -= near
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    expected = np.linalg.pinv(matrix, hermitian=True).diagonal()
    of_residue = z_score(expected[in_crystal.residue_index])
    np.testing.assert_allclose(model(graph).first.value.numpy(), of_residue, atol=1e-4)


@pytest.mark.parametrize("level", ["residue", "atom"])
def test_on_an_axis_the_order_of_atoms_does_not_matter(peptide, level):
    """An ion on a two-fold axis sees an atom and its image, and is seen by it once."""
    corner = peptide.position.min(axis=0) - 2.0
    extent = np.ptp(peptide.position, axis=0) + 4.0
    body = moved(peptide, np.eye(3), -corner)
    touched = body.position[np.argmin(body.position[:, 0])]
    body = moved(body, np.eye(3), (0.0, 0.0, -touched[2]))  # level with the axis x = z = 0
    zinc = [("ZN", "ZN", (0.0, touched[1], 0.0))]
    ion = from_atoms(zinc, residue_name="ZN", residue_number=99, chain="B", kind=EntityKind.ION)
    a, b, c = map(float, extent)
    crystal = Crystal(cell=(2 * a, b, 2 * c, 90.0, 90.0, 90.0), space_group="P 1 2 1")
    entry = Entry(id="1aaa", method="X-RAY DIFFRACTION", resolution=1.7)
    structure = combine([body, ion], entry=entry, crystal=crystal)
    model = build_model("gnm", {"level": level, "cutoff": 8.0})
    graph = build_graph(structure, model.graph_config)
    sender, receiver = graph.edge_index.numpy()
    last = len(structure) - 1
    seen, seeing = np.sum(sender == last), np.sum(receiver == last)
    assert seeing == 2 * seen > 0, "the ion lies on the axis and touches the peptide"
    check_permutation(model, graph)
    rows = np.arange(last, -1, -1)
    backward = model(build_graph(structure.take(rows), model.graph_config)).first.value.numpy()
    np.testing.assert_allclose(backward[::-1], model(graph).first.value.numpy(), atol=1e-4)


def test_nodes_without_contacts_get_the_largest_value(with_ligand):
    for name in ("gnm", "anm"):
        model = build_model(name)
        profile = model(build_graph(with_ligand, model.graph_config)).first.value
        assert profile[-1].item() == profile.max().item() == profile[:-2].max().item()
    graph = build_graph(with_ligand, ANMConfig().graph)
    nodes = residue_nodes(graph)
    assert not to_atoms(np.full(len(nodes.atom), np.nan), nodes, graph).any()
