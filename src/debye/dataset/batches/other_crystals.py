"""Labels of a chain from another crystal of the same protein, or from another copy in the same crystal.

Predictions for predicted models need this: coordinates carry traces of the B-factors that were refined with
them, and these traces do not transfer to another copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from debye.dataset.batches.augment import FEWEST_ATOMS
from debye.dataset.store.store import Store, StoreEntry
from debye.structure.sequences import match_chains
from debye.structure.structure import EntityKind, Structure
from debye.targets.target import Labels, Per, Target

SAME_PROTEIN = 0.9
"""Share of the aligned residues that must have the same name: mutants move alike."""


@dataclass(frozen=True, slots=True)
class OtherCrystal:
    """One chain of an entry, and another copy of it."""

    keep: Bool[NDArray, " atoms"]
    """The protein atoms of the chain, among those of the entry."""
    row: int
    """Entry of the other copy."""
    matched: Int[NDArray, " matches"]
    """Atoms of the entry that the other copy has too."""
    partners: Int[NDArray, " matches"]
    """The atoms of the other copy, in its entry, in the same order."""

    def labels(self, store: Store, split: str, target: Target) -> Labels:
        """Return the labels of the other copy for the atoms of the shown chain.

        Residues and structures have none: their values belong to the coordinates that are shown.
        """
        if target.per is not Per.ATOM:
            return Labels.unusable(0, "labels of another copy")
        found = store.labels(split, self.row, target)
        value = np.zeros(len(self.keep), np.float32)
        usable = np.zeros(len(self.keep), bool)
        value[self.matched] = found.value[self.partners]
        usable[self.matched] = found.usable[self.partners]
        return Labels(value=value[self.keep], usable=usable[self.keep])


def rows_by_cluster(entries: Sequence[StoreEntry], rows: Iterable[int]) -> dict[str, list[int]]:
    """Group rows of a split by the sequence cluster of their entries; those without one are left out."""
    found: dict[str, list[int]] = {}
    for row in rows:
        if entries[row].cluster:
            found.setdefault(entries[row].cluster, []).append(row)
    return found


def draw_other_crystal(
    store: Store,
    split: str,
    row: int,
    *,
    cluster: Sequence[int],
    generator: np.random.Generator,
) -> OtherCrystal | None:
    """Draw a chain of an entry and another copy of it.

    Args:
        store: The data store.
        split: One of its splits.
        row: The entry that is shown.
        cluster: Rows of further entries that may have copies.
        generator: Decides.

    Returns:
        None where the entry has no large chain, or the chains that were drawn are not of one protein.
    """
    structure = store.structure(split, row)
    shown = large_chains(structure)
    sources = [other for other in cluster if other != row]
    if len(shown) > 1:
        sources.append(row)
    if not shown or not sources:
        return None
    chain, other = str(generator.choice(shown)), int(generator.choice(sources))
    partner = structure if other == row else store.structure(split, other)
    names = [name for name in large_chains(partner) if other != row or name != chain]
    if not names:
        return None
    match = match_chains(structure, chain, partner, str(generator.choice(names)))
    if match.identity < SAME_PROTEIN:
        return None
    keep = (structure.chain == chain) & (structure.entity_kind == EntityKind.PROTEIN)
    return OtherCrystal(keep=keep, row=other, matched=match.first, partners=match.second)


def large_chains(structure: Structure) -> list[str]:
    """Return the chains with enough protein atoms to be worth showing alone."""
    protein = structure.entity_kind == EntityKind.PROTEIN
    names, counts = np.unique(structure.chain[protein], return_counts=True)
    return names[counts >= FEWEST_ATOMS].tolist()
