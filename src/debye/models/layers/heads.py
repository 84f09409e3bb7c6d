"""Heads: what reads the values of each target out of the features that a network has computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from debye.graph.graph import AtomGraph
from debye.models.base import ModelOutput
from debye.models.layers.connectivity import Grouping
from debye.models.layers.encoders import mlp
from debye.targets.losses import TargetOutput
from debye.targets.target import Per, Target, Transform


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadWidths:
    """Widths of the features that heads read."""

    atom: int
    atom_hidden: int
    """Width of the hidden layer that reads the features of atoms."""
    structure: int
    residue: int | None = None
    """None: the network has no features of residues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What a network has computed from a graph."""

    atom: Float[Tensor, "atoms atom_width"]
    structure: Float[Tensor, "structures structure_width"]
    residue: Float[Tensor, "residues residue_width"] | None = None
    residues: Grouping | None = None
    """Atoms by residue; None: made if needed."""


class Head(nn.Module):
    """Reads one target; under ``z`` also log mean and log standard deviation of each structure.

    Values of atoms are the sum of what atom and residue features say. Values of residues come from residue
    features, or from the mean over the atoms of the residue where a network has none.
    """

    def __init__(self, target: Target, widths: HeadWidths, *, exact: bool) -> None:
        super().__init__()
        self.target = target
        self.exact = exact
        per, residue = target.per, widths.residue
        has_structure = per is Per.STRUCTURE or target.transform is Transform.Z
        reads_residues = per is not Per.STRUCTURE
        self.residue = mlp(residue, residue, 2) if residue and reads_residues else None
        reads_atoms = per is Per.ATOM or (per is Per.RESIDUE and residue is None)
        self.atom = mlp(widths.atom, widths.atom_hidden, 2) if reads_atoms else None
        self.structure = mlp(widths.structure, widths.structure, 2) if has_structure else None

    def forward(self, graph: AtomGraph, features: Features) -> TargetOutput:
        """Return the values of the target for a batch."""
        structure = None
        if self.structure is not None and self.exact:
            # Few rows, of which bfloat16 would lose a percent of the mean.
            with torch.autocast(features.structure.device.type, enabled=False):
                structure = self.structure(features.structure)
        elif self.structure is not None:
            structure = self.structure(features.structure).float()
        if self.target.per is Per.STRUCTURE:
            assert structure is not None
            return TargetOutput(value=structure[:, 0], log_error=structure[:, 1])
        both = self._of_items(graph, features)
        return TargetOutput(value=both[:, 0], log_error=both[:, 1], log_mean_sd=structure)

    def _of_items(self, graph: AtomGraph, features: Features) -> Float[Tensor, "items 2"]:
        if self.residue is None:
            atoms = features.atom
            if self.target.per is Per.RESIDUE:
                grouped = Grouping.of(graph.residue_index, graph.n_residues)
                atoms = (features.residues or grouped).mean(atoms.float())
            assert self.atom is not None
            return self.atom(atoms).float()
        whole = self.residue(features.residue).float()
        if self.atom is None:
            return whole
        assert features.residues is not None
        return self.atom(features.atom).float() + features.residues.gather(whole)


class Heads(nn.ModuleDict):
    """A head for each target of a model, by name."""

    def __init__(
        self, targets: Sequence[Target], widths: HeadWidths, *, exact: bool = False
    ) -> None:
        super().__init__({each.name: Head(each, widths, exact=exact) for each in targets})

    def read(self, graph: AtomGraph, features: Features) -> ModelOutput:
        """Return the values of all targets for a batch."""
        return ModelOutput(values={name: head(graph, features) for name, head in self.items()})

    @torch.no_grad()
    def start_small(self, factor: float) -> None:
        """Scale down the last layer that reads values, so that training starts from nearly flat ones."""
        for head in self.values():
            for name, weight in head.named_parameters():
                if name in ("residue.2.weight", "atom.2.weight"):
                    weight *= factor
