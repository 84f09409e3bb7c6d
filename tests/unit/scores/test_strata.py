from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debye.scores.strata import ATOM_CLASSES, RESOLUTION_STRATA, resolution_stratum
from debye.structure.structure import EntityKind

NAMES = ["ALA", "MSE", "DA", "GOL", "XYZ", "ATP", "ZN", "MG", "NAG"]
SIZES = {
    EntityKind.PROTEIN: [8, 8],
    EntityKind.NUCLEIC: [20],
    EntityKind.LIGAND: [6, 7, 31],
    EntityKind.ION: [1, 1],
    EntityKind.SUGAR: [14],
}


@pytest.fixture
def mixed(make_values):
    """Residues of every kind: :data:`SIZES` atoms each."""
    kinds = np.concatenate([np.full(sum(sizes), kind) for kind, sizes in SIZES.items()])
    residues = np.repeat(np.arange(9), [size for sizes in SIZES.values() for size in sizes])
    return make_values(
        atoms=len(kinds),
        entity_kind=kinds.astype(np.int8),
        residue_index=residues.astype(np.int32),
        residue_name=np.array(NAMES)[residues],
        is_backbone=np.arange(len(kinds)) % 8 < 4,
    )


@pytest.mark.parametrize(
    ("name", "atoms"),
    [
        ("protein", 16),
        ("backbone", 8),
        ("side chain", 8),
        ("ligand", 38),
        ("sugar", 14),
        ("nucleic", 20),
        ("ion", 2),
        ("modified residue", 8),
        ("cofactor", 31),
        ("protein beside ligand", 16),
        ("protein + ligand", 54),
        ("all", 96),
    ],
)
def test_classes_hold_the_right_atoms(mixed, name, atoms):
    assert ATOM_CLASSES[name].select(mixed).sum() == atoms


def test_small_components_are_no_ligands(mixed):
    ligand = ATOM_CLASSES["ligand"].select(mixed)
    assert set(mixed.residue_index[ligand]) == {4, 5}


@pytest.mark.parametrize(("usable", "atoms"), [(9, 0), (10, 38)])
def test_ligands_count_from_ten_usable_atoms_in_all(mixed, usable, atoms):
    true = mixed.true.copy()
    ligand = np.flatnonzero(ATOM_CLASSES["ligand"].select(mixed))
    true[ligand[usable:]] = np.nan
    few = replace(mixed, true=true)
    assert ATOM_CLASSES["ligand"].select(few).sum() == atoms
    assert ATOM_CLASSES["protein + ligand"].select(few).sum() == (atoms and 54)
    assert ATOM_CLASSES["protein beside ligand"].select(few).sum() == (atoms and 16)
    assert ATOM_CLASSES["cofactor"].select(few).sum() == 31


def test_backbone_names_outside_proteins_do_not_count(mixed):
    backbone = ATOM_CLASSES["backbone"].select(mixed)
    assert (mixed.entity_kind[backbone] == EntityKind.PROTEIN).all()


def test_a_structure_without_atoms_has_no_class(make_values):
    empty = make_values(atoms=0)
    assert not any(row.select(empty).any() for row in ATOM_CLASSES.values())


@pytest.mark.parametrize(
    ("resolution", "place"),
    [(0.9, 0), (1.499, 0), (1.5, 1), (2.0, 2), (2.49, 2), (2.5, 3), (8, 3), (None, 4), (np.nan, 4)],
)
def test_strata_hold_their_lower_edge(resolution, place):
    assert resolution_stratum(resolution) == RESOLUTION_STRATA[place]
