"""The catalog of features of whole structures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from debye.graph.node_features import FeatureContext
from debye.plugins import Catalog
from debye.structure.crystal import volume_per_atom
from debye.structure.facts import diffraction_method

USUAL_RESOLUTION = 2.0  # Å
RESOLUTION_RANGE = 0.5  # Å
USUAL_VOLUME = 35.0  # Å³ of crystal for each heavy atom of a protein
OTHER_COORDINATES = "other_coordinates"
"""The feature that :meth:`debye.graph.AtomGraph.as_transfer_query` sets."""


@dataclass(frozen=True, slots=True)
class StructureFeature:
    """One feature of a structure."""

    name: str
    summary: str
    """Definition and unit, for the table in the docs."""
    compute: Callable[[FeatureContext], float]
    """Returns a value near unit scale."""
    hides_with: Literal["crystal", "resolution"] | None = None
    """It is 0 when the crystal, or the resolution, is hidden; None: neither changes it."""


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


_FEATURES = (
    StructureFeature(
        "resolution",
        f"(resolution - {USUAL_RESOLUTION:g} Å) / {RESOLUTION_RANGE:g} Å, 0 where unknown",
        _resolution,
        hides_with="resolution",
    ),
    StructureFeature(
        "resolution_known",
        "1 where the resolution is known",
        lambda context: float(context.resolution is not None),
        hides_with="resolution",
    ),
    StructureFeature(
        "crystal_known",
        "1 where symmetry mates take part",
        lambda context: float(context.mates is not None),
        hides_with="crystal",
    ),
    StructureFeature(
        "crystal_volume",
        f"log of the volume of the crystal per heavy atom over {USUAL_VOLUME:g} Å³, / 0.3 (the solvent "
        "content, Matthews 1968, doi:10.1016/0022-2836(68)90205-2); 0 without mates",
        _crystal_volume,
        hides_with="crystal",
    ),
    StructureFeature(
        "log_atoms",
        "log10 of the number of atoms, less 3.5",
        lambda context: log_atoms(len(context.structure)),
    ),
    StructureFeature(
        OTHER_COORDINATES,
        "1 if the B-factors to predict were not refined with these coordinates: predicted models, NMR, "
        "microscopy; in training, the B-factors of another copy of the chain",
        _other_coordinates,
    ),
)
GROUP = "debye.structure_features"
STRUCTURE_FEATURES = Catalog("structure feature", GROUP, StructureFeature, _FEATURES)


def structure_features(
    context: FeatureContext, names: Sequence[str]
) -> Float[np.ndarray, "1 features"]:
    """Compute the named features of one structure."""
    values = [STRUCTURE_FEATURES.find(name).compute(context) for name in names]
    return np.array([values], np.float32)
