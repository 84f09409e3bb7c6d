r"""Integrated gradients along a path from a residue in unknown surroundings to the complete input.

.. math:: a_k = (x_k - x_k^0) \int_0^1 \frac{\partial B}{\partial x_k}\bigl(x^0 + t (x - x^0)\bigr)\,dt,
    \qquad \sum_k a_k = B(x) - B(x^0)

The inputs x are the outputs of the model's encoders of atoms and edges, and the features of the structure. At
the start the residue and its neighbors have no names and features, the edges from them and from symmetry mates
are encoded as zeros (in Waller: they send nothing), and resolution and crystal are unknown. The rest is kept.

Reference: Sundararajan, Taly & Yan (2017), Axiomatic attribution for deep networks, arXiv:1703.01365.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from debye.errors import CheckpointError
from debye.explanation.case import Contribution, FeatureEffect
from debye.explanation.neighbors import Kind, Neighbor
from debye.explanation.occlusion import edges_of_copy
from debye.graph.features import STRUCTURE_FEATURES

if TYPE_CHECKING:
    from debye.explanation.case import Case
    from debye.models.base import AtomModel

FEWEST_STEPS, MOST_STEPS = 8, 64
"""Points of the quadrature: doubled until the sum is right."""
TOLERANCE = 0.02
"""Largest error of the sum, as a share of the difference from the baseline (at least of 1 Å²)."""
FACTS = "structure_scalars"
FACT_GROUPS = {"resolution": "the resolution", "crystal": "facts about the crystal"}
"""Features of the structure that start at 0, unknown, by what hides them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Effects of single inputs on the mean B of the explained atoms, Å²."""

    atoms: Float[Tensor, " atoms"]
    """Of the names and features of each atom."""
    edges: Float[Tensor, " edges"]
    """Of the description of each edge."""
    residue_edges: Float[Tensor, " residue_edges"]
    structure_scalars: Float[Tensor, " structure_scalars"]
    """Of the features of the structure."""
    owners: Mapping[str, Tensor]
    """Number of the neighbor that each atom, edge and residue edge belongs to, from 1; 0: the residue; -1: none."""
    baseline: float
    """B at the start of the path, Å²."""
    remainder: float
    """The error of the integral, Å²."""


def integrate_gradients(
    case: Case,
    neighbors: list[Neighbor],
    *,
    fewest: int = FEWEST_STEPS,
    most: int = MOST_STEPS,
    tolerance: float = TOLERANCE,
) -> Attribution:
    """Attribute the prediction of a case to all inputs of its graph, with mean and spread of B kept.

    Args:
        case: What is explained.
        neighbors: Varied together with the residue.
        fewest: Points of the first Gauss-Legendre rule.
        most: Points of the last one; its error is :attr:`Attribution.remainder`.
        tolerance: See :data:`TOLERANCE`.

    Raises:
        CheckpointError: the model has no encoders.
    """
    if not case.model.encoders:
        problem = "a model without encoders of atoms and edges has no gradients to follow"
        remedy = "Explain it by occlusion, or choose a learned model"
        raise CheckpointError(case.model_name, problem, remedy)
    owners = _owners(case, neighbors)
    start, end = _ends(case, owners)
    first, last = (float(_value(case, inputs).detach()) for inputs in (start, end))
    allowed = tolerance * max(abs(last - first), 1.0)
    steps = fewest
    while True:
        found = _integral(case, start, end, steps)
        remainder = last - first - sum(float(part.sum()) for part in found.values())
        if abs(remainder) <= allowed or 2 * steps > most:
            break
        steps *= 2
    # Edges that the model does not read have no effect.
    unread = {role: torch.zeros(len(owner), dtype=torch.float64) for role, owner in owners.items()}
    return Attribution(**(unread | found), owners=owners, baseline=first, remainder=remainder)


def sum_attribution(
    case: Case, attribution: Attribution, neighbors: list[Neighbor]
) -> tuple[list[Contribution], list[FeatureEffect]]:
    """Sum an attribution over each neighbor and each kind of feature.

    A neighbor in the file gets the effects of its atoms and of the edges from them; a symmetry copy those of
    the edges from it. All effects and the remainder add up to the prediction minus the baseline.
    """
    sums = {}
    for role, owner in attribution.owners.items():
        zeros = torch.zeros(len(neighbors) + 2, dtype=torch.float64)
        sums[role] = zeros.index_add_(0, owner + 1, getattr(attribution, role))
    of_edges = sums["edges"] + sums["residue_edges"]
    effects = (sums["atoms"] + of_edges).tolist()[2:]
    groups = dict.fromkeys(FACT_GROUPS.values(), 0.0)
    names = case.graph.config.structure_scalars
    for name, effect in zip(names, attribution.structure_scalars.tolist(), strict=True):
        if group := _group(name):
            groups[group] += effect
    return [Contribution(*each) for each in zip(neighbors, effects, strict=True)], [
        FeatureEffect("its own names and features", float(sums["atoms"][1])),
        FeatureEffect("its own distances and bonds", float(of_edges[1])),
        *(FeatureEffect(name, effect) for name, effect in groups.items() if effect),
    ]


def _group(fact: str) -> str | None:
    """Return the group of a feature of the structure; None: it is not varied."""
    return FACT_GROUPS.get(STRUCTURE_FEATURES.find(fact).hides_with or "")


def _ends(case: Case, owners: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the inputs at both ends of the path: unknown surroundings, and the complete graph."""
    model, graph = case.model, case.graph
    seen: dict[str, Tensor] = {}

    def record(role: str, output: Tensor) -> Tensor:
        seen[role] = output.detach()
        return output

    with _replaced(model, record):
        model(graph)  # with gradients: then every encoder is called once, for all edges
    zeros = {name: torch.zeros_like(getattr(graph, name)) for name in ("categories", "scalars")}
    with torch.no_grad():
        atoms = model.get_submodule(model.encoders["atoms"])(replace(graph, **zeros))
    start = {
        role: torch.where(owners[role][:, None] >= 0, atoms if role == "atoms" else 0.0, output)
        for role, output in seen.items()
    }
    start[FACTS] = graph.structure_scalars.clone()
    for column, name in enumerate(graph.config.structure_scalars):
        if _group(name) is not None:
            start[FACTS][:, column] = 0.0
    return start, seen | {FACTS: graph.structure_scalars}


