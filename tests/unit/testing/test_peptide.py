"""Built proteins have the geometry, names and hand that they should have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from debye.errors import StructureError
from debye.structure.structure import EntityKind, Structure
from debye.testing.peptide import (
    LETTERS,
    SEGMENTS,
    build_peptide,
    combine,
    from_atoms,
    moved,
    place_atom,
    torsions,
)


def position(structure: Structure, residue: int, atom: str) -> np.ndarray:
    (row,) = np.flatnonzero((structure.residue_number == residue) & (structure.atom_name == atom))
    return structure.position[row].astype(float)


def torsion_degrees(a, b, c, d) -> float:
    first, along, last = b - a, c - b, d - c
    one, two = np.cross(first, along), np.cross(along, last)
    return float(np.degrees(np.arctan2(np.linalg.norm(along) * first @ two, one @ two)))


@pytest.mark.parametrize("segment", SEGMENTS)
def test_torsions_come_out_as_asked(segment):
    phi, psi = SEGMENTS[segment]
    peptide = build_peptide("GAPW", *torsions(segment * 4))
    for residue in (2, 3):
        c0, n1 = position(peptide, residue - 1, "C"), position(peptide, residue + 1, "N")
        n, ca, c = (position(peptide, residue, name) for name in ("N", "CA", "C"))
        assert torsion_degrees(c0, n, ca, c) == pytest.approx(phi, abs=1e-3)
        assert torsion_degrees(n, ca, c, n1) == pytest.approx(psi, abs=1e-3)
        ca1 = position(peptide, residue + 1, "CA")
        assert abs(torsion_degrees(ca, c, n1, ca1)) == pytest.approx(180, abs=1e-3)


def test_helix_rises_as_an_alpha_helix():
    helix = build_peptide("A" * 37)
    ca = helix.position[helix.atom_name == "CA"]
    # 36 residues are ten turns of 3.6 residues; the rise is 1.5 Å a residue (Pauling et al. 1951).
    assert np.linalg.norm(ca[36] - ca[0]) / 36 == pytest.approx(1.5, abs=0.06)


def test_helix_is_right_handed():
    helix = build_peptide("A" * 20)
    ca = helix.position[helix.atom_name == "CA"].astype(float)
    assert 40 < torsion_degrees(*ca[5:9]) < 60


def test_carbonyl_oxygen_and_terminus_are_planar():
    peptide = build_peptide("AGA", psi=-60.0)
    for residue in (1, 2):
        c = position(peptide, residue, "C")
        around = (
            position(peptide, residue, "O"),
            position(peptide, residue, "CA"),
            position(peptide, residue + 1, "N"),
        )
        assert np.linalg.det([atom - c for atom in around]) == pytest.approx(0, abs=1e-4)
    n, ca, c, o, oxt = (position(peptide, 3, name) for name in ("N", "CA", "C", "O", "OXT"))
    turn = torsion_degrees(n, ca, c, o) - torsion_degrees(n, ca, c, oxt)
    assert abs(turn) == pytest.approx(180, abs=1e-3)


def test_every_amino_acid_is_l():
    for letter, name in LETTERS.items():
        if name == "GLY":
            continue
        peptide = build_peptide(f"A{letter}A")
        n, ca, c, cb = (position(peptide, 2, atom) for atom in ("N", "CA", "C", "CB"))
        # Looking from H to CA, CO-R-N runs clockwise: the CORN rule.
        assert np.linalg.det([n - ca, c - ca, cb - ca]) > 0, name


def test_proline_ring_is_closed():
    peptide = build_peptide("APA")
    bond = np.linalg.norm(position(peptide, 2, "CD") - position(peptide, 2, "N"))
    assert bond == pytest.approx(1.473, abs=0.02)


def test_no_two_atoms_of_a_residue_are_too_close():
    for letter in LETTERS:
        single = build_peptide(letter)
        assert pdist(single.position).min() > 1.2, letter


def test_chi_turns_the_side_chain():
    peptide = build_peptide("AKA", chi={1: (55.0, -170.0, 65.0, -60.0)})
    chain = [position(peptide, 2, name) for name in ("N", "CA", "CB", "CG", "CD", "CE", "NZ")]
    turns = [torsion_degrees(*chain[start : start + 4]) for start in range(4)]
    assert turns == pytest.approx([55.0, -170.0, 65.0, -60.0], abs=1e-3)


def test_columns_describe_the_chain():
    peptide = build_peptide("MG", chain="X", first_residue=-1, source="mine")
    assert peptide.atom_name.tolist() == "N CA C O CB CG SD CE N CA C O OXT".split()
    assert peptide.element.tolist() == list("NCCOCCSCNCCOO")
    assert peptide.residue_number.tolist() == [-1] * 8 + [0] * 5
    assert peptide.residue_index.tolist() == [0] * 8 + [1] * 5
    assert set(peptide.chain) == set(peptide.chain_label) == {"X"}
    assert np.isnan(peptide.b_iso).all()
    assert not peptide.is_hetero.any()
    assert (peptide.entity_kind == EntityKind.PROTEIN).all()
    assert peptide.source == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequence": "AXA"}, "'X'"),
        ({"sequence": ""}, "nothing"),
        ({"sequence": "aaa"}, "'a'"),
        ({"sequence": "AAA", "phi": [-60.0, -60.0]}, r"phi has shape \(2,\) for 3 residues"),
        ({"sequence": "AKA", "chi": {1: (60.0,)}}, r"LYS\) has 4 chi torsions, but 1"),
    ],
)
def test_impossible_requests_are_explained(arguments, message):
    with pytest.raises(StructureError, match=message):
        build_peptide(**arguments)


def test_unknown_segments_are_explained():
    with pytest.raises(StructureError, match="Q"):
        torsions("HHQ")


def test_place_atom_keeps_length_angle_and_torsion():
    generator = np.random.default_rng(7)
    for length, angle, torsion in [(1.5, 110.0, -60.0), (1.2, 35.0, 179.0), (2.4, 90.0, 0.0)]:
        a, b, c = generator.normal(size=(3, 3))
        d = place_atom(a, b, c, length, angle, torsion)
        assert np.linalg.norm(d - c) == pytest.approx(length)
        cosine = (b - c) @ (d - c) / np.linalg.norm(b - c) / length
        assert np.degrees(np.arccos(cosine)) == pytest.approx(angle)
        assert torsion_degrees(a, b, c, d) == pytest.approx(torsion, abs=1e-6)


def test_combine_counts_records_residues_and_links_on(peptide):
    pair = from_atoms(
        [("ZN", "Zn", (0, 0, 0)), ("O", "O", (2, 0, 0))],
        residue_name=["ZN", "HOH"],
        residue_number=[201, 202],
        chain_label="B",
    )
    linked = combine([combine([pair]), peptide])
    assert linked.n_residues == 2 + peptide.n_residues
    assert linked.record.tolist() == list(range(2 + len(peptide)))
    assert linked.element[:2].tolist() == ["ZN", "O"]
    assert linked.residue_index[2] == 2
    with pytest.raises(StructureError, match="no parts"):
        combine([])


def test_moved_turns_about_the_origin_and_then_shifts(peptide):
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = moved(peptide, quarter, (1.0, 2.0, 3.0))
    x, y, z = peptide.position[5]
    assert turned.position[5] == pytest.approx([1 - y, 2 + x, 3 + z], abs=1e-5)
    assert pdist(turned.position) == pytest.approx(pdist(peptide.position), abs=1e-4)
