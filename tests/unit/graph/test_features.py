"""Every row of the feature catalog, on a peptide and on hand-made cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.errors import ConfigError
from debye.graph.config import GraphConfig
from debye.graph.features import (
    NODE_FEATURES,
    STRUCTURE_FEATURES,
    FeatureContext,
    find_feature,
    mate_reach,
    packing_radii,
    structure_features,
)
from debye.structure.bonds import Bonds, find_bonds
from debye.structure.structure import Entry
from debye.testing.peptide import build_peptide


@pytest.fixture(scope="module")
def context(peptide) -> FeatureContext:
    return FeatureContext(peptide, find_bonds(peptide), None)


@pytest.mark.parametrize("name", NODE_FEATURES)
def test_shape_and_range(name, context):
    feature = NODE_FEATURES[name]
    values = feature.compute(context)
    assert values.shape == (len(context.structure),)
    assert np.isfinite(values).all()
    if feature.kind == "category":
        assert np.issubdtype(values.dtype, np.integer)
        assert values.min() >= 0
        assert values.max() < feature.size
    else:
        assert np.abs(values).max() < 10, "scalars are meant to be near unit scale"
    assert feature.unit
    assert feature.source


@pytest.mark.parametrize("name", NODE_FEATURES)
def test_features_tell_atoms_apart(name, context):
    constant_on_a_peptide = {"entity_kind"}
    distinct = len(np.unique(NODE_FEATURES[name].compute(context)))
    assert (distinct == 1) == (name in constant_on_a_peptide)


def test_degree_is_the_number_of_atoms_within_5_angstrom(context):
    position = context.structure.position
    distance = np.linalg.norm(position[:, None] - position[None], axis=-1)
    expected = (distance <= 5.0).sum(axis=1) - 1
    found = NODE_FEATURES["degree_5"].compute(context) * 20
    assert np.allclose(found, expected)


def test_depth_is_the_distance_to_the_surface():
    """Of a ball of atoms on a grid, the middle is deepest, and the rim is surface."""
    side = np.arange(-8, 9)
    grid = 3.2 * np.stack(np.meshgrid(side, side, side), axis=-1).reshape(-1, 3).astype(np.float32)
    ball = grid[np.linalg.norm(grid, axis=1) <= 20]
    atoms = build_peptide("A" * (len(ball) // 5 + 1)).take(np.arange(len(ball)))
    context = FeatureContext(
        replace(atoms, position=ball),
        Bonds(np.zeros((0, 2), np.int32), np.zeros(0, np.int8)),
        None,
        packing_radii=(10.0,),
    )
    depth = NODE_FEATURES["depth"].compute(context) * 5
    radius = np.linalg.norm(ball, axis=1)
    contacts = (np.linalg.norm(ball[:, None] - ball[None], axis=-1) <= 10).sum(1) - 1
    assert ((depth == 0) == (contacts < 65)).all()
    assert radius[depth.argmax()] < 4
    assert np.corrcoef(depth, radius)[0, 1] < -0.9


def test_termini_decay_along_the_chain(context):
    start = NODE_FEATURES["from_first_residue"].compute(context)
    end = NODE_FEATURES["from_last_residue"].compute(context)
    residue = context.structure.residue_index
    assert np.allclose(start, np.exp(-residue / 5))
    assert np.allclose(end, np.exp(-(residue.max() - residue) / 5))


def test_only_the_radii_that_are_needed_are_asked_for():
    names = ("contact_number_10", "degree_5", "wcn", "crystal_contact_number_7")
    assert packing_radii(names) == (5.0, 7.0, 10.0)
    assert mate_reach(names) == 10.0, "all radii are counted together"
    assert mate_reach(("wcn", "contact_number_10")) == 0.0


def test_unknown_names_are_explained(context):
    with pytest.raises(ConfigError, match="Did you mean 'locant'"):
        find_feature("locnat")
    with pytest.raises(ConfigError, match="Choose from resolution"):
        structure_features(context, ["temperature"])


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, 0.0),
        ({"method": "X-RAY DIFFRACTION"}, 0.0),
        ({"method": "SOLUTION SCATTERING; X-RAY DIFFRACTION"}, 0.0),
        ({"method": "ELECTRON MICROSCOPY"}, 1.0),
        ({"method": "SOLUTION NMR"}, 1.0),
        ({"is_predicted": True}, 1.0),
    ],
)
def test_coordinates_without_diffraction_are_not_those_of_a_crystal(context, entry, expected):
    shown = replace(context, structure=replace(context.structure, entry=Entry(**entry)))
    assert structure_features(shown, ["other_coordinates"]).tolist() == [[expected]]


def test_default_configuration_names_exist():
    config = GraphConfig()
    for name in (*config.node_categories, *config.node_scalars):
        find_feature(name)
    assert set(config.structure_scalars) <= set(STRUCTURE_FEATURES)
