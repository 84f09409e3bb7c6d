"""Residues are found by all names that users give them; a wrong name is answered with the choices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.errors import StructureError
from debye.explanation.neighbors import atom_rows, find_residue, list_residues
from debye.structure.structure import EntityKind, Structure


@pytest.fixture
def named(in_crystal: Structure) -> Structure:
    """Residue 4 becomes 3A, residue 8 gets the number -2, and the ligand the number 10 of another."""
    number, code = in_crystal.residue_number.copy(), in_crystal.insertion_code.astype("<U1")
    number[in_crystal.residue_index == 3], code[in_crystal.residue_index == 3] = 3, "A"
    number[in_crystal.residue_index == 7] = -2
    number[in_crystal.residue_index == 12] = 10
    return replace(in_crystal, residue_number=number, insertion_code=code)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("A:3", 2),
        ("A:3A", 3),
        ("A:3a", 3),
        ("A:HIS3A", 3),
        ("B:-2", 7),
        (" A:met1 ", 0),
        ("B:THR10", 12),
    ],
)
def test_a_residue_is_found_by_its_names(named, text, index):
    assert find_residue(text, named).index == index


def test_the_chain_may_be_left_out_where_there_is_one(peptide):
    assert find_residue("5", peptide).index == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "'5' does not name a residue. Give CHAIN:NUMBER, e.g. A:1; the chains are A, B"),
        ("A:", "does not name a residue"),
        ("C:5", "there is no residue C:5. There is no chain 'C': the chains are A, B"),
        ("A:300", "there is no residue A:300. Chain A has residues 1-3, 5-6"),
        ("A:4", "Chain A has residues 1-3"),
        ("A:5B", "Did you mean A:GLU5"),
        ("B:10", "B:10 stands for 2 residues: B:TYR10, B:THR10. Give the name too"),
    ],
)
def test_what_cannot_be_found_is_explained(named, text, message):
    named = replace(named, residue_name=_renamed(named))
    with pytest.raises(StructureError) as error:
        find_residue(text, named)
    assert message in str(error.value)


def _renamed(structure: Structure) -> np.ndarray:
    """Name two residues so that messages can be written by hand."""
    names = structure.residue_name.copy()
    names[structure.residue_index == 4] = "GLU"
    names[structure.residue_index == 9] = "TYR"
    return names


def test_a_water_is_there_but_has_no_prediction(peptide):
    kind = peptide.entity_kind.copy()
    kind[peptide.residue_index == 12] = EntityKind.WATER
    whole = replace(peptide, entity_kind=kind)
    chosen = whole.take(kind != EntityKind.WATER)
    with pytest.raises(StructureError, match="is a water, but none of its atoms gets one"):
        find_residue("A:13", chosen, whole)


def test_atoms_by_name(peptide):
    residue = list_residues(peptide)[0]
    assert peptide.atom_name[atom_rows(peptide, residue, "ca")].tolist() == ["CA"]
    assert len(atom_rows(peptide, residue)) == 8
    with pytest.raises(StructureError, match=r"MET1 has no atom OG .* Choose from N, CA, C, O"):
        atom_rows(peptide, residue, "OG")
