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
from debye.structure.read import SourceFile
from debye.structure.structure import Structure
from debye.targets.target import Target

Method = Literal["occlusion", "gradients"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """The effect of one neighbor on the prediction."""

    neighbor: Neighbor
    effect: float
    """In the unit of the target; below 0: the neighbor lowers the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureEffect:
    """The effect of one kind of input on the prediction."""

    name: str
    effect: float
    """In the unit of the target, with the mean and spread of the values of the structure kept."""
    with_level: float = float("nan")
    """The same, with the change of this mean and spread; NaN if not computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Effects of neighbors, symmetry mates and features on the value of one residue or atom."""

    structure: Structure
    """The atoms of the graph."""
    source_file: SourceFile | None
    """The file that was read; None: made in memory."""
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
    target: Target
    """The explained quantity; effects are in its unit."""
    predicted: float
    """Mean of the explained atoms, in the unit of the target."""
    observed: float
    """Mean in the file, in the same unit; NaN if the file has none."""
    contributions: tuple[Contribution, ...]
    """The largest absolute value first."""
    features: tuple[FeatureEffect, ...]
    baseline: float | None = None
    """The value at the start of the path of ``gradients``; None: ``occlusion``."""
    remainder: float = 0.0
    """The error of the integral of ``gradients``, attributed to no input."""

    @property
    def name(self) -> str:
        """Residue, and atom where there is one, e.g. ``A:LYS33 NZ``."""
        return f"{self.residue} {self.atom}" if self.atom else str(self.residue)

    @property
    def values_text(self) -> str:
        """Predicted and observed value, e.g. ``B 33.8 Å² predicted, 16.7 in the file``."""
        digits = max(1, self.target.decimals - 1)
        text = f"{self.target.title} {self.predicted:.{digits}f} {self.target.unit}".rstrip()
        found = f", {self.observed:.{digits}f} in the file" if np.isfinite(self.observed) else ""
        return f"{text} predicted{found}"

    @property
    def file_stem(self) -> str:
        """Name for files: structure, residue and method, e.g. ``1abc_A_LYS33_occlusion``."""
        place = re.sub(r"[^\w.-]+", "_", self.name)
        return f"{stem_of(Path(self.structure.source).name)}_{place}_{self.method}"
