"""Atoms → residues and kinds of entity, from names and geometry alone.

Nothing here reads entity tables of a file, so that one entry gives the same answer as mmCIF, BinaryCIF and PDB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from debye.structure.chemistry import MAIN_CHAIN, ComponentClass, component_class
from debye.structure.row_keys import changes, equals_start, row_keys, spread, text_numbers
from debye.structure.structure import EntityKind

POLYMER_BOND = 2.0
"""Å. A peptide bond has 1.33 and O3'-P 1.61: longer ones are distorted, the next neighbor is at 2.4."""
SUGAR_PHOSPHATE_BACKBONE = frozenset({"C3'", "O3'", "C4'", "C5'"})
CAPS = ("ACE", "FOR", "NH2", "NME")
"""Groups that close a peptide chain; part of the protein where they are bonded to it."""

_HYDROGENS = ("H", "D", "T")


def residue_index(
    *,
    model: NDArray[np.int32],
    chain: NDArray[np.str_],
    chain_label: NDArray[np.str_],
    residue_number: NDArray[np.int32],
    insertion_code: NDArray[np.str_],
    residue_name: NDArray[np.str_],
    atom_name: NDArray[np.str_],
    altloc: NDArray[np.str_],
) -> NDArray[np.int32]:
    """Return the residue of each atom, numbered in the order in which residues first appear.

    A residue is what shares model, chain, number and insertion code, whether or not its atoms are neighbors in
    the file. Microheterogeneity (several names, every atom with an altloc) is one residue. Three collisions
    are taken apart: different mmCIF chains, different names without altlocs, and the same atom given twice,
    as when waters are counted on from 0 after 9999 or copies of a chain keep its name.

    Example:
        >>> text = lambda *values: np.array(values)
        >>> residue_index(
        ...     model=np.ones(3, np.int32),
        ...     chain=text("A", "A", "A"),
        ...     chain_label=text("", "", ""),
        ...     residue_number=np.array([5, 6, 5], np.int32),
        ...     insertion_code=text("", "", ""),
        ...     residue_name=text("GLY", "ALA", "GLY"),
        ...     atom_name=text("N", "N", "CA"),
        ...     altloc=text("", "", ""),
        ... ).tolist()
        [0, 1, 0]
    """
    atoms = len(model)
    place = (model, chain, residue_number, insertion_code)
    starts = changes(*place, residue_name, chain_label)
    key = row_keys(*(column[starts] for column in place))
    if _repeats(key):
        label, name = chain_label[starts], residue_name[starts]
        residue = _ranks(_ranks(key), label)
        residue = _split_names(residue, name, altloc, starts)
        residue = _by_appearance(residue)
    else:
        residue = np.arange(len(starts))
    index = spread(residue, starts, atoms)
    index = _split_copies(index, residue, starts, (atom_name, altloc, residue_name))
    return index.astype(np.int32)


