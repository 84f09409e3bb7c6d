from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.structure.sequences import align_residues, match_chains
from debye.testing.peptide import build_peptide, combine

SEQUENCE = "MKWHEFRGPYCITSLDNQVAMKWHEFRG"


def names(structure, rows):
    columns = (structure.residue_name, structure.atom_name)
    return list(zip(*(column[rows].tolist() for column in columns), strict=True))


def test_a_chain_matches_itself_atom_by_atom():
    peptide = build_peptide(SEQUENCE)
    match = match_chains(peptide, "A", peptide, "A")
    assert match.identity == 1.0
    np.testing.assert_array_equal(match.first, np.arange(len(peptide)))
    np.testing.assert_array_equal(match.second, match.first)


def test_missing_residues_and_atoms_of_either_side_are_left_out():
    first, second = build_peptide(SEQUENCE), build_peptide(SEQUENCE)
    first = first.take(~np.isin(first.residue_index, [0, 1, 12, 13]))
    second = second.take((second.residue_index != 20) & (second.atom_name != "CB"))
    match = match_chains(first, "A", second, "A")
    assert match.identity == 1.0
    assert names(first, match.first) == names(second, match.second)
    np.testing.assert_array_equal(
        first.residue_number[match.first], second.residue_number[match.second]
    )
    shared = ~np.isin(first.residue_number, [21]) & (first.atom_name != "CB")
    assert len(match) == shared.sum()


def test_numbering_order_of_atoms_and_other_chains_do_not_matter():
    peptide = build_peptide(SEQUENCE)
    other = build_peptide("GGGGSSSSGGGG")
    other = replace(other, chain=np.full(len(other), "B"))
    shuffled = peptide.take(np.random.default_rng(0).permutation(len(peptide)))
    # The order of the residues is that of the file; only atoms are shuffled within them.
    shuffled = shuffled.take(np.argsort(shuffled.residue_index, kind="stable"))
    renumbered = replace(shuffled, residue_number=shuffled.residue_number + 100)
    match = match_chains(peptide, "A", combine([other, renumbered]), "A")
    assert len(match) == len(peptide)
    assert names(peptide, match.first) == names(combine([other, renumbered]), match.second)


def test_modified_residues_count_as_what_they_are_made_from():
    peptide = build_peptide(SEQUENCE)
    name = np.where(peptide.residue_name == "MET", "MSE", peptide.residue_name)
    name = np.where(peptide.residue_name == "TYR", "PTR", name)
    match = match_chains(peptide, "A", replace(peptide, residue_name=name), "A")
    assert match.identity == 1.0


def test_a_mutation_lowers_the_identity_and_keeps_the_shared_atoms():
    first, second = build_peptide("AAAAWAAAAG"), build_peptide("AAAASAAAAG")
    match = match_chains(first, "A", second, "A")
    assert match.identity == pytest.approx(0.9)
    at_five = first.residue_number[match.first] == 5
    assert {atom for _, atom in names(first, match.first[at_five])} == {"N", "CA", "C", "O", "CB"}


def test_a_chain_that_is_not_there_matches_nothing():
    peptide = build_peptide("AAAA")
    match = match_chains(peptide, "A", peptide, "Z")
    assert (len(match), match.identity) == (0, 0.0)
    assert align_residues([], ["ALA"]) == []
