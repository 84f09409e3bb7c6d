"""Every row of the feature catalogs fulfils the contract of :mod:`debye.testing`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.graph.features import (
    NODE_FEATURES,
    STRUCTURE_FEATURES,
    FeatureContext,
    NodeFeature,
    StructureFeature,
)
from debye.structure.crystal import symmetry_mates
from debye.testing import check_feature
from debye.testing.rows import feature_context


@pytest.mark.parametrize("name", NODE_FEATURES)
def test_node_feature(name, in_crystal):
    check_feature(NODE_FEATURES[name], in_crystal)


@pytest.mark.parametrize("name", STRUCTURE_FEATURES)
def test_structure_feature(name, in_crystal):
    check_feature(STRUCTURE_FEATURES[name], in_crystal)


def test_mates_take_part(in_crystal):
    context = feature_context(in_crystal)
    assert context.mates is not None
    assert len(context.mates) == len(symmetry_mates(in_crystal, 12.0)) > len(in_crystal)
    crystal = [row for row in NODE_FEATURES.values() if row.isolated_as]
    assert {"crystal_wcn", "crystal_density_5"} < {row.name for row in crystal}
    for row in crystal:
        value = row.compute(context)
        alone = NODE_FEATURES[row.isolated_as].compute(context)
        assert (value >= alone).all()
        assert value.sum() > alone.sum(), row.name


def _write_to_position(context: FeatureContext) -> np.ndarray:
    context.structure.position[0] += 1
    return np.zeros(len(context.structure), np.float32)


def _chain_code(context: FeatureContext) -> np.ndarray:
    return np.unique(context.structure.chain, return_inverse=True)[1]


def _isolated_x(context: FeatureContext) -> np.ndarray:
    """Reads raw coordinates, but only where no crystal holds them."""
    size = len(context.structure)
    return context.structure.position[:, 0] if context.mates is None else np.zeros(size)


BROKEN = {
    "shape": ("scalar", lambda context: np.zeros(3, np.float32)),
    "not finite": ("scalar", lambda context: np.full(len(context.structure), np.inf)),
    "not a float": ("scalar", lambda context: np.zeros(len(context.structure), int)),
    "not an integer": ("category", lambda context: np.zeros(len(context.structure))),
    "has codes": ("category", lambda context: np.full(len(context.structure), 2)),
    "changed Structure.position": ("scalar", _write_to_position),
    "order of the atoms": ("scalar", lambda context: np.arange(len(context.structure)) / 100),
    "names of the chains": ("category", _chain_code),
    "B column": ("scalar", lambda context: context.structure.b_iso / 20),
    "rigid motion": ("scalar", _isolated_x),
}


@pytest.mark.parametrize("message", BROKEN)
def test_the_contract_catches(message, in_crystal):
    kind, compute = BROKEN[message]
    feature = NodeFeature("broken", kind, "1", "made to fail", compute, size=2)
    structure = replace(in_crystal, position=in_crystal.position.copy())
    with pytest.raises(AssertionError, match=message):
        check_feature(feature, structure)


def test_the_contract_catches_a_structure_feature_that_reads_b(in_crystal):
    feature = StructureFeature(
        "mean_b", "mean B", lambda context: float(context.structure.b_iso.mean())
    )
    with pytest.raises(AssertionError, match=r"mean_b changes by .* with the B column"):
        check_feature(feature, in_crystal)
