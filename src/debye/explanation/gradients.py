r"""Integrated gradients: follow the prediction from an unnamed atom alone to the whole structure.

.. math:: a_k = (x_k - x_k^0) \int_0^1 \frac{\partial B}{\partial x_k}\bigl(x^0 + t (x - x^0)\bigr)\,dt,
    \qquad \sum_k a_k = B(x) - B(x^0)

The inputs x are what the model's encoders say about atoms and edges, and the features of the structure. At
the start atoms have no names and features, edges no description (in Waller: there are none), and neither
resolution nor crystal is known.

Reference: Sundararajan, Taly & Yan (2017), Axiomatic attribution for deep networks, arXiv:1703.01365.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from debye.errors import CheckpointError
from debye.explanation.copies import edges_of_copy
from debye.explanation.explanation import Contribution, FeatureEffect
from debye.explanation.surroundings import Kind, Neighbor

if TYPE_CHECKING:
    from debye.explanation.case import Case
    from debye.graph.graph import AtomGraph

FEWEST_STEPS, MOST_STEPS = 8, 64
"""Points at which gradients are taken: doubled until the sum is right."""
TOLERANCE = 0.02
"""Largest error of the sum, as a share of the difference from the baseline (of 1 Å² if that is less)."""
FACTS = "structure_scalars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Effects of single inputs on the B of the explained atoms, Å²."""

    atoms: Float[Tensor, " atoms"]
    """Of each atom's names and features."""
    edges: Float[Tensor, " edges"]
    """Of what each edge says."""
    residue_edges: Float[Tensor, " residue_edges"]
    facts: Float[Tensor, " structure_scalars"]
    """Of the features of the structure."""
    baseline: float
    """B without any of it, Å²."""
    remainder: float
    """What is missing in the sum: the error of the integral, Å²."""
    steps: int


def integrate_gradients(
    case: Case,
    *,
    fewest: int = FEWEST_STEPS,
    most: int = MOST_STEPS,
    tolerance: float = TOLERANCE,
) -> Attribution:
    """Attribute the prediction of a case to all inputs of its graph; the level is held.

    Args:
        case: What is explained.
        fewest: Points of the first Gauss-Legendre rule.
        most: Points of the last one; what is then missing in the sum is :attr:`Attribution.remainder`.
        tolerance: See :data:`TOLERANCE`.

    Raises:
        CheckpointError: the model has no encoders: nothing to follow a gradient to.
    """
    if not case.model.encoders:
        raise CheckpointError(
            case.model_name,
            problem="a model without encoders of atoms and edges has no gradients to follow",
            remedy="Explain it by occlusion, or choose a learned model",
        )
    start, end = _ends(case)
    first, last = (float(_value(case, inputs)) for inputs in (start, end))
    allowed = tolerance * max(abs(last - first), 1.0)
    steps = fewest
    while True:
        found = _integral(case, start, end, steps)
        remainder = last - first - sum(float(part.sum()) for part in found.values())
        if abs(remainder) <= allowed or 2 * steps > most:
            break
        steps *= 2
    return Attribution(
        atoms=found["atoms"],
        edges=found["edges"],
        residue_edges=found.get("residue_edges", torch.zeros(0, dtype=torch.float64)),
        facts=found[FACTS],
        baseline=first,
        remainder=remainder,
        steps=steps,
    )


