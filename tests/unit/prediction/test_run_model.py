from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from debye.graph.build import build_graph
from debye.models.meta_gnn import MetaGNN, MetaGNNConfig
from debye.prediction.predictor import run_model
from debye.targets.b_factor import B_FACTOR


@pytest.fixture(scope="module")
def lattice(peptide):
    """Eight copies of the peptide side by side: about a thousand atoms in one structure."""
    shifts = 12.0 * np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), axis=-1).reshape(-1, 3)
    structure = peptide.take(np.tile(np.arange(len(peptide)), 8))
    position = structure.position + np.repeat(shifts, len(peptide), axis=0)
    return replace(
        structure,
        position=position.astype(np.float32),
        record=np.arange(len(structure), dtype=np.int32),
        residue_index=structure.residue_index
        + np.repeat(np.arange(8), len(peptide)).astype(np.int32) * peptide.n_residues,
    )


def small(edge_chunk: int) -> MetaGNN:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = MetaGNNConfig(layers=3, node_width=16, edge_width=8, global_width=8)
        model = MetaGNN(config, (B_FACTOR,)).eval()
    model.edge_chunk = edge_chunk
    return model


@pytest.mark.parametrize("edge_chunk", [1, 97, 5000])
def test_pieces_equal_the_whole(lattice, edge_chunk):
    whole, pieces = small(10**9), small(edge_chunk)
    graph = build_graph(lattice, whole.graph_config)
    assert graph.n_edges > 10_000
    expected = run_model(whole, graph, precision="float32")
    found = run_model(pieces, graph, precision="float32")
    for name in ("value", "log_error", "log_mean_sd"):
        torch.testing.assert_close(
            getattr(found.first, name), getattr(expected.first, name), atol=2e-6, rtol=1e-5
        )


def test_far_atoms_speak_through_the_global_state(lattice):
    """What spatial pieces would get wrong: with another far end, the near end changes too."""
    model = small(500)
    graph = build_graph(lattice, model.graph_config)
    half = build_graph(lattice.take(np.arange(len(lattice) // 2)), model.graph_config)
    whole, part = (run_model(model, item, precision="float32") for item in (graph, half))
    assert not torch.allclose(whole.first.log_mean_sd, part.first.log_mean_sd, atol=1e-6)


def test_results_carry_no_gradient(lattice):
    model = small(5000)
    output = run_model(model, build_graph(lattice, model.graph_config))
    assert not output.first.value.requires_grad
    assert output.first.value.dtype == torch.float32
