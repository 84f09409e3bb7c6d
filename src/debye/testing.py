"""Executable contracts: what every model and feature must fulfil, for this package and for yours.

Each function raises AssertionError with the worst deviation. Assertions are right here: this is test
code that travels in the package, so that models written elsewhere can be held against it.
"""

from __future__ import annotations

import tempfile
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import Tensor

from debye.graph.graph import AtomGraph, join
from debye.models.base import AtomModel, ModelOutput
from debye.models.checkpoint import CheckpointHeader, load_checkpoint, save_checkpoint


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
    expected = {
        "profile": (graph.n_atoms,),
        "log_spread": (graph.n_atoms,),
        "level": (graph.n_structures, 2),
    }
    for name, shape in expected.items():
        value = getattr(output, name)
        if value is None and name != "profile":
            continue
        assert tuple(value.shape) == shape, f"{name} has shape {tuple(value.shape)}, not {shape}"
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
    spread = None if shuffled.log_spread is None else shuffled.log_spread[back]
    restored = replace(shuffled, profile=shuffled.profile[back], log_spread=spread)
    _assert_close(model, output, restored, tolerance, "with the order of the atoms")


def check_batch_independence(
    model: AtomModel, first: AtomGraph, second: AtomGraph, *, tolerance: float = 1e-4
) -> None:
    """Check that a structure gets the same prediction alone and beside another one."""
    one, two, both = model(first), model(second), model(join([first, second]))

    def together(name: str) -> Tensor | None:
        value = getattr(one, name)
        return None if value is None else torch.cat([value, getattr(two, name)])

    alone = ModelOutput(
        profile=torch.cat([one.profile, two.profile]),
        log_spread=together("log_spread"),
        level=together("level"),
    )
    _assert_close(model, alone, both, tolerance, "beside another structure")


def check_isolated_atom(model: AtomModel, graph: AtomGraph) -> None:
    """Check that a structure of a single atom gets a finite prediction."""
    single = replace(
        graph,
        **{
            name: getattr(graph, name)[:1]
            for name in (
                "position",
                "categories",
                "scalars",
                "residue_index",
                "entity_kind",
                "structure_index",
            )
        },
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
    parts = [output.profile, output.log_spread, output.level]
    sum((part.square().sum() for part in parts if part is not None), torch.zeros(())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert bool(torch.isfinite(parameter.grad).all()), (
            f"{name} gets a gradient that is not finite"
        )
    assert any(bool(p.grad.any()) for p in model.parameters() if p.grad is not None)
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
        error = (model(graph).profile - target).square().mean()
        errors.append(error.item())
        error.backward()
        optimizer.step()
    assert errors[-1] < share * errors[0], (
        f"{steps} steps: error {errors[0]:.3g} → {errors[-1]:.3g}"
    )


def _no_edges(graph: AtomGraph) -> dict[str, Tensor]:
    none = torch.zeros(graph.n_edges, dtype=torch.bool)
    bare = graph.keep_edges(none)
    names = ("edge_index", "edge_vector", "edge_bond", "edge_mate")
    return {name: getattr(bare, name) for name in names}


def _assert_close(
    model: AtomModel, first: ModelOutput, second: ModelOutput, tolerance: float, when: str
) -> None:
    for name in ("profile", "log_spread", "level"):
        one, two = getattr(first, name), getattr(second, name)
        if one is None:
            continue
        worst = (one - two).abs().max().item()
        assert worst <= tolerance, f"{type(model).__name__}.{name} changes by {worst:.1e} {when}"
