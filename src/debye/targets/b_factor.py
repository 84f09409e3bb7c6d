"""The isotropic B-factor as a target: which deposited values are usable, with reasons and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from debye.structure.facts import diffraction_method
from debye.structure.structure import BKind, Structure
from debye.targets.target import Labels, LabelSource, Target, Transform

HALF_TRUST, UNKNOWN_RESOLUTION = 2.2, 2.0
"""Å: the resolution at which a structure's weight is 0.5, and the resolution assumed if none is stated."""
LARGEST_B = 500.0
"""Å²; an atom that moves 2.5 Å along each axis would not be seen in a density map."""
LARGEST_U_MEDIAN = 1.2
"""Å²; a median below this is a mean square displacement: the sharpest crystals reach B = 2."""
GROUPED_SHARE = 0.2
"""Share of residues with one value above which the B-factors were refined by residue."""
SAME_VALUE_SHARE = 0.5
"""Share of atoms with one and the same value above which the B-factors are constant."""
DISAGREEING_SHARE = 0.5
"""Share of atoms whose ANISOU contradicts B above which B is not the full B-factor."""
FEWEST_RESIDUES = 10
"""A chain with fewer residues (of four atoms or more) follows the verdict on the entry."""
FEWEST_ATOMS = 50
"""Entries with fewer usable atoms are refused."""
STEP = 0.006
"""Å²; files give two decimals, so smaller differences are rounding."""


class BReason(StrEnum):
    """Why B-factors cannot be used; the value is the text for reports."""

    NOT_XRAY = "not from X-ray diffraction"
    PREDICTED = "a predicted model: the B column holds a confidence"
    NOT_CRYSTALLOGRAPHIC = "the B column holds another quantity"
    RESIDUAL = "residual B: the part that TLS groups explain is missing"
    ANISOU_DISAGREES = "B differs from the ANISOU records: one of them lacks the TLS part"
    DISPLACEMENT = "values so small that they are mean square displacements (U), not B"
    CONSTANT = "one value for most atoms"
    GROUPED = "one value per residue"
    MISSING = "no value"
    ZERO = "B is zero"
    ZERO_OCCUPANCY = "occupancy is zero: the atom was not seen"
    ABSURD = "negative or above 500 Å²"
    CAPPED = "at the upper limit of the refinement program"
    TOO_FEW = "fewer than 50 usable atoms"


@dataclass(frozen=True, slots=True, kw_only=True)
class BQuality:
    """Which atoms have a B-factor that can be a label."""

    usable: NDArray[np.bool_]
    """(atoms,) True where B is a target."""
    reasons: tuple[BReason, ...]
    """Why the whole entry is refused; empty if it is usable."""
    chains: Mapping[str, BReason]
    """Why whole chains are refused, by the authors' name; only refused chains."""
    masked: Mapping[BReason, int]
    """Single atoms masked, by reason; an atom counts under each of its reasons."""


def assess_b(structure: Structure) -> BQuality:
    """Judge the B column of a structure, per atom, per chain and for the whole entry.

    The question is whether B is an individually refined, full isotropic B-factor, not how good the structure is.
    The structure has the heavy atoms of one model and one conformer, as :func:`~debye.structure.select_atoms`
    returns: hydrogens and other conformers repeat values, so they would pass for groups. Rules:

    * entry: method is not X-ray (of several diffraction methods the first; none stated is X-ray), a predicted model,
      residual B after TLS, U instead of B, B that contradicts ANISOU (Touw & Vriend 2014,
      doi:10.1093/protein/gzu044), most residues in refused chains, fewer than 50 usable atoms;
    * chain: more than half of the atoms share one value, or more than a fifth of the residues have
      one value each. Two values per residue (backbone, side chain) are usable;
    * atom: no value, zero, negative or above 500 Å², occupancy zero, at the cap, or in a residue
      with one value.
    """
    b = structure.b_iso.astype(np.float64)
    reasons = _header_reasons(structure)
    masks = _atom_masks(structure, b)
    sound = ~np.logical_or.reduce([*masks.values(), np.zeros(len(b), bool)])
    if len(b) and masks[BReason.MISSING].all():
        reasons.append(BReason.MISSING)
    reasons += _value_reasons(structure, b, sound)

    residues = _Residues(structure, b, sound)
    chains: dict[str, BReason] = {}
    in_refused, grouped = np.zeros(len(b), bool), np.zeros(len(b), bool)
    for name in dict.fromkeys(structure.chain.tolist()):
        rows = structure.chain == name
        reason, has_two_groups = _judge_chain(b[rows & sound], residues, residues.chain == name)
        if reason is not None:
            in_refused |= rows
            chains[name] = reason
        elif not has_two_groups:
            grouped |= rows & residues.is_constant_atom
    masks[BReason.GROUPED] = grouped
    usable = sound & ~grouped & ~in_refused
    refused = np.isin(residues.chain[residues.is_polymer], list(chains)).sum()
    if refused > 0.5 * residues.is_polymer.sum():
        reasons += chains.values()
    if not reasons and usable.sum() < FEWEST_ATOMS:
        reasons.append(BReason.TOO_FEW)
    return BQuality(
        usable=usable & (not reasons),
        reasons=tuple(dict.fromkeys(reasons)),
        chains=chains,
        masked={reason: int(mask.sum()) for reason, mask in masks.items() if mask.any()},
    )


