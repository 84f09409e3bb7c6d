"""What is explained: the prediction of one model for one residue of one structure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from debye.errors import CheckpointError
from debye.explanation.residues import Residue, atom_rows, find_residue
from debye.graph.build import build_graph
from debye.prediction.prepare import CrystalUse, Prepared, prepare_structure
from debye.structure.read import SourceFile
from debye.structure.structure import BKind, Structure
from debye.targets.target import Target, Transform

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from debye.graph.graph import AtomGraph
    from debye.models.base import AtomModel, ModelOutput
    from debye.prediction.predictor import Predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One residue, or atom, and all that its prediction is made from."""

    model: AtomModel
    model_name: str
    target: Target
    prepared: Prepared
    structure: Structure
    """The atoms of the graph, with the crystal and the resolution that the model is told."""
    residue: Residue
    atom: str | None
    """The only atom of the residue that is explained; None: the mean of all of them."""
    rows: NDArray[np.intp]
    """Atoms whose mean is explained."""
    output: ModelOutput
    """Of the graph as it is."""

    @property
    def graph(self) -> AtomGraph:
        """The whole graph."""
        return self.prepared.graph

    @property
    def in_crystal(self) -> bool:
        """Whether symmetry mates take part."""
        return bool(self.graph.crystal_known.all())

    @property
    def b_predicted(self) -> float:
        """The mean prediction of the atoms, Å²."""
        return float(self.held(self.output))

    @property
    def b_deposited(self) -> float:
        """The mean of the same atoms in the file, Å²; NaN where it does not hold B-factors."""
        entry = self.structure.entry
        if entry.is_predicted or entry.b_kind == BKind.NOT_CRYSTALLOGRAPHIC:
            return float("nan")
        return float(self.structure.b_iso[self.rows].mean())

    def held(self, output: ModelOutput, rows: NDArray[np.intp] | None = None) -> Float[Tensor, ""]:
        """Return the mean B of the atoms, Å², with the level of the structure held as it is.

        Args:
            output: What the model says about some graph.
            rows: The same atoms in that graph, where it has others before them.
        """
        return self._mean(output, self.output, self.rows if rows is None else rows)

    def free(self, output: ModelOutput) -> Float[Tensor, ""]:
        """Return the mean B of the atoms, Å², with the level that the model gives to that graph."""
        return self._mean(output, output, self.rows)

    def _mean(
        self, output: ModelOutput, leveled: ModelOutput, rows: NDArray[np.intp]
    ) -> Float[Tensor, ""]:
        value = output.first.value[torch.from_numpy(rows)].double()
        if self.target.transform is Transform.Z:
            assert leveled.first.log_mean_sd is not None  # make_case has looked
            location, scale = leveled.first.log_mean_sd[0].detach().double().exp()
            value = location + scale * value
        if self.target.transform is Transform.LOG:
            value = value.exp()
        # Not cut at the smallest B that a target allows: there every effect would seem to vanish.
        return value.mean()

    def rebuilt(self, structure: Structure) -> AtomGraph:
        """Build the graph of a changed structure."""
        return build_graph(structure, self.graph.config, resolution=self.prepared.resolution)

    def predict(self, graph: AtomGraph) -> ModelOutput:
        """Run the model in float32: bfloat16 rounds small effects away."""
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
    """Predict a structure and find the residue that is to be explained.

    Args:
        predictor: On the CPU.
        structure: All atoms of a file.
        residue: See :func:`debye.explanation.residues.find_residue`.
        atom: Name of the only atom of interest.
        crystal: See :func:`debye.prediction.predictor.predict`; so are the others.
        resolution: Å; None: what the file says.
        source_file: The file that the structure was read from.

    Raises:
        StructureError: no such residue or atom, or nothing to predict.
        CheckpointError: the model gives no values in Å².
    """
    config = predictor.graph_config
    prepared = prepare_structure(
        structure, config, crystal=crystal, resolution=resolution, source_file=source_file
    )
    chosen = structure.take(prepared.rows)
    found = find_residue(residue, chosen, structure)
    rows = atom_rows(chosen, found, atom)
    told = replace(
        chosen,
        crystal=chosen.crystal if prepared.crystal_problem is None else None,
        entry=replace(chosen.entry, resolution=prepared.resolution),
    )
    with torch.inference_mode():
        output = predictor.model(prepared.graph)
    target = predictor.targets[0]
    if target.transform is Transform.Z and output.first.log_mean_sd is None:
        raise CheckpointError(
            predictor.model_name,
            problem=f"this model predicts no structure level, so nothing in {target.unit}",
            remedy="Choose a model that does",
        )
    return Case(
        model=predictor.model,
        model_name=predictor.model_name,
        target=target,
        prepared=prepared,
        structure=told,
        residue=found,
        atom=None if atom is None else str(chosen.atom_name[rows[0]]),
        rows=rows,
        output=output,
    )
