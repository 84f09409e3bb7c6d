"""Executable contracts: what every model and feature must fulfil, for this package and for yours.

Each function raises AssertionError with the worst deviation. Assertions are right here: this is test
code that travels in the package, so that models written elsewhere can be held against it.
"""

from __future__ import annotations

import tempfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from debye.graph.graph import PER_ATOM, PER_EDGE, PER_RESIDUE_EDGE, AtomGraph, item_count, join
from debye.graph.node_features import NODE_FEATURES, FeatureContext, NodeFeature, mate_reach
from debye.graph.structure_features import StructureFeature
from debye.models.base import AtomModel, ModelOutput
from debye.models.checkpoint import CheckpointHeader, load_checkpoint, save_checkpoint
from debye.structure.bonds import Bonds, find_bonds
from debye.structure.crystal import Mates, symmetry_mates
from debye.structure.structure import Structure
from debye.targets.losses import TargetOutput
from debye.targets.target import Per

PARTS = ("value", "log_error", "log_mean_sd")


def check_model(model: AtomModel, first: AtomGraph, second: AtomGraph) -> None:
    """Run every check that needs no training; both graphs are of ``model.graph_config``."""
    model = model.eval()
    with torch.no_grad():
        check_output(model, first)
        check_input_unchanged(model, first)
        check_invariance(model, first)
        check_permutation(model, first)
        check_batch_independence(model, first, second)
        check_isolated_atom(model, first)
        check_without_edges(model, first)
    if any(parameter.requires_grad for parameter in model.parameters()):
        check_gradient(model, first)


def check_output(model: AtomModel, graph: AtomGraph) -> None:
    """Check that every output is finite, float32, and has its shape."""
    output = model(graph)
    names = [target.name for target in model.targets]
    assert list(output.values) == names, f"predicts {list(output.values)}, its targets are {names}"
    for target in model.targets:
        count = item_count(graph, target.per)
        shapes = {"value": (count,), "log_error": (count,), "log_mean_sd": (graph.n_structures, 2)}
        for name, shape in shapes.items():
            value = getattr(output.values[target.name], name)
            if value is None:
                assert name != "value", f"no value of {target.name}"
                continue
            found = tuple(value.shape)
            assert found == shape, f"{name} of {target.name} has shape {found}, not {shape}"
            assert value.dtype == torch.float32, f"{name} is {value.dtype}, not float32"
            assert bool(torch.isfinite(value).all()), f"{name} is not finite everywhere"


def check_input_unchanged(model: AtomModel, graph: AtomGraph) -> None:
    """Check that the model leaves its input as it was."""
    before = {
        item.name: getattr(graph, item.name).clone()
        for item in fields(graph)
        if isinstance(getattr(graph, item.name), Tensor)
    }
    model(graph)
    for name, value in before.items():
        assert torch.equal(value, getattr(graph, name)), f"the model changed {name} of its input"


def check_invariance(model: AtomModel, graph: AtomGraph, *, tolerance: float = 1e-4) -> None:
    """Check that rotating, reflecting and moving the molecule leaves every prediction unchanged.

    A reflection is right for B-factors, which do not know hands. The tolerance is that of float32
    after some layers.
    """
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator)).Q
    moved = graph.moved(rotation, shift=torch.tensor([5.0, -3.0, 1.0]))
    _assert_close(model, model(graph), model(moved), tolerance, "under a rigid motion")


