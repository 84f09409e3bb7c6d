"""Bond lengths, angles and torsions of the 20 amino acids, and how an atom follows from them.

Lengths and angles: Engh & Huber (1991), Acta Cryst. A47, 392, doi:10.1107/S0108767391001071.
Rotamers: the most common one of Lovell et al. (2000), Proteins 40, 389 ("penultimate" library).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LETTERS = {
    "A": "ALA", "R": "ARG", "N": "ASN", "D": "ASP", "C": "CYS", "Q": "GLN", "E": "GLU",
    "G": "GLY", "H": "HIS", "I": "ILE", "L": "LEU", "K": "LYS", "M": "MET", "F": "PHE",
    "P": "PRO", "S": "SER", "T": "THR", "W": "TRP", "Y": "TYR", "V": "VAL",
}  # fmt: skip

BACKBONE = {
    "N-CA": 1.458, "CA-C": 1.525, "C-N": 1.329, "C-O": 1.231,
    "N-CA-C": 111.2, "CA-C-N": 116.2, "C-N-CA": 121.7, "CA-C-O": 120.8,
}  # fmt: skip
"""Lengths (Å) and angles (degrees) of every residue that :data:`BACKBONE_OF` does not name."""

BACKBONE_OF = {
    "GLY": {"N-CA": 1.451, "CA-C": 1.516, "N-CA-C": 112.5, "CA-C-N": 116.4, "C-N-CA": 120.6},
    "PRO": {"N-CA": 1.466, "N-CA-C": 111.8, "CA-C-N": 116.9, "C-N-CA": 122.6},
}
"""What differs in glycine and proline (C-N-CA: of the bond before the residue)."""

ROTAMERS: dict[str, tuple[float, ...]] = {
    "ARG": (-67, 180, 180, 180),
    "ASN": (-65, -20),
    "ASP": (-70, -15),
    "CYS": (-65,),
    "GLN": (-67, 180, -25),
    "GLU": (-67, 180, -10),
    "HIS": (-65, -70),
    "ILE": (-65, 170),
    "LEU": (-65, 175),
    "LYS": (-67, 180, 180, 180),
    "MET": (-67, 180, 75),
    "PHE": (-65, -85),
    "PRO": (28, -31),
    "SER": (62,),
    "THR": (-65,),
    "TRP": (-65, 95),
    "TYR": (-65, -85),
    "VAL": (175,),
}
"""Side-chain torsions chi1, chi2, … in degrees."""

# residue atom, then the three atoms it hangs on (a, b, c), length c-atom in Å, angle b-c-atom and
# torsion a-b-c-atom in degrees; the torsion is a number or chi1 … chi4 plus a number.
_SIDE_CHAINS = """
ALA CB  N   C   CA  1.521 110.5 122.9
ARG CB  N   C   CA  1.530 110.1 122.6
ARG CG  N   CA  CB  1.520 114.1 chi1
ARG CD  CA  CB  CG  1.520 111.3 chi2
ARG NE  CB  CG  CD  1.460 112.0 chi3
ARG CZ  CG  CD  NE  1.329 124.2 chi4
ARG NH1 CD  NE  CZ  1.326 120.0 0
ARG NH2 CD  NE  CZ  1.326 119.7 180
ASN CB  N   C   CA  1.530 110.1 122.6
ASN CG  N   CA  CB  1.516 112.6 chi1
ASN OD1 CA  CB  CG  1.231 120.8 chi2
ASN ND2 CA  CB  CG  1.328 116.4 chi2+180
ASP CB  N   C   CA  1.530 110.1 122.6
ASP CG  N   CA  CB  1.516 112.6 chi1
ASP OD1 CA  CB  CG  1.249 118.4 chi2
ASP OD2 CA  CB  CG  1.249 118.4 chi2+180
CYS CB  N   C   CA  1.530 110.1 122.6
CYS SG  N   CA  CB  1.808 114.4 chi1
GLN CB  N   C   CA  1.530 110.1 122.6
GLN CG  N   CA  CB  1.520 114.1 chi1
GLN CD  CA  CB  CG  1.516 112.6 chi2
GLN OE1 CB  CG  CD  1.231 120.8 chi3
GLN NE2 CB  CG  CD  1.328 116.4 chi3+180
GLU CB  N   C   CA  1.530 110.1 122.6
GLU CG  N   CA  CB  1.520 114.1 chi1
GLU CD  CA  CB  CG  1.516 112.6 chi2
GLU OE1 CB  CG  CD  1.249 118.4 chi3
GLU OE2 CB  CG  CD  1.249 118.4 chi3+180
HIS CB  N   C   CA  1.530 110.1 122.6
HIS CG  N   CA  CB  1.497 113.8 chi1
HIS ND1 CA  CB  CG  1.378 122.7 chi2
HIS CD2 CA  CB  CG  1.354 131.2 chi2+180
HIS CE1 CB  CG  ND1 1.321 109.0 180
HIS NE2 CB  CG  CD2 1.374 109.5 180
ILE CB  N   C   CA  1.540 109.1 123.4
ILE CG1 N   CA  CB  1.530 110.4 chi1
ILE CG2 N   CA  CB  1.521 110.5 chi1-122.6
ILE CD1 CA  CB  CG1 1.513 113.8 chi2
LEU CB  N   C   CA  1.530 110.1 122.6
LEU CG  N   CA  CB  1.530 116.3 chi1
LEU CD1 CA  CB  CG  1.521 110.7 chi2
LEU CD2 CA  CB  CG  1.521 110.7 chi2+122.9
LYS CB  N   C   CA  1.530 110.1 122.6
LYS CG  N   CA  CB  1.520 114.1 chi1
LYS CD  CA  CB  CG  1.520 111.3 chi2
LYS CE  CB  CG  CD  1.520 111.3 chi3
LYS NZ  CG  CD  CE  1.489 111.9 chi4
MET CB  N   C   CA  1.530 110.1 122.6
MET CG  N   CA  CB  1.520 114.1 chi1
MET SD  CA  CB  CG  1.803 112.7 chi2
MET CE  CB  CG  SD  1.791 100.9 chi3
PHE CB  N   C   CA  1.530 110.1 122.6
PHE CG  N   CA  CB  1.502 113.8 chi1
PHE CD1 CA  CB  CG  1.384 120.7 chi2
PHE CD2 CA  CB  CG  1.384 120.7 chi2+180
PHE CE1 CB  CG  CD1 1.382 120.7 180
PHE CE2 CB  CG  CD2 1.382 120.7 180
PHE CZ  CG  CD1 CE1 1.382 120.0 0
PRO CB  N   C   CA  1.530 110.1 114.8
PRO CG  N   CA  CB  1.492 104.5 chi1
PRO CD  CA  CB  CG  1.503 106.1 chi2
SER CB  N   C   CA  1.530 110.1 122.6
SER OG  N   CA  CB  1.417 111.1 chi1
THR CB  N   C   CA  1.540 109.1 123.4
THR OG1 N   CA  CB  1.433 109.6 chi1
THR CG2 N   CA  CB  1.521 110.5 chi1-121.0
TRP CB  N   C   CA  1.530 110.1 122.6
TRP CG  N   CA  CB  1.498 113.6 chi1
TRP CD1 CA  CB  CG  1.365 126.9 chi2
TRP CD2 CA  CB  CG  1.433 126.8 chi2+180
TRP NE1 CB  CG  CD1 1.374 110.2 180
TRP CE2 CB  CG  CD2 1.409 107.2 180
TRP CE3 CB  CG  CD2 1.398 133.9 0
TRP CZ2 CG  CD2 CE2 1.394 122.4 180
TRP CZ3 CG  CD2 CE3 1.382 118.6 180
TRP CH2 CD2 CE2 CZ2 1.368 117.5 0
TYR CB  N   C   CA  1.530 110.1 122.6
TYR CG  N   CA  CB  1.512 113.9 chi1
TYR CD1 CA  CB  CG  1.389 120.8 chi2
TYR CD2 CA  CB  CG  1.389 120.8 chi2+180
TYR CE1 CB  CG  CD1 1.382 121.2 180
TYR CE2 CB  CG  CD2 1.382 121.2 180
TYR CZ  CG  CD1 CE1 1.378 119.6 0
TYR OH  CD1 CE1 CZ  1.376 119.9 180
VAL CB  N   C   CA  1.540 109.1 123.4
VAL CG1 N   CA  CB  1.521 110.5 chi1
VAL CG2 N   CA  CB  1.521 110.5 chi1+122.9
"""


@dataclass(frozen=True, slots=True)
class InternalCoordinate:
    """Where one atom is, relative to three atoms that are there already."""

    atom: str
    parents: tuple[str, str, str]
    """Atoms a, b, c of the torsion a-b-c-atom; the new atom is bonded to c."""
    length: float
    """Of the bond c-atom, Å."""
    angle: float
    """b-c-atom, degrees."""
    torsion: float
    """a-b-c-atom, degrees; counted from chi where ``chi`` is not 0."""
    chi: int = 0
    """Which side-chain torsion turns this atom; 0: none."""


def _read_table(text: str) -> dict[str, tuple[InternalCoordinate, ...]]:
    table: dict[str, list[InternalCoordinate]] = {name: [] for name in LETTERS.values()}
    for line in text.split("\n"):
        if not line:
            continue
        residue, atom, a, b, c, length, angle, torsion = line.split()
        chi = int(torsion[3]) if torsion.startswith("chi") else 0
        offset = float((torsion[4:] or "0") if chi else torsion)
        table[residue].append(
            InternalCoordinate(atom, (a, b, c), float(length), float(angle), offset, chi)
        )
    return {residue: tuple(rows) for residue, rows in table.items()}


SIDE_CHAINS = _read_table(_SIDE_CHAINS)
"""Side-chain atoms of each amino acid in the order in which they can be placed."""


def backbone_value(residue: str, name: str) -> float:
    """Look up a backbone length (Å) or angle (degrees).

    Example:
        >>> backbone_value("ALA", "N-CA"), backbone_value("GLY", "N-CA")
        (1.458, 1.451)
    """
    return BACKBONE_OF.get(residue, {}).get(name, BACKBONE[name])


def place_atom(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    c: NDArray[np.float64],
    length: float,
    angle: float,
    torsion: float,
) -> NDArray[np.float64]:
    """Return the position that has a distance to c, an angle with b-c and a torsion about b-c.

    The natural extension reference frame, NeRF: Parsons et al. (2005), J. Comput. Chem. 26, 1063.

    Args:
        a: (3,) position of an atom that is not on the line through b and c, Å.
        b: (3,) position, Å.
        c: (3,) position of the atom to which the new one is bonded, Å.
        length: Distance of the new atom from c, Å.
        angle: b-c-new, degrees.
        torsion: a-b-c-new, degrees; 0 is cis.

    Example:
        >>> a, b, c = np.array([[1.0, 0, 0], [0, 0, 0], [0, 1.0, 0]])
        >>> place_atom(a, b, c, length=1.0, angle=90.0, torsion=0.0).round(6).tolist()
        [1.0, 1.0, 0.0]
    """
    bend, turn = np.radians([angle, torsion])
    along = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, along)
    normal = normal / np.linalg.norm(normal)
    side = np.cross(normal, along)
    return c + length * (
        -np.cos(bend) * along + np.sin(bend) * (np.cos(turn) * side + np.sin(turn) * normal)
    )


def place_side_chain(
    atoms: Mapping[str, NDArray[np.float64]], residue: str, chi: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """Return the side-chain positions (Å) of a residue, given its N, CA and C and its chi (degrees)."""
    placed = dict(atoms)
    for row in SIDE_CHAINS[residue]:
        torsion = row.torsion + (chi[row.chi - 1] if row.chi else 0.0)
        a, b, c = (placed[name] for name in row.parents)
        placed[row.atom] = place_atom(a, b, c, row.length, row.angle, torsion)
    return {row.atom: placed[row.atom] for row in SIDE_CHAINS[residue]}
