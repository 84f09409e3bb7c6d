"""The contracts of rows of the catalogs: features of atoms and structures, targets, archives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from debye.archives.archive import Archive, Identifier
from debye.archives.fetch import download, find_local
from debye.archives.http import HttpClient, RemoteSettings
from debye.graph.features import (
    NODE_FEATURES,
    FeatureContext,
    NodeFeature,
    StructureFeature,
    mate_reach,
)
from debye.structure.bonds import find_bonds
from debye.structure.crystal import symmetry_mates
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
from debye.testing.peptide import build_peptide, moved, peptide_in_crystal

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
NOT_IDENTIFIERS = ("", ".", "..", "../1abc", "/etc/passwd", "a/b", "a\\b", "a b")
NOT_IDENTIFIERS += ("1abc\n2abc", "x" * 300, "%2e%2e")


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

    def value_of(context: FeatureContext) -> NDArray:
        return np.array(feature.compute(context))  # a copy: a feature may return a shared array

    def assert_same(
        expected: NDArray, changed: Structure | None, deviation: float, when: str
    ) -> None:
        found = value_of(context if changed is None else feature_context(changed))
        worst = float(np.abs(expected.astype(np.float64) - found).max())
        assert worst <= deviation, f"{feature.name} changes by {worst:.1e} {when}"

    structure = peptide_in_crystal() if structure is None else structure
    context = feature_context(structure)
    inputs = [part for part in (structure, context.bonds, context.mates) if part is not None]
    before = [_arrays(part) for part in inputs]
    value = value_of(context)
    _check_value(feature, value, len(structure))
    for part, arrays in zip(inputs, before, strict=True):
        changed = _changed(part, arrays)
        where = f"{type(part).__name__}.{changed}"
        assert changed is None, f"{feature.name} changed {where} of its input"
    assert_same(value, None, 0.0, "when computed again")
    generator = np.random.default_rng(0)
    order = generator.permutation(len(structure))
    shuffled = value[order] if isinstance(feature, NodeFeature) else value
    assert_same(shuffled, structure.take(order), tolerance, "with the order of the atoms")
    b = generator.uniform(5.0, 90.0, len(structure)).astype(np.float32)
    assert_same(value, replace(structure, b_iso=b, u_aniso=None), tolerance, "with the B column")
    # Every chain renamed, so that the names sort the other way round.
    names, code = np.unique(structure.chain, return_inverse=True)
    chain = np.array([f"z{len(names) - number:03d}" for number in range(len(names))])[code]
    renamed = replace(structure, chain=chain, chain_label=chain)
    assert_same(value, renamed, tolerance, "with the names of the chains")
    isolated = replace(structure, crystal=None)
    alone = value_of(feature_context(isolated))
    _check_value(feature, alone, len(structure))
    rotation = np.linalg.qr(generator.normal(size=(3, 3))).Q
    turned = moved(isolated, rotation * np.sign(np.linalg.det(rotation)), [5.0, -3.0, 1.0])
    assert_same(alone, turned, tolerance, "under a rigid motion")


def feature_context(structure: Structure) -> FeatureContext:
    """Return the input of all features, with symmetry mates up to the farthest reach of any of them."""
    reach = mate_reach(tuple(NODE_FEATURES.builtin))
    mates = None if structure.crystal is None else symmetry_mates(structure, reach)
    bonds, resolution = find_bonds(structure), structure.entry.resolution
    return FeatureContext(structure, bonds, mates, resolution=resolution)


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


def _arrays(part: object) -> dict[str, NDArray]:
    """Return copies of the arrays of a dataclass, which a computation must not change."""
    values = {item.name: getattr(part, item.name) for item in fields(part)}  # type: ignore[arg-type]
    return {name: value.copy() for name, value in values.items() if isinstance(value, np.ndarray)}


def _changed(part: object, before: dict[str, NDArray]) -> str | None:
    """Return the first field that is not what it was."""
    for name, array in before.items():
        if not np.array_equal(array, getattr(part, name), equal_nan=array.dtype.kind == "f"):
            return name
    return None


def check_target(target: Target, structures: Sequence[Structure] = ()) -> None:
    """Run every check of one target: labels, standardization and its inverse, column names, loss and monitor.

    Args:
        target: Its labels may come from structures or from a table; labels of a table are drawn at random.
        structures: At least one with usable labels; two peptides, one of them with B-factors, if not given.
    """
    structures = structures or (peptide_in_crystal(), build_peptide("GASTKW", phi=-60.0, psi=-45.0))
    found = [(structure, check_labels(target, structure)) for structure in structures]
    usable = [(structure, labels) for structure, labels in found if labels.usable.any()]
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
    before = _arrays(structure)
    labels = compute(structure)
    changed = _changed(structure, before)
    assert changed is None, f"{name}: the labels changed {changed} of the structure"
    for part, kind in (("value", np.float32), ("usable", np.bool_)):
        array, where = getattr(labels, part), f"{name}: {part} of labels"
        assert array.shape == (count,), (
            f"{where} has shape {array.shape}, not {(count,)} (per {target.per})"
        )
        assert array.dtype == kind, f"{where} is {array.dtype}, not {np.dtype(kind)}"
    assert np.isfinite(labels.value[labels.usable]).all(), f"{name}: a usable label is not finite"
    order = np.random.default_rng(0).permutation(len(structure))
    shuffled = structure.take(order)
    again = compute(shuffled)
    rows = order if target.per is Per.ATOM else np.arange(count)
    if target.per is Per.RESIDUE:
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
    exact = value[usable].astype(np.float64)
    restored = target.restore(exact, standardized.location, standardized.scale)
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
        gradient = output.value.grad
        reached = gradient is not None and bool(gradient.any())
        assert reached, f"{target.name}: the loss does not depend on values"


def check_monitor(target: Target, labels: TargetLabels, items: Items) -> None:
    """Check that the figure that chooses the best epoch is finite and highest for the labels themselves."""
    monitor = find_monitor(target)
    outputs = TargetOutput(value=labels.value), _random_output(target, labels, 1.0)
    with torch.no_grad():
        figures = [monitor.figure(monitor.sums(output, labels, items)) for output in outputs]
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

    value, log_error = draw(labels.value), draw(labels.value)
    log_mean_sd = draw(labels.log_mean_sd) if target.transform is Transform.Z else None
    return TargetOutput(value=value, log_error=log_error, log_mean_sd=log_mean_sd)


def check_archive(archive: Archive, address: str, folder: Path) -> None:
    """Check names, addresses, download and local files of an archive.

    Args:
        archive: The row.
        address: Base address of a server that has the file of ``archive.example``, for example
            ``http.server`` in a folder; it replaces all servers of the archive.
        folder: Empty folder.
    """
    check_names(archive)
    check_download(archive, address, folder)


def check_names(archive: Archive) -> None:
    """Check that identifiers are recognized, have one spelling, and are safe as names of files."""
    example = archive.example
    name = archive.parse(example)
    assert name, f"{archive.name} does not recognize its example {example!r}"
    assert archive.parse(name) == name, f"{name} has another name when it is parsed again"
    assert example in archive.title, f"the title does not show the example {example}"
    for text in (name, example.upper(), *NOT_IDENTIFIERS):
        found = archive.parse(text)
        is_safe = found is None or (SAFE_NAME.fullmatch(found) and len(found) < 100)
        assert is_safe, f"{text!r} is parsed as {found!r}, which is not safe as the name of a file"
    subfolder = archive.subfolder(name)
    assert SAFE_NAME.fullmatch(subfolder), f"{subfolder!r} is not the name of one subfolder"


def check_download(archive: Archive, address: str, folder: Path) -> None:
    """Check that the example is downloaded, found again, and is not taken for another entry."""
    name = archive.parse(archive.example) or ""
    entry = Identifier(archive, name)
    servers = dict.fromkeys(archive.servers, address)
    with HttpClient(RemoteSettings(servers=servers, attempts=1)) as client:
        urls = archive.urls(archive, name, client)
        assert urls, f"{archive.name} has no address of {name}"
        for url in urls:
            assert urlsplit(url).scheme in ("http", "https"), f"{url} is not an address"
            is_named = archive.file_name(name, url).startswith(name)
            assert is_named, f"{url} gives a name without {name}"
        assert find_local(entry, folder) is None, f"{folder} has a file of {name} already"
        path = download(entry, folder, client)[0].path
    own = archive.entry_id(name)
    assert path.parent == folder / archive.subfolder(name), f"{path} is not in its subfolder"
    assert find_local(entry, folder) == path, f"{path} is not found in the folder"
    assert archive.check(path, path.name, own) is None, f"{path} is refused"
    if not path.name.removesuffix(".gz").endswith(".pdb"):
        other = archive.check(path, path.name, "another entry")
        assert other, f"the check takes {path} for another entry"
    path.write_bytes(path.read_bytes()[:-40])
    truncated = archive.check(path, path.name, own)
    assert truncated, f"a truncated {path} is not noticed"