def entity_kinds(
    *,
    model: NDArray[np.int32],
    residue_index: NDArray[np.int32],
    residue_name: NDArray[np.str_],
    atom_name: NDArray[np.str_],
    element: NDArray[np.str_],
    is_hetero: NDArray[np.bool_],
    position: NDArray[np.float32],
) -> NDArray[np.int8]:
    """Return an :class:`EntityKind` for each atom.

    A residue is protein if it is an amino acid by its component (or, for an unknown component, by its N, CA and C)
    and is either an ATOM record or peptide-bonded by geometry: a modified residue of the chain is protein and a
    free amino acid is a ligand. Nucleic acids likewise with O3'-P. An ion is a component with one heavy atom.
    """
    atoms = len(residue_index)
    if atoms == 0:
        return np.zeros(0, np.int8)
    starts = changes(residue_index, residue_name)
    group_of_run, first = _groups(residue_index[starts], residue_name[starts])
    first = starts[first]
    group = spread(group_of_run, starts, atoms)
    names, hetero = residue_name[first], is_hetero[first]
    _, example, index = np.unique(text_numbers(names), return_index=True, return_inverse=True)
    component = np.asarray(component_class(names[example]))[index]
    unknown = component == ComponentClass.UNKNOWN
    open_class = unknown | (component == ComponentClass.OTHER)

    peptide_like = component == ComponentClass.PEPTIDE
    nucleotide_like = component == ComponentClass.NUCLEOTIDE
    kind = np.full(len(first), EntityKind.LIGAND, np.int8)
    kind[component == ComponentClass.SACCHARIDE] = EntityKind.SUGAR
    kind[component == ComponentClass.WATER] = EntityKind.WATER
    kind[component == ComponentClass.ION] = EntityKind.ION
    for component_row, heavy_atoms in _heavy_atoms(group, open_class, atom_name, element).items():
        if len(heavy_atoms) == 1:
            kind[component_row] = EntityKind.ION
        elif heavy_atoms >= set(MAIN_CHAIN):
            peptide_like[component_row] = True
        elif heavy_atoms >= SUGAR_PHOSPHATE_BACKBONE:
            nucleotide_like[component_row] = True

    cap = np.array([name in CAPS for name in names[example].tolist()])[index]
    protein = peptide_like & ~hetero & (component != ComponentClass.OTHER)
    nucleic = nucleotide_like & ~hetero & (component != ComponentClass.OTHER)
    unsure_protein = (peptide_like | cap) & ~protein
    unsure_nucleic = nucleotide_like & ~nucleic
    atoms_of = _Atoms(model, residue_index, group, atom_name, element, position)
    if unsure_protein.any():
        protein |= atoms_of.bonded(unsure_protein, peptide_like | cap, ("C", "C"), ("N", "N"))
    if unsure_nucleic.any():
        nucleic |= atoms_of.bonded(unsure_nucleic, nucleotide_like, ("O3'", "O"), ("P", "P"))
    kind[nucleic] = EntityKind.NUCLEIC
    kind[protein] = EntityKind.PROTEIN
    return kind[group]


@dataclass(frozen=True, slots=True)
class _Atoms:
    """The columns that the search for polymer bonds needs."""

    model: NDArray[np.int32]
    residue: NDArray[np.int32]
    group: NDArray[np.intp]
    atom_name: NDArray[np.str_]
    element: NDArray[np.str_]
    position: NDArray[np.float32]

    def bonded(
        self,
        unsure: NDArray[np.bool_],
        candidate: NDArray[np.bool_],
        donor: tuple[str, str],
        acceptor: tuple[str, str],
    ) -> NDArray[np.bool_]:
        """Return which unsure groups have a polymer bond to another candidate residue.

        One end of the bond must carry the standard name; at the unsure end any atom of the element will do,
        because modified residues such as chromophores rename their backbone.

        Args:
            unsure: (groups,) to decide on.
            candidate: (groups,) may be part of such a polymer; includes the unsure ones.
            donor: Name and element of one end of the bond.
            acceptor: Name and element of the other end.
        """
        found = np.zeros(len(unsure), bool)
        open_rows = self._rows(unsure)
        others = self._rows(candidate)
        for here, there in ((donor, acceptor), (acceptor, donor)):
            near = open_rows[self.element[open_rows] == here[1]]
            far = others[self.atom_name[others] == there[0]]
            found |= self._touching(near, far, len(unsure))
            near = open_rows[self.atom_name[open_rows] == here[0]]
            far = open_rows[self.element[open_rows] == there[1]]
            found |= self._touching(near, far, len(unsure))
        return found

    def _rows(self, groups: NDArray[np.bool_]) -> NDArray[np.intp]:
        rows = np.flatnonzero(groups[self.group])
        return rows[np.isfinite(self.position[rows]).all(axis=1)]

    def _touching(
        self, near: NDArray[np.intp], far: NDArray[np.intp], groups: int
    ) -> NDArray[np.bool_]:
        found = np.zeros(groups, bool)
        if len(near) == 0 or len(far) == 0:
            return found
        low = self.position[near].min(axis=0) - POLYMER_BOND
        high = self.position[near].max(axis=0) + POLYMER_BOND
        far = far[((self.position[far] >= low) & (self.position[far] <= high)).all(axis=1)]
        if len(far) == 0:
            return found
        pairs = KDTree(self.position[near]).sparse_distance_matrix(
            KDTree(self.position[far]), POLYMER_BOND, output_type="ndarray"
        )
        near, far = near[pairs["i"]], far[pairs["j"]]
        real = (self.residue[near] != self.residue[far]) & (self.model[near] == self.model[far])
        found[self.group[near[real]]] = True
        return found


