"""Built side chains against the ideal coordinates of the Chemical Component Dictionary, by Biotite.

The dictionary's coordinates come from a force field with all angles near the tetrahedral ones, ours from
small-molecule crystals (Engh & Huber 1991): bonds may differ by 0.1 Å (charged groups are drawn
neutral there), angles by 8 degrees. Wrong parents, names or hands differ by far more.
"""

from __future__ import annotations

import numpy as np
import pytest

from debye.testing.peptide import LETTERS, build_peptide

info = pytest.importorskip("biotite.structure.info")


def angle_degrees(a, b, c) -> float:
    one, two = a - b, c - b
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    return float(np.degrees(np.arccos(cosine)))


@pytest.mark.parametrize("letter", LETTERS)
def test_bonds_angles_and_hands_agree_with_the_component_dictionary(letter):
    built = build_peptide(f"A{letter}A")
    built = built.take(built.residue_index == 1)
    component = info.residue(LETTERS[letter])
    component = component[(component.element != "H") & (component.atom_name != "OXT")]
    reference = dict(zip(component.atom_name, component.coord.astype(float), strict=True))
    ours = dict(zip(built.atom_name, built.position.astype(float), strict=True))
    assert set(ours) == set(reference)

    neighbors: dict[str, list[str]] = {name: [] for name in reference}
    for first, second, _ in component.bonds.as_array():
        one, two = component.atom_name[first], component.atom_name[second]
        neighbors[one].append(two)
        neighbors[two].append(one)
        length = np.linalg.norm(ours[one] - ours[two])
        assert length == pytest.approx(np.linalg.norm(reference[one] - reference[two]), abs=0.1)

    for center, around in neighbors.items():
        for one in around:
            for two in around:
                if one < two:
                    found = angle_degrees(ours[one], ours[center], ours[two])
                    wanted = angle_degrees(reference[one], reference[center], reference[two])
                    assert found == pytest.approx(wanted, abs=8), (one, center, two)
        if len(around) >= 3 and center != "C":
            hands = [
                np.linalg.det([atoms[name] - atoms[center] for name in around[:3]])
                for atoms in (ours, reference)
            ]
            # Flat centers have a triple product near 0, tetrahedral ones of about 2.5 Å cubed.
            assert hands[0] == pytest.approx(hands[1], abs=0.6), center
