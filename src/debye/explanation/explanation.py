"""The state object of an explanation: effects on the prediction of one residue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from debye.explanation.residues import Residue
from debye.explanation.surroundings import Neighbor
from debye.prediction.inputs import stem_of
from debye.structure.structure import Structure

Method = Literal["occlusion", "gradients"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """The effect of one neighbor on the prediction."""

    neighbor: Neighbor
    effect: float
    """Å²; below 0: the neighbor lowers B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureEffect:
    """The effect of one kind of input on the prediction."""

    name: str
    effect: float
    """Å², with the mean and spread of B of the structure kept."""
    with_level: float = float("nan")
    """Å², with the change of this mean and spread; NaN if not computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Effects of neighbors, symmetry mates and features on the B of one residue or atom, Å²."""

    structure: Structure
    """The atoms of the graph."""
    path: Path | None
    """Their file; None: made in memory."""
    residue: Residue
    atom: str | None
    """The explained atom; None: the mean of the residue's atoms."""
    rows: NDArray[np.intp]
    """Rows of the explained atoms."""
    model_name: str
    method: Method
    reach: float
    """Å; farther neighbors are not considered."""
    crystal_problem: str | None
    """Why symmetry mates are not used; None: they are."""
    resolution: float | None
    """Å; None: unknown to the model."""
    b_predicted: float
    """Å²."""
    b_deposited: float
    """Å²; NaN if the file has none."""
    contributions: tuple[Contribution, ...]
    """The largest absolute value first."""
    features: tuple[FeatureEffect, ...]
    baseline: float | None = None
    """Å², the start of the path of ``gradients``; None: ``occlusion``."""
    remainder: float = 0.0
    """Å², the error of the integral of ``gradients``: not attributed to any input."""

    @property
    def name(self) -> str:
        """Residue, and atom where there is one, e.g. ``A:LYS33 NZ``."""
        return f"{self.residue} {self.atom}" if self.atom else str(self.residue)

    @property
    def file_stem(self) -> str:
        """Name for files: structure, residue and method, e.g. ``1abc_A_LYS33_occlusion``."""
        place = re.sub(r"[^\w.-]+", "_", self.name)
        return f"{stem_of(Path(self.structure.source).name)}_{place}_{self.method}"
