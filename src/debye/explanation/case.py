"""The case to explain, the prediction of one model for one residue, and effects on this prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from debye.errors import CheckpointError
from debye.explanation.neighbors import Neighbor, Residue, atom_rows, find_residue
from debye.graph.build import build_graph
from debye.prediction.prepare import CrystalUse, Prepared, prepare_structure
from debye.structure.read import SourceFile
from debye.structure.structure import Structure
from debye.targets.target import Per, Target, Transform

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from debye.graph.graph import AtomGraph
    from debye.models.base import AtomModel, ModelOutput
    from debye.prediction.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Contribution:
    """The effect of one neighbor on the prediction."""

    neighbor: Neighbor
    effect: float
    """In the unit of the target; below 0: the neighbor lowers the value."""


@dataclass(frozen=True, slots=True)
class FeatureEffect:
    """The effect of one kind of input on the prediction."""

    name: str
    effect: float
    """In the unit of the target, with the mean and spread of the values of the structure kept."""
    with_level: float = float("nan")
    """The same, with the change of this mean and spread; NaN if not computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One residue, or atom, and everything that its prediction is made from."""

    model: AtomModel
    model_name: str
    target: Target
    prepared: Prepared
    structure: Structure
    """The atoms of the graph, with crystal and resolution only if the model gets them."""
    residue: Residue
    atom: str | None
    """The explained atom; None: the mean of the residue."""
    rows: NDArray[np.intp]
    """Atoms whose mean is explained."""
    output: ModelOutput
    """Of the unchanged graph."""

    @property
    def name(self) -> str:
        """Residue, and atom where there is one, e.g. ``A:LYS33 NZ``."""
        return f"{self.residue} {self.atom}" if self.atom else str(self.residue)

    @property
    def graph(self) -> AtomGraph:
        """The whole graph."""
        return self.prepared.graph

    @property
    def in_crystal(self) -> bool:
        """Whether symmetry mates are in the graph."""
        return bool(self.graph.crystal_known.all())

    @property
    def predicted(self) -> float:
        """The mean prediction of the atoms, in the unit of the target."""
        return float(self.mean(self.output))

    @property
    def observed(self) -> float:
        """The mean of the same atoms in the file, in the same unit; NaN if the file has no values."""
        return float(self.target.observe(self.structure)[self.rows].mean())

    def mean(
        self, output: ModelOutput, rows: NDArray[np.intp] | None = None, *, own_level: bool = False
    ) -> Float[Tensor, ""]:
        """Return the mean value of the atoms, in the unit of the target.

        Args:
            output: Of some graph.
            rows: The same atoms in that graph; None: their rows are the same.
            own_level: Use mean and spread of the values of that graph, not of the unchanged structure.
        """
        value = output.first.value[torch.from_numpy(self.rows if rows is None else rows)].double()
        location, scale = self.target.location, self.target.scale
        if self.target.transform is Transform.Z:
            level = (output if own_level else self.output).first.log_mean_sd
            assert level is not None  # make_case has checked
            location, scale = level[0].detach().double().exp()
        value = location + scale * value
        if self.target.transform is Transform.LOG:
            value = value.exp()
        # Not cut at the minimum of the target: there every effect would seem to vanish.
        return value.mean()

    def rebuilt(self, structure: Structure) -> AtomGraph:
        """Build the graph of a changed structure."""
        return build_graph(structure, self.graph.config, resolution=self.prepared.resolution)

    def predict(self, graph: AtomGraph) -> ModelOutput:
        """Run the model in float32, since bfloat16 rounds small effects away."""
        with torch.inference_mode():
            return self.model(graph)


def make_case(
    predictor: Predictor,
    structure: Structure,
    residue: str,
    *,
    atom: str | None = None,
    crystal: CrystalUse = "auto",
    resolution: float | None = None,
    source_file: SourceFile | None = None,
) -> Case:
    """Predict a structure, all atoms of a file, on the CPU, and find the residue to explain.

    Arguments are those of :func:`debye.explanation.explanation.explain`.

    Raises:
        StructureError: no such residue or atom, or nothing to predict.
        CheckpointError: the model gives no values per atom in the unit of its target.
    """
    target, model_name = predictor.targets[0], predictor.model_name
    if target.per is not Per.ATOM:
        problem = f"{target.name} has one value per {target.per}, which cannot be explained"
        raise CheckpointError(model_name, problem, "Choose a model of values per atom")
    prepared = prepare_structure(
        source_file or structure, predictor.graph_config, crystal=crystal, resolution=resolution
    )
    chosen = prepared.selected
    found = find_residue(residue, chosen, structure)
    rows = atom_rows(chosen, found, atom)
    lattice = chosen.crystal if prepared.crystal_problem is None else None
    entry = replace(chosen.entry, resolution=prepared.resolution)
    with torch.inference_mode():
        output = predictor.model(prepared.graph)
    if target.transform is Transform.Z and output.first.log_mean_sd is None:
        problem = f"this model predicts normalized {target.title} only, without {target.unit}"
        raise CheckpointError(model_name, problem, "Choose another model")
    return Case(
        model=predictor.model,
        model_name=model_name,
        target=target,
        prepared=prepared,
        structure=replace(chosen, crystal=lattice, entry=entry),
        residue=found,
        atom=None if atom is None else str(chosen.atom_name[rows[0]]),
        rows=rows,
        output=output,
    )
