"""The catalog of features of whole structures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from debye.errors import GraphError
from debye.graph.node_features import FeatureContext

USUAL_RESOLUTION = 2.0  # Å
RESOLUTION_RANGE = 0.5  # Å

STRUCTURE_FEATURES: Mapping[str, Callable[[FeatureContext], float]] = {
    # (resolution - 2 Å) / 0.5 Å; 0 where unknown
    "resolution": lambda context: (
        0.0
        if context.resolution is None
        else (context.resolution - USUAL_RESOLUTION) / RESOLUTION_RANGE
    ),
    # 1 where the resolution is known
    "resolution_known": lambda context: float(context.resolution is not None),
    # 1 where symmetry mates take part
    "crystal_known": lambda context: float(context.mates is not None),
    # log10 of the number of atoms, less 3.5
    "log_atoms": lambda context: float(np.log10(max(1, len(context.structure))) - 3.5),
}


def structure_features(
    context: FeatureContext, names: Sequence[str]
) -> Float[np.ndarray, "1 features"]:
    """Compute the named features of one structure.

    Raises:
        GraphError: no feature has this name.
    """
    unknown = [name for name in names if name not in STRUCTURE_FEATURES]
    if unknown:
        raise GraphError(
            context.structure.source,
            problem=f"no structure feature is called {', '.join(unknown)}",
            remedy=f"Choose from {', '.join(STRUCTURE_FEATURES)}",
        )
    values = [STRUCTURE_FEATURES[name](context) for name in names]
    return np.array([values], np.float32)
