"""Structures made by code: proteins with ideal geometry, and structures from named atoms, moved and combined.

Lengths and angles: Engh & Huber (1991), Acta Cryst. A47, 392, doi:10.1107/S0108767391001071.
Rotamers: the most common one of Lovell et al. (2000), Proteins 40, 389 ("penultimate" library).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from debye.errors import StructureError
from debye.structure.structure import Crystal, EntityKind, Entry, Structure

Position = NDArray[np.float64]
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
    "ARG": (-67, 180, 180, 180), "ASN": (-65, -20), "ASP": (-70, -15), "CYS": (-65,), "GLN": (-67, 180, -25),
    "GLU": (-67, 180, -10), "HIS": (-65, -70), "ILE": (-65, 170), "LEU": (-65, 175), "LYS": (-67, 180, 180, 180),
    "MET": (-67, 180, 75), "PHE": (-65, -85), "PRO": (28, -31), "SER": (62,), "THR": (-65,), "TRP": (-65, 95),
    "TYR": (-65, -85), "VAL": (175,),
}  # fmt: skip
"""Side-chain torsions chi1, chi2, … in degrees."""

# Letters of the amino acids, atom, the three atoms that place it (a, b, c), length c-atom in Å, angle b-c-atom and
# torsion a-b-c-atom in degrees; the torsion is a number or chi1 … chi4 plus a number.
_SIDE_CHAINS = """
A              CB  N   C   CA  1.521 110.5 122.9
RNDCQEHLKMFSWY CB  N   C   CA  1.530 110.1 122.6
RQEKM          CG  N   CA  CB  1.520 114.1 chi1
RK             CD  CA  CB  CG  1.520 111.3 chi2
R              NE  CB  CG  CD  1.460 112.0 chi3
R              CZ  CG  CD  NE  1.329 124.2 chi4
R              NH1 CD  NE  CZ  1.326 120.0 0
R              NH2 CD  NE  CZ  1.326 119.7 180
ND             CG  N   CA  CB  1.516 112.6 chi1
N              OD1 CA  CB  CG  1.231 120.8 chi2
N              ND2 CA  CB  CG  1.328 116.4 chi2+180
D              OD1 CA  CB  CG  1.249 118.4 chi2
D              OD2 CA  CB  CG  1.249 118.4 chi2+180
C              SG  N   CA  CB  1.808 114.4 chi1
QE             CD  CA  CB  CG  1.516 112.6 chi2
Q              OE1 CB  CG  CD  1.231 120.8 chi3
Q              NE2 CB  CG  CD  1.328 116.4 chi3+180
E              OE1 CB  CG  CD  1.249 118.4 chi3
E              OE2 CB  CG  CD  1.249 118.4 chi3+180
H              CG  N   CA  CB  1.497 113.8 chi1
H              ND1 CA  CB  CG  1.378 122.7 chi2
H              CD2 CA  CB  CG  1.354 131.2 chi2+180
H              CE1 CB  CG  ND1 1.321 109.0 180
H              NE2 CB  CG  CD2 1.374 109.5 180
ITV            CB  N   C   CA  1.540 109.1 123.4
I              CG1 N   CA  CB  1.530 110.4 chi1
I              CG2 N   CA  CB  1.521 110.5 chi1-122.6
I              CD1 CA  CB  CG1 1.513 113.8 chi2
L              CG  N   CA  CB  1.530 116.3 chi1
L              CD1 CA  CB  CG  1.521 110.7 chi2
L              CD2 CA  CB  CG  1.521 110.7 chi2+122.9
K              CE  CB  CG  CD  1.520 111.3 chi3
K              NZ  CG  CD  CE  1.489 111.9 chi4
M              SD  CA  CB  CG  1.803 112.7 chi2
M              CE  CB  CG  SD  1.791 100.9 chi3
F              CG  N   CA  CB  1.502 113.8 chi1
F              CD1 CA  CB  CG  1.384 120.7 chi2
F              CD2 CA  CB  CG  1.384 120.7 chi2+180
F              CE1 CB  CG  CD1 1.382 120.7 180
F              CE2 CB  CG  CD2 1.382 120.7 180
F              CZ  CG  CD1 CE1 1.382 120.0 0
P              CB  N   C   CA  1.530 110.1 114.8
P              CG  N   CA  CB  1.492 104.5 chi1
P              CD  CA  CB  CG  1.503 106.1 chi2
S              OG  N   CA  CB  1.417 111.1 chi1
T              OG1 N   CA  CB  1.433 109.6 chi1
T              CG2 N   CA  CB  1.521 110.5 chi1-121.0
W              CG  N   CA  CB  1.498 113.6 chi1
W              CD1 CA  CB  CG  1.365 126.9 chi2
W              CD2 CA  CB  CG  1.433 126.8 chi2+180
W              NE1 CB  CG  CD1 1.374 110.2 180
W              CE2 CB  CG  CD2 1.409 107.2 180
W              CE3 CB  CG  CD2 1.398 133.9 0
W              CZ2 CG  CD2 CE2 1.394 122.4 180
W              CZ3 CG  CD2 CE3 1.382 118.6 180
W              CH2 CD2 CE2 CZ2 1.368 117.5 0
Y              CG  N   CA  CB  1.512 113.9 chi1
Y              CD1 CA  CB  CG  1.389 120.8 chi2
Y              CD2 CA  CB  CG  1.389 120.8 chi2+180
Y              CE1 CB  CG  CD1 1.382 121.2 180
Y              CE2 CB  CG  CD2 1.382 121.2 180
Y              CZ  CG  CD1 CE1 1.378 119.6 0
Y              OH  CD1 CE1 CZ  1.376 119.9 180
V              CG1 N   CA  CB  1.521 110.5 chi1
V              CG2 N   CA  CB  1.521 110.5 chi1+122.9
"""


class InternalCoordinate(NamedTuple):
    """Where one atom is, relative to three atoms that are placed already."""

    atom: str
    parents: tuple[str, str, str]
    """Atoms a, b, c of the torsion a-b-c-atom; the new atom is bonded to c."""
    length: float
    """Of the bond c-atom, Å."""
    angle: float
    """b-c-atom, degrees."""
    torsion: float
    """a-b-c-atom, degrees; counted from chi unless ``chi`` is 0."""
    chi: int = 0
    """Side-chain torsion that turns this atom; 0: none."""


def _read_table(text: str) -> dict[str, list[InternalCoordinate]]:
    table: dict[str, list[InternalCoordinate]] = {name: [] for name in LETTERS.values()}
    for line in text.strip().splitlines():
        letters, atom, a, b, c, length, angle, torsion = line.split()
        chi = int(torsion[3]) if torsion.startswith("chi") else 0
        offset = float((torsion[4:] or "0") if chi else torsion)
        row = InternalCoordinate(atom, (a, b, c), float(length), float(angle), offset, chi)
        for letter in letters:
            table[LETTERS[letter]].append(row)
    return table


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
    a: Position, b: Position, c: Position, length: float, angle: float, torsion: float
) -> Position:
    """Return the position that has a distance to c, an angle with b-c and a torsion about b-c.

    The natural extension reference frame, NeRF: Parsons et al. (2005), J. Comput. Chem. 26, 1063.

    Positions (3,) and ``length`` in Å, angles in degrees, 0 is cis; a is not on the line through b and c.

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
    atoms: dict[str, Position], residue: str, chi: Sequence[float]
) -> dict[str, Position]:
    """Return the side-chain positions (Å) of a residue, given its N, CA and C and its chi (degrees)."""
    placed: dict[str, Position] = {}
    for row in SIDE_CHAINS[residue]:
        torsion = row.torsion + (chi[row.chi - 1] if row.chi else 0.0)
        a, b, c = ((atoms | placed)[name] for name in row.parents)
        placed[row.atom] = place_atom(a, b, c, row.length, row.angle, torsion)
    return placed


