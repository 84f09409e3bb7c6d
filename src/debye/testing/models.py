"""The contract of models.

Assertions are right here: this is test code that is part of the package, so that plugins can be tested with it.
"""

from __future__ import annotations

import tempfile
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import Tensor

from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.graph import PER_ATOM, PER_EDGE, PER_RESIDUE_EDGE, AtomGraph, item_count, join
from debye.models.base import AtomModel, ModelOutput
from debye.models.checkpoint import CheckpointHeader, load_checkpoint, save_checkpoint
from debye.targets.losses import TargetOutput
from debye.targets.target import Per
from debye.testing.peptide import build_peptide, peptide_in_crystal

Values = dict[str, Tensor]
"""Every tensor of an output by name, such as ``value of b_factor``."""


def check_model(model: AtomModel, *graphs: AtomGraph) -> None:
    """Run every check of a model but those of its checkpoint and of training, on two graphs or more.

    Args:
        model: Any model; one with trainable parameters is checked as a learned one, too.
        graphs: Of ``model.graph_config``; two peptides, one of them in a crystal, if not given.
    """
    first, second = graphs or sample_graphs(model.graph_config)
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
        check_gradient(model, first, second)
        check_head(model, first)


def sample_graphs(config: GraphConfig) -> tuple[AtomGraph, AtomGraph]:
    """Return the graphs of two peptides; the first one touches its symmetry mates, the second has no crystal."""
    other = build_peptide("GASTKW", phi=-60.0, psi=-45.0)
    return build_graph(peptide_in_crystal(), config), build_graph(other, config)


def check_output(model: AtomModel, graph: AtomGraph) -> None:
    """Check that each target has an output, and that every part is finite, float32, and has its shape."""
    output = model(graph)
    names = [target.name for target in model.targets]
    assert list(output.values) == names, f"predicts {list(output.values)}, its targets are {names}"
    for target in model.targets:
        items = (item_count(graph, target.per),)
        shapes = {"value": items, "log_error": items, "log_mean_sd": (graph.n_structures, 2)}
        for part, value in _parts(output.values[target.name]):
            shape, name = tuple(value.shape), f"{part} of {target.name}"
            assert shape == shapes[part], f"{name} has shape {shape}, not {shapes[part]}"
            assert value.dtype == torch.float32, f"{name} is {value.dtype}, not float32"
            assert bool(torch.isfinite(value).all()), f"{name} is not finite everywhere"


def check_input_unchanged(model: AtomModel, graph: AtomGraph) -> None:
    """Check that the model does not change its input."""
    before = deepcopy(graph)
    model(graph)
    for item in fields(graph):
        old, new = getattr(before, item.name), getattr(graph, item.name)
        same = torch.equal(old, new) if isinstance(old, Tensor) else old == new
        assert same, f"the model changed {item.name} of its input"


def check_invariance(model: AtomModel, graph: AtomGraph, *, tolerance: float = 1e-4) -> None:
    """Check that a rotation, a reflection and a shift of the molecule leave every prediction unchanged."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator)).Q
    after = _values(model(graph.moved(rotation, shift=torch.tensor([5.0, -3.0, 1.0]))))
    _assert_close(model, _values(model(graph)), after, tolerance, "under a rigid motion")


def check_permutation(model: AtomModel, graph: AtomGraph, *, tolerance: float = 1e-4) -> None:
    """Check that the order of the atoms does not matter."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(graph.n_atoms, generator=generator)
    expected = _values(model(graph))
    for target in model.targets:
        for name in (f"value of {target.name}", f"log_error of {target.name}"):
            if target.per is Per.ATOM and name in expected:
                expected[name] = expected[name][order]
    found = _values(model(graph.permuted(order)))
    _assert_close(model, expected, found, tolerance, "with the order of the atoms")


def check_batch_independence(
    model: AtomModel, first: AtomGraph, second: AtomGraph, *, tolerance: float = 1e-4
) -> None:
    """Check that a structure gets the same prediction alone and in a batch with another one."""
    one, two = _values(model(first)), _values(model(second))
    alone = {name: torch.cat([value, two[name]]) for name, value in one.items()}
    both = _values(model(join([first, second])))
    _assert_close(model, alone, both, tolerance, "in a batch with another structure")


