"""Small models of both kinds, and a peptide of two chains with a ligand whose mates touch it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from outputs import CountsContacts, predictor_of, spread_out

from debye.explanation.case import Case, make_case
from debye.models.catalog import build_model
from debye.prediction.predictor import Predictor
from debye.structure.structure import Crystal, EntityKind, Entry, Structure

SCALARS = ("contact_number_5", "density_7", "wcn")
GRAPH = {
    "node_categories": ["element", "locant", "residue", "bond_count"],
    "node_scalars": [*SCALARS, *(f"crystal_{name}" for name in SCALARS), "from_first_residue"],
    "structure_scalars": ["resolution", "resolution_known", "crystal_known", "log_atoms"],
}
SMALL = {
    "gcn": {"layers": 2, "width": 16, "graph": GRAPH},
    "meta_gnn": {
        "layers": 2, "node_width": 16, "edge_width": 8, "global_width": 8, "graph": GRAPH,
    },
    "waller": {
        "atom_width": 16, "residue_width": 16, "edge_width": 8, "residue_layers": 2,
        "graph": GRAPH | {"residue_radius": 14.0},
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def counting() -> Predictor:
    return predictor_of(CountsContacts(), "counting")


def _small(name: str) -> Predictor:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model(name, SMALL[name])
    spread_out(model, 20, mean=90.0, sd=8.0)
    return predictor_of(model, name)


@pytest.fixture(scope="session", params=["meta_gnn", "waller"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    """A small untrained model, one of each learned kind."""
    return _small(request.param)


@pytest.fixture(scope="session")
def gcn() -> Predictor:
    """A model that reads nothing about edges."""
    return _small("gcn")


@pytest.fixture(scope="session")
def waller() -> Predictor:
    return _small("waller")


@pytest.fixture(scope="session")
def in_crystal(peptide: Structure) -> Structure:
    """Residues 1-6 are chain A, 7-12 chain B, the last is made a ligand; mates in P 21 21 21 touch."""
    chain = np.where(peptide.residue_index < 6, "A", "B")
    kind = peptide.entity_kind.copy()
    kind[peptide.residue_index == 12] = EntityKind.LIGAND
    return replace(
        peptide,
        chain=chain,
        chain_label=chain.copy(),
        entity_kind=kind,
        b_iso=np.linspace(10, 40, len(peptide), dtype=np.float32),
        crystal=Crystal(cell=(31.0, 17.0, 30.0, 90.0, 90.0, 90.0), space_group="P 21 21 21"),
        entry=Entry(id="1aaa", method="X-RAY DIFFRACTION", resolution=1.7),
    )


@pytest.fixture(scope="session")
def case(predictor: Predictor, in_crystal: Structure) -> Case:
    return make_case(predictor, in_crystal, "A:5")
