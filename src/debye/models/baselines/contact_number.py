"""Packed atoms move little: the negative number of neighbors."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, field_validator

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.graph.node_features import PACKING_RADII
from debye.models.base import BaselineModel, ModelOutput
from debye.models.baselines.standardize import standardize
from debye.targets.target import Target


class ContactNumberConfig(BaseModel, frozen=True, extra="forbid"):
    """Which neighbors count."""

    radius: float = 10.0
    """Å; one of :data:`debye.graph.node_features.PACKING_RADII`."""
    crystal: bool = True
    """Symmetry mates count where they are known."""

    @field_validator("radius")
    @classmethod
    def _is_computed(cls, radius: float) -> float:
        if radius not in PACKING_RADII:
            known = ", ".join(f"{known:g}" for known in PACKING_RADII)
            raise ValueError(f"contacts are counted within {known} Å, not {radius:g} Å")
        return radius

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads: they follow from the settings."""
        isolated = f"contact_number_{self.radius:g}"
        return GraphConfig(
            radius=None,
            crystal=self.crystal,
            node_categories=(),
            node_scalars=(isolated, f"crystal_{isolated}") if self.crystal else (isolated,),
            structure_scalars=(),
        )


class ContactNumber(BaselineModel):
    """Predicts the negative number of heavy atoms within a radius, standardized in each structure.

    Reference: Halle (2002), PNAS 99, 1274-1279.
    """

    def __init__(self, config: ContactNumberConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config = config.graph

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Standardize the last scalar: the contact number with mates, if they count."""
        profile = standardize(-graph.scalars[:, -1], graph.structure_index, graph.n_structures)
        return self.output(profile)


MODEL = ContactNumber
CONFIG = ContactNumberConfig
