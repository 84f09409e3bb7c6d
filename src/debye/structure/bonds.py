"""Bonds between heavy atoms, from the component dictionary and from geometry.

The result depends on names, elements and coordinates alone, not on the order of the atoms or on the
file format. Lengths in Å.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from debye.structure.chemistry import covalent_radius, is_metal, unique_text
from debye.structure.components import find_component
from debye.structure.structure import EntityKind, Structure

TOLERANCE = 0.3
"""How much longer than the sum of covalent radii a bond between nonmetals may be, Å."""
LINK_TOLERANCE = 0.6
"""The same where the file itself links the two atoms, Å."""
METAL_TOLERANCE = 0.5
"""The same between a metal and a donor other than carbon, Å: Zn-O up to 2.38, Ca-O up to 2.92."""
METAL_CARBON_TOLERANCE = 0.2
"""The same between a metal and carbon, Å: keeps Fe-CO, leaves out the carbon of a bidentate carboxylate."""
SHORTEST = 0.6
"""Shortest bond found by geometry, in sums of covalent radii: nearer atoms overlap by mistake."""
PEPTIDE, PHOSPHODIESTER, DISULFIDE = 2.0, 2.2, 2.5
"""Longest polymer links, Å; generous, for poorly refined entries."""
SHORTEST_LINK = 0.5
"""Shortest polymer link, Å."""
STRETCHED = 0.6
"""A dictionary bond longer than the sum of covalent radii by this much, Å, is suspicious."""
STRETCHED_SHARE = 0.25
"""A residue with more suspicious bonds than this share does not match its dictionary entry."""
BROKEN = 2.0
"""A dictionary bond longer than the sum of covalent radii by this much, Å, is none."""


class BondOrder(IntEnum):
    """Class of a bond."""

    NONE = 0
    SINGLE = 1
    """Also metal coordination and every bond that only geometry shows."""
    DOUBLE = 2
    TRIPLE = 3
    DELOCALIZED = 4
    """Aromatic in the Chemical Component Dictionary."""


@dataclass(frozen=True, slots=True)
class Bonds:
    """Bonded pairs of atoms, sorted, each once."""

    pairs: NDArray[np.int32]
    """(bonds, 2) rows of the structure, first below second."""
    order: NDArray[np.int8]
    """(bonds,) a :class:`BondOrder`, never ``NONE``."""

    def __len__(self) -> int:
        return len(self.order)


@dataclass(frozen=True, slots=True)
class _Atoms:
    """Columns that every rule needs, computed once."""

    position: NDArray[np.float64]
    radius: NDArray[np.float64]
    metal: NDArray[np.bool_]
    residue: NDArray[np.intp]
    """(atoms,) residue index and name together: a residue modelled as two kinds counts as two."""
    component: NDArray[np.intp]
    components: NDArray[np.str_]
    name: NDArray[np.intp]
    names: NDArray[np.str_]

    def excess(self, pairs: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Length of each pair, and by how much it exceeds the sum of covalent radii, Å."""
        first, second = pairs.T
        length = np.linalg.norm(self.position[first] - self.position[second], axis=1)
        return length, length - self.radius[first] - self.radius[second]


def find_bonds(structure: Structure) -> Bonds:
    """Find all bonds of a structure with one conformer and no hydrogens.

    Within a residue, bonds and orders are those of the Chemical Component Dictionary. Residues that the
    dictionary lacks, or whose coordinates contradict it (another molecule under the same name), and
    atoms with names it lacks, are bonded by distance as ``SINGLE``. Between residues: peptide bonds,
    phosphodiesters, disulfides and other covalent links by distance, and metal coordination, all
    ``SINGLE``. Links that the file names count where they are at most ``LINK_TOLERANCE`` longer than
    the sum of covalent radii. Symmetry mates are never bonded.

    Args:
        structure: What :func:`debye.structure.select.select_atoms` returns.

    Example:
        >>> from debye.structure.peptide import build_peptide
        >>> len(find_bonds(build_peptide("GG")))
        8
    """
    atoms = _read_atoms(structure)
    inner, order, known = _dictionary_bonds(atoms)
    near = _near_pairs(atoms)
    outer = np.concatenate(
        [
            _bonds_within(atoms, near, known),
            _polymer_links(structure, atoms, near),
            _other_links(structure, atoms, near),
            _metal_bonds(atoms, known),
            _file_links(structure, atoms, known),
        ]
    )
    pairs = np.sort(np.concatenate([inner, outer]), axis=1).astype(np.int32)
    order = np.concatenate([order, np.full(len(outer), BondOrder.SINGLE, np.int8)])
    # The first of equal pairs stays: the dictionary knows the order.
    _, first = np.unique(pairs[:, 0].astype(np.int64) * len(structure) + pairs[:, 1], return_index=True)
    return Bonds(pairs=pairs[first], order=order[first])