def _owners(case: Case, neighbors: list[Neighbor]) -> dict[str, Tensor]:
    """Return whose every atom, edge and residue edge is: 0 of the residue, 1, 2, … of a neighbor, -1 of none.

    An edge is that of its sender; a symmetry mate has edges, but no atoms.
    """
    graph = case.graph
    mates = {n: near for n, near in enumerate(neighbors, start=1) if near.kind == Kind.MATE}
    of_residue = torch.full((graph.n_residues,), -1)
    of_residue[case.residue.index] = 0
    for number, neighbor in enumerate(neighbors, start=1):
        if number not in mates:
            of_residue[neighbor.residue.index] = number
    atoms = of_residue[graph.residue_index]
    edges = atoms[graph.edge_index[0]].masked_fill(graph.edge_mate, -1)
    residue_edges = of_residue[graph.residue_edge_index[0]]
    residue_edges = residue_edges.masked_fill(graph.residue_edge_mate, -1)
    for number, neighbor in mates.items():
        sent, residue_sent = edges_of_copy(graph, neighbor)
        edges[sent] = number
        residue_edges[residue_sent] = number
    return {"atoms": atoms, "edges": edges, "residue_edges": residue_edges}


def _integral(
    case: Case, start: Mapping[str, Tensor], end: Mapping[str, Tensor], steps: int
) -> dict[str, Tensor]:
    """Return the attribution of each row of each input."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    names = list(end)
    sums = {name: torch.zeros_like(end[name]) for name in names}
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        inputs = [
            torch.lerp(start[name], end[name], float(point)).requires_grad_() for name in names
        ]
        value = _value(case, dict(zip(names, inputs, strict=True)))
        gradients = torch.autograd.grad(value, inputs, allow_unused=True)
        for name, gradient in zip(names, gradients, strict=True):
            if gradient is not None:
                sums[name] += float(weight) * gradient
    products = {name: ((end[name] - start[name]) * sums[name]).double() for name in names}
    return {name: product.sum(dim=0 if name == FACTS else 1) for name, product in products.items()}


def _value(case: Case, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the B of the explained atoms, Å², for given outputs of the encoders."""
    graph = replace(case.graph, structure_scalars=inputs[FACTS])
    with _replaced(case.model, lambda role, _: inputs[role]):
        return case.mean(case.model(graph))


@contextmanager
def _replaced(model: AtomModel, give: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    """Replace the output of each encoder by a function of its role and output."""

    def replaced(role: str, _module: nn.Module, _inputs: object, output: Any) -> Any:
        if isinstance(output, Tensor):
            return give(role, output)
        return replace(output, value=give(role, output.value))

    handles = [
        model.get_submodule(name).register_forward_hook(partial(replaced, role))
        for role, name in model.encoders.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
