"""Atoms → residues and kinds of entity, from names and geometry alone.

Nothing here reads entity tables of a file, so that one entry gives the same answer as mmCIF, BinaryCIF and PDB.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from debye.structure.chemistry import MAIN_CHAIN, ComponentClass, component_class
from debye.structure.row_keys import changes, row_keys, spread, text_numbers
from debye.structure.structure import EntityKind

POLYMER_BOND = 2.0
"""Å. A peptide bond has 1.33 and O3'-P 1.61: longer ones are distorted, the next neighbor is at 2.4."""
SUGAR_PHOSPHATE_BACKBONE = frozenset({"C3'", "O3'", "C4'", "C5'"})
CAPS = ("ACE", "FOR", "NH2", "NME")
"""Groups that close a peptide chain; part of the protein where they are bonded to it."""

HYDROGENS = ("H", "D", "T")
_IDENTITY = (
    "model",
    "chain",
    "chain_label",
    "residue_number",
    "insertion_code",
    "residue_name",
    "atom_name",
    "altloc",
)


def residue_index(columns: Mapping[str, NDArray]) -> NDArray[np.int32]:
    """Return the residue of each atom, numbered in the order in which residues first appear.

    A residue is what shares model, chain, number and insertion code, whether or not its atoms are neighbors in
    the file. Microheterogeneity (several names, every atom with an altloc) is one residue. Three collisions
    are taken apart: different mmCIF chains, different names without altlocs, and the same atom given twice,
    as when waters are counted on from 0 after 9999 or copies of a chain keep its name.

    Args:
        columns: Model, chain, chain_label, residue_number, insertion_code, residue_name, atom_name and altloc.
    """
    model, chain, label, number, code, name, atom, altloc = (columns[key] for key in _IDENTITY)
    starts = changes(model, chain, number, code, name, label)
    residue = _ranks(*(column[starts] for column in (model, chain, number, code)))
    if residue.max(initial=-1) + 1 < len(starts):
        residue = _ranks(residue, label[starts])
        residue = _by_appearance(_split_names(residue, name[starts], altloc, starts))
    else:
        residue = np.arange(len(starts))
    index = spread(residue, starts, len(model))
    return _split_copies(index, residue, starts, (atom, altloc, name)).astype(np.int32)


def entity_kinds(columns: Mapping[str, NDArray]) -> NDArray[np.int8]:
    """Return an :class:`EntityKind` for each atom.

    A residue is protein if it is an amino acid by its component (or, for an unknown component, by its N, CA and C)
    and is either an ATOM record or peptide-bonded by geometry: a modified residue of the chain is protein and a
    free amino acid is a ligand. Nucleic acids likewise with O3'-P. An ion is a component with one heavy atom.

    Args:
        columns: Model, residue_index, residue_name, atom_name, element, is_hetero and position.
    """
    residue, residue_name = columns["residue_index"], columns["residue_name"]
    if not len(residue):
        return np.zeros(0, np.int8)
    starts = changes(residue, residue_name)
    _, first, group = np.unique(
        row_keys(residue[starts], residue_name[starts]), return_index=True, return_inverse=True
    )
    first, group = starts[first], spread(group, starts, len(residue))
    names, hetero = residue_name[first], columns["is_hetero"][first]
    component = component_class(names)
    other = component == ComponentClass.OTHER
    open_class = other | (component == ComponentClass.UNKNOWN)
    peptide_like = component == ComponentClass.PEPTIDE
    nucleotide_like = component == ComponentClass.NUCLEOTIDE
    kind = np.full(len(first), EntityKind.LIGAND, np.int8)
    kind[component == ComponentClass.SACCHARIDE] = EntityKind.SUGAR
    kind[component == ComponentClass.WATER] = EntityKind.WATER
    kind[component == ComponentClass.ION] = EntityKind.ION
    for component_row, heavy_atoms in _heavy_atoms(group, open_class, columns).items():
        if len(heavy_atoms) == 1:
            kind[component_row] = EntityKind.ION
        elif heavy_atoms >= set(MAIN_CHAIN):
            peptide_like[component_row] = True
        elif heavy_atoms >= SUGAR_PHOSPHATE_BACKBONE:
            nucleotide_like[component_row] = True

    protein, nucleic = (like & ~hetero & ~other for like in (peptide_like, nucleotide_like))
    peptide_like |= np.isin(names, CAPS)
    protein |= _bonded(
        columns, group, peptide_like & ~protein, peptide_like, ("C", "C"), ("N", "N")
    )
    ends = ("O3'", "O"), ("P", "P")
    nucleic |= _bonded(columns, group, nucleotide_like & ~nucleic, nucleotide_like, *ends)
    kind[nucleic] = EntityKind.NUCLEIC
    kind[protein] = EntityKind.PROTEIN
    return kind[group]


