"""Build ``designed_protein.cif``: a made-up three-helix bundle with zinc and a ligand, in a made-up crystal.

It is not a PDB entry and has no B-factors. Geometry is ideal (:mod:`debye.testing.peptide`); torsions and packing come from a
random search for a compact fold without clashes. Run ``python examples/build_designed_protein.py`` to write it again.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from debye.structure.structure import Crystal, EntityKind, Entry, Structure
from debye.structure.write import write_structure
from debye.testing.peptide import build_peptide, combine, from_atoms, moved, place_atom

TARGET = Path(__file__).with_name("designed_protein.cif")

# Amino acid, phi, psi and the side chain's torsions, degrees.
RESIDUES = """
M -75 158 -67 -65 180
W -69 120 -53 -115
S -61 -44 -75
Y -61 -44 -53 130
S -61 -44 -55
K -61 -44 -67 180 -68 -180
S -61 -44 180
L -61 -44 -77 -173
R -61 -44 180 -65 -65 -180
T -61 -44 -55
E -61 -44 -67 180 60
L -61 -44 -168 50
Q -61 -44 -67 -65 0
H -61 -44 -155 97
L -61 -44 180 50
L -61 -44 168 74
K -61 -44 -67 180 -68 -180
H -61 -44 -97 -77
L -61 -44 -65 163
I -61 -44 -67 -60
K -61 -44 -67 180 -68 -180
D -61 -71 -172 -30
E -112 135 -67 -65 -30
N -111 121 -78 120
G 64 40
T -102 146 -75
P -76 -47 28 -31
E -64 -44 180 65 60
M -61 -44 180 -65 -70
L -61 -44 168 62
K -61 -44 180 -180 68 65
L -61 -44 -65 163
A -61 -44
K -61 -44 -67 180 -68 -180
R -61 -44 -67 180 -180 -85
F -61 -44 -65 -30
V -61 -44 170
E -61 -44 -67 180 60
Q -61 -44 -67 180 -30
V -61 -44 170
L -61 -44 180 62
Q -61 -44 180 -180 0
A -61 -44
A -61 -44
K -61 -44 -67 180 -68 -180
R -61 -26 -67 180 -65 -180
G -90 119
D -73 -28 -78 30
E -60 -41 -67 180 -30
N -84 172 -62 20
S -100 129 180
D -66 -44 -78 30
E -61 -44 180 -180 -30
F -61 -44 -168 -30
A -61 -44
Q -61 -44 -67 180 0
R -61 -44 -67 180 -65 -180
A -61 -44
A -61 -44
E -61 -44 -67 180 -30
I -61 -44 -65 160
V -61 -44 170
K -61 -44 -67 -65 68 180
R -61 -44 180 -180 65 -85
L -61 -44 -65 -173
C -61 -44 -170
K -61 -44 -67 180 -68 -180
E -61 -44 -67 180 0
Y -61 -44 -77 130
L -61 -44 -65 163
S -61 -44 180
G -42 -59
N -89 106 -62 160
"""

ZINC = (15.14, -17.65, -10.04)
ZINC_WATERS = ((15.16, -16.84, -11.98), (14.18, -19.52, -10.07))
RING_CENTER, RING_ROTATION = (8.92, 11.80, -0.43), (-0.002, -0.051, -0.847)
"""Positions (Å) and rotation vector (radians) in the frame of the peptide, whose first N is the origin."""

CELL = (40.3, 40.0, 49.7, 90.0, 90.0, 90.0)
CRYSTAL_ROTATION, CRYSTAL_SHIFT = (1.4398, -0.4242, 0.5945), (15.28, 36.99, 27.78)
"""From the frame of the peptide into the cell."""


def build_protein() -> Structure:
    """Return the protein chain, its first N at the origin."""
    rows = [line.split() for line in RESIDUES.split("\n") if line]
    return build_peptide(
        "".join(row[0] for row in rows),
        [float(row[1]) for row in rows],
        [float(row[2]) for row in rows],
        chi={index: tuple(map(float, row[3:])) for index, row in enumerate(rows)},
    )


def build_zinc_site() -> Structure:
    """Return the zinc ion and the two waters that complete its shell of two histidines."""
    zinc = from_atoms(
        [("ZN", "ZN", ZINC)],
        residue_name="ZN",
        residue_number=101,
        chain_label="B",
        kind=EntityKind.ION,
    )
    waters = from_atoms(
        [("O", "O", position) for position in ZINC_WATERS],
        residue_name="HOH",
        residue_number=[201, 202],
        chain_label="C",
        kind=EntityKind.WATER,
    )
    return combine([zinc, waters])


def build_benzamidine() -> Structure:
    """Return the ligand, a flat ring with an amidine turned out of its plane by 25 degrees."""
    angles = np.radians(60.0 * np.arange(6))
    ring = 1.39 * np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    carbon = ring[0] + np.array([1.49, 0.0, 0.0])
    atoms: list[tuple[str, str, NDArray[np.float64]]] = [
        (f"C{number}", "C", position) for number, position in enumerate(ring, start=1)
    ]
    atoms.append(("C", "C", carbon))
    for name, torsion in (("N1", 25.0), ("N2", 205.0)):
        atoms.append((name, "N", place_atom(ring[1], ring[0], carbon, 1.31, 119.5, torsion)))
    ligand = from_atoms(atoms, residue_name="BEN", residue_number=102, chain_label="D")
    return moved(ligand, Rotation.from_rotvec(RING_ROTATION).as_matrix(), RING_CENTER)


def build() -> Structure:
    """Return the whole content of the asymmetric unit."""
    protein, site, ligand = build_protein(), build_zinc_site(), build_benzamidine()
    whole = combine(
        [protein, site.take(np.array([0])), ligand, site.take(np.array([1, 2]))],
        source="designed_protein",
        entry=Entry(
            id="designed_protein",
            title="Designed three-helix bundle with zinc and benzamidine, built by debye",
        ),
        crystal=Crystal(cell=CELL, space_group="P 21 21 21"),
    )
    whole = moved(whole, Rotation.from_rotvec(CRYSTAL_ROTATION).as_matrix(), CRYSTAL_SHIFT)
    zinc = int(np.flatnonzero(whole.element == "ZN")[0])
    distance = np.linalg.norm(whole.position - whole.position[zinc], axis=1)
    shell = np.flatnonzero((distance > 0) & (distance < 2.3))
    links = np.array([(min(zinc, atom), max(zinc, atom)) for atom in shell], np.int32)
    return replace(whole, links=links)


if __name__ == "__main__":
    print(write_structure(build(), Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET))
