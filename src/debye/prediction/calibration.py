"""Honest bounds: how wide the error really was, per kind of atom, on structures not trained on."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from debye.structure.structure import EntityKind

if TYPE_CHECKING:
    from debye.structure.structure import Structure

BACKBONE_NAMES = ("N", "CA", "C", "O", "OXT")
FEWEST_ATOMS = 200
"""A class with fewer calibration atoms takes the quantiles of all atoms together."""


class AtomClass(IntEnum):
    """Kinds of atoms whose errors differ in size."""

    BACKBONE = 0
    SIDE_CHAIN = 1
    OTHER = 2
    """Ligands, ions, sugars."""
    NUCLEIC = 3


class Interval(BaseModel, frozen=True, extra="forbid"):
    """Quantiles of (true - predicted) / width for one class of atoms."""

    atom_class: AtomClass
    resolution_known: bool
    lower: float
    """Lower quantile, in widths."""
    upper: float
    """Upper quantile, in widths."""
    atoms: int
    """Number of atoms that the quantiles come from."""


class Calibration(BaseModel, frozen=True, extra="forbid"):
    """Turns a model's own spread into bounds that hold the stated share of atoms."""

    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of atoms between the bounds; 0.9 means the 5 % and 95 % quantiles."""
    intervals: tuple[Interval, ...]

    def bounds(
        self,
        predicted: NDArray[np.floating],
        width: NDArray[np.floating],
        atom_class: NDArray[np.integer],
        *,
        resolution_known: bool,
        minimum: float = 0.0,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the lower and the upper bound of each atom, in the unit of ``predicted``.

        Args:
            predicted: (atoms,) predictions.
            width: (atoms,) expected size of the error, same unit.
            atom_class: (atoms,) an :class:`AtomClass` for each atom.
            resolution_known: Whether the model was told the resolution.
            minimum: Smallest value that the target can take.
        """
        quantiles = np.array([self._quantiles(kind, resolution_known) for kind in AtomClass])
        lower = predicted + quantiles[atom_class, 0] * width
        upper = predicted + quantiles[atom_class, 1] * width
        # A biased class may have both quantiles on one side; the bounds still hold the prediction.
        lower = np.clip(np.minimum(lower, predicted), minimum, None)
        return lower.astype(np.float32), np.maximum(upper, predicted).astype(np.float32)

    def _quantiles(self, kind: AtomClass, resolution_known: bool) -> tuple[float, float]:
        fitting = [
            item
            for item in self.intervals
            if item.atom_class == kind and item.resolution_known == resolution_known
        ]
        # A model calibrated only with (or only without) resolutions lends what it has: the wider.
        candidates = fitting or [item for item in self.intervals if item.atom_class == kind]
        if not candidates:  # calibrated when nucleic acids were no class of their own
            return self._quantiles(AtomClass.OTHER, resolution_known)
        return min(item.lower for item in candidates), max(item.upper for item in candidates)


def fit_calibration(
    true: NDArray[np.floating],
    predicted: NDArray[np.floating],
    width: NDArray[np.floating],
    atom_class: NDArray[np.integer],
    resolution_known: NDArray[np.bool_],
    *,
    coverage: float = 0.9,
) -> Calibration:
    """Fit bounds to the errors on a validation set; atoms without a finite value do not count.

    Quantiles are taken on both sides of the stated share (split conformal, Romano, Patterson and
    Candès 2019, arXiv:1905.03222, without their small-sample term: there are thousands of atoms).

    Args:
        true: (atoms,) measured values.
        predicted: (atoms,) predictions, same unit.
        width: (atoms,) expected size of the error, same unit.
        atom_class: (atoms,) an :class:`AtomClass` for each atom.
        resolution_known: (atoms,) whether the model was told the resolution of the atom's entry.
        coverage: Share of atoms that the bounds should hold.

    Raises:
        ValueError: no atom has a true value, a prediction and a positive width.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> true = rng.normal(30, 5, 20_000)
        >>> ones = np.ones(20_000)
        >>> fitted = fit_calibration(true, 30 * ones, 5 * ones, ones.astype(int), ones > 0)
        >>> [
        ...     round(float(edge[0]))
        ...     for edge in fitted.bounds(
        ...         30 * ones, 5 * ones, ones.astype(int), resolution_known=True
        ...     )
        ... ]
        [22, 38]
    """
    usable = np.isfinite(true) & np.isfinite(predicted) & np.isfinite(width) & (width > 0)
    if not usable.any():
        raise ValueError(
            f"none of {len(usable)} atoms has a true value, a prediction and a width above 0: "
            "calibrate on a split with measured values"
        )
    ratio = (true[usable] - predicted[usable]) / width[usable]
    kinds, known = atom_class[usable], resolution_known[usable]
    tails = [(1 - coverage) / 2, (1 + coverage) / 2]
    intervals = []
    for is_known in np.unique(known):
        everything = ratio[known == is_known]
        for kind in AtomClass:
            own = ratio[(known == is_known) & (kinds == kind)]
            lower, upper = np.quantile(own if len(own) >= FEWEST_ATOMS else everything, tails)
            intervals.append(
                Interval(
                    atom_class=kind,
                    resolution_known=bool(is_known),
                    lower=float(lower),
                    upper=float(upper),
                    atoms=len(own),
                )
            )
    return Calibration(coverage=coverage, intervals=tuple(intervals))


def atom_classes(structure: Structure) -> NDArray[np.int8]:
    """Return the :class:`AtomClass` of each atom of a structure."""
    return classes_from(structure.entity_kind, structure.atom_name)


def classes_from(entity_kind: NDArray[np.integer], atom_name: NDArray[np.str_]) -> NDArray[np.int8]:
    """Return the :class:`AtomClass` of each atom from its entity kind and its name.

    Example:
        >>> classes_from(np.array([0, 0, 2, 1]), np.array(["CA", "CB", "CA", "P"])).tolist()
        [0, 1, 2, 3]
    """
    protein = entity_kind == EntityKind.PROTEIN
    kinds = np.full(len(entity_kind), AtomClass.OTHER, np.int8)
    kinds[entity_kind == EntityKind.NUCLEIC] = AtomClass.NUCLEIC
    kinds[protein] = AtomClass.SIDE_CHAIN
    kinds[protein & np.isin(atom_name, BACKBONE_NAMES)] = AtomClass.BACKBONE
    return kinds