def contributions(
    case: Case, attribution: Attribution, neighbors: list[Neighbor]
) -> tuple[list[Contribution], list[FeatureEffect]]:
    """Sum an attribution over neighbors and over the rest; effects and remainder make the whole.

    A neighbor has what its edges say to anyone and, in the file, what its atoms are. A symmetry copy has
    the edges that it sends.
    """
    graph = case.graph
    sender, residue_sender = graph.edge_index[0], graph.residue_edge_index[0]
    of_residue = torch.zeros(graph.n_residues, dtype=torch.float64)
    of_residue.index_add_(0, graph.residue_index, attribution.atoms)
    own = float(of_residue[case.residue.index])
    inside, residue_inside = ~graph.edge_mate, ~graph.residue_edge_mate
    sent = torch.zeros(graph.n_residues, dtype=torch.float64)
    sent.index_add_(0, graph.residue_index[sender[inside]], attribution.edges[inside])
    if len(attribution.residue_edges):
        sent.index_add_(
            0, residue_sender[residue_inside], attribution.residue_edges[residue_inside]
        )
    found = []
    for neighbor in neighbors:
        if neighbor.kind == Kind.MATE:
            edges, residue_edges = edges_of_copy(graph, neighbor)
            effect = attribution.edges[edges].sum()
            if len(attribution.residue_edges):
                effect = effect + attribution.residue_edges[residue_edges].sum()
        else:
            effect = (of_residue + sent)[neighbor.residue.index]
        found.append(Contribution(neighbor=neighbor, effect=float(effect)))
    features = [
        FeatureEffect(name="its own names and place in the chain", effect=own),
        FeatureEffect(name="its own atoms' distances and bonds", effect=float(sent[case.residue.index])),
        *_facts(graph, attribution),
    ]
    told = sum(item.effect for item in (*found, *features))
    rest = case.b_predicted - attribution.baseline - attribution.remainder - told
    return found, [*features, FeatureEffect(name="all that is farther away", effect=rest)]


def _facts(graph: AtomGraph, attribution: Attribution) -> Iterator[FeatureEffect]:
    groups = {"resolution": "the resolution", "crystal": "facts about the crystal"}
    effects = dict.fromkeys([*groups.values(), "the size of the structure"], 0.0)
    for name, effect in zip(
        graph.config.structure_scalars, attribution.facts.tolist(), strict=True
    ):
        effects[groups.get(name.split("_")[0], "the size of the structure")] += effect
    return (FeatureEffect(name=name, effect=effect) for name, effect in effects.items() if effect)


def _ends(case: Case) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the inputs at both ends of the path: of unnamed atoms alone, and of the graph."""
    model, graph = case.model, case.graph
    seen: dict[str, Tensor] = {}

    def record(role: str, output: Tensor) -> Tensor:
        seen[role] = output.detach()
        return output

    with _encoders_give(model.encoders, model, record):
        model(graph)  # with gradients: then every encoder is called once, for all edges
    bare = replace(
        graph,
        categories=torch.zeros_like(graph.categories),
        scalars=torch.zeros_like(graph.scalars),
    )
    start = {role: torch.zeros_like(output) for role, output in seen.items()}
    with torch.no_grad():
        start["atoms"] = model.get_submodule(model.encoders["atoms"])(bare)
    start[FACTS] = torch.zeros_like(graph.structure_scalars)
    return start, seen | {FACTS: graph.structure_scalars}


def _integral(
    case: Case, start: Mapping[str, Tensor], end: Mapping[str, Tensor], steps: int
) -> dict[str, Tensor]:
    """Return the attribution of each row of each input."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    names = list(end)
    sums = {name: torch.zeros_like(end[name]) for name in names}
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        inputs = {
            name: torch.lerp(start[name], end[name], float(point)).requires_grad_()
            for name in names
        }
        gradients = torch.autograd.grad(
            _value(case, inputs), [inputs[name] for name in names], allow_unused=True
        )
        for name, gradient in zip(names, gradients, strict=True):
            if gradient is not None:
                sums[name] += float(weight) * gradient
    products = {name: ((end[name] - start[name]) * sums[name]).double() for name in names}
    return {
        name: product.sum(dim=0 if name == FACTS else 1) for name, product in products.items()
    }


def _value(case: Case, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the B of the explained atoms, Å², for given outputs of the encoders."""
    graph = replace(case.graph, structure_scalars=inputs[FACTS])
    with _encoders_give(case.model.encoders, case.model, lambda role, _: inputs[role]):
        return case.held(case.model(graph))


@contextmanager
def _encoders_give(encoders: Mapping[str, str], model: nn.Module, give) -> Iterator[None]:
    """Let a function replace what each encoder returns."""

    def hook(role: str):
        return lambda _module, _inputs, output: give(role, output)

    handles = [
        model.get_submodule(name).register_forward_hook(hook(role))
        for role, name in encoders.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
