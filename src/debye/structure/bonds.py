"""Bonds between heavy atoms, from the component dictionary and from geometry.

The result depends on names, elements, coordinates and residues alone, not on the order of the atoms or
on the file format. Lengths in Å.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from debye.structure.components import find_component
from debye.structure.geometric_links import (
    AtomTable,
    is_bonded,
    metal_bonds,
    near_pairs,
    other_links,
    polymer_links,
)
from debye.structure.structure import Structure

STRETCHED = 0.6
"""A dictionary bond longer than the sum of covalent radii by this much, Å, contradicts its entry."""
MISMATCH = 0.25
"""A residue does not match its dictionary entry if more of its atoms than this share have other names, or
if its stretched bonds and the unbonded contacts of bond length exceed this share of its bonds."""
BROKEN = 2.0
"""A dictionary bond longer than the sum of covalent radii by this much, Å, is none."""


class BondOrder(IntEnum):
    """Class of a bond."""

    NONE = 0
    SINGLE = 1
    """Also metal coordination and every link between residues, the peptide bond included."""
    DOUBLE = 2
    TRIPLE = 3
    DELOCALIZED = 4
    """Aromatic in the Chemical Component Dictionary; carboxylates and phosphates are not."""


ORDER_BY_LENGTH = {
    ("C", "C"): ((1.25, BondOrder.TRIPLE), (1.34, BondOrder.DOUBLE), (1.45, BondOrder.DELOCALIZED)),
    ("C", "N"): ((1.20, BondOrder.TRIPLE), (1.42, BondOrder.DELOCALIZED)),
    ("C", "O"): ((1.30, BondOrder.DOUBLE),),
}
"""Longest bond of each order, Å, for molecules that the dictionary lacks; longer ones are single.

