"""The state object of an explanation: what moves the prediction of one residue, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from debye.explanation.residues import Residue
from debye.explanation.surroundings import Neighbor
from debye.structure.read import SourceFile
from debye.structure.structure import Structure

Method = Literal["occlusion", "gradients"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one neighbor does to the prediction."""

    neighbor: Neighbor
    effect: float
    """Å²; below 0: B is lower because the neighbor is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureEffect:
    """What one thing that the model is told does to the prediction."""

    name: str
    effect: float
    """Å², with the level of the structure held."""
    with_level: float = float("nan")
    """Å², with the change of the level; NaN where the level is not asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Effects of neighbors, symmetry mates and features on the B of one residue or atom, Å²."""

    structure: Structure
    """The atoms that the model sees."""
    source_file: SourceFile | None
    """The file that was read; None: made in memory."""
    residue: Residue
    atom: str | None
    """The atom that is explained; None: the mean of the residue's atoms."""
    rows: NDArray[np.intp]
    """Rows of the atoms that are explained."""
    model_name: str
    method: Method
    reach: float
    """Å; farther neighbors were not looked at one by one."""
    crystal_problem: str | None
    """Why symmetry mates take no part; None: they do."""
    resolution: float | None
    """Å; what the model was told."""
    b_predicted: float
    """Å²."""
    b_deposited: float
    """Å²; NaN where the file holds none."""
    contributions: tuple[Contribution, ...]
    """The largest first, whatever the sign."""
    features: tuple[FeatureEffect, ...]
    baseline: float | None = None
    """Å², from which the effects of ``gradients`` lead to ``b_predicted``; None: ``occlusion``."""
    remainder: float = 0.0
    """Å², what ``gradients`` could not attribute: the error of the integral."""

    @property
    def name(self) -> str:
        """Residue, and atom where there is one, e.g. ``A:LYS33 NZ``."""
        return f"{self.residue} {self.atom}" if self.atom else str(self.residue)