def _header_reasons(structure: Structure) -> list[BReason]:
    """Reasons in the header; a file without one counts as X-ray with full B."""
    entry = structure.entry
    residual = [BReason.RESIDUAL] if entry.b_kind == BKind.RESIDUAL else []
    if entry.is_predicted:
        return [BReason.PREDICTED, *residual]
    if entry.method and "X-RAY" not in diffraction_method(entry.method.upper()):
        return [BReason.NOT_XRAY, *residual]
    is_other = entry.b_kind == BKind.NOT_CRYSTALLOGRAPHIC
    return [BReason.NOT_CRYSTALLOGRAPHIC] if is_other else residual


def _atom_masks(structure: Structure, b: NDArray[np.float64]) -> dict[BReason, NDArray[np.bool_]]:
    """Single atoms that cannot be used, by reason."""
    with np.errstate(invalid="ignore"):
        absurd = (b < 0) | (b > LARGEST_B)
    return {
        BReason.MISSING: np.isnan(b),
        BReason.ZERO: b == 0,
        BReason.ABSURD: absurd,
        BReason.ZERO_OCCUPANCY: structure.occupancy <= 0,
        BReason.CAPPED: _at_limit(structure, b, upper=True) & ~absurd,
    }


def _at_limit(structure: Structure, b: NDArray[np.float64], *, upper: bool) -> NDArray[np.bool_]:
    """Atoms at the largest (or smallest) value, if enough share it to make it a limit.

    At least ten atoms and 0.2 % of all, in three residues or more: a group-refined ligand is not a limit.
    """
    inside = np.isfinite(b) & (b > 0) & (b <= LARGEST_B)
    if not inside.any():
        return inside
    limit = b[inside].max() if upper else b[inside].min()
    at_limit = inside & (np.abs(b - limit) < STEP)
    enough = at_limit.sum() >= max(10, 0.002 * len(b))
    spread = len(np.unique(structure.residue_index[at_limit])) >= 3
    is_constant = at_limit.sum() >= SAME_VALUE_SHARE * inside.sum()
    return at_limit & bool(enough and spread and not is_constant)


def _value_reasons(
    structure: Structure, b: NDArray[np.float64], sound: NDArray[np.bool_]
) -> list[BReason]:
    """Reasons in the values of the whole entry."""
    reasons = []
    if sound.any() and np.median(b[sound]) < LARGEST_U_MEDIAN:
        reasons.append(BReason.DISPLACEMENT)
    if structure.u_aniso is not None:
        # B_eq = 8π²/3 (U11 + U22 + U33): it equals B where both describe the same displacement.
        equivalent = 8 * np.pi**2 * structure.u_aniso[:, :3].astype(np.float64).mean(axis=1)
        both = sound & np.isfinite(equivalent) & (equivalent > 0)
        differs = np.abs(equivalent - b)[both] > 0.5 + 0.1 * b[both]
        if both.sum() >= FEWEST_ATOMS and differs.mean() > DISAGREEING_SHARE:
            reasons.append(BReason.ANISOU_DISAGREES)
    return reasons


