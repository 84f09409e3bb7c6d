"""What is scored: true and predicted values of one structure, with the target that they belong to."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureValues:
    """True and predicted values of the items of one structure, in the unit of the target.

    An item is an atom, a residue or the structure, as ``target.per`` says; row ``i`` of every array
    describes item ``i``. An item is scored if both values are finite; one that lacks only the prediction
    is counted.
    """

    id: str
    """Entry identifier, unique within a split."""
    target: Target
    """Unit, kind of item, and the smallest true value that percentage errors cover."""
    true: NDArray[np.float32]
    """(items,) NaN where there is no usable value."""
    predicted: NDArray[np.float32]
    """(items,) NaN where the model gives no value."""
    entity_kind: NDArray[np.int8]
    """(items,) a :class:`debye.structure.structure.EntityKind`."""
    is_backbone: NDArray[np.bool_]
    """(items,) True for N, CA, C, O and OXT of protein residues."""
    residue_name: NDArray[np.str_]
    """(items,) component identifier, e.g. ``ALA``, ``ATP``."""
    residue_index: NDArray[np.int32]
    """(items,) residue, or single ligand, of each item."""
    chain_index: NDArray[np.int32]
    """(items,) chain of each item."""
    lower: NDArray[np.float32] | None = None
    """(items,) lower bound of the 90 % interval; None if the model gives no bounds."""
    upper: NDArray[np.float32] | None = None
    """(items,) upper bound of the 90 % interval."""
    resolution: float | None = None
    """High-resolution limit, Å; None if unknown."""
    cluster: str = ""
    """Sequence cluster; structures of one cluster are not independent. Empty: a cluster of its own."""
    group: str = ""
    """Free label of the structure, for example its protein family."""
    has_crystal: bool = False
    """Symmetry mates took part in the prediction."""
    is_profile: bool = False
    """``predicted`` has no unit, because the model does not predict the level: only correlations count."""

    def __post_init__(self) -> None:
        items = len(self.true)
        for column in fields(self):
            value = getattr(self, column.name)
            if isinstance(value, np.ndarray) and value.shape != (items,):
                raise StructureError(
                    self.id,
                    f"{items} true values, but {column.name} has shape {value.shape}",
                    "Build every array from the same items",
                )
        if (self.lower is None) != (self.upper is None):
            raise StructureError(
                self.id, "only one of the two bounds is given", "Give lower and upper, or neither"
            )

    def __len__(self) -> int:
        return len(self.true)
