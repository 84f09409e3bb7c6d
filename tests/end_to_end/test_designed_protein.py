"""The example protein: rebuilt to the byte, without clashes, in a crystal whose copies only touch."""

from __future__ import annotations

import runpy
from itertools import product
from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from debye.structure.structure import Structure
from debye.structure.write import write_structure

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def protein() -> Structure:
    return runpy.run_path(str(EXAMPLES / "build_designed_protein.py"))["build"]()


def test_the_script_makes_the_file_again(protein, tmp_path):
    again = write_structure(protein, tmp_path / "designed_protein.cif")
    assert again.read_text() == (EXAMPLES / "designed_protein.cif").read_text()


def test_it_holds_what_a_prediction_has_to_tell_apart(protein):
    assert len(set(protein.residue_name)) == 20 + 3  # amino acids; zinc, ligand, water
    assert {kind.item() for kind in np.unique(protein.entity_kind)} == {0, 2, 3, 4}
    assert np.isnan(protein.b_iso).all()
    assert len(protein.links) == 4


def test_no_atoms_clash(protein):
    tree = cKDTree(protein.position)
    bonds = tree.query_pairs(1.95, output_type="ndarray")
    count = len(protein)
    bonds = np.concatenate([bonds, protein.links])
    bonded = csr_array((np.ones(len(bonds)), bonds.T), shape=(count, count))
    bonded = bonded + bonded.T
    near = bonded + bonded @ bonded  # atoms that share a neighbor are 2.2 to 2.6 Å apart
    close = tree.query_pairs(2.5, output_type="ndarray")
    clashes = [(i, j) for i, j in close.tolist() if near[i, j] == 0]
    assert clashes == []


def test_copies_in_the_crystal_touch_but_do_not_clash(protein):
    cell = gemmi.UnitCell(*protein.crystal.cell)
    operations = gemmi.SpaceGroup(protein.crystal.space_group).operations()
    fractional = protein.position.astype(float) @ np.array(cell.frac.mat.tolist()).T
    tree = cKDTree(protein.position)
    nearest = []
    for operation in operations:
        turn, tran = (
            np.array(operation.rot) / operation.DEN,
            np.array(operation.tran) / operation.DEN,
        )
        turned = fractional @ turn.T + tran
        for shift in product((-2, -1, 0, 1, 2), repeat=3):
            if operation.triplet() == "x,y,z" and shift == (0, 0, 0):
                continue
            image = (turned + shift) @ np.array(cell.orth.mat.tolist()).T
            distance, _ = tree.query(image, distance_upper_bound=5.0)
            nearest.append(distance[np.isfinite(distance)])
    contacts = np.concatenate(nearest)
    assert contacts.min() > 3.2
    assert len(contacts) > 100


def test_the_crystal_is_as_dense_as_protein_crystals_are(protein):
    a, b, c, *_ = protein.crystal.cell
    dalton = sum(gemmi.Element(symbol).weight for symbol in protein.element) * 1.08  # hydrogens
    matthews = a * b * c / 4 / dalton
    # Matthews (1968), J. Mol. Biol. 33, 491: 1.7 to 3.5 Å³ per dalton.
    assert 1.7 < matthews < 3.5
