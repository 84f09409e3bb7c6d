"""Random changes in training, so that a model works on predicted models too.

Noise, single chains and hidden names; or the labels of another copy of the chain, from this or another crystal:
coordinates carry traces of the B-factors that were refined with them, and these do not transfer to another copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat
from torch import Tensor

from debye.dataset.store.store import Store, StoreEntry
from debye.graph.features import MOST_BONDS, log_atoms
from debye.graph.graph import AtomGraph
from debye.structure.sequences import match_chains
from debye.structure.structure import EntityKind, Structure
from debye.targets.target import Labels, Per, Target

Share = Annotated[float, Field(ge=0, le=1)]
FEWEST_ATOMS = 300
"""Fewest atoms of a chain that may be shown alone."""
NAME_FEATURES = ("residue", "locant")
"""Categorical features that follow from names, in addition to all ``residue_*``; code 0 is ``other``."""


class AugmentConfig(BaseModel, frozen=True, extra="forbid"):
    """Shares of structures that are changed, drawn anew each epoch; all 0: no change."""

    noise: NonNegativeFloat = 0.0
    """Largest standard deviation of the noise on coordinates, Å; each structure's is drawn uniformly."""
    noisy: Share = 0.5
    """Share of structures that get noise."""
    one_chain: Share = 0.0
    """Share of the structures without crystal that show one of their chains only."""
    no_ligands: Share = 0.0
    """Share of the structures without crystal that lose ligands, ions and sugars."""
    nameless: Share = 0.0
    """Share of residues whose name is hidden; half of these lose the names of their atoms too."""
    other_crystal: Share = 0.0
    """Share of structures that show one chain alone, as a predicted model would, with the labels of another copy,
    see :mod:`debye.dataset.batches.augment`. Their crystal is hidden, in addition to those of
    ``hide_crystal``. A structure without another copy is not changed."""


def augment(
    graph: AtomGraph, config: AugmentConfig, generator: np.random.Generator
) -> tuple[AtomGraph, Bool[Tensor, " atoms"]]:
    """Apply the random changes to one structure.

    Returns:
        The graph of the remaining atoms, and a mask of them among the original atoms.
    """
    draws = generator.random(3)
    keep = torch.ones(graph.n_atoms, dtype=torch.bool)
    if not bool(graph.crystal_known.any()):
        if draws[0] < config.one_chain:
            keep &= _one_chain(graph, generator)
        if draws[1] < config.no_ligands:
            keep &= graph.is_polymer
    if not bool(keep.all()) and int(keep.sum()) >= FEWEST_ATOMS:
        graph = part_of(graph, keep)
    else:
        keep = torch.ones_like(keep)
    if config.nameless:
        graph = _hide_names(graph, config.nameless, generator)
    if config.noise and draws[2] < config.noisy:
        sd = generator.uniform(0.0, config.noise)
        noise = generator.normal(0.0, sd, (graph.n_atoms, 3)).astype(np.float32)
        graph = graph.perturbed(torch.from_numpy(noise))
    return graph, keep


def part_of(graph: AtomGraph, keep: Bool[Tensor, " atoms"]) -> AtomGraph:
    """Return the graph of some atoms; features that count bonds and atoms are recomputed.

    Features of the packing keep the values of the whole structure: contact numbers, densities, depth.
    """
    graph = graph.subset(keep)
    receiver = graph.edge_index[1][graph.edge_bond > 0]
    order = graph.edge_bond[graph.edge_bond > 0]
    count = torch.bincount(receiver, minlength=graph.n_atoms).clamp(max=MOST_BONDS)
    highest = torch.zeros_like(count).scatter_reduce(0, receiver, order, "amax")
    categories, facts = graph.categories.clone(), graph.structure_scalars.clone()
    for column, name in enumerate(graph.config.node_categories):
        if name in ("bond_count", "highest_bond"):
            categories[:, column] = count if name == "bond_count" else highest
    for column, name in enumerate(graph.config.structure_scalars):
        if name == "log_atoms":
            facts[:, column] = log_atoms(graph.n_atoms)
    return replace(graph, categories=categories, structure_scalars=facts)


def _one_chain(graph: AtomGraph, generator: np.random.Generator) -> Bool[Tensor, " atoms"]:
    """Draw one of the chains that are large enough; all atoms if there are fewer than two."""
    large = np.flatnonzero(torch.bincount(graph.chain_index).numpy() >= FEWEST_ATOMS)
    if len(large) < 2:
        return torch.ones(graph.n_atoms, dtype=torch.bool)
    return graph.chain_index == int(generator.choice(large))


def _hide_names(graph: AtomGraph, share: float, generator: np.random.Generator) -> AtomGraph:
    """Set features that follow from names to ``other``, for some residues."""
    draw = torch.from_numpy(generator.random(graph.n_residues))[graph.residue_index]
    categories = graph.categories.clone()
    for column, name in enumerate(graph.config.node_categories):
        if name in NAME_FEATURES or name.startswith("residue_"):
            hidden = draw < (share / 2 if name == "locant" else share)
            categories[hidden, column] = 0
    return replace(graph, categories=categories)


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
    store: Store, split: str, row: int, *, cluster: Sequence[int], generator: np.random.Generator
) -> OtherCrystal | None:
    """Draw a chain of an entry and another copy of it, from the entry or from further rows of its cluster.

    Returns:
        None if the entry has no large chain, or the drawn chains are not of one protein.
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
