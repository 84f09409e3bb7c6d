"""1/WCN: the strongest baseline that learns nothing."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, PositiveFloat

from debye.graph.config import GraphConfig
from debye.graph.graph import AtomGraph
from debye.graph.node_features import USUAL_WCN
from debye.models.base import BaselineModel, ModelOutput
from debye.models.baselines.standardize import standardize
from debye.targets.target import Target


class WeightedContactNumberConfig(BaseModel, frozen=True, extra="forbid"):
    """Which neighbors count."""

    crystal: bool = True
    """Symmetry mates count where they are known."""
    smallest: PositiveFloat = 0.5
    """Å⁻². A smaller weighted contact number counts as this: an ion far from all else has almost none,
    and its inverse would be all that is left after standardization."""

    @property
    def graph(self) -> GraphConfig:
        """The graphs that the model reads: they follow from the settings."""
        return GraphConfig(
            radius=None,
            crystal=self.crystal,
            node_categories=(),
            node_scalars=("wcn", "crystal_wcn") if self.crystal else ("wcn",),
            structure_scalars=(),
        )


class WeightedContactNumber(BaselineModel):
    r"""Predicts :math:`1 / \sum_j d_{ij}^{-2}`, standardized in each structure.

    Reference: Lin, Shih, Hwang, Kao, Lee & Chen (2008), Proteins 72, 929-935.
    """

    def __init__(self, config: WeightedContactNumberConfig, targets: Sequence[Target]) -> None:
        super().__init__(targets)
        self.config = config
        self.graph_config = config.graph

    def forward(self, graph: AtomGraph) -> ModelOutput:
        """Invert and standardize the last scalar: the sum with mates, if they count."""
        packed = (USUAL_WCN * graph.scalars[:, -1]).clamp(min=self.config.smallest)
        profile = standardize(1 / packed, graph.structure_index, graph.n_structures)
        return self.output(profile)


MODEL = WeightedContactNumber
CONFIG = WeightedContactNumberConfig
