"""The contract of features of atoms and of structures."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from debye.graph.node_features import NODE_FEATURES, FeatureContext, NodeFeature, mate_reach
from debye.graph.structure_features import StructureFeature
from debye.structure.bonds import Bonds, find_bonds
from debye.structure.crystal import Mates, symmetry_mates
from debye.structure.structure import Structure
from debye.testing.peptide import moved, peptide_in_crystal


def check_feature(
    feature: NodeFeature | StructureFeature,
    structure: Structure | None = None,
    *,
    tolerance: float = 1e-4,
) -> None:
    """Run every check of one feature on a small structure in a crystal whose mates touch it.

    Checks shape, type, range of codes, an unchanged input, and that the order of atoms, the B column, the names of
    chains and a rigid motion do not matter. A rigid motion rounds positions: a count may change if a distance equals
    a cutoff within 1e-6 Å.
    """
    structure = peptide_in_crystal() if structure is None else structure
    context = feature_context(structure)
    before = _arrays(context)
    value = _value(feature, context)
    _check_value(feature, value, len(structure))
    again = _value(feature, context)
    for name, array in _arrays(context).items():
        assert np.array_equal(before[name], array, equal_nan=array.dtype.kind == "f"), (
            f"{feature.name} changed {name} of its input"
        )
    _assert_same(feature, value, again, 0.0, "when computed again")

    generator = np.random.default_rng(0)
    order = generator.permutation(len(structure))
    shuffled = _value(feature, feature_context(structure.take(order)))
    expected = value[order] if isinstance(feature, NodeFeature) else value
    _assert_same(feature, expected, shuffled, tolerance, "with the order of the atoms")
    for change, when in (
        (_other_b(structure, generator), "with the B column"),
        (_other_chain_names(structure), "with the names of the chains"),
    ):
        _assert_same(feature, value, _value(feature, feature_context(change)), tolerance, when)
    isolated = replace(structure, crystal=None)
    alone, moved = (
        _value(feature, feature_context(each)) for each in (isolated, _moved(isolated, generator))
    )
    _check_value(feature, alone, len(structure))
    _assert_same(feature, alone, moved, tolerance, "under a rigid motion")


def feature_context(structure: Structure) -> FeatureContext:
    """Return the input of all features, with symmetry mates up to the farthest reach of any of them."""
    mates = None
    if structure.crystal is not None:
        mates = symmetry_mates(structure, mate_reach(tuple(NODE_FEATURES.builtin)))
    return FeatureContext(
        structure, find_bonds(structure), mates, resolution=structure.entry.resolution
    )


def _arrays(context: FeatureContext) -> dict[str, NDArray]:
    """Return copies of the arrays that a feature must not change."""
    parts: list[Structure | Bonds | Mates] = [context.structure, context.bonds]
    parts += [] if context.mates is None else [context.mates]
    return {
        f"{type(part).__name__}.{item.name}": getattr(part, item.name).copy()
        for part in parts
        for item in fields(part)
        if isinstance(getattr(part, item.name), np.ndarray)
    }


def _value(feature: NodeFeature | StructureFeature, context: FeatureContext) -> NDArray:
    """Return a copy: a feature may return a shared array."""
    return np.array(feature.compute(context))


def _check_value(feature: NodeFeature | StructureFeature, value: NDArray, n_atoms: int) -> None:
    name = feature.name
    shape = (n_atoms,) if isinstance(feature, NodeFeature) else ()
    assert value.shape == shape, f"{name} has shape {value.shape}, not {shape}"
    if isinstance(feature, NodeFeature) and feature.kind == "category":
        assert np.issubdtype(value.dtype, np.integer), f"{name} is {value.dtype}, not an integer"
        low, high = int(value.min()), int(value.max())
        assert 0 <= low <= high < feature.size, (
            f"{name} has codes {low} to {high}, allowed are 0 to {feature.size - 1}"
        )
        return
    assert np.issubdtype(value.dtype, np.floating), f"{name} is {value.dtype}, not a float"
    assert np.isfinite(value.astype(np.float32)).all(), f"{name} is not finite everywhere"


def _assert_same(
    feature: NodeFeature | StructureFeature,
    first: NDArray,
    second: NDArray,
    tolerance: float,
    when: str,
) -> None:
    worst = float(np.abs(first.astype(np.float64) - second).max())
    assert worst <= tolerance, f"{feature.name} changes by {worst:.1e} {when}"


def _other_b(structure: Structure, generator: np.random.Generator) -> Structure:
    b = generator.uniform(5.0, 90.0, len(structure)).astype(np.float32)
    return replace(structure, b_iso=b, u_aniso=None)


def _other_chain_names(structure: Structure) -> Structure:
    """Rename every chain so that the names sort the other way round."""
    names, code = np.unique(structure.chain, return_inverse=True)
    renamed = np.array([f"z{len(names) - number:03d}" for number in range(len(names))])
    return replace(structure, chain=renamed[code], chain_label=renamed[code])


def _moved(structure: Structure, generator: np.random.Generator) -> Structure:
    rotation = np.linalg.qr(generator.normal(size=(3, 3))).Q
    return moved(structure, rotation * np.sign(np.linalg.det(rotation)), [5.0, -3.0, 1.0])