def _heavy_atoms(
    group: NDArray[np.intp],
    wanted: NDArray[np.bool_],
    atom_name: NDArray[np.str_],
    element: NDArray[np.str_],
) -> dict[int, set[str]]:
    """Return the names of the heavy atoms of each wanted group."""
    names: dict[int, set[str]] = {}
    rows = np.flatnonzero(wanted[group]) if wanted.any() else group[:0]
    columns = (group[rows].tolist(), atom_name[rows].tolist(), element[rows].tolist())
    for row, name, symbol in zip(*columns, strict=True):
        if symbol not in _HYDROGENS:
            names.setdefault(row, set()).add(name)
    return names


def _groups(
    residue: NDArray[np.int32], name: NDArray[np.str_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the component (residue and name) of each run of atoms, and the first run of each."""
    if (residue[1:] > residue[:-1]).all():
        return np.arange(len(residue)), np.arange(len(residue))
    _, first, group = np.unique(row_keys(residue, name), return_index=True, return_inverse=True)
    return group, first


def _ranks(*columns: NDArray) -> NDArray[np.intp]:
    """Return 0 to n - 1 for the n distinct rows."""
    return np.unique(row_keys(*columns), return_inverse=True)[1]


def _split_names(
    residue: NDArray[np.intp],
    name: NDArray[np.str_],
    altloc: NDArray[np.str_],
    starts: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Take residues apart that have several names, unless every atom of theirs has an altloc.

    Args:
        residue: (runs,) residue of each run of atoms.
        name: (runs,) its name.
        altloc: (atoms,).
        starts: (runs,) first atom of each run.
    """
    component, first = np.unique(row_keys(residue, name), return_index=True)
    several = np.bincount(residue[first], minlength=len(component)) > 1
    if not several.any():
        return residue
    blank = spread(residue, starts, len(altloc))[altloc == ""]
    collision = several & (np.bincount(blank, minlength=len(several)) > 0)
    return _ranks(residue, np.where(collision[residue], name, ""))


def _split_copies(
    index: NDArray[np.intp],
    residue: NDArray[np.intp],
    starts: NDArray[np.intp],
    names: tuple[NDArray[np.str_], ...],
) -> NDArray[np.intp]:
    """Take residues apart in which the same atom occurs twice: first, second, … copy.

    Whole copies are looked for: in residues with several runs of atoms, and in runs in which the first atom
    comes again.

    Args:
        index: (atoms,) residue of each atom.
        residue: (runs,) residue of each run of atoms.
        starts: (runs,) first atom of each run.
        names: (atoms,) columns that distinguish the atoms of a residue.
    """
    atoms = len(index)
    suspect = np.bincount(residue) > 1
    again = equals_start(names[0], starts)
    again[starts] = False
    again[again] = (
        names[1][again] == names[1][starts][np.searchsorted(starts, np.flatnonzero(again)) - 1]
    )
    suspect[index[again]] = True
    rows = np.flatnonzero(suspect[index]) if suspect.any() else starts[:0]
    if len(rows) == 0:
        return index
    key = row_keys(index[rows], *(name[rows] for name in names))
    order = np.argsort(key, kind="stable")
    first = changes(key[order])
    copy = np.zeros(atoms, np.intp)
    copy[rows[order]] = np.arange(len(rows)) - spread(first, first, len(rows))
    return _by_appearance(row_keys(index, copy)) if copy.any() else index


def _repeats(key: NDArray[np.int64]) -> bool:
    """Tell whether a key occurs twice."""
    ordered = np.sort(key)
    return bool((ordered[1:] == ordered[:-1]).any())


def _by_appearance(values: NDArray[np.integer]) -> NDArray[np.intp]:
    """Renumber values from 0 in the order of their first appearance."""
    starts = changes(values)
    _, first, inverse = np.unique(values[starts], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return spread(rank[inverse], starts, len(values))