On ligands that the dictionary has, this agrees with it for 88 % of C-C, 92 % of C-O and 68 % of C-N bonds
(all single: 69, 83 and 53 %)."""


@dataclass(frozen=True, slots=True)
class Bonds:
    """Bonded pairs of atoms, sorted, each once."""

    pairs: NDArray[np.int32]
    """(bonds, 2) rows of the structure, first below second."""
    order: NDArray[np.int8]
    """(bonds,) a :class:`BondOrder`, never ``NONE``."""

    def __len__(self) -> int:
        """Return the number of bonds."""
        return len(self.order)


def find_bonds(structure: Structure) -> Bonds:
    """Find all bonds of a structure with one conformer and no hydrogens.

    Within a residue, bonds and orders are those of the Chemical Component Dictionary. Residues that
    the dictionary lacks, or whose coordinates contradict it (another molecule under the same name),
    and atoms with names it lacks, are bonded by distance, with orders by :data:`ORDER_BY_LENGTH`.
    Between residues: peptide bonds, phosphodiesters, disulfides and other covalent links by distance,
    and metal coordination, all ``SINGLE``. Symmetry mates are never bonded.

    The links that files list (LINK, SSBOND, struct_conn) are not used, so that the same atoms have
    the same bonds in every format. Of those in 550 entries geometry finds 642 of 650 covalent ones; the
    others, and most metal contacts it leaves out, are stretched or join two metals.

    Args:
        structure: What :func:`debye.structure.select.select_atoms` returns.

    Example:
        >>> from debye.testing.peptide import build_peptide
        >>> len(find_bonds(build_peptide("GG")))
        8
    """
    atoms = AtomTable.from_structure(structure)
    near = near_pairs(atoms)
    known_pairs, known_order, known = _dictionary_bonds(atoms, near)
    within = near[atoms.same_residue(near) & ~known[near].all(axis=1)]
    within = within[is_bonded(atoms, within)]
    polymer = polymer_links(structure, atoms, near)
    links = np.concatenate(
        [
            polymer,
            other_links(structure, atoms, near, polymer),
            metal_bonds(structure, atoms, known),
        ]
    )
    pairs = np.sort(np.concatenate([known_pairs, within, links]), axis=1)
    single = np.full(len(links), BondOrder.SINGLE, np.int8)
    order = np.concatenate([known_order, _order_by_length(structure, atoms, within), single])
    # Of equal pairs the first stays: the dictionary gives the order.
    _, first = np.unique(pairs[:, 0] * len(structure) + pairs[:, 1], return_index=True)
    return Bonds(pairs=pairs[first].astype(np.int32), order=order[first])


def _dictionary_bonds(
    atoms: AtomTable, near: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.int8], NDArray[np.bool_]]:
    """Join residues with their components: bonds, orders, and which atoms are in the dictionary."""
    n_residues = int(atoms.residue.max(initial=-1)) + 1
    template, known_name, starts = _templates(atoms)
    component = np.zeros(n_residues, np.intp)
    component[atoms.residue] = atoms.component

    # One row for each bond that each residue would have if it were complete.
    counts = np.diff(starts)[component]
    residue = np.repeat(np.arange(n_residues), counts)
    within = np.arange(len(residue)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = template[starts[component[residue]] + within]
    ends, repeated = _find_atoms(atoms, residue, rows[:, :2])
    found = (ends >= 0).all(axis=1)
    pairs, order, residue = ends[found], rows[found, 2], residue[found]

    length, radii = atoms.length(pairs)
    known = known_name[atoms.component, atoms.name]
    matches = _match_dictionary(atoms, near, known, pairs, residue)
    matches[repeated] = False
    keep = matches[residue] & (length <= radii + BROKEN)
    return pairs[keep], order[keep].astype(np.int8), known & matches[atoms.residue]


def _match_dictionary(
    atoms: AtomTable,
    near: NDArray[np.intp],
    known: NDArray[np.bool_],
    pairs: NDArray[np.intp],
    residue: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Which residues are the molecule of their name, by atom names and coordinates.

    Programs call any ligand LIG or INH, and its atoms C1, C2, ...: names alone prove nothing.

    Args:
        atoms: The structure.
        near: Pairs of nonmetals near enough to be bonded.
        known: (atoms,) whether the dictionary entry has the atom's name.
        pairs: (bonds, 2) what the dictionary bonds, and
        residue: (bonds,) in which residue.
    """

    def count(rows: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.bincount(rows, minlength=len(names))

    names = np.bincount(atoms.residue)
    length, radii = atoms.length(pairs)
    bonded = is_bonded(atoms, pairs) & ~atoms.metal[pairs].any(axis=1)
    near = near[atoms.same_residue(near) & known[near].all(axis=1)]
    # Bonded by distance but not by the dictionary: all such contacts less those that are both.
    surplus = count(atoms.residue[near[is_bonded(atoms, near), 0]]) - count(residue[bonded])
    wrong = count(residue[length > radii + STRETCHED]) + surplus
    unknown = count(atoms.residue[~known])
    return (wrong <= MISMATCH * count(residue)) & (unknown <= MISMATCH * names)


def _templates(atoms: AtomTable) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.intp]]:
    """Bonds of each component, one component after the other, and where each starts.

    A bond is two rows of ``atoms.names`` and an order; bonds to names that no residue has are left
    out. Also returns which names (columns) each component (row) has.
    """
    number = {name: row for row, name in enumerate(atoms.names.tolist())}
    found = [(row, find_component(name)) for row, name in enumerate(atoms.components.tolist())]
    entries = [(row, entry) for row, entry in found if entry is not None]
    names = np.array([len(entry.atom_names) for _, entry in entries], np.intp)
    bonds = np.array([len(entry.order) for _, entry in entries], np.intp)
    rows = np.array([row for row, _ in entries], np.intp)
    name = np.array(
        [number.get(name, -1) for _, entry in entries for name in entry.atom_names], np.intp
    )
    known_name = np.zeros((len(atoms.components), len(atoms.names)), bool)
    known_name[np.repeat(rows, names)[name >= 0], name[name >= 0]] = True

    none = np.zeros((0, 2), np.intp)
    pairs = np.concatenate([none, *(entry.pairs for _, entry in entries)])
    ends = name[pairs + np.repeat(np.cumsum(names) - names, bonds)[:, None]]
    order = np.concatenate([none[:, 0], *(entry.order for _, entry in entries)])
    kept = (ends >= 0).all(axis=1)
    count = np.bincount(np.repeat(rows, bonds)[kept], minlength=len(atoms.components))
    template = np.column_stack([ends, order])[kept].astype(np.intp)
    return template, known_name, np.concatenate([[0], np.cumsum(count)]).astype(np.intp)


def _find_atoms(
    atoms: AtomTable, residue: NDArray[np.intp], names: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row of the atom of each residue and name, -1 where missing; residues with repeated names."""
    key = atoms.residue * len(atoms.names) + atoms.name
    by_key = np.argsort(key)
    ordered = key[by_key]
    wanted = residue[:, None] * len(atoms.names) + names
    place = np.searchsorted(ordered, wanted)
    place[place == len(ordered)] = 0
    found = np.where(ordered[place] == wanted, by_key[place], -1) if len(key) else wanted
    return found, atoms.residue[by_key[1:][ordered[1:] == ordered[:-1]]]


def _order_by_length(
    structure: Structure, atoms: AtomTable, pairs: NDArray[np.intp]
) -> NDArray[np.int8]:
    """Apply :data:`ORDER_BY_LENGTH`."""
    order = np.full(len(pairs), BondOrder.SINGLE, np.int8)
    if len(pairs):
        length, _ = atoms.length(pairs)
        element = np.sort(structure.element[pairs], axis=1)
        for elements, limits in ORDER_BY_LENGTH.items():
            rows = np.flatnonzero((element == elements).all(axis=1))
            orders = np.array([*(entry[1] for entry in limits), BondOrder.SINGLE], np.int8)
            order[rows] = orders[np.searchsorted([entry[0] for entry in limits], length[rows])]
    return order