def _bonded(
    columns: Mapping[str, NDArray],
    group: NDArray[np.intp],
    unsure: NDArray[np.bool_],
    candidate: NDArray[np.bool_],
    donor: tuple[str, str],
    acceptor: tuple[str, str],
) -> NDArray[np.bool_]:
    """Return which unsure groups have a polymer bond to another candidate residue.

    One end of the bond must carry the standard name; at the unsure end any atom of the element will do,
    because modified residues such as chromophores rename their backbone.

    Args:
        columns: Those of the atoms.
        group: (atoms,) component of each atom.
        unsure: (groups,) to decide on.
        candidate: (groups,) may be part of such a polymer; includes the unsure ones.
        donor: Name and element of one end of the bond.
        acceptor: Name and element of the other end.
    """
    found = np.zeros(len(unsure), bool)
    if not unsure.any():
        return found
    has_place = np.isfinite(columns["position"]).all(axis=1)
    unsure_rows, others = (
        np.flatnonzero(wanted[group] & has_place) for wanted in (unsure, candidate)
    )
    name, element = columns["atom_name"], columns["element"]
    for here, there in ((donor, acceptor), (acceptor, donor)):
        for near, far in (
            (unsure_rows[element[unsure_rows] == here[1]], others[name[others] == there[0]]),
            (
                unsure_rows[name[unsure_rows] == here[0]],
                unsure_rows[element[unsure_rows] == there[1]],
            ),
        ):
            found[group[_touching(columns, near, far)]] = True
    return found


def _touching(
    columns: Mapping[str, NDArray], near: NDArray[np.intp], far: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return those of some rows that are bonded to rows of other residues of the same model."""
    position, residue, model = columns["position"], columns["residue_index"], columns["model"]
    if len(near) == 0 or len(far) == 0:
        return near[:0]
    low = position[near].min(axis=0) - POLYMER_BOND
    high = position[near].max(axis=0) + POLYMER_BOND
    far = far[((position[far] >= low) & (position[far] <= high)).all(axis=1)]
    if len(far) == 0:
        return far
    pairs = KDTree(position[near]).sparse_distance_matrix(
        KDTree(position[far]), POLYMER_BOND, output_type="ndarray"
    )
    near, far = near[pairs["i"]], far[pairs["j"]]
    return near[(residue[near] != residue[far]) & (model[near] == model[far])]


def _heavy_atoms(
    group: NDArray[np.intp], wanted: NDArray[np.bool_], columns: Mapping[str, NDArray]
) -> dict[int, set[str]]:
    """Return the names of the heavy atoms of each wanted group."""
    names: dict[int, set[str]] = {}
    rows = np.flatnonzero(wanted[group])
    some = (column[rows].tolist() for column in (group, columns["atom_name"], columns["element"]))
    for row, name, symbol in zip(*some, strict=True):
        if symbol not in HYDROGENS:
            names.setdefault(row, set()).add(name)
    return names


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

    Residue and name are those of each run of atoms, altlocs of each atom.
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
    comes again. ``index`` is the residue of each atom, ``residue`` that of each run.
    """
    suspect = np.bincount(residue) > 1
    again = np.ones(len(index), bool)
    again[starts] = False
    for name in map(text_numbers, names[:2]):
        again &= name == spread(name[starts], starts, len(index))
    suspect[index[again]] = True
    rows = np.flatnonzero(suspect[index])
    if len(rows) == 0:
        return index
    key = row_keys(index[rows], *(name[rows] for name in names))
    order = np.argsort(key, kind="stable")
    first = changes(key[order])
    copy = np.zeros(len(index), np.intp)
    copy[rows[order]] = np.arange(len(rows)) - spread(first, first, len(rows))
    return _by_appearance(row_keys(index, copy)) if copy.any() else index


def _by_appearance(values: NDArray[np.integer]) -> NDArray[np.intp]:
    """Renumber values from 0 in the order of their first appearance."""
    starts = changes(values)
    _, first, inverse = np.unique(values[starts], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return spread(rank[inverse], starts, len(values))
