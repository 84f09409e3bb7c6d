from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.structure.entities import entity_kinds, residue_index
from debye.structure.structure import EntityKind, Structure


def residues(*atoms: tuple, model=None) -> list[int]:
    """Residues of atoms given as chain, label, number, insertion code, residue, atom, altloc."""
    chain, label, number, code, name, atom, altloc = zip(*atoms, strict=True)
    return residue_index(
        {
            "model": np.array(model or [1] * len(atoms), np.int32),
            "chain": np.array(chain),
            "chain_label": np.array(label),
            "residue_number": np.array(number, np.int32),
            "insertion_code": np.array(code),
            "residue_name": np.array(name),
            "atom_name": np.array(atom),
            "altloc": np.array(altloc),
        }
    ).tolist()


def test_every_part_of_the_identity_counts():
    first = ("A", "", 1, "", "GLY", "CA", "")
    assert residues(first, ("B", "", 1, "", "GLY", "CA", "")) == [0, 1]
    assert residues(first, ("A", "", 2, "", "GLY", "CA", "")) == [0, 1]
    assert residues(first, ("A", "", 1, "A", "GLY", "CA", "")) == [0, 1]
    assert residues(first, first, model=[1, 2]) == [0, 1]
    assert residues(first, ("A", "", 1, "", "GLY", "C", "")) == [0, 0]


def test_atoms_need_not_be_neighbors():
    a, b = ("A", "", 1, "", "GLY"), ("A", "", 2, "", "ALA")
    assert residues((*a, "N", ""), (*b, "N", ""), (*a, "CA", ""), (*b, "CA", "")) == [0, 1, 0, 1]


def test_microheterogeneity_is_one_residue_also_when_interleaved():
    a, b = ("A", "", 22, "", "PRO"), ("A", "", 22, "", "SER")
    assert residues((*a, "N", "A"), (*b, "N", "B"), (*a, "CA", "A"), (*b, "CA", "B")) == [0] * 4


def test_different_names_without_altlocs_are_different_residues():
    atoms = [("A", "", 1, "", "GLY", "N", ""), ("A", "", 1, "", "HOH", "O", "")]
    assert residues(*atoms) == [0, 1]


def test_chains_that_only_mmcif_tells_apart():
    atoms = [("A", "A", 1, "", "GLY", "N", ""), ("A", "B", 1, "", "GLY", "N", "")]
    assert residues(*atoms) == [0, 1]


def test_waters_that_share_one_number():
    water = ("W", "", 0, "", "HOH", "O", "")
    assert residues(water, water, water) == [0, 1, 2]


def test_copies_of_a_chain_that_keep_its_name():
    chain = [("A", "", n, "", "GLY", atom, "") for n in (1, 2) for atom in ("N", "CA")]
    assert residues(*chain, *chain) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_altlocs_are_no_copies():
    place = ("A", "", 1, "", "SER")
    assert residues((*place, "OG", "A"), (*place, "OG", "B")) == [0, 0]


def test_no_atoms():
    empty = np.zeros(0, "U1")
    numbers = np.zeros(0, np.int32)
    index = residue_index({
        "model": numbers, "chain": empty, "chain_label": empty, "residue_number": numbers, "insertion_code": empty,
        "residue_name": empty, "atom_name": empty, "altloc": empty,
    })  # fmt: skip
    assert index.tolist() == []


def kinds(structure: Structure) -> list[EntityKind]:
    """The kind of each residue, in order."""
    found = entity_kinds({
        "model": structure.model, "residue_index": structure.residue_index,
        "residue_name": structure.residue_name, "atom_name": structure.atom_name,
        "element": structure.element, "is_hetero": structure.is_hetero, "position": structure.position,
    })  # fmt: skip
    assert found.dtype == np.int8
    first = np.unique(structure.residue_index, return_index=True)[1]
    return [EntityKind(found[row]) for row in first]


