"""Bonds within residues, and what any set of bonds must satisfy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debye.structure.bonds import BondOrder, Bonds, find_bonds
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import EntityKind, Structure
from debye.testing.peptide import combine, from_atoms, moved

BENZENE = [(1.39 * np.cos(a), 1.39 * np.sin(a), 0.0) for a in np.arange(6) * np.pi / 3]


def named_bonds(structure: Structure, bonds: Bonds) -> dict[tuple[str, str], int]:
    """Bonds as number:name pairs, so that they can be compared between orders of atoms."""
    labels = [
        f"{number}:{name}"
        for number, name in zip(structure.residue_index, structure.atom_name, strict=True)
    ]
    return {
        (min(labels[i], labels[j]), max(labels[i], labels[j])): int(order)
        for (i, j), order in zip(bonds.pairs.tolist(), bonds.order, strict=True)
    }


def check_form(structure: Structure, bonds: Bonds) -> None:
    first, second = bonds.pairs.astype(np.int64).T
    assert (first < second).all()
    assert (np.diff(first * len(structure) + second) > 0).all(), "not sorted or not distinct"
    assert bonds.pairs.dtype == np.int32
    assert bonds.order.dtype == np.int8
    assert bonds.order.min(initial=1) >= BondOrder.SINGLE
    assert bonds.order.max(initial=1) <= BondOrder.DELOCALIZED


def read(path: Path) -> Structure:
    return select_atoms(read_structure(path))[0]


def identities(structure: Structure, bonds: Bonds) -> dict[tuple[str, str], int]:
    """Bonds between atoms named as the authors do."""
    columns = (structure.chain, structure.residue_number, structure.insertion_code)
    columns = (*columns, structure.residue_name, structure.atom_name)
    labels = ["/".join(map(str, row)) for row in zip(*columns, strict=True)]
    return {
        (min(labels[i], labels[j]), max(labels[i], labels[j])): int(order)
        for (i, j), order in zip(bonds.pairs.tolist(), bonds.order, strict=True)
    }


def ligand(positions: list, elements: list[str], name: str = "QQQQQ") -> Structure:
    atoms = [
        (f"{element}{row}", element, position)
        for row, (element, position) in enumerate(zip(elements, positions, strict=True), 1)
    ]
    return from_atoms(atoms, residue_name=name, residue_number=1)


def test_peptide_has_the_bonds_of_its_formula(peptide: Structure) -> None:
    bonds = find_bonds(peptide)
    check_form(peptide, bonds)
    # A tree has atoms - 1 bonds; each ring adds one: Trp 2, His, Phe, Pro and Tyr 1.
    assert len(bonds) == len(peptide) - 1 + 6
    named = named_bonds(peptide, bonds)
    for residue in range(12):
        assert named[tuple(sorted((f"{residue}:C", f"{residue + 1}:N")))] == BondOrder.SINGLE
    assert named["0:C", "0:O"] == BondOrder.DOUBLE
    assert named["5:CD1", "5:CG"] == BondOrder.DELOCALIZED
    assert (bonds.order == BondOrder.DELOCALIZED).sum() == 10 + 5 + 6 + 6  # Trp, His, Phe, Tyr


@pytest.mark.parametrize("seed", range(5))
def test_order_of_atoms_does_not_matter(peptide: Structure, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(peptide))
    mixed = peptide.take(order)
    bonds = find_bonds(mixed)
    check_form(mixed, bonds)
    assert named_bonds(mixed, bonds) == named_bonds(peptide, find_bonds(peptide))


def test_pose_file_facts_and_links_do_not_matter(peptide: Structure) -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    other = replace(
        moved(peptide, rotation, (40.0, -70.0, 9.0)),
        chain=np.full(len(peptide), "zz"),
        b_iso=np.full(len(peptide), 7.0, np.float32),
        links=np.array([[0, 90], [3, 50]], np.int32),
    )
    first, second = find_bonds(peptide), find_bonds(other)
    np.testing.assert_array_equal(first.pairs, second.pairs)
    np.testing.assert_array_equal(first.order, second.order)


def test_missing_atoms_only_lose_their_bonds(peptide: Structure) -> None:
    kept = ~np.isin(peptide.atom_name, ("CB", "CG", "O"))
    whole = named_bonds(peptide, find_bonds(peptide))
    part = named_bonds(peptide.take(kept), find_bonds(peptide.take(kept)))
    gone = {":CB", ":CG", ":O"}
    assert part == {
        pair: order
        for pair, order in whole.items()
        if not any(end.endswith(tuple(gone)) for end in pair)
    }


def test_unknown_ligand_is_bonded_by_distance() -> None:
    nitrile = [(2.89, 0.0, 0.0), (4.04, 0.0, 0.0)]
    structure = ligand([*BENZENE, *nitrile], ["C"] * 7 + ["N"])
    named = named_bonds(structure, find_bonds(structure))
    ring = {pair: order for pair, order in named.items() if "C7" not in "".join(pair)}
    assert len(ring) == 6
    assert set(ring.values()) == {BondOrder.DELOCALIZED}
    assert named["0:C1", "0:C7"] == BondOrder.SINGLE
    assert named["0:C7", "0:N8"] == BondOrder.TRIPLE
    assert len(named) == 8


def test_other_molecule_under_a_known_name_is_bonded_by_distance() -> None:
    # LIG is a component of the dictionary, and what programs call any ligand.
    positions = [(1.53 * row, 0.6 * (row % 2), 0.0) for row in range(8)]
    chain = ligand(positions, ["C"] * 8, name="LIG")
    named = named_bonds(chain, find_bonds(chain))
    assert named == {(f"0:C{row}", f"0:C{row + 1}"): BondOrder.SINGLE for row in range(1, 8)}


def test_unknown_name_in_a_known_residue(peptide: Structure) -> None:
    names = peptide.atom_name.copy()
    row = np.flatnonzero((peptide.residue_index == 0) & (names == "SD"))[0]
    names[row] = "S9"
    bonds = find_bonds(replace(peptide, atom_name=names))
    np.testing.assert_array_equal(bonds.pairs, find_bonds(peptide).pairs)


def test_repeated_names_identify_no_atom(peptide: Structure) -> None:
    names = peptide.atom_name.copy()
    names[(peptide.residue_index == 1) & np.isin(names, ("CB", "CG", "CD"))] = "CB"
    bonds = find_bonds(replace(peptide, atom_name=names))
    np.testing.assert_array_equal(bonds.pairs, find_bonds(peptide).pairs)


def test_two_kinds_in_one_place_are_not_bonded(peptide: Structure) -> None:
    one = peptide.take(peptide.residue_index == 9)  # Pro
    other = replace(moved(one, np.eye(3), (0.05, 0.0, 0.0)), residue_name=np.full(len(one), "HYP"))
    both = combine([one, other])
    both = replace(both, residue_index=np.zeros(len(both), np.int32))
    bonds = find_bonds(both)
    assert len(bonds) == 2 * len(find_bonds(one))
    assert ((bonds.pairs < len(one)).all(axis=1) | (bonds.pairs >= len(one)).all(axis=1)).all()


def test_atom_torn_from_its_residue_is_not_bonded(peptide: Structure) -> None:
    position = peptide.position.copy()
    row = np.flatnonzero((peptide.residue_index == 2) & (peptide.atom_name == "CH2"))[0]
    position[row] += 60.0
    bonds = find_bonds(replace(peptide, position=position))
    assert not (bonds.pairs == row).any()
    assert len(bonds) == len(find_bonds(peptide)) - 2


@pytest.mark.parametrize("atoms", [0, 1])
def test_no_or_one_atom(peptide: Structure, atoms: int) -> None:
    bonds = find_bonds(peptide.take(np.arange(atoms)))
    assert bonds.pairs.shape == (0, 2)
    assert len(bonds) == 0


def test_coincident_atoms_are_not_bonded() -> None:
    structure = ligand([(0.0, 0, 0), (0.0, 0, 0), (0.4, 0, 0), (1.5, 0, 0)], ["C"] * 4)
    assert set(named_bonds(structure, find_bonds(structure))) == {
        ("0:C1", "0:C4"), ("0:C2", "0:C4"), ("0:C3", "0:C4"),
    }  # fmt: skip


def test_input_is_left_alone(peptide: Structure) -> None:
    before = peptide.position.copy(), peptide.atom_name.copy()
    find_bonds(peptide)
    np.testing.assert_array_equal(peptide.position, before[0])
    np.testing.assert_array_equal(peptide.atom_name, before[1])


def test_nucleotide_ring(peptide: Structure) -> None:
    base = from_atoms(
        [("C1'", "C", (0.0, 0, 0)), ("N9", "N", (1.47, 0, 0)), ("C8", "C", (2.2, 1.1, 0))],
        residue_name="DA",
        residue_number=1,
        kind=EntityKind.NUCLEIC,
    )
    assert named_bonds(base, find_bonds(base)) == {
        ("0:C1'", "0:N9"): BondOrder.SINGLE,
        ("0:C8", "0:N9"): BondOrder.DELOCALIZED,
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("formats/200l.cif", "formats/200l.bcif"),
        ("formats/1acj.bcif", "formats/1acj.bcif.gz"),
        ("formats/3a02.pdb", "structures/a0/3a02.bcif.gz"),
        ("formats/1rpe.pdb", "structures/rp/1rpe.bcif.gz"),
        ("formats/3pcj.pdb", "structures/pc/3pcj.bcif.gz"),
    ],
)
def test_format_does_not_matter(benchmark_data: Path, first: str, second: str) -> None:
    one, other = read(benchmark_data / first), read(benchmark_data / second)
    assert identities(one, find_bonds(one)) == identities(other, find_bonds(other))


# Nucleic acids, glycans, heme, covalent inhibitor, several conformers, metals.
@pytest.mark.parametrize("name", ["10mh", "1sz0", "1a7v", "1pyo", "3nir", "1eu1"])
def test_order_of_atoms_does_not_matter_in_crystals(benchmark_data: Path, name: str) -> None:
    structure = read(benchmark_data / "structures" / name[1:3] / f"{name}.bcif.gz")
    mixed = structure.take(np.random.default_rng(1).permutation(len(structure)))
    bonds = find_bonds(mixed)
    check_form(mixed, bonds)
    assert named_bonds(mixed, bonds) == named_bonds(structure, find_bonds(structure))


def test_a_structure_of_unknown_components_alone_is_bonded_by_distance() -> None:
    atoms = [(f"C{i}", "C", place) for i, place in enumerate(BENZENE)]
    ring = from_atoms(atoms, residue_name="???", residue_number=1)
    assert len(find_bonds(ring)) == 6


def test_a_rough_model_keeps_its_chain(peptide):
    """With errors of 0.2 Å some peptide bonds are longer than any in a crystal structure; none may be lost."""
    expected = {tuple(pair) for pair in find_bonds(peptide).pairs.tolist()}
    residue = peptide.residue_index
    links = {(i, j) for i, j in expected if residue[i] != residue[j]}
    longest = 0.0
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(0, 0.2, (len(peptide), 3)).astype(np.float32)
        moved = replace(peptide, position=peptide.position + noise)
        found = {tuple(pair) for pair in find_bonds(moved).pairs.tolist()}
        assert links == {(i, j) for i, j in found if residue[i] != residue[j]}
        longest = max(
            longest,
            *(float(np.linalg.norm(np.diff(moved.position[list(pair)], axis=0))) for pair in links),
        )
    assert longest > 2.0, "else nothing was tested"