def _read_atoms(structure: Structure) -> _Atoms:
    components, component = unique_text(structure.residue_name)
    names, name = unique_text(structure.atom_name)
    residue = structure.residue_index.astype(np.int64) * max(len(components), 1) + component
    return _Atoms(
        position=structure.position.astype(np.float64),
        radius=covalent_radius(structure.element).astype(np.float64),
        metal=is_metal(structure.element),
        residue=np.unique(residue, return_inverse=True)[1],
        component=component,
        components=components,
        name=name,
        names=names,
    )


def _dictionary_bonds(
    atoms: _Atoms,
) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.bool_]]:
    """Join residues with their components: bonds, orders, and which atoms the dictionary knows."""
    n_names, n_residues = len(atoms.names), int(atoms.residue.max(initial=-1)) + 1
    template, known_name, starts = _templates(atoms)
    key = atoms.residue * n_names + atoms.name
    by_key = np.argsort(key)
    sorted_key = key[by_key]
    component = np.zeros(n_residues, np.int64)
    component[atoms.residue] = atoms.component

    # One row for each bond of each residue, then both ends are looked up by residue and name.
    counts = np.diff(starts)[component]
    residue = np.repeat(np.arange(n_residues), counts)
    within = np.arange(len(residue)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = template[starts[component[residue]] + within]
    wanted = residue[:, None] * n_names + rows[:, :2]
    place = np.minimum(np.searchsorted(sorted_key, wanted), max(len(key) - 1, 0))
    found = (sorted_key[place] == wanted).all(axis=1) if len(key) else np.zeros(0, bool)
    pairs, order, residue = by_key[place[found]], rows[found, 2], residue[found]

    # Names that occur twice in a residue identify no atom.
    twice = atoms.residue[by_key[1:][sorted_key[1:] == sorted_key[:-1]]]
    _, excess = atoms.excess(pairs)
    total = np.bincount(residue, minlength=n_residues)
    stretched = np.bincount(residue[excess > STRETCHED], minlength=n_residues)
    trusted = stretched <= STRETCHED_SHARE * total
    trusted[twice] = False
    keep = trusted[residue] & (excess <= BROKEN)
    known = known_name[atoms.component, atoms.name] & trusted[atoms.residue]
    return pairs[keep], order[keep].astype(np.int8), known


def _templates(
    atoms: _Atoms,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Bonds of each component in terms of this structure's names, one component after the other."""
    number = {name: row for row, name in enumerate(atoms.names.tolist())}
    known_name = np.zeros((len(atoms.components), len(atoms.names)), bool)
    parts, starts = [np.zeros((0, 3), np.int64)], [0]
    for row, name in enumerate(atoms.components.tolist()):
        component = find_component(name)
        if component is not None:
            ends = np.array([number.get(atom, -1) for atom in component.atom_names], np.int64)
            known_name[row, ends[ends >= 0]] = True
            bonds = np.column_stack([ends[component.pairs], component.order])
            parts.append(bonds[(bonds >= 0).all(axis=1)])
        starts.append(starts[-1] + (len(parts[-1]) if component is not None else 0))
    return np.concatenate(parts), known_name, np.array(starts)


def _near_pairs(atoms: _Atoms) -> NDArray[np.intp]:
    """Pairs of nonmetals near enough for a bond by geometry, Å."""
    rows = np.flatnonzero(~atoms.metal)
    if len(rows) < 2:
        return np.zeros((0, 2), np.intp)
    # Few atoms are large (S, P, Cl, Br, I, Se): only these need the longer search.
    light = 2.0
    large = atoms.radius[rows] > (light - TOLERANCE) / 2
    tree = cKDTree(atoms.position[rows])
    pairs = [tree.query_pairs(light, output_type="ndarray")]
    if large.any():
        reach = 2 * float(atoms.radius[rows].max()) + LINK_TOLERANCE
        heavy = np.flatnonzero(large)
        hits = tree.query_ball_point(atoms.position[rows[heavy]], reach)
        counts = [len(hit) for hit in hits]
        second = np.concatenate([np.asarray(hit, np.intp) for hit in hits])
        pairs.append(np.column_stack([np.repeat(heavy, counts), second]))
    found = rows[np.concatenate(pairs)]
    return found[found[:, 0] != found[:, 1]]


def _is_bonded(atoms: _Atoms, pairs: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the distance alone makes a covalent bond."""
    length, excess = atoms.excess(pairs)
    return (excess <= TOLERANCE) & (length >= SHORTEST * (length - excess))


def _bonds_within(
    atoms: _Atoms, near: NDArray[np.intp], known: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Bonds inside residues for atoms that the dictionary does not know."""
    first, second = near.T
    same = atoms.residue[first] == atoms.residue[second]
    pairs = near[same & ~(known[first] & known[second])]
    return pairs[_is_bonded(atoms, pairs)]


def _polymer_links(
    structure: Structure, atoms: _Atoms, near: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Peptide bonds, phosphodiesters and disulfides: each atom with its nearest partner only."""
    pairs = near[atoms.residue[near[:, 0]] != atoms.residue[near[:, 1]]]
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    name, kind = structure.atom_name, structure.entity_kind
    first, second = pairs.T
    length, _ = atoms.excess(pairs)

    def select(left: str, right: str, polymer: EntityKind, longest: float) -> NDArray[np.intp]:
        chosen = (length <= longest) & (length >= SHORTEST_LINK)
        chosen &= (name[first] == left) & (name[second] == right)
        chosen &= (kind[first] == polymer) & (kind[second] == polymer)
        return _mutual_nearest(pairs[chosen], length[chosen])

    return np.concatenate(
        [
            select("C", "N", EntityKind.PROTEIN, PEPTIDE),
            select("O3'", "P", EntityKind.NUCLEIC, PHOSPHODIESTER),
            select("O3*", "P", EntityKind.NUCLEIC, PHOSPHODIESTER),
            select("SG", "SG", EntityKind.PROTEIN, DISULFIDE),
        ]
    )


def _mutual_nearest(
    pairs: NDArray[np.intp], length: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Pairs in which each end is the nearest partner of the other."""
    by_length = np.argsort(length, kind="stable")
    pairs = pairs[by_length]
    best = np.zeros((len(pairs), 2), bool)
    for end in (0, 1):
        best[np.unique(pairs[:, end], return_index=True)[1], end] = True
    return pairs[best.all(axis=1)]


def _other_links(
    structure: Structure, atoms: _Atoms, near: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Other covalent links between residues: glycosidic, covalent inhibitors, isopeptides, thioethers.

    One end must be no N, O or halogen: two of those this near clash or share a proton.
    """
    first, second = near.T
    pairs = near[atoms.residue[first] != atoms.residue[second]]
    pairs = pairs[_is_bonded(atoms, pairs)]
    first, second = pairs.T
    name, kind, element = structure.atom_name, structure.entity_kind, structure.element
    small = np.isin(element[pairs], ("N", "O", "F", "CL", "BR", "I")).all(axis=1)
    water = (kind[pairs] == EntityKind.WATER).any(axis=1)
    protein = (kind[pairs] == EntityKind.PROTEIN).all(axis=1)
    backbone = protein & (np.sort(name[pairs], axis=1) == ("C", "N")).all(axis=1)
    return pairs[~small & ~water & ~backbone]


def _metal_bonds(atoms: _Atoms, known: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Coordination of metals, counted as single bonds; metals do not bond each other."""
    metals, others = np.flatnonzero(atoms.metal), np.flatnonzero(~atoms.metal)
    if not len(metals) or not len(others):
        return np.zeros((0, 2), np.intp)
    reach = float(atoms.radius[metals].max() + atoms.radius[others].max()) + METAL_TOLERANCE
    hits = cKDTree(atoms.position[others]).query_ball_point(atoms.position[metals], reach)
    first = np.repeat(metals, [len(hit) for hit in hits])
    pairs = np.column_stack([first, others[np.concatenate([np.asarray(h, np.intp) for h in hits])]])
    length, excess = atoms.excess(pairs)
    carbon = atoms.radius[pairs[:, 1]] == covalent_radius(np.array(["C"]))[0]
    limit = np.where(carbon, METAL_CARBON_TOLERANCE, METAL_TOLERANCE)
    keep = (excess <= limit) & (length >= SHORTEST * (length - excess))
    same = atoms.residue[pairs[:, 0]] == atoms.residue[pairs[:, 1]]
    return pairs[keep & ~(same & known[pairs].all(axis=1))]


def _file_links(
    structure: Structure, atoms: _Atoms, known: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Links of the file that are of plausible length and not a matter of the dictionary."""
    pairs = structure.links.astype(np.int64)
    length, excess = atoms.excess(pairs)
    same = atoms.residue[pairs[:, 0]] == atoms.residue[pairs[:, 1]]
    keep = (excess <= LINK_TOLERANCE) & (length >= SHORTEST_LINK)
    return pairs[keep & ~(same & known[pairs].all(axis=1)) & (pairs[:, 0] != pairs[:, 1])]