def component(name: str, *atoms: str, is_hetero: bool = True, apart: float = 5.0) -> Structure:
    """One component with its atoms far from each other, so that nothing is bonded."""
    n = len(atoms)
    empty = np.full(n, "")
    return Structure(
        source="test", record=np.arange(n, dtype=np.int32), model=np.ones(n, np.int32),
        chain=np.full(n, "A"), chain_label=empty, residue_number=np.ones(n, np.int32),
        insertion_code=empty, residue_name=np.full(n, name), atom_name=np.array(atoms), altloc=empty,
        element=np.array([atom[0] for atom in atoms]),
        position=(np.arange(n)[:, None] * np.full(3, apart)).astype(np.float32),
        occupancy=np.ones(n, np.float32), b_iso=np.ones(n, np.float32),
        is_hetero=np.full(n, is_hetero), entity_kind=np.zeros(n, np.int8),
        residue_index=np.zeros(n, np.int32),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("structure", "kind"),
    [
        (component("HOH", "O"), EntityKind.WATER),
        (component("DOD", "O"), EntityKind.WATER),
        (component("ZN", "ZN"), EntityKind.ION),
        (component("CL", "CL"), EntityKind.ION),
        (component("SO4", "S", "O1", "O2", "O3", "O4"), EntityKind.LIGAND),
        (component("NAG", "C1", "C2", "O5"), EntityKind.SUGAR),
        (component("ATP", "PG", "C3'", "O3'", "C4'", "C5'"), EntityKind.LIGAND),
        (component("GLU", "N", "CA", "C", "O"), EntityKind.LIGAND),
        (component("GLU", "N", "CA", "C", "O", is_hetero=False), EntityKind.PROTEIN),
        (component("ALA", "CA", is_hetero=False), EntityKind.PROTEIN),
        (component("HIE9", "N", "CA", "C", "O", is_hetero=False), EntityKind.PROTEIN),
        (component("DA", "P", "C1'", is_hetero=False), EntityKind.NUCLEIC),
        (component("Q?9", "C1", "C2"), EntityKind.LIGAND),
        (component("Q?9", "X1"), EntityKind.ION),
        (component("Q?9", "C1", "H1", "H2"), EntityKind.ION),
    ],
)
def test_kinds_of_lone_components(structure, kind):
    assert kinds(structure) == [kind]


def test_a_modified_residue_of_the_chain_is_protein_by_geometry(peptide):
    hetero = peptide.residue_index == 5
    name = np.where(hetero, "MSE", peptide.residue_name)
    assert set(kinds(replace(peptide, residue_name=name, is_hetero=hetero))) == {EntityKind.PROTEIN}


def test_an_unknown_amino_acid_of_the_chain_is_protein_and_a_far_one_is_not(peptide):
    hetero = peptide.residue_index == 5
    name = np.where(hetero, "Q?9", peptide.residue_name)
    chain = replace(peptide, residue_name=name, is_hetero=hetero)
    assert kinds(chain)[5] == EntityKind.PROTEIN
    far = chain.position + np.where(hetero, 100, 0)[:, None].astype(np.float32)
    assert kinds(replace(chain, position=far))[5] == EntityKind.LIGAND


def test_another_model_at_the_same_place_is_no_bond(peptide):
    hetero = peptide.residue_index == 5
    lone = replace(peptide, is_hetero=hetero, model=np.where(hetero, 2, 1).astype(np.int32))
    assert kinds(lone)[5] == EntityKind.LIGAND


def test_a_cap_belongs_to_the_chain_that_it_is_bonded_to(peptide):
    first_nitrogen = np.flatnonzero((peptide.residue_index == 0) & (peptide.atom_name == "N"))
    near = np.append(peptide.position[first_nitrogen] - [[1.33, 0, 0]], peptide.position, axis=0)
    columns = {
        "position": near.astype(np.float32),
        "residue_name": np.append(["ACE"], peptide.residue_name),
        "atom_name": np.append(["C"], peptide.atom_name),
        "element": np.append(["C"], peptide.element),
        "is_hetero": np.append([True], peptide.is_hetero),
        "residue_index": np.append([0], peptide.residue_index + 1).astype(np.int32),
        "model": np.ones(len(near), np.int32),
    }
    capped = entity_kinds(columns)
    assert capped[0] == EntityKind.PROTEIN
    columns["position"][0] += 50
    assert entity_kinds(columns)[0] != EntityKind.PROTEIN


def test_kinds_do_not_depend_on_the_order_of_atoms(peptide):
    hetero = np.isin(peptide.residue_index, [3, 5])
    structure = replace(peptide, is_hetero=hetero)
    order = np.random.default_rng(1).permutation(len(peptide))
    columns = (
        "model",
        "residue_index",
        "residue_name",
        "atom_name",
        "element",
        "is_hetero",
        "position",
    )
    straight = entity_kinds({name: getattr(structure, name) for name in columns})
    mixed = entity_kinds({name: getattr(structure, name)[order] for name in columns})
    np.testing.assert_array_equal(mixed, straight[order])
