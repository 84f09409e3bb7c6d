"""What evaluation reads: deposited and predicted B of one structure, side by side."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureValues:
    """Deposited and predicted B of the atoms of one structure, in Å².

    Row ``i`` of every array describes atom ``i``. An atom that is not finite in both
    ``deposited`` and ``predicted`` is never scored, and counted where only the prediction lacks.
    """

    id: str
    """Entry identifier, unique within a split."""
    deposited: NDArray[np.float32]
    """(atoms,) Å²; NaN where the deposited value is no usable B-factor."""
    predicted: NDArray[np.float32]
    """(atoms,) Å²; NaN where the model gives no value."""
    entity_kind: NDArray[np.int8]
    """(atoms,) a :class:`debye.structure.structure.EntityKind`."""
    is_backbone: NDArray[np.bool_]
    """(atoms,) True for N, CA, C, O and OXT of protein residues."""
    residue_name: NDArray[np.str_]
    """(atoms,) component identifier, e.g. ``ALA``, ``ATP``."""
    residue_index: NDArray[np.int32]
    """(atoms,) residue, or single ligand, that each atom belongs to."""
    chain_index: NDArray[np.int32]
    """(atoms,) chain that each atom belongs to."""
    lower: NDArray[np.float32] | None = None
    """(atoms,) lower bound of the 90 % interval, Å²; None where the model gives no bounds."""
    upper: NDArray[np.float32] | None = None
    """(atoms,) upper bound of the 90 % interval, Å²."""
    resolution: float | None = None
    """High-resolution limit, Å; None where unknown."""
    cluster: str = ""
    """Sequence cluster; structures of one cluster are not independent. Empty: a cluster of its own."""
    group: str = ""
    """Free label of the structure, for example its protein family."""
    has_crystal: bool = False
    """Symmetry mates took part in the prediction."""
    is_profile: bool = False
    """``predicted`` has no unit, as of models without an opinion on the level: only correlations count."""

    def __post_init__(self) -> None:
        atoms = len(self.deposited)
        for column in fields(self):
            value = getattr(self, column.name)
            if isinstance(value, np.ndarray) and value.shape != (atoms,):
                raise StructureError(
                    self.id,
                    problem=f"{atoms} deposited values, but {column.name} has shape {value.shape}",
                    remedy="Build every array from the same atoms",
                )
        if (self.lower is None) != (self.upper is None):
            raise StructureError(
                self.id,
                problem="only one of the two bounds is given",
                remedy="Give lower and upper, or neither",
            )

    def __len__(self) -> int:
        return len(self.deposited)