SEGMENTS = {
    "H": (-57.8, -47.0),  # alpha helix
    "G": (-49.0, -26.0),  # 3-10 helix
    "E": (-119.0, 113.0),  # strand of a parallel sheet
    "B": (-139.0, 135.0),  # strand of an antiparallel sheet
    "P": (-75.0, 145.0),  # polyproline II: an open loop
    "L": (57.8, 47.0),  # left-handed alpha: a sharp turn
}
"""phi and psi (degrees) of the usual conformations."""


def torsions(segments: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return phi and psi (degrees) for a string with one letter of :data:`SEGMENTS` a residue.

    Example:
        >>> torsions("HP")[0].tolist()
        [-57.8, -75.0]
    """
    unknown = sorted(set(segments) - set(SEGMENTS))
    if unknown or not segments:
        raise StructureError(
            "torsions",
            f"no conformation is called {', '.join(unknown) or repr(segments)}",
            f"Use one letter a residue out of {' '.join(SEGMENTS)}",
        )
    phi, psi = zip(*(SEGMENTS[letter] for letter in segments), strict=True)
    return np.array(phi), np.array(psi)


def build_peptide(
    sequence: str,
    phi: ArrayLike = SEGMENTS["H"][0],
    psi: ArrayLike = SEGMENTS["H"][1],
    *,
    chi: Mapping[int, Sequence[float]] | None = None,
    chain: str = "A",
    first_residue: int = 1,
    source: str = "peptide",
) -> Structure:
    """Build all heavy atoms of a protein chain, trans peptide bonds, without B-factors (NaN).

    The first residue's N is at the origin. The last residue gets an OXT. Clashes are not checked.

    Args:
        sequence: One-letter codes of the 20 amino acids.
        phi: C-N-CA-C torsion, degrees: one number, or one for each residue (the first is not used).
        psi: N-CA-C-N torsion, degrees: one number, or one for each residue.
        chi: Side-chain torsions (degrees) of single residues, counted from 0, instead of the usual ones.
        chain: Name of the chain.
        first_residue: Number of the first residue.
        source: For error messages and reports.

    Raises:
        StructureError: A letter is not an amino acid, or a torsion is missing.

    Example:
        >>> helix = build_peptide("ACDE")
        >>> helix.n_residues, len(helix), helix.residue_name[0].item()
        (4, 29, 'ALA')
    """
    names = _residue_names(sequence, source)
    angles = (
        _one_each(each, len(names), what, source) for each, what in ((phi, "phi"), (psi, "psi"))
    )
    backbone, terminal = _backbone(names, *angles)
    residues = [
        placed | place_side_chain(placed, name, _chi_of(index, name, chi or {}, source))
        for index, (name, placed) in enumerate(zip(names, backbone, strict=True))
    ]
    residues[-1]["OXT"] = terminal
    sizes = [len(residue) for residue in residues]
    return from_atoms(
        [(atom, atom[0], place) for residue in residues for atom, place in residue.items()],
        residue_name=np.repeat(names, sizes),
        residue_number=np.repeat(first_residue + np.arange(len(names)), sizes),
        chain=chain,
        kind=EntityKind.PROTEIN,
        source=source,
    )


def peptide_in_crystal() -> Structure:
    """Return 13 residues of helix and strand as two chains in a tight cell, where mates touch but do not clash.

    B-factors rise from 10 to 40 Å² along the chain; the resolution is 1.7 Å.
    """
    phi, psi = torsions("HHHHHHHPPBBBB")
    peptide = build_peptide("MKWHEFRGPYCIT", phi, psi)
    x, y, z = map(float, np.ptp(peptide.position, axis=0) + 3.0)
    chain = np.where(peptide.residue_index < 6, "A", "B")
    return replace(
        peptide,
        chain=chain,
        chain_label=chain.copy(),
        b_iso=np.linspace(10, 40, len(peptide), dtype=np.float32),
        crystal=Crystal(cell=(x, y, z, 90.0, 90.0, 90.0), space_group="P 1"),
        entry=Entry(id="1aaa", method="X-RAY DIFFRACTION", resolution=1.7),
    )


def from_atoms(
    atoms: Sequence[tuple[str, str, ArrayLike]],
    *,
    residue_name: ArrayLike,
    residue_number: ArrayLike,
    chain: str = "A",
    chain_label: str | None = None,
    kind: EntityKind = EntityKind.LIGAND,
    source: str = "built",
) -> Structure:
    """Make a structure of one chain, fully occupied and without B-factors (NaN).

    Args:
        atoms: Atom name, element and position (Å) of each atom.
        residue_name: One component identifier for all atoms, or one for each.
        residue_number: One number for all atoms, or one for each; a new number is a new residue.
        chain: Name of the chain as authors give it.
        chain_label: The same as mmCIF gives it; None: ``chain``.
        kind: What the atoms belong to; everything but proteins and nucleic acids becomes HETATM.
        source: For error messages.

    Example:
        >>> zinc = from_atoms([("ZN", "ZN", (0, 0, 0))], residue_name="ZN", residue_number=1)
        >>> len(zinc), str(zinc.residue_name[0]), bool(zinc.is_hetero[0])
        (1, 'ZN', True)
    """
    names, elements, position = zip(*atoms, strict=True)
    count = len(names)
    numbers = np.broadcast_to(np.asarray(residue_number, np.int32), count).copy()
    changes = np.diff(numbers, prepend=numbers[:1]) != 0
    empty = np.full(count, "")
    return Structure(
        source=source,
        record=np.arange(count, dtype=np.int32),
        model=np.ones(count, np.int32),
        chain=np.full(count, chain),
        chain_label=np.full(count, chain if chain_label is None else chain_label),
        residue_number=numbers,
        insertion_code=empty,
        residue_name=np.broadcast_to(np.asarray(residue_name, np.str_), count).copy(),
        atom_name=np.array(names),
        altloc=empty.copy(),
        element=np.char.upper(np.array(elements)),
        position=np.array(position, np.float32),
        occupancy=np.ones(count, np.float32),
        b_iso=np.full(count, np.nan, np.float32),
        is_hetero=np.full(count, not kind.is_polymer),
        entity_kind=np.full(count, kind, np.int8),
        residue_index=np.cumsum(changes).astype(np.int32),
    )


def moved(structure: Structure, rotation: ArrayLike, shift: ArrayLike) -> Structure:
    """Rotate all atoms about the origin (3, 3), then shift them (3,; Å); the crystal stays as it is."""
    position = structure.position.astype(np.float64) @ np.asarray(rotation, np.float64).T
    return replace(structure, position=(position + np.asarray(shift)).astype(np.float32))


def combine(
    parts: Sequence[Structure],
    *,
    source: str | None = None,
    entry: Entry | None = None,
    crystal: Crystal | None = None,
) -> Structure:
    """Join structures into one: records, residues and links are numbered on, ANISOU is dropped.

    The source is that of the first part if not given; entry and crystal of the parts are dropped.

    Raises:
        StructureError: there are no parts.
    """
    if not parts:
        raise StructureError(
            source or "combine", "no parts to combine", "Give at least one structure"
        )
    own = ("links", "record", "residue_index", "u_aniso")
    columns = [
        item.name
        for item in fields(Structure)
        if isinstance(getattr(parts[0], item.name), np.ndarray) and item.name not in own
    ]
    atoms = np.cumsum([0, *(len(part) for part in parts)])
    residues = np.cumsum([0, *(part.n_residues for part in parts)])
    index = [part.residue_index + start for part, start in zip(parts, residues, strict=False)]
    links = [part.links + start for part, start in zip(parts, atoms, strict=False)]
    return Structure(
        source=source or parts[0].source,
        record=np.arange(atoms[-1], dtype=np.int32),
        residue_index=np.concatenate(index).astype(np.int32),
        links=np.concatenate(links).astype(np.int32),
        entry=entry or Entry(),
        crystal=crystal,
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns},
    )


def _residue_names(sequence: str, source: str) -> list[str]:
    unknown = sorted(set(sequence) - set(LETTERS))
    if unknown or not sequence:
        raise StructureError(
            source,
            f"the sequence {sequence[:20]!r} contains {unknown or 'nothing'}",
            f"Use the letters {''.join(sorted(LETTERS))}",
        )
    return [LETTERS[letter] for letter in sequence]


def _one_each(value: ArrayLike, residues: int, name: str, source: str) -> NDArray[np.float64]:
    values = np.asarray(value, np.float64)
    if values.shape not in ((), (residues,)):
        raise StructureError(
            source,
            f"{name} has shape {values.shape} for {residues} residues",
            "Give one number, or one for each residue",
        )
    return np.broadcast_to(values, residues)


def _chi_of(
    index: int, name: str, chi: Mapping[int, Sequence[float]], source: str
) -> Sequence[float]:
    turns = chi.get(index, ROTAMERS.get(name, ()))
    needed = max((row.chi for row in SIDE_CHAINS[name]), default=0)
    if len(turns) != needed:
        raise StructureError(
            source,
            f"residue {index} ({name}) has {needed} chi torsions, but {len(turns)} are given",
            "Give all of them, in degrees",
        )
    return turns


def _backbone(
    names: Sequence[str], phi: NDArray[np.float64], psi: NDArray[np.float64]
) -> tuple[list[dict[str, Position]], Position]:
    """Place N, CA, C and O of every residue; return them, and OXT of the last one."""
    n, ca = np.zeros(3), np.array([backbone_value(names[0], "N-CA"), 0.0, 0.0])
    before = np.array([0.0, 1.0, 0.0])  # any point off the line N-CA: it only fixes the pose
    residues: list[dict[str, Position]] = []
    for index, name in enumerate(names):
        length, angle = backbone_value(name, "C-O"), backbone_value(name, "CA-C-O")
        if index:
            last, bond = residues[-1], backbone_value(names[index - 1], "C-N")
            turn = backbone_value(name, "CA-C-N")
            n = place_atom(last["N"], last["CA"], last["C"], bond, turn, psi[index - 1])
            bond, turn = backbone_value(name, "N-CA"), backbone_value(name, "C-N-CA")
            ca = place_atom(last["CA"], last["C"], n, bond, turn, 180.0)
            before = last["C"]
        bond, turn = backbone_value(name, "CA-C"), backbone_value(name, "N-CA-C")
        c = place_atom(before, n, ca, bond, turn, phi[index])
        o = place_atom(n, ca, c, length, angle, psi[index] + 180.0)
        residues.append({"N": n, "CA": ca, "C": c, "O": o})
    return residues, place_atom(n, ca, c, length, angle, psi[-1])
