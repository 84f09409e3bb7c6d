"""The contract of targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from debye.structure.structure import EntityKind, Structure
from debye.targets.losses import (
    Items,
    LossConfig,
    TargetLabels,
    TargetOutput,
    find_loss,
    find_monitor,
)
from debye.targets.target import Labels, Per, Target, Transform
from debye.testing.peptide import build_peptide, peptide_in_crystal


def check_target(target: Target, structures: Sequence[Structure] = ()) -> None:
    """Run every check of one target.

    Checks the labels of each structure, standardization and its inverse, column names, loss and monitor.

    Args:
        target: Its labels may come from structures or from a table; labels of a table are drawn at random.
        structures: At least one with usable labels; two peptides, one of them with B-factors, if not given.
    """
    structures = structures or (peptide_in_crystal(), build_peptide("GASTKW", phi=-60.0, psi=-45.0))
    found = [check_labels(target, structure) for structure in structures]
    usable = [
        (structure, labels)
        for structure, labels in zip(structures, found, strict=True)
        if labels.usable.any()
    ]
    assert usable, f"{target.name}: no structure has usable labels"
    for _, labels in usable:
        check_round_trip(target, labels)
    check_columns(target)
    check_loss(target, *_batch(target, usable))
    check_monitor(target, *_batch(target, usable))


def check_labels(target: Target, structure: Structure) -> Labels:
    """Check the labels of a structure, and return them.

    Their number fits, they are finite where usable, the structure is not changed, and the order of its atoms does
    not matter.
    """
    name, count = target.name, target.per.count(structure)
    compute = target.source.compute
    if compute is None:
        return Labels.where_finite(np.random.default_rng(0).uniform(1.0, 9.0, count))
    before = {
        item.name: value.copy()
        for item in fields(structure)
        if isinstance(value := getattr(structure, item.name), np.ndarray)
    }
    labels = compute(structure)
    for field, array in before.items():
        same = np.array_equal(array, getattr(structure, field), equal_nan=array.dtype.kind == "f")
        assert same, f"{name}: the labels changed {field} of the structure"
    for part, kind in (("value", np.float32), ("usable", np.bool_)):
        array = getattr(labels, part)
        where = f"{name}: {part} of labels"
        assert array.shape == (count,), (
            f"{where} has shape {array.shape}, not {(count,)} (per {target.per})"
        )
        assert array.dtype == kind, f"{where} is {array.dtype}, not {np.dtype(kind)}"
    assert np.isfinite(labels.value[labels.usable]).all(), f"{name}: a usable label is not finite"

    order = np.random.default_rng(0).permutation(len(structure))
    shuffled = structure.take(order)
    again = compute(shuffled)
    rows = np.arange(count)
    if target.per is Per.ATOM:
        rows = order
    elif target.per is Per.RESIDUE:
        rows[shuffled.residue_index] = structure.residue_index[order]
    assert np.array_equal(again.usable, labels.usable[rows]), (
        f"{name}: usable labels depend on the order of the atoms"
    )
    error = np.abs(again.value - labels.value[rows])[again.usable].max(initial=0.0)
    scale = np.abs(labels.value[labels.usable]).max(initial=1.0)
    assert error <= 1e-4 * scale, (
        f"{name}: labels change by {error:.1e} with the order of the atoms"
    )
    return labels


def check_round_trip(target: Target, labels: Labels) -> None:
    """Check that standardized values are finite, 0 where not usable, and restored to the labels."""
    standardized = target.standardize(labels)
    value, usable = standardized.value, labels.usable
    assert np.isfinite(value).all(), f"{target.name}: a standardized value is not finite"
    assert not value[~usable].any(), f"{target.name}: an unusable label is not 0"
    expected = labels.value[usable].astype(np.float64)
    if target.minimum is not None:
        expected = np.maximum(expected, target.minimum)
    restored = target.restore(
        value[usable].astype(np.float64), standardized.location, standardized.scale
    )
    error = np.abs(restored - expected).max()
    assert error <= 1e-4 * max(1.0, np.abs(expected).max()), (
        f"{target.name}: standardized and restored labels differ by {error:.1e}"
    )


def check_columns(target: Target) -> None:
    """Check that the columns in tables have different names."""
    columns = [*target.columns, *([target.observed_column] if target.observed_column else [])]
    assert all(columns), f"{target.name}: a column has no name"
    assert len(set(columns)) == len(columns), f"{target.name}: two columns share a name, {columns}"


def check_loss(target: Target, labels: TargetLabels, items: Items) -> None:
    """Check that the loss and its gradient are finite for small and large outputs, and reach the values."""
    for size in (0.0, 1.0, 100.0):
        output = _random_output(target, labels, size)
        total = find_loss(target)(output, labels, items, LossConfig()).total
        assert total.shape == (), f"{target.name}: the loss has shape {tuple(total.shape)}"
        assert bool(torch.isfinite(total)), f"{target.name}: the loss is {total.item()}"
        total.backward()
        for part in ("value", "log_error", "log_mean_sd"):
            tensor = getattr(output, part)
            gradient = None if tensor is None else tensor.grad
            assert gradient is None or bool(torch.isfinite(gradient).all()), (
                f"{target.name}: the gradient of the loss by {part} is not finite"
            )
        assert output.value.grad is not None, f"{target.name}: the loss does not depend on values"
        assert bool(output.value.grad.any()), f"{target.name}: the loss does not depend on values"


def check_monitor(target: Target, labels: TargetLabels, items: Items) -> None:
    """Check that the figure that chooses the best epoch is finite and highest for the labels themselves."""
    monitor = find_monitor(target)
    with torch.no_grad():
        figures = [
            monitor.figure(monitor.sums(output, labels, items))
            for output in (TargetOutput(value=labels.value), _random_output(target, labels, 1.0))
        ]
    assert np.isfinite(figures).all(), f"{target.name}: the monitor is {figures}"
    assert figures[0] >= figures[1], (
        f"{target.name}: the monitor is {figures[0]:.3g} for perfect values, {figures[1]:.3g} for random ones"
    )


def _batch(
    target: Target, labelled: Sequence[tuple[Structure, Labels]]
) -> tuple[TargetLabels, Items]:
    standardized = [target.standardize(labels) for _, labels in labelled]
    counts = torch.tensor([len(each.value) for each in standardized])
    labels = TargetLabels(
        value=torch.from_numpy(np.concatenate([each.value for each in standardized])),
        weight=torch.from_numpy(np.concatenate([each.usable for _, each in labelled])).float(),
        log_mean_sd=torch.from_numpy(np.stack([each.log_mean_sd for each in standardized])),
        trust=torch.ones(len(labelled)),
    )
    protein = np.concatenate([_is_protein(target.per, structure) for structure, _ in labelled])
    index = torch.repeat_interleave(torch.arange(len(labelled)), counts)
    is_protein = torch.from_numpy(protein)
    return labels, Items(index, len(labelled), is_protein, is_protein)


def _is_protein(per: Per, structure: Structure) -> np.ndarray:
    if per is Per.STRUCTURE:
        return np.ones(1, bool)
    protein = structure.entity_kind == EntityKind.PROTEIN
    if per is Per.RESIDUE:
        return protein[np.unique(structure.residue_index, return_index=True)[1]]
    return protein


def _random_output(target: Target, labels: TargetLabels, size: float) -> TargetOutput:
    generator = torch.Generator().manual_seed(0)

    def draw(like: Tensor) -> Tensor:
        return (size * torch.randn(like.shape, generator=generator)).requires_grad_()

    has_sd = target.transform is Transform.Z
    return TargetOutput(
        value=draw(labels.value),
        log_error=draw(labels.value),
        log_mean_sd=draw(labels.log_mean_sd) if has_sd else None,
    )
