"""Bonds between heavy atoms, from the component dictionary and from geometry.

The result depends on names, elements, coordinates and residues alone, not on the order of the atoms or
on the file format. Lengths in Å.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from debye.structure.chemistry import COVALENT_RADIUS, covalent_radius, is_metal, unique_text
from debye.structure.components import find_component
from debye.structure.structure import EntityKind, Structure

TOLERANCE = 0.3
"""How much longer than the sum of covalent radii a bond between nonmetals may be, Å."""
METAL_TOLERANCE = 0.5
"""The same between a metal and a donor, Å: Zn-O up to 2.38, Mg-O up to 2.57, Ca-O up to 2.92."""
METAL_CARBON_TOLERANCE = 0.1
"""The same between a d-block metal and carbon, Å: Fe-CO and Co-CH2 yes, a carbon near Ca no."""
LARGEST_CARBON_BINDER = 1.7
"""Covalent radius above which a metal is not taken to bind carbon, Å (alkali, alkaline earth, f)."""
SHORTEST = 0.6
"""Shortest bond by distance, in sums of covalent radii: nearer atoms overlap by mistake."""
PEPTIDE, PHOSPHODIESTER, DISULFIDE = 2.0, 2.2, 2.5
"""Longest polymer links, Å; generous, for poorly refined entries."""
WIDEST_PEPTIDE = 2.6
"""Å. Where the peptide bonds of a structure scatter, as those of a rough model do, longer ones count up to this."""
USUAL_PEPTIDE, SCATTERS = 1.33, 7.4
"""Å, and median absolute deviations above it (5 standard deviations) that still make a peptide bond."""
SHORTEST_LINK = 0.5
"""Shortest polymer link, Å."""

LIGHT_REACH = 2.0  # covers any two atoms of radius up to 0.85 Å: C, N, O, F, B
LARGE_TOLERANCE = max(TOLERANCE, DISULFIDE - 2 * COVALENT_RADIUS["S"])
DONORS = ("N", "O", "F", "S", "CL", "SE", "BR", "I")
CROWDED_BY_CHANCE = ("N", "O", "F", "CL", "BR", "I")
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

    Within a residue, bonds and orders are those of the Chemical Component Dictionary. Residues that the
    dictionary lacks, or whose coordinates contradict it (another molecule under the same name), and atoms with
    names it lacks, are bonded by distance, with orders by :data:`ORDER_BY_LENGTH`. Between residues: peptide
    bonds, phosphodiesters, disulfides and other covalent links by distance, and metal coordination, all
    ``SINGLE``. Symmetry mates are never bonded.

    The links that files list (LINK, SSBOND, struct_conn) are not used, so that the same atoms have the same
    bonds in every format. Of those in 550 entries geometry finds 642 of 650 covalent ones; the others, and
    most metal contacts it leaves out, are stretched or join two metals.

    Example:
        >>> from debye.testing.peptide import build_peptide
        >>> len(find_bonds(build_peptide("GG")))
        8
    """
    atoms = AtomTable.from_structure(structure)
    near = _near_pairs(atoms)
    known_pairs, known_order, known = _dictionary_bonds(atoms, near)
    within = near[atoms.same_residue(near) & ~known[near].all(axis=1)]
    within = within[_is_bonded(atoms, within)]
    polymer = _polymer_links(structure, atoms, near)
    others = _other_links(structure, atoms, near, polymer)
    links = np.concatenate([polymer, others, _metal_bonds(structure, atoms, known)])
    pairs = np.sort(np.concatenate([known_pairs, within, links]), axis=1)
    single = np.full(len(links), BondOrder.SINGLE, np.int8)
    order = np.concatenate([known_order, _order_by_length(structure, atoms, within), single])
    # Of equal pairs the first stays: the dictionary gives the order.
    _, first = np.unique(pairs @ (len(structure), 1), return_index=True)
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
        pairs: (bonds, 2) what the dictionary bonds.
        residue: (bonds,) in which residue.
    """
    names = np.bincount(atoms.residue)

    def count(rows: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.bincount(rows, minlength=len(names))

    length, radii = atoms.length(pairs)
    bonded = _is_bonded(atoms, pairs) & ~atoms.metal[pairs].any(axis=1)
    near = near[atoms.same_residue(near) & known[near].all(axis=1)]
    # Bonded by distance but not by the dictionary: all such contacts less those that are both.
    surplus = count(atoms.residue[near[_is_bonded(atoms, near), 0]]) - count(residue[bonded])
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
    names, bonds, rows, name = (
        np.array(values, np.intp)
        for values in (
            [len(entry.atom_names) for _, entry in entries],
            [len(entry.order) for _, entry in entries],
            [row for row, _ in entries],
            [number.get(name, -1) for _, entry in entries for name in entry.atom_names],
        )
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
    length, _ = atoms.length(pairs)
    element = np.sort(structure.element[pairs], axis=1)
    for elements, limits in ORDER_BY_LENGTH.items():
        rows = np.flatnonzero((element == elements).all(axis=1))
        longest, orders = zip(*limits, strict=True)
        orders = np.array([*orders, BondOrder.SINGLE], np.int8)
        order[rows] = orders[np.searchsorted(longest, length[rows])]
    return order


@dataclass(frozen=True, slots=True)
class AtomTable:
    """Columns of a structure that the bond rules share."""

    position: NDArray[np.float64]
    """(atoms, 3) Å."""
    radius: NDArray[np.float64]
    """(atoms,) covalent radius, Å."""
    metal: NDArray[np.bool_]
    residue: NDArray[np.intp]
    """(atoms,) residue index and name together: a residue modelled as two kinds counts as two."""
    component: NDArray[np.intp]
    """(atoms,) row in ``components``."""
    components: NDArray[np.str_]
    name: NDArray[np.intp]
    """(atoms,) row in ``names``."""
    names: NDArray[np.str_]

    @classmethod
    def from_structure(cls, structure: Structure) -> AtomTable:
        """Look up radii and number the names."""
        components, component = unique_text(structure.residue_name)
        names, name = unique_text(structure.atom_name)
        residue = structure.residue_index.astype(np.int64) * max(len(components), 1) + component
        return cls(
            position=structure.position.astype(np.float64),
            radius=covalent_radius(structure.element).astype(np.float64),
            metal=is_metal(structure.element),
            residue=np.unique(residue, return_inverse=True)[1],
            component=component,
            components=components,
            name=name,
            names=names,
        )

    def named(self, name: str) -> NDArray[np.bool_]:
        """(atoms,) whether an atom has a name."""
        return np.isin(self.name, np.flatnonzero(self.names == name))

    def length(self, pairs: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Length of each pair, and the sum of its covalent radii, Å."""
        first, second = pairs.T
        step = self.position[first] - self.position[second]
        return np.sqrt(np.einsum("ij,ij->i", step, step)), self.radius[first] + self.radius[second]

    def same_residue(self, pairs: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether both atoms of each pair belong to one residue."""
        return self.residue[pairs[:, 0]] == self.residue[pairs[:, 1]]


def _near_pairs(atoms: AtomTable) -> NDArray[np.intp]:
    """Pairs of nonmetals near enough for any rule below, each once."""
    rows = np.flatnonzero(~atoms.metal)
    if len(rows) < 2:
        return np.zeros((0, 2), np.intp)
    tree = KDTree(atoms.position[rows], balanced_tree=False, compact_nodes=False)  # few searches
    pairs = rows[tree.query_pairs(LIGHT_REACH, output_type="ndarray")]
    # Few atoms are large (S, P, Cl, Br, I, Se): only these need the longer search.
    is_large = atoms.radius > (LIGHT_REACH - TOLERANCE) / 2
    large = rows[is_large[rows]]
    if not len(large):
        return pairs
    far = _between(atoms, large, rows, 2 * float(atoms.radius[large].max()) + LARGE_TOLERANCE)
    far = far[~is_large[far[:, 1]] | (far[:, 0] < far[:, 1])]
    return np.concatenate([pairs, far[atoms.length(far)[0] > LIGHT_REACH]])


def _is_bonded(atoms: AtomTable, pairs: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the distance alone makes a covalent bond between nonmetals."""
    length, radii = atoms.length(pairs)
    return (length <= radii + TOLERANCE) & (length >= SHORTEST * radii)


def _polymer_links(
    structure: Structure, atoms: AtomTable, near: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Peptide bonds, phosphodiesters and disulfides: each atom with its nearest partner only."""
    pairs = near[~atoms.same_residue(near)]
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    length, _ = atoms.length(pairs)
    kind = structure.entity_kind[pairs]

    def select(left: str, right: str, polymer: EntityKind, longest: float) -> NDArray[np.intp]:
        chosen = (length <= longest) & (length >= SHORTEST_LINK) & (kind == polymer).all(axis=1)
        chosen &= atoms.named(left)[pairs[:, 0]] & atoms.named(right)[pairs[:, 1]]
        return _mutual_nearest(pairs[chosen], length[chosen])

    peptides = select("C", "N", EntityKind.PROTEIN, PEPTIDE)
    longest = peptide_limit(atoms.length(peptides)[0])
    if longest > PEPTIDE:
        peptides = _wide_peptides(structure, atoms, longest)
    links = [select(name, "P", EntityKind.NUCLEIC, PHOSPHODIESTER) for name in ("O3'", "O3*")]
    disulfides = select("SG", "SG", EntityKind.PROTEIN, DISULFIDE)
    return np.concatenate([peptides, *links, disulfides])


def peptide_limit(length: NDArray[np.float64]) -> float:
    """Return the longest peptide bond of a structure from those found up to :data:`PEPTIDE`, Å.

    In a crystal structure they scatter by some hundredths of an Å; with coordinate errors of 0.2 Å one in
    fifty is longer than 2 Å, and each that is missed looks like the end of a chain.

    Example:
        >>> lengths = np.array([1.32, 1.33, 1.34, 1.33])
        >>> peptide_limit(lengths), round(peptide_limit(1.33 + 20 * (lengths - 1.33)), 2)
        (2.0, 2.07)
    """
    if not len(length):
        return PEPTIDE
    scatter = float(np.median(np.abs(length - np.median(length))))
    return float(np.clip(USUAL_PEPTIDE + SCATTERS * scatter, PEPTIDE, WIDEST_PEPTIDE))


def _wide_peptides(structure: Structure, atoms: AtomTable, longest: float) -> NDArray[np.intp]:
    protein = structure.entity_kind == EntityKind.PROTEIN
    carbon, nitrogen = (np.flatnonzero(protein & atoms.named(name)) for name in "CN")
    pairs = _between(atoms, carbon, nitrogen, longest)
    length, _ = atoms.length(pairs)
    chosen = ~atoms.same_residue(pairs) & (length >= SHORTEST_LINK)
    return _mutual_nearest(pairs[chosen], length[chosen])


def _other_links(
    structure: Structure, atoms: AtomTable, near: NDArray[np.intp], polymer: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Other covalent links between residues: glycosidic, covalent inhibitors, isopeptides.

    Two residues share at most one: those in contact at several places, or at one besides their peptide
    bond, lie on top of each other by mistake or as alternatives, and get none. Two atoms of N, O and
    halogens do not link either (they share a proton or clash), nor do waters and ions.
    """
    pairs = near[~atoms.same_residue(near)]
    pairs = pairs[_is_bonded(atoms, pairs)]
    polymer = _distinct(polymer, len(structure))
    contacts = _distinct(np.concatenate([pairs, polymer]), len(structure))
    sides = np.sort(atoms.residue[contacts], axis=1)
    _, row, count = np.unique(sides @ (len(structure), 1), return_inverse=True, return_counts=True)
    contacts = contacts[count[row] == 1]
    contacts = contacts[~np.isin(contacts @ (len(structure), 1), polymer @ (len(structure), 1))]
    crowded = np.isin(structure.element[contacts], CROWDED_BY_CHANCE).all(axis=1)
    single = (EntityKind.WATER, EntityKind.ION)
    loose = np.isin(structure.entity_kind[contacts], single).any(axis=1)
    # A second peptide bond of one atom is the alternative that _polymer_links did not take.
    ends = np.sort(structure.atom_name[contacts], axis=1)
    peptide = (structure.entity_kind[contacts] == EntityKind.PROTEIN).all(axis=1)
    peptide &= (ends == ("C", "N")).all(axis=1)
    return contacts[~crowded & ~loose & ~peptide]


def _metal_bonds(
    structure: Structure, atoms: AtomTable, known: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Coordination of metals, within a residue only for atoms that are not in the dictionary.

    Metals bind N, O, S, Se and halogens; metals up to ``LARGEST_CARBON_BINDER`` also carbon; never each
    other.
    """
    binder = np.isin(structure.element, (*DONORS, "C"))
    metals, others = np.flatnonzero(atoms.metal), np.flatnonzero(binder)
    if not len(metals) or not len(others):
        return np.zeros((0, 2), np.intp)
    reach = float(atoms.radius[metals].max() + atoms.radius[others].max()) + METAL_TOLERANCE
    pairs = _between(atoms, metals, others, reach)
    length, radii = atoms.length(pairs)
    carbon = structure.element[pairs[:, 1]] == "C"
    limit = radii + np.where(carbon, METAL_CARBON_TOLERANCE, METAL_TOLERANCE)
    keep = (length <= limit) & (length >= SHORTEST * radii)
    keep &= ~carbon | (atoms.radius[pairs[:, 0]] <= LARGEST_CARBON_BINDER)
    return pairs[keep & ~(atoms.same_residue(pairs) & known[pairs].all(axis=1))]


def _between(
    atoms: AtomTable, first: NDArray[np.intp], second: NDArray[np.intp], reach: float
) -> NDArray[np.intp]:
    """Pairs of a row of ``first`` and one of ``second`` within reach, Å."""
    tree = KDTree(atoms.position[second], balanced_tree=False, compact_nodes=False)
    hits = tree.query_ball_point(atoms.position[first], reach)
    partners = np.concatenate([np.asarray(hit, np.intp) for hit in hits])
    return np.column_stack([np.repeat(first, list(map(len, hits))), second[partners]])


def _mutual_nearest(pairs: NDArray[np.intp], length: NDArray[np.float64]) -> NDArray[np.intp]:
    """Pairs in which each end is the nearest partner of the other."""
    pairs = pairs[np.argsort(length, kind="stable")]
    best = np.zeros((len(pairs), 2), bool)
    for end in (0, 1):
        best[np.unique(pairs[:, end], return_index=True)[1], end] = True
    return pairs[best.all(axis=1)]


def _distinct(pairs: NDArray[np.intp], atoms: int) -> NDArray[np.intp]:
    """Each pair once, lower row first."""
    key = np.unique(np.sort(pairs, axis=1) @ (atoms, 1))
    return np.column_stack([key // atoms, key % atoms])
