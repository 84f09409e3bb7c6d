"""The contract of targets passes for the catalog and finds planted violations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.structure.structure import Structure
from debye.targets import losses
from debye.targets.catalog import TARGETS
from debye.targets.target import Labels, LabelSource, Per, Target
from debye.testing import check_target


def target(compute, **settings) -> Target:
    source = LabelSource(name="planted", compute=compute)
    return Target(name="planted", unit="", summary="Planted.", source=source, **settings)


def height(structure: Structure) -> Labels:
    return Labels.where_finite(structure.position[:, 2])


def whole_atoms(structure: Structure) -> Labels:
    labels = height(structure)
    object.__setattr__(labels, "value", np.arange(len(structure)))  # past the check of types
    return labels


def every_label_usable(structure: Structure) -> Labels:
    value = np.where(structure.element == "S", np.nan, 1.0).astype(np.float32)
    return Labels(value=value, usable=np.ones(len(structure), bool))


def moves_atoms(structure: Structure) -> Labels:
    structure.position[0] += 1.0
    return height(structure)


def by_row(structure: Structure) -> Labels:
    return Labels.where_finite(np.arange(len(structure)))


def usable_by_row(structure: Structure) -> Labels:
    return replace(height(structure), usable=np.arange(len(structure)) > 3)


def not_a_number(output, labels, items, config):
    terms = losses.pointwise(output, labels, items, config)
    return replace(terms, total=terms.total / 0.0)


def infinite_gradient(output, labels, items, config):
    terms = losses.pointwise(output, labels, items, config)
    return replace(terms, total=terms.total + output.value.square().sum().sqrt())


def blind(output, labels, items, config):
    terms = losses.pointwise(output, labels, items, config)
    return replace(terms, total=terms.total - terms.huber)


@pytest.mark.parametrize("name", TARGETS)
def test_targets_of_the_catalog(name):
    check_target(TARGETS[name])


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        (target(height, per=Per.RESIDUE), r"has shape \(\d+,\), not \(13,\) \(per residue\)"),
        (target(whole_atoms), "value of labels is int64, not float32"),
        (target(every_label_usable), "usable label is not finite"),
        (target(moves_atoms), "changed position of the structure"),
        (target(by_row), "with the order of the atoms"),
        (target(usable_by_row), "depend on the order of the atoms"),
        (
            target(lambda structure: Labels.unusable(len(structure), "no")),
            "no structure has usable",
        ),
        (target(height, loss=not_a_number), "the loss is"),
        (target(height, loss=infinite_gradient), "gradient of the loss by value is not finite"),
        (target(height, loss=blind), "does not depend on values"),
    ],
)
def test_planted_violations_are_found(in_crystal, planted, message):
    structure = replace(in_crystal, position=in_crystal.position.copy())
    with pytest.raises(AssertionError, match=message):
        check_target(planted, [structure])


def test_a_wrong_inverse_is_found(in_crystal, monkeypatch):
    monkeypatch.setattr(Target, "restore", lambda self, value, location, scale: value)
    with pytest.raises(AssertionError, match="restored labels differ"):
        check_target(target(height).scaled(5.0, 2.0), [in_crystal])


def test_a_monitor_that_prefers_bad_values_is_found(in_crystal, monkeypatch):
    pooled = losses.MONITORS["pooled_r"]
    wrong = replace(pooled, figure=lambda sums: -pooled.figure(sums))
    monkeypatch.setattr(losses, "MONITORS", {"wrong": wrong})
    with pytest.raises(AssertionError, match="the monitor is"):
        check_target(target(height, monitor="wrong"), [in_crystal])
