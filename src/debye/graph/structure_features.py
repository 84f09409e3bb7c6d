"""The catalog of features of whole structures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from debye.errors import GraphError
from debye.graph.node_features import FeatureContext
from debye.structure.crystal import volume_per_atom
from debye.structure.header import diffraction_method

USUAL_RESOLUTION = 2.0  # Å
RESOLUTION_RANGE = 0.5  # Å
USUAL_VOLUME = 35.0  # Å³ of crystal for each heavy atom of a protein


@dataclass(frozen=True, slots=True)
class StructureFeature:
    """One feature of a structure."""

    summary: str
    """Definition and unit, for the table in the docs."""
    compute: Callable[[FeatureContext], float]
    """Returns a value near unit scale."""


def _resolution(context: FeatureContext) -> float:
    if context.resolution is None:
        return 0.0
    return (context.resolution - USUAL_RESOLUTION) / RESOLUTION_RANGE


def log_atoms(n_atoms: int) -> float:
    """Return log10 of a number of atoms, near unit scale.

    Example:
        >>> round(log_atoms(1000), 6)
        -0.5
    """
    return float(np.log10(max(1, n_atoms)) - 3.5)


def _crystal_volume(context: FeatureContext) -> float:
    crystal = context.structure.crystal
    if context.mates is None or crystal is None:
        return 0.0
    return float(np.log(volume_per_atom(crystal, len(context.structure)) / USUAL_VOLUME) / 0.3)


def _other_coordinates(context: FeatureContext) -> float:
    entry = context.structure.entry
    refined_elsewhere = bool(entry.method) and not diffraction_method(entry.method)
    return float(entry.is_predicted or refined_elsewhere)


STRUCTURE_FEATURES: Mapping[str, StructureFeature] = {
    "resolution": StructureFeature(
        f"(resolution - {USUAL_RESOLUTION:g} Å) / {RESOLUTION_RANGE:g} Å, 0 where unknown",
        _resolution,
    ),
    "resolution_known": StructureFeature(
        "1 where the resolution is known", lambda context: float(context.resolution is not None)
    ),
    "crystal_known": StructureFeature(
        "1 where symmetry mates take part", lambda context: float(context.mates is not None)
    ),
    "crystal_volume": StructureFeature(
        f"log of the volume of the crystal per heavy atom over {USUAL_VOLUME:g} Å³, / 0.3 (the solvent "
        "content, Matthews 1968, doi:10.1016/0022-2836(68)90205-2); 0 without mates",
        _crystal_volume,
    ),
    "log_atoms": StructureFeature(
        "log10 of the number of atoms, less 3.5",
        lambda context: log_atoms(len(context.structure)),
    ),
    "other_coordinates": StructureFeature(
        "1 where the B-factors that are asked for were not refined with these coordinates: predicted models, NMR, "
        "microscopy; in training, where those of another copy of the chain are asked for",
        _other_coordinates,
    ),
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
    values = [STRUCTURE_FEATURES[name].compute(context) for name in names]
    return np.array([values], np.float32)
