"""The catalog of edge features: what each is, its unit and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from debye.graph.graph import AtomGraph


@dataclass(frozen=True, slots=True)
class EdgeFeature:
    """One feature of an edge."""

    name: str
    unit: str
    source: str
    """Definition or reference, for the table in the docs."""
    compute: Callable[[AtomGraph], Float[Tensor, " edges"]]


_FEATURES = (
    EdgeFeature(
        "distance",
        "Å",
        "from the receiver to the (image of the) sender; a feature of the seed system",
        lambda graph: graph.edge_vector.norm(dim=-1),
    ),
    EdgeFeature(
        "bond_order",
        "code",
        "0 none, 1 single, 2 double, 3 triple, 4 delocalized (debye.structure.BondOrder); "
        "a feature of the seed system",
        lambda graph: graph.edge_bond.to(graph.edge_vector.dtype),
    ),
    EdgeFeature(
        "mate",
        "1",
        "1 where the sender is a symmetry mate",
        lambda graph: graph.edge_mate.to(graph.edge_vector.dtype),
    ),
)
EDGE_FEATURES: Mapping[str, EdgeFeature] = {feature.name: feature for feature in _FEATURES}
