"""Bounds of predictions: quantiles of the errors on structures outside the training set, by class of atom."""

from __future__ import annotations

from enum import IntEnum
from itertools import product
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from debye.scores.strata import LIGAND_SIZE
from debye.structure.chemistry import BACKBONE
from debye.structure.structure import EntityKind
from debye.targets.target import Per

if TYPE_CHECKING:
    from debye.structure.structure import Structure

FEWEST_ATOMS = 200
"""A class with fewer calibration atoms takes the quantiles of all atoms together."""


class AtomClass(IntEnum):
    """Classes of atoms whose errors differ in size."""

    BACKBONE = 0
    SIDE_CHAIN = 1
    OTHER = 2
    """Sugars, ions and small components; in older files ligands and nucleic acids too."""
    NUCLEIC = 3
    LIGAND = 4
    """Components of at least :data:`debye.scores.strata.LIGAND_SIZE` heavy atoms."""


class Interval(BaseModel, frozen=True, extra="forbid"):
    """Quantiles of (true - predicted) / width for one class of atoms in one situation."""

    atom_class: AtomClass
    resolution_known: bool
    crystal_known: bool | None = None
    """Whether symmetry mates were included; None: either."""
    lower: float
    """Lower quantile, in widths."""
    upper: float
    """Upper quantile, in widths."""
    atoms: int
    """Number of atoms that the quantiles come from."""


class Calibration(BaseModel, frozen=True, extra="forbid"):
    """Converts expected errors into bounds with a stated coverage."""

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
        crystal_known: bool = False,
        minimum: float | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the lower and the upper bound of each atom, in the unit of ``predicted``.

        Args:
            predicted: (atoms,) predictions.
            width: (atoms,) expected size of the error, same unit.
            atom_class: (atoms,) an :class:`AtomClass` for each atom.
            resolution_known: Whether the resolution was given to the model.
            crystal_known: Whether symmetry mates were included.
            minimum: Smallest possible value of the target; None: no limit.
        """
        quantiles = np.array(
            [self._quantiles(kind, resolution_known, crystal_known) for kind in AtomClass]
        )
        lower = predicted + quantiles[atom_class, 0] * width
        upper = predicted + quantiles[atom_class, 1] * width
        # A biased class may have both quantiles on one side; the prediction still lies between the bounds.
        lower = np.minimum(lower, predicted)
        if minimum is not None:
            lower = lower.clip(min=minimum)
        return lower.astype(np.float32), np.maximum(upper, predicted).astype(np.float32)

    def _quantiles(
        self, kind: AtomClass, resolution_known: bool, crystal_known: bool
    ) -> tuple[float, float]:
        candidates = [item for item in self.intervals if item.atom_class == kind]
        if not candidates:  # calibrated before this class existed
            return self._quantiles(AtomClass.OTHER, resolution_known, crystal_known)
        # If a model was calibrated in other situations only, the widest of them is used.
        fitting = [item for item in candidates if item.resolution_known == resolution_known]
        candidates = fitting or candidates
        fitting = [item for item in candidates if item.crystal_known in (None, crystal_known)]
        candidates = fitting or candidates
        return min(item.lower for item in candidates), max(item.upper for item in candidates)


def fit_calibration(
    true: NDArray[np.floating],
    predicted: NDArray[np.floating],
    width: NDArray[np.floating],
    atom_class: NDArray[np.integer],
    resolution_known: NDArray[np.bool_],
    crystal_known: NDArray[np.bool_] | None = None,
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
        resolution_known: (atoms,) whether the resolution of the entry was given to the model.
        crystal_known: (atoms,) whether symmetry mates were included; None: not distinguished.
        coverage: Share of atoms between the bounds.

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
    mates = None if crystal_known is None else crystal_known[usable]
    tails = [(1 - coverage) / 2, (1 + coverage) / 2]
    intervals = []
    for is_known, has_mates in product(
        np.unique(known).tolist(), [None] if mates is None else np.unique(mates).tolist()
    ):
        situation = known == is_known
        if mates is not None:
            situation &= mates == has_mates
        everything = ratio[situation]
        if not len(everything):
            continue
        for kind in AtomClass:
            own = ratio[situation & (kinds == kind)]
            lower, upper = np.quantile(own if len(own) >= FEWEST_ATOMS else everything, tails)
            intervals.append(
                Interval(
                    atom_class=kind,
                    resolution_known=is_known,
                    crystal_known=has_mates,
                    lower=float(lower),
                    upper=float(upper),
                    atoms=len(own),
                )
            )
    return Calibration(coverage=coverage, intervals=tuple(intervals))


def item_classes(structure: Structure, per: Per) -> NDArray[np.int8]:
    """Return the :class:`AtomClass` of each item; that of its first atom for a residue or structure."""
    classes = atom_classes(structure)
    if per is Per.ATOM:
        return classes
    group = structure.residue_index if per is Per.RESIDUE else np.zeros(len(structure), np.int32)
    return classes[np.unique(group, return_index=True)[1]]


def atom_classes(structure: Structure) -> NDArray[np.int8]:
    """Return the :class:`AtomClass` of each atom of a structure.

    Example:
        >>> from debye.testing.peptide import build_peptide
        >>> atom_classes(build_peptide("A")).tolist()
        [0, 0, 0, 0, 1, 0]
    """
    kind = structure.entity_kind
    protein = kind == EntityKind.PROTEIN
    classes = np.full(len(structure), AtomClass.OTHER, np.int8)
    classes[kind == EntityKind.NUCLEIC] = AtomClass.NUCLEIC
    size = np.bincount(structure.residue_index, minlength=1)[structure.residue_index]
    classes[(kind == EntityKind.LIGAND) & (size >= LIGAND_SIZE)] = AtomClass.LIGAND
    classes[protein] = AtomClass.SIDE_CHAIN
    classes[protein & np.isin(structure.atom_name, BACKBONE)] = AtomClass.BACKBONE
    return classes
