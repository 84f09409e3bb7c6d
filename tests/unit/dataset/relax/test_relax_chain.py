"""Chains relaxed in a force field: complete, near where they were, with the B-factors of the atoms that they had."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.dataset.relax import relax_chain as relax
from debye.dataset.relax.relax_chain import inverted_residues, relax_chain
from debye.errors import StructureError
from debye.structure.bonds import find_bonds
from debye.structure.structure import Structure
from debye.testing.peptide import build_peptide, torsions

pytestmark = pytest.mark.slow  # minimizations


SEQUENCE = "MKWHEFRGPYCIT"
HELD = {"noise": 0.0, "restraint": 10.0, "iterations": 200, "seed": 3}
FREE = {"noise": 0.3, "restraint": 0.0, "iterations": 200, "seed": 3}


@pytest.fixture(scope="module")
def chain() -> Structure:
    """A helix whose B-factors rise along the chain, numbered from 101 on."""
    peptide = build_peptide(SEQUENCE, *torsions("H" * len(SEQUENCE)), source="helix")
    b = np.linspace(10, 40, len(peptide), dtype=np.float32)
    return replace(peptide, b_iso=b, residue_number=peptide.residue_number + np.int32(100))


def keys(structure: Structure) -> list[tuple[int, str]]:
    return list(zip(structure.residue_number.tolist(), structure.atom_name.tolist(), strict=True))


def moved(first: Structure, second: Structure) -> float:
    """Root mean square distance of the atoms that both have, Å."""
    row = {key: number for number, key in enumerate(keys(second))}
    both = [(number, row[key]) for number, key in enumerate(keys(first)) if key in row]
    one, other = np.array(both).T
    return float(np.sqrt(((first.position[one] - second.position[other]) ** 2).sum(1).mean()))


def test_a_held_chain_stays_near_and_keeps_its_atoms_and_values(chain):
    model = relax_chain(chain, **HELD)
    assert sorted(keys(model)) == sorted(keys(chain))
    b = dict(zip(keys(chain), chain.b_iso.tolist(), strict=True))
    assert [b[key] for key in keys(model)] == model.b_iso.tolist()
    assert 0.0 < moved(chain, model) < 0.3
    assert model.entry.is_predicted
    assert model.crystal is None
    assert set(model.chain.tolist()) == {"A"}
    assert "H" not in model.element


def test_a_free_chain_goes_farther_and_still_has_bonds_of_usual_length(chain):
    model = relax_chain(chain, **FREE)
    assert moved(chain, model) > 2 * moved(chain, relax_chain(chain, **HELD))
    bonds = find_bonds(model)
    assert len(bonds) == len(find_bonds(chain))
    first, second = model.position[bonds.pairs.T]
    length = np.linalg.norm(first - second, axis=1)
    assert length.min() > 1.15
    assert length.max() < 1.95


def test_the_seed_decides(chain):
    first, again = relax_chain(chain, **FREE), relax_chain(chain, **FREE)
    other = relax_chain(chain, **FREE | {"seed": 4})
    np.testing.assert_array_equal(first.position, again.position)
    assert moved(first, other) > 0.05


def test_cut_side_chains_are_completed_without_a_value(chain):
    cut = chain.take(~((chain.residue_index == 1) & np.isin(chain.atom_name, ["CE", "NZ"])))
    model = relax_chain(cut, **HELD)
    assert sorted(keys(model)) == sorted(keys(chain))
    added = np.isnan(model.b_iso)
    assert {key for key, is_added in zip(keys(model), added, strict=True) if is_added} == {
        (102, "CE"),
        (102, "NZ"),
    }


def test_a_gap_is_neither_filled_nor_bonded(chain):
    cut = chain.take((chain.residue_index < 4) | (chain.residue_index > 7))
    model = relax_chain(cut, **HELD)
    assert sorted(keys(model)) == sorted(keys(cut))
    assert moved(cut, model) < 0.5
    ends = {(104, "C"), (109, "N")}
    named = keys(model)
    assert all({named[a], named[b]} != ends for a, b in find_bonds(model).pairs.tolist())


def test_selenomethionine_becomes_methionine(chain):
    first = chain.residue_index == 0
    sulfur = first & (chain.atom_name == "SD")
    modified = replace(
        chain,
        residue_name=np.where(first, "MSE", chain.residue_name),
        atom_name=np.where(sulfur, "SE", chain.atom_name),
        element=np.where(sulfur, "SE", chain.element),
    )
    model = relax_chain(modified, **HELD)
    assert set(model.residue_name[model.residue_index == 0].tolist()) == {"MET"}
    assert np.isnan(model.b_iso[model.atom_name == "SD"]).all()
    assert np.isfinite(model.b_iso[model.atom_name != "SD"]).all()


def test_residues_without_a_backbone_are_left_out(chain):
    cut = chain.take(~((chain.residue_index == 12) & (chain.atom_name == "CA")))
    model = relax_chain(cut, **HELD)
    assert model.residue_number.max() == 112
    with pytest.raises(StructureError, match="no residue has N, CA and C"):
        relax_chain(chain.take(chain.atom_name == "CA"), **HELD)


def test_a_residue_alone_between_gaps_is_left_out(chain):
    alone = chain.take(~np.isin(chain.residue_index, [1, 10, 12]))
    model = relax_chain(alone, **HELD)
    assert sorted(set(model.residue_number.tolist())) == list(range(103, 111))
    with pytest.raises(StructureError, match="no residue is bonded to another one"):
        relax_chain(chain.take(chain.residue_index % 2 == 0), **HELD)


def test_amino_acids_that_were_inverted_residues_are_found(chain):
    mirrored = replace(chain, position=chain.position * np.float32([1, 1, -1]))
    has_hand = [number for number, name in enumerate(SEQUENCE) if name != "G"]
    assert inverted_residues(chain).tolist() == []
    assert inverted_residues(mirrored).tolist() == has_hand


def test_of_two_atoms_of_one_name_the_first_counts(chain):
    again = np.concatenate([np.arange(20), np.arange(10, 20), np.arange(20, len(chain))])
    twice = chain.take(again)
    later = np.r_[np.zeros(20, bool), np.ones(10, bool), np.zeros(len(chain) - 20, bool)]
    shifted = np.where(later[:, None], twice.position + 0.5, twice.position).astype(np.float32)
    model = relax_chain(replace(twice, position=shifted), **HELD)
    np.testing.assert_allclose(model.position, relax_chain(chain, **HELD).position, atol=0.01)


def test_of_two_residues_in_one_place_the_first_counts(chain):
    last = chain.residue_index == 12
    other = replace(chain.take(last), residue_name=np.full(last.sum(), "VAL"))
    rows = np.concatenate([np.arange(len(chain)), np.flatnonzero(last)])
    both = chain.take(rows)
    mixed = replace(
        both,
        residue_name=np.concatenate([chain.residue_name, other.residue_name]),
        position=np.concatenate([chain.position, other.position + np.float32(0.4)]),
    )
    model = relax_chain(mixed, **HELD)
    assert set(model.residue_name[model.residue_number == 113].tolist()) == {"THR"}
    np.testing.assert_allclose(model.position, relax_chain(chain, **HELD).position, atol=0.01)


def test_too_many_gaps_are_refused(chain, monkeypatch):
    monkeypatch.setattr(relax, "SEGMENT_NAMES", "AB")
    pairs = chain.take(~np.isin(chain.residue_index, [2, 5, 8]))
    with pytest.raises(StructureError, match="3 gaps in one chain"):
        relax_chain(pairs, **HELD)


def test_what_the_force_field_does_not_know_is_named(chain):
    unknown = replace(
        chain,
        residue_name=np.where(chain.residue_index == 5, "XYZ", chain.residue_name),
        source="1abc",
    )
    with pytest.raises(StructureError, match=r"1abc: the force field .* does not know XYZ"):
        relax_chain(unknown, **HELD)


def test_an_energy_without_a_minimum_is_an_error_of_the_chain(chain):
    with pytest.raises(StructureError, match="helix: no minimum of the energy"):
        relax_chain(chain, **FREE | {"noise": np.nan})