def check_permutation(model: AtomModel, graph: AtomGraph, *, tolerance: float = 1e-4) -> None:
    """Check that the order of the atoms does not matter."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(graph.n_atoms, generator=generator)
    output, shuffled = model(graph), model(graph.permuted(order))
    back = torch.argsort(order)
    restored = {}
    for target in model.targets:
        found = shuffled.values[target.name]
        if target.per is Per.ATOM:
            error = None if found.log_error is None else found.log_error[back]
            found = replace(found, value=found.value[back], log_error=error)
        restored[target.name] = found
    _assert_close(
        model, output, ModelOutput(values=restored), tolerance, "with the order of the atoms"
    )


def check_batch_independence(
    model: AtomModel, first: AtomGraph, second: AtomGraph, *, tolerance: float = 1e-4
) -> None:
    """Check that a structure gets the same prediction alone and beside another one."""
    one, two, both = model(first), model(second), model(join([first, second]))
    alone = {}
    for name, here in one.values.items():
        pairs = [(part, getattr(here, part), getattr(two.values[name], part)) for part in PARTS]
        joined = {part: torch.cat([a, b]) for part, a, b in pairs if a is not None}
        alone[name] = TargetOutput(**joined)
    _assert_close(model, ModelOutput(values=alone), both, tolerance, "in a batch with another")


def check_isolated_atom(model: AtomModel, graph: AtomGraph) -> None:
    """Check that a structure of a single atom gets a finite prediction."""
    single = replace(
        graph,
        **{name: getattr(graph, name)[:1] for name in PER_ATOM},
        **_no_edges(graph),
    )
    check_output(model, single)


def check_without_edges(model: AtomModel, graph: AtomGraph) -> None:
    """Check that atoms without any neighbor get finite predictions."""
    check_output(model, replace(graph, **_no_edges(graph)))


def check_gradient(model: AtomModel, graph: AtomGraph) -> None:
    """Check that every parameter gets a finite gradient, and that not all of them are zero."""
    model.zero_grad()
    output = model(graph)
    parts = [part for _, part in _parts(output)]
    sum((part.square().sum() for part in parts), torch.zeros(())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert bool(torch.isfinite(parameter.grad).all()), (
            f"{name} gets a gradient that is not finite"
        )
    assert any(bool(p.grad.any()) for p in model.parameters() if p.grad is not None)
    model.zero_grad()


def check_head(model: AtomModel, graph: AtomGraph) -> None:
    """Check that a learned model declares a head: a part of its weights on which every output depends."""
    assert model.head, "a learned model must declare its head"
    parts = dict(model.named_modules())
    missing = [name for name in model.head if name not in parts]
    assert not missing, f"the model has no submodule {', '.join(missing)}"
    head = {id(parameter) for name in model.head for parameter in parts[name].parameters()}
    body = [parameter for parameter in model.parameters() if id(parameter) not in head]
    assert body, "the head is the whole model"
    output = model.train()(graph)
    for name, value in _parts(output):
        model.zero_grad()
        value.square().sum().backward(retain_graph=True)
        assert any(
            parameter.grad is not None and bool(parameter.grad.any())
            for parameter in model.parameters()
            if id(parameter) in head
        ), f"{name} does not depend on the head"
    model.zero_grad()


def check_saved_and_loaded(model: AtomModel, header: CheckpointHeader, graph: AtomGraph) -> None:
    """Check that a checkpoint on disk predicts what the model in memory does."""
    model = model.eval()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "model.safetensors"
        save_checkpoint(path, model, header)
        loaded = load_checkpoint(path)
        assert loaded.header == header, "the header changed"
        _assert_close(model, model(graph), loaded.model(graph), 0.0, "after saving and loading")


def check_overfits(
    model: AtomModel,
    graph: AtomGraph,
    target: Tensor,
    *,
    steps: int = 20,
    rate: float = 3e-3,
    share: float = 0.7,
) -> None:
    """Check that a few steps on one structure remove a share of the squared error."""
    model = model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    errors = []
    for _ in range(steps + 1):
        optimizer.zero_grad()
        error = (model(graph).first.value - target).square().mean()
        errors.append(error.item())
        error.backward()
        optimizer.step()
    assert errors[-1] < share * errors[0], (
        f"{steps} steps: error {errors[0]:.3g} → {errors[-1]:.3g}"
    )


def check_feature(
    feature: NodeFeature | StructureFeature, structure: Structure, *, tolerance: float = 1e-4
) -> None:
    """Run every check of one feature on a small structure in a crystal whose mates touch it.

    A rigid motion rounds positions: of a pair of atoms that lies at a cutoff to 1e-6 Å a count may change.
    """
    context = _context(structure)
    before = _arrays(context)
    value = _value(feature, context)
    _check_feature_value(feature, value, len(structure))
    again = _value(feature, context)
    for name, array in _arrays(context).items():
        assert np.array_equal(before[name], array, equal_nan=array.dtype.kind == "f"), (
            f"{feature.name} changed {name} of its input"
        )
    _assert_same(feature, value, again, 0.0, "when computed again")

    generator = np.random.default_rng(0)
    order = generator.permutation(len(structure))
    shuffled = _value(feature, _context(structure.take(order)))
    expected = value[order] if isinstance(feature, NodeFeature) else value
    _assert_same(feature, expected, shuffled, tolerance, "with the order of the atoms")
    for change, when in (
        (_other_b(structure, generator), "with the B column"),
        (_other_chain_names(structure), "with the names of the chains"),
    ):
        _assert_same(feature, value, _value(feature, _context(change)), tolerance, when)
    isolated = replace(structure, crystal=None)
    alone, moved = (
        _value(feature, _context(each)) for each in (isolated, _moved(isolated, generator))
    )
    _check_feature_value(feature, alone, len(structure))
    _assert_same(feature, alone, moved, tolerance, "under a rigid motion")


def _context(structure: Structure) -> FeatureContext:
    """Return all that features are computed from, with mates as far as any of them looks."""
    in_crystal = structure.crystal is not None
    return FeatureContext(
        structure,
        find_bonds(structure),
        symmetry_mates(structure, mate_reach(tuple(NODE_FEATURES))) if in_crystal else None,
        resolution=structure.entry.resolution,
    )


def _arrays(context: FeatureContext) -> dict[str, NDArray]:
    """Return copies of the arrays that a feature must leave as they are."""
    parts: list[Structure | Bonds | Mates] = [context.structure, context.bonds]
    parts += [] if context.mates is None else [context.mates]
    return {
        f"{type(part).__name__}.{item.name}": getattr(part, item.name).copy()
        for part in parts
        for item in fields(part)
        if isinstance(getattr(part, item.name), np.ndarray)
    }


def _value(feature: NodeFeature | StructureFeature, context: FeatureContext) -> NDArray:
    """Return a copy: a feature may hand out an array that it shares."""
    return np.array(feature.compute(context))


def _check_feature_value(
    feature: NodeFeature | StructureFeature, value: NDArray, n_atoms: int
) -> None:
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
    rotation *= np.sign(np.linalg.det(rotation))
    position = structure.position @ rotation.T + [5.0, -3.0, 1.0]
    return replace(structure, position=position.astype(np.float32))


def _no_edges(graph: AtomGraph) -> dict[str, Tensor]:
    bare = graph.keep_edges(torch.zeros(graph.n_edges, dtype=torch.bool))
    bare = bare.keep_residue_edges(torch.zeros_like(graph.residue_edge_mate))
    names = ("edge_index", "residue_edge_index", *PER_EDGE, *PER_RESIDUE_EDGE)
    return {name: getattr(bare, name) for name in names}


def _parts(output: ModelOutput) -> list[tuple[str, Tensor]]:
    """Return every tensor of an output with its name, such as ``value of b_factor``."""
    return [
        (f"{part} of {name}", getattr(values, part))
        for name, values in output.values.items()
        for part in PARTS
        if getattr(values, part) is not None
    ]


def _assert_close(
    model: AtomModel, first: ModelOutput, second: ModelOutput, tolerance: float, when: str
) -> None:
    for (name, one), (_, two) in zip(_parts(first), _parts(second), strict=True):
        worst = (one - two).abs().max().item()
        assert worst <= tolerance, f"{type(model).__name__}: {name} changes by {worst:.1e} {when}"
