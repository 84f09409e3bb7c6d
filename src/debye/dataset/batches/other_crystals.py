"""The B-factors of a chain as another crystal of the same protein, or another copy in the same one, has them.

Whoever asks for B-factors of a predicted model asks for this: coordinates say much about the B-factors that were
refined with them, which tells nothing of other copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from debye.dataset.batches.augment import FEWEST_ATOMS
from debye.dataset.store.store import Store, StoreEntry
from debye.structure.align import match_chains
from debye.structure.structure import EntityKind, Structure

SAME_PROTEIN = 0.9
"""Share of the aligned residues that must have the same name: mutants move alike."""


@dataclass(frozen=True, slots=True)
class OtherCrystal:
    """One chain of an entry, and what another copy of it has for B-factors."""

    keep: Bool[NDArray, " atoms"]
    """The protein atoms of the chain, among those of the entry."""
    values: Float[NDArray, " atoms"]
    """Of the other copy, by atom of the entry; 0 where it has none."""
    usable: Bool[NDArray, " atoms"]
    """Where the other copy has a usable value."""
    row: int
    """Entry of the other copy."""


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
    column: str,
    cluster: Sequence[int],
    generator: np.random.Generator,
) -> OtherCrystal | None:
    """Draw a chain of an entry and another copy of it.

    Args:
        store: The data store.
        split: One of its splits.
        row: The entry that is shown.
        column: Values that are wanted, for example ``b_iso``.
        cluster: Rows of the entries among which copies may be, beside the entry itself.
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
    values = np.zeros(len(structure), np.float32)
    usable = np.zeros(len(structure), bool)
    values[match.first] = store.values(split, other, column)[match.second]
    usable[match.first] = store.usable(split, other)[match.second]
    keep = (structure.chain == chain) & (structure.entity_kind == EntityKind.PROTEIN)
    return OtherCrystal(keep=keep, values=values, usable=usable, row=other)


def large_chains(structure: Structure) -> list[str]:
    """Return the chains with enough protein atoms to be worth showing alone."""
    protein = structure.entity_kind == EntityKind.PROTEIN
    names, counts = np.unique(structure.chain[protein], return_counts=True)
    return names[counts >= FEWEST_ATOMS].tolist()