class _Residues:
    """Number of different values in each residue that has at least four sound atoms."""

    def __init__(self, structure: Structure, b: NDArray[np.float64], sound: NDArray[np.bool_]):
        residues = structure.n_residues
        index = structure.residue_index
        rows = np.flatnonzero(sound)[np.lexsort((b[sound], index[sound]))]
        is_new = np.diff(index[rows], prepend=-1).astype(bool) | (
            np.diff(b[rows], prepend=0) > STEP
        )
        atoms = np.bincount(index[rows], minlength=residues)
        values = np.bincount(index[rows][is_new], minlength=residues)
        first = np.unique(index, return_index=True)[1]
        self.chain = structure.chain[first]
        """(residues,) author chain."""
        self.is_polymer = (atoms >= 4) & structure.is_polymer[first]
        """(residues,) counts for the verdict on a chain."""
        self.is_constant = (atoms >= 4) & (values == 1)
        """(residues,) one value in at least four atoms."""
        # Glycine and alanine are too small to distinguish two groups from individual values.
        self.tells_groups = self.is_polymer & (atoms >= 6)
        self.has_two = values == 2
        # A residue at the lower limit is well ordered, so its values are kept.
        floor = _at_limit(structure, b, upper=False)
        self.is_constant_atom = self.is_constant[index] & sound & ~floor
        """(atoms,) in a residue with one value."""


def _judge_chain(
    b: NDArray[np.float64], residues: _Residues, mine: NDArray[np.bool_]
) -> tuple[BReason | None, bool]:
    """Return the reason against a whole chain, and whether its residues have two values each."""
    polymer = mine & residues.is_polymer
    if polymer.sum() < FEWEST_RESIDUES or not len(b):
        return None, False
    counts = np.unique(np.round(b, 2), return_counts=True)[1]
    telling = mine & residues.tells_groups
    if counts.max() > SAME_VALUE_SHARE * len(b) or b.std() < 0.02 * b.mean():
        return BReason.CONSTANT, False
    if telling.any() and residues.has_two[telling].mean() > SAME_VALUE_SHARE:
        return None, True
    return (
        BReason.GROUPED if residues.is_constant[polymer].mean() > GROUPED_SHARE else None
    ), False


def b_labels(structure: Structure) -> Labels:
    """Return the B-factors (Å²) of a structure's heavy atoms, usable where :func:`assess_b` says so."""
    quality = assess_b(structure)
    counts = Counter({f"entry: {reason}": len(structure) for reason in quality.reasons})
    for chain, reason in quality.chains.items():
        counts[f"chain: {reason}"] += int((structure.chain == chain).sum())
    counts.update({str(reason): atoms for reason, atoms in quality.masked.items()})
    return Labels(value=structure.b_iso, usable=quality.usable, reasons=dict(counts))


def deposited_b(structure: Structure) -> NDArray[np.float32]:
    """Return the B-factors of a file, Å²; NaN if its B column has another quantity."""
    entry = structure.entry
    if entry.is_predicted or entry.b_kind == BKind.NOT_CRYSTALLOGRAPHIC:
        return np.full(len(structure), np.nan, np.float32)
    return structure.b_iso


def resolution_trust(resolution: float | None) -> float:
    """Return the weight of a structure's B-factors from its resolution (Å): 1 at best.

    Example:
        >>> [round(resolution_trust(resolution), 2) for resolution in (1.0, 2.0, 3.0, None)]
        [0.96, 0.59, 0.22, 0.59]
    """
    return 1.0 / (1.0 + ((resolution or UNKNOWN_RESOLUTION) / HALF_TRUST) ** 4)


def relative_trust(resolution: float | None) -> float:
    """Return :func:`resolution_trust` relative to that of a structure whose resolution is not stated."""
    return resolution_trust(resolution) / resolution_trust(None)


B_FACTOR = Target(
    name="b_factor",
    unit="Å²",
    summary="Isotropic B-factor, standardized within its structure.",
    source=LabelSource("b_iso", b_labels, value_column="b_iso", usable_column="usable"),
    transform=Transform.Z,
    minimum=1.0,
    # Of the 2,526 training structures log mean lies between 1.58 and 4.77, log sd between 0.81 and 3.89.
    log_mean_sd_range=((1.0, 0.5), (3.17, 2.25), (5.0, 4.2)),
    trust=relative_trust,
    loss="within_structures",
    monitor="structure_r",
    percent_floor=1.0,
    column="b",
    decimals=2,
    label="B",
    in_b_column=True,
    observed=deposited_b,
)
B_FACTOR_LOG = replace(
    B_FACTOR,
    name="b_factor_log",
    summary="Isotropic B-factor, as its logarithm.",
    transform=Transform.LOG,
)
B_FACTOR_RAW = replace(
    B_FACTOR,
    name="b_factor_raw",
    summary="Isotropic B-factor, as deposited.",
    transform=Transform.RAW,
)
