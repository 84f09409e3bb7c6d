"""Bonds between residues and to metals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.structure.bonds import BondOrder, find_bonds
from debye.structure.structure import EntityKind, Structure
from debye.testing.peptide import combine, from_atoms, moved

PROTEIN, NUCLEIC, LIGAND = EntityKind.PROTEIN, EntityKind.NUCLEIC, EntityKind.LIGAND
SUGAR, ION = EntityKind.SUGAR, EntityKind.ION


def atom(
    residue: str,
    name: str,
    kind: EntityKind,
    position: tuple[float, float, float],
    element: str = "",
) -> Structure:
    return from_atoms(
        [(name, element or name[0], position)], residue_name=residue, residue_number=1, kind=kind
    )


def linked(*atoms: Structure) -> list[list[int]]:
    bonds = find_bonds(combine(atoms))
    assert (bonds.order == BondOrder.SINGLE).all()
    return bonds.pairs.tolist()


@pytest.mark.parametrize(
    ("left", "right", "kind", "reach"),
    [
        (("ALA", "C"), ("GLY", "N"), PROTEIN, (0.5, 2.0)),
        (("GLY", "N"), ("ALA", "C"), PROTEIN, (0.5, 2.0)),
        (("DA", "O3'"), ("DG", "P"), NUCLEIC, (0.5, 2.2)),
        (("DA", "O3*"), ("DG", "P"), NUCLEIC, (0.5, 2.2)),
        (("CYS", "SG"), ("CYS", "SG"), PROTEIN, (0.5, 2.5)),
    ],
)
def test_polymer_links_reach_as_far_as_documented(
    left: tuple[str, str], right: tuple[str, str], kind: EntityKind, reach: tuple[float, float]
) -> None:
    for distance, bonded in (
        (reach[0] - 0.01, False), (reach[0] + 0.01, True), (reach[1] - 0.01, True),
        (reach[1] + 0.01, False),
    ):  # fmt: skip
        found = linked(atom(*left, kind, (0, 0, 0)), atom(*right, kind, (0, 0, distance)))
        assert found == ([[0, 1]] if bonded else []), distance


def test_a_carbonyl_takes_the_nearer_nitrogen_only() -> None:
    carbon = atom("ALA", "C", PROTEIN, (0, 0, 0))
    near, far = atom("GLY", "N", PROTEIN, (1.33, 0, 0)), atom("GLY", "N", PROTEIN, (0, 1.6, 0))
    assert linked(carbon, far, near) == [[0, 2]]
    assert linked(near, far, carbon) == [[0, 2]]


def test_chain_break_is_not_bridged() -> None:
    from debye.testing.peptide import build_peptide

    broken = combine([build_peptide("AAA"), moved(build_peptide("AAA"), np.eye(3), (12.0, 0, 0))])
    bonds = find_bonds(broken)
    assert len(bonds) == len(broken) - 2


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("NAG", "O4", SUGAR), ("NAG", "C1", SUGAR)),
        (("ASN", "ND2", PROTEIN), ("NAG", "C1", SUGAR)),
        (("LYS", "NZ", PROTEIN), ("ASN", "CG", PROTEIN)),
        (("LYS", "NZ", PROTEIN), ("PLP", "C4A", LIGAND)),
        (("CYS", "SG", PROTEIN), ("XYZZY", "C1", LIGAND)),
    ],
)
def test_other_covalent_links(left: tuple, right: tuple) -> None:
    reach = {"S": 2.1, "O": 1.71, "N": 1.76}[left[1][0]]
    for distance, bonded in ((reach, True), (reach + 0.03, False)):
        found = linked(atom(*left, (0, 0, 0)), atom(*right, (0, distance, 0)))
        assert found == ([[0, 1]] if bonded else [])


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        (("ASP", "OD1", PROTEIN), ("GLU", "OE1", PROTEIN), 1.5),
        (("LYS", "NZ", PROTEIN), ("ASP", "OD1", PROTEIN), 1.5),
        (("CL", "CL", ION), ("ALA", "CB", PROTEIN), 1.8),
        (("HOH", "O", EntityKind.WATER), ("ALA", "CB", PROTEIN), 1.4),
        (("ALA", "CB", PROTEIN), ("LEU", "CD1", PROTEIN), 0.5),
    ],
)
def test_clashes_are_not_bonds(left: tuple, right: tuple, distance: float) -> None:
    element = "CL" if left[0] == "CL" else ""
    assert linked(atom(*left, (0, 0, 0), element), atom(*right, (0, distance, 0))) == []


@pytest.mark.parametrize("shift", [0.1, 0.7, 1.0, 1.3, 1.5, 1.7])
def test_residues_on_top_of_each_other_are_not_linked(shift: float) -> None:
    from debye.testing.peptide import build_peptide

    # As a ligand: of a chain, C and N this near count as its peptide bond.
    one = build_peptide("W")
    one = replace(one, entity_kind=np.full(len(one), LIGAND, np.int8))
    bonds = find_bonds(combine([one, moved(one, np.eye(3), (shift, 0.2, 0.1))]))
    between = (bonds.pairs[:, 0] < len(one)) & (bonds.pairs[:, 1] >= len(one))
    assert between.sum() == 0


def test_neighbors_that_clash_keep_their_peptide_bond_only() -> None:
    first = from_atoms(
        [("CA", "C", (0, 0, 0)), ("C", "C", (1.5, 0, 0))], residue_name="ALA", residue_number=1,
        kind=PROTEIN,
    )  # fmt: skip
    second = from_atoms(
        [("N", "N", (1.5, 1.2, 0)), ("CA", "C", (0.2, 1.6, 0))], residue_name="GLY",
        residue_number=2, kind=PROTEIN,
    )  # fmt: skip
    assert linked(first, second) == [[0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("metal", "donor", "longest"),
    [("ZN", "S", 2.77), ("ZN", "N", 2.43), ("ZN", "O", 2.38), ("MG", "O", 2.57), ("CA", "O", 2.92),
     ("NA", "O", 2.82), ("K", "O", 3.19), ("FE", "N", 2.53), ("FE", "C", 2.18), ("ZN", "BR", 2.92)],
)  # fmt: skip
def test_metal_coordination(metal: str, donor: str, longest: float) -> None:
    centre = atom(metal, metal, ION, (0, 0, 0), metal)
    for distance, bonded in ((longest - 0.01, True), (longest + 0.01, False), (0.6, False)):
        other = atom("XYZZY", f"{donor}1", LIGAND, (distance, 0, 0), donor)
        assert linked(centre, other) == ([[0, 1]] if bonded else [])
        assert linked(other, centre) == ([[0, 1]] if bonded else [])


@pytest.mark.parametrize(
    ("metal", "other", "distance"),
    [("CA", "C", 2.6), ("K", "C", 2.5), ("ZN", "ZN", 2.3), ("MG", "P", 2.4), ("NA", "MG", 2.5)],
)
def test_metals_do_not_bind_these(metal: str, other: str, distance: float) -> None:
    second = atom("XYZZY", other, LIGAND, (distance, 0, 0), other)
    assert linked(atom(metal, metal, ION, (0, 0, 0), metal), second) == []


def test_zinc_finger() -> None:
    corners = 2.33 / np.sqrt(3) * np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)])
    sulfurs = [atom("CYS", "SG", PROTEIN, tuple(corner)) for corner in corners]
    assert linked(*sulfurs, atom("ZN", "ZN", ION, (0, 0, 0), "ZN")) == [[k, 4] for k in range(4)]


def test_heme_binds_as_the_dictionary_says() -> None:
    square = [(2.05, 0, 0), (0, 2.05, 0), (-2.05, 0, 0), (0, -2.05, 0)]
    names = ("NA", "NB", "NC", "ND")
    heme = from_atoms(
        [("FE", "FE", (0, 0, 0)), *((n, "N", p) for n, p in zip(names, square, strict=True)),
         ("CHA", "C", (1.3, 1.3, 1.2))],
        residue_name="HEM", residue_number=1,
    )  # fmt: skip
    histidine = atom("HIS", "NE2", PROTEIN, (0, 0, 2.1), "N")
    assert linked(heme, histidine) == [[0, k] for k in (1, 2, 3, 4, 6)]


def test_only_metals() -> None:
    assert linked(*(atom("ZN", "ZN", ION, (3.0 * k, 0, 0), "ZN") for k in range(3))) == []
