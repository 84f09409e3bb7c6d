"""Bonds compared with Biotite's, which come from the same dictionary by other code.

Within residues the two must be equal, orders too. Between residues Biotite joins neighbors in the file
whatever their distance: those within reach must be ours as well.
"""

from __future__ import annotations

import csv
from pathlib import Path

import biotite.structure as biotite_structure
import numpy as np
import pytest

from debye.structure.bonds import PEPTIDE, PHOSPHODIESTER, BondOrder, find_bonds
from debye.structure.chemistry import component_class, is_metal
from debye.structure.components import ComponentClass, find_component
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import Structure

KIND = biotite_structure.BondType
ORDERS = {
    KIND.SINGLE: BondOrder.SINGLE,
    KIND.DOUBLE: BondOrder.DOUBLE,
    KIND.TRIPLE: BondOrder.TRIPLE,
    KIND.AROMATIC_SINGLE: BondOrder.DELOCALIZED,
    KIND.AROMATIC_DOUBLE: BondOrder.DELOCALIZED,
    KIND.AROMATIC_TRIPLE: BondOrder.DELOCALIZED,
}
# The only difference: atoms whose names the dictionary lacks are bonded by distance, Biotite leaves them.
UNNAMED = 1e-3


def to_biotite(structure: Structure) -> biotite_structure.AtomArray:
    atoms = biotite_structure.AtomArray(len(structure))
    atoms.coord = structure.position
    atoms.chain_id = structure.chain.astype("U4")
    atoms.res_id = structure.residue_index.astype(int)
    atoms.res_name = structure.residue_name.astype("U5")
    atoms.atom_name = structure.atom_name.astype("U6")
    atoms.element = structure.element.astype("U2")
    return atoms


def as_dict(pairs: np.ndarray, order: np.ndarray) -> dict[tuple[int, int], int]:
    return {(min(i, j), max(i, j)): int(k) for (i, j), k in zip(pairs.tolist(), order, strict=True)}


def biotite_bonds(structure: Structure, inter_residue: bool) -> dict[tuple[int, int], int]:
    found = biotite_structure.connect_via_residue_names(
        to_biotite(structure), inter_residue=inter_residue
    ).as_array()
    return as_dict(found[:, :2], np.array([ORDERS[KIND(kind)] for kind in found[:, 2]]))


@pytest.fixture(scope="module")
def structures(benchmark_data: Path) -> list[Structure]:
    with (benchmark_data / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    entries = [row["id"] for row in rows if int(row["n_atoms"]) < 6000][::150]
    # Nucleic acids, glycans, hemes, metals, covalent inhibitors, chromophores.
    entries += ["10mh", "1sz0", "1a7v", "1pyo", "1u19", "1a4q", "1zgo", "3rkp", "1yph", "2ciz"]
    paths = [benchmark_data / "structures" / name[1:3] / f"{name}.bcif.gz" for name in entries]
    return [select_atoms(read_structure(path))[0] for path in paths]


def test_bonds_within_residues_are_those_of_biotite(structures: list[Structure]) -> None:
    unnamed = total = 0
    for structure in structures:
        bonds = find_bonds(structure)
        first, second = bonds.pairs.T
        within = structure.residue_index[first] == structure.residue_index[second]
        ours = as_dict(bonds.pairs[within], bonds.order[within])
        theirs = biotite_bonds(structure, inter_residue=False)
        for pair in ours.keys() - theirs.keys():
            component = find_component(structure.residue_name[pair[0]].item())
            names = set(structure.atom_name[list(pair)].tolist())
            assert component is None or not names <= set(component.atom_names), structure.source
            unnamed += 1
        assert {pair: ours.get(pair) for pair in theirs} == theirs, structure.source
        total += len(theirs)
    assert total > 60_000
    assert unnamed <= UNNAMED * total


def test_polymer_bonds_within_reach_are_those_of_biotite(structures: list[Structure]) -> None:
    missing, total, ours_only = [], 0, 0
    for structure in structures:
        bonds = find_bonds(structure)
        ours = as_dict(bonds.pairs, bonds.order)
        both = biotite_bonds(structure, inter_residue=True)
        links = both.keys() - biotite_bonds(structure, inter_residue=False).keys()
        for first, second in links:
            step = structure.position[first] - structure.position[second]
            nucleic = "P" in structure.element[[first, second]]
            if np.linalg.norm(step) <= (PHOSPHODIESTER if nucleic else PEPTIDE):
                total += 1
                if (first, second) not in ours:
                    missing.append((structure.source, first, second))
        polymer = component_class(structure.residue_name) == ComponentClass.PEPTIDE
        ours_only += sum(
            polymer[[i, j]].all()
            and {structure.atom_name[i].item(), structure.atom_name[j].item()} == {"C", "N"}
            and structure.residue_index[i] != structure.residue_index[j]
            and (i, j) not in links
            for i, j in ours
        )
    assert total > 7_000
    assert not missing
    # Rings and residues that stand elsewhere in the file.
    assert ours_only <= 1e-3 * total


def test_no_atom_has_more_bonds_than_it_can(structures: list[Structure]) -> None:
    for structure in structures:
        bonds = find_bonds(structure)
        metal = is_metal(structure.element)
        assert not metal[bonds.pairs].all(axis=1).any(), structure.source
        covalent = bonds.pairs[~metal[bonds.pairs].any(axis=1)]
        degree = np.bincount(covalent.ravel(), minlength=len(structure))
        for element, most in (("C", 4), ("N", 4), ("O", 3), ("P", 6)):
            assert degree[structure.element == element].max(initial=0) <= most, structure.source