def check_isolated_atom(model: AtomModel, graph: AtomGraph) -> None:
    """Check that a structure of a single atom gets a finite prediction."""
    first = {name: getattr(graph, name)[:1] for name in PER_ATOM}
    check_output(model, replace(graph, **first, **_no_edges(graph)))


def check_without_edges(model: AtomModel, graph: AtomGraph) -> None:
    """Check that atoms without any neighbor get finite predictions."""
    check_output(model, replace(graph, **_no_edges(graph)))


def check_gradient(model: AtomModel, *graphs: AtomGraph) -> None:
    """Check that every trainable parameter gets a finite gradient, and one that is not zero on all of the graphs.

    A second pass starts from slightly changed weights: a layer that starts at zero is not dead.
    """
    model = deepcopy(model).train()
    generator = torch.Generator().manual_seed(0)
    parameters = {name: each for name, each in model.named_parameters() if each.requires_grad}
    dead = set(parameters)
    for size in (0.0, 0.05):
        with torch.no_grad():
            for parameter in parameters.values():
                parameter += size * torch.randn(parameter.shape, generator=generator)
        for graph in graphs:
            model.zero_grad()
            # Random weights: a plain sum may be constant if a norm comes last.
            values = _values(model(graph)).values()
            parts = [
                (value * torch.randn(value.shape, generator=generator)).sum() for value in values
            ]
            torch.stack(parts).sum().backward()
            for name, parameter in parameters.items():
                gradient = torch.zeros(1) if parameter.grad is None else parameter.grad
                assert bool(torch.isfinite(gradient).all()), f"gradient of {name} is not finite"
                dead -= {name} if bool(gradient.any()) else set()
    assert not dead, f"no gradient reaches {', '.join(sorted(dead))} on any graph"


def check_head(model: AtomModel, graph: AtomGraph) -> None:
    """Check that a learned model declares a head: a part of its weights on which every output depends."""
    model = deepcopy(model).train()
    assert model.head, "a learned model must declare its head"
    parts = dict(model.named_modules())
    missing = [name for name in model.head if name not in parts]
    assert not missing, f"the model has no submodule {', '.join(missing)}"
    head = {each for name in model.head for each in parts[name].parameters()}
    assert set(model.parameters()) - head, "the head is the whole model"
    for name, value in _values(model(graph)).items():
        model.zero_grad()
        value.square().sum().backward(retain_graph=True)
        gradients = [each.grad for each in head if each.grad is not None]
        assert any(bool(each.any()) for each in gradients), f"{name} does not depend on the head"


def check_saved_and_loaded(model: AtomModel, header: CheckpointHeader, graph: AtomGraph) -> None:
    """Check that a model read from a checkpoint predicts the same as the model that was saved."""
    model = model.eval()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "model.safetensors"
        save_checkpoint(path, model, header)
        loaded = load_checkpoint(path)
        assert loaded.header == header, "the header changed"
        before, after = _values(model(graph)), _values(loaded.model(graph))
        _assert_close(model, before, after, 0.0, "after saving and loading")


def check_overfits(
    model: AtomModel,
    graph: AtomGraph,
    target: Tensor,
    *,
    steps: int = 20,
    rate: float = 3e-3,
    share: float = 0.7,
) -> None:
    """Check that a few steps on one structure leave less than a share of the squared error."""
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


def _no_edges(graph: AtomGraph) -> dict[str, Tensor]:
    bare = graph.keep_edges(torch.zeros(graph.n_edges, dtype=torch.bool))
    bare = bare.keep_residue_edges(torch.zeros_like(graph.residue_edge_mate))
    names = ("edge_index", "residue_edge_index", *PER_EDGE, *PER_RESIDUE_EDGE)
    return {name: getattr(bare, name) for name in names}


def _parts(output: TargetOutput) -> list[tuple[str, Tensor]]:
    found = [(item.name, getattr(output, item.name)) for item in fields(output)]
    return [(name, value) for name, value in found if value is not None]


def _values(output: ModelOutput) -> Values:
    outputs = output.values.items()
    return {f"{part} of {name}": value for name, found in outputs for part, value in _parts(found)}


def _assert_close(
    model: AtomModel, first: Values, second: Values, tolerance: float, when: str
) -> None:
    for name, value in first.items():
        worst = (value - second[name]).abs().max().item()
        assert worst <= tolerance, f"{type(model).__name__}: {name} changes by {worst:.1e} {when}"
