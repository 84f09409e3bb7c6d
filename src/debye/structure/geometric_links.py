"""Bonds that are not in the component dictionary: between residues and to metals, by distance.

Lengths in Å. Every function takes and returns rows of atoms; nothing depends on the order of the atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from debye.structure.chemistry import COVALENT_RADIUS, covalent_radius, is_metal, unique_text
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

    def name_row(self, name: str) -> int:
        """Row of an atom name in ``names``, -1 where no atom has it."""
        row = int(np.searchsorted(self.names, name))
        return row if row < len(self.names) and self.names[row] == name else -1

    def length(self, pairs: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Length of each pair, and the sum of its covalent radii, Å."""
        first, second = pairs.T
        step = self.position[first] - self.position[second]
        return np.sqrt(np.einsum("ij,ij->i", step, step)), self.radius[first] + self.radius[second]

    def same_residue(self, pairs: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether both atoms of each pair belong to one residue."""
        return self.residue[pairs[:, 0]] == self.residue[pairs[:, 1]]


def near_pairs(atoms: AtomTable) -> NDArray[np.intp]:
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
    reach = 2 * float(atoms.radius[large].max()) + LARGE_TOLERANCE
    first, second = _within_reach(tree, atoms.position[large], reach).T
    far = np.column_stack([large[first], rows[second]])
    far = far[~is_large[far[:, 1]] | (far[:, 0] < far[:, 1])]
    length, _ = atoms.length(far)
    return np.concatenate([pairs, far[length > LIGHT_REACH]])


def is_bonded(atoms: AtomTable, pairs: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the distance alone makes a covalent bond between nonmetals."""
    length, radii = atoms.length(pairs)
    return (length <= radii + TOLERANCE) & (length >= SHORTEST * radii)


def polymer_links(
    structure: Structure, atoms: AtomTable, near: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Peptide bonds, phosphodiesters and disulfides: each atom with its nearest partner only."""
    pairs = near[~atoms.same_residue(near)]
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    length, _ = atoms.length(pairs)
    name, kind = atoms.name[pairs], structure.entity_kind[pairs]

    def select(left: str, right: str, polymer: EntityKind, longest: float) -> NDArray[np.intp]:
        chosen = (length <= longest) & (length >= SHORTEST_LINK)
        chosen &= (name[:, 0] == atoms.name_row(left)) & (name[:, 1] == atoms.name_row(right))
        chosen &= (kind == polymer).all(axis=1)
        return _mutual_nearest(pairs[chosen], length[chosen])

    peptides = select("C", "N", EntityKind.PROTEIN, PEPTIDE)
    longest = peptide_limit(atoms.length(peptides)[0])
    if longest > PEPTIDE:
        peptides = _wide_peptides(structure, atoms, longest)
    return np.concatenate(
        [
            peptides,
            select("O3'", "P", EntityKind.NUCLEIC, PHOSPHODIESTER),
            select("O3*", "P", EntityKind.NUCLEIC, PHOSPHODIESTER),
            select("SG", "SG", EntityKind.PROTEIN, DISULFIDE),
        ]
    )


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
    carbon = np.flatnonzero(protein & (atoms.name == atoms.name_row("C")))
    nitrogen = np.flatnonzero(protein & (atoms.name == atoms.name_row("N")))
    pairs = _within_reach(KDTree(atoms.position[nitrogen]), atoms.position[carbon], longest)
    pairs = np.column_stack([carbon[pairs[:, 0]], nitrogen[pairs[:, 1]]])
    length, _ = atoms.length(pairs)
    chosen = ~atoms.same_residue(pairs) & (length >= SHORTEST_LINK)
    return _mutual_nearest(pairs[chosen], length[chosen])


def other_links(
    structure: Structure, atoms: AtomTable, near: NDArray[np.intp], polymer: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Other covalent links between residues: glycosidic, covalent inhibitors, isopeptides.

    Two residues share at most one: those in contact at several places, or at one besides their peptide
    bond, lie on top of each other by mistake or as alternatives, and get none. Two atoms of N, O and
    halogens do not link either (they share a proton or clash), nor do waters and ions.
    """
    pairs = near[~atoms.same_residue(near)]
    pairs = pairs[is_bonded(atoms, pairs)]
    polymer = _distinct(polymer, len(structure))
    contacts = _distinct(np.concatenate([pairs, polymer]), len(structure))
    sides = np.sort(atoms.residue[contacts], axis=1)
    _, row, count = np.unique(
        sides[:, 0] * len(structure) + sides[:, 1], return_inverse=True, return_counts=True
    )
    contacts = contacts[count[row] == 1]
    linked = polymer[:, 0] * len(structure) + polymer[:, 1]
    contacts = contacts[~np.isin(contacts[:, 0] * len(structure) + contacts[:, 1], linked)]
    crowded = np.isin(structure.element[contacts], CROWDED_BY_CHANCE).all(axis=1)
    single = (EntityKind.WATER, EntityKind.ION)
    loose = np.isin(structure.entity_kind[contacts], single).any(axis=1)
    # A second peptide bond of one atom is the alternative that polymer_links did not take.
    ends = np.sort(structure.atom_name[contacts], axis=1)
    peptide = (structure.entity_kind[contacts] == EntityKind.PROTEIN).all(axis=1)
    peptide &= (ends == ("C", "N")).all(axis=1)
    return contacts[~crowded & ~loose & ~peptide]


def metal_bonds(
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
    pairs = _within_reach(KDTree(atoms.position[others]), atoms.position[metals], reach)
    pairs = np.column_stack([metals[pairs[:, 0]], others[pairs[:, 1]]])
    length, radii = atoms.length(pairs)
    carbon = structure.element[pairs[:, 1]] == "C"
    limit = radii + np.where(carbon, METAL_CARBON_TOLERANCE, METAL_TOLERANCE)
    keep = (length <= limit) & (length >= SHORTEST * radii)
    keep &= ~carbon | (atoms.radius[pairs[:, 0]] <= LARGEST_CARBON_BINDER)
    return pairs[keep & ~(atoms.same_residue(pairs) & known[pairs].all(axis=1))]


def _within_reach(tree: KDTree, position: NDArray[np.float64], reach: float) -> NDArray[np.intp]:
    """Pairs of a position and an atom of the tree, as rows of each."""
    hits = tree.query_ball_point(position, reach)
    first = np.repeat(np.arange(len(position)), [len(hit) for hit in hits])
    return np.column_stack([first, np.concatenate([np.asarray(hit, np.intp) for hit in hits])])


def _mutual_nearest(pairs: NDArray[np.intp], length: NDArray[np.float64]) -> NDArray[np.intp]:
    """Pairs in which each end is the nearest partner of the other."""
    pairs = pairs[np.argsort(length, kind="stable")]
    best = np.zeros((len(pairs), 2), bool)
    for end in (0, 1):
        best[np.unique(pairs[:, end], return_index=True)[1], end] = True
    return pairs[best.all(axis=1)]


def _distinct(pairs: NDArray[np.intp], atoms: int) -> NDArray[np.intp]:
    """Each pair once, lower row first."""
    low, high = pairs.min(axis=1, initial=atoms), pairs.max(axis=1, initial=0)
    key = np.unique(low * atoms + high)
    return np.column_stack([key // atoms, key % atoms])
