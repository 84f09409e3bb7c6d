"""Structures made by code: proteins with ideal geometry, and structures from named atoms, moved and combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from debye.errors import StructureError
from debye.structure.structure import Crystal, EntityKind, Entry, Structure
from debye.testing.ideal_geometry import (
    LETTERS,
    ROTAMERS,
    SIDE_CHAINS,
    backbone_value,
    place_atom,
    place_side_chain,
)

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

    The first residue's N is at the origin. Clashes are not checked: choose torsions without them. The last residue gets an OXT.

    Args:
        sequence: One-letter codes of the 20 amino acids.
        phi: C-N-CA-C torsion, degrees: one number, or one for each residue (the first is not used).
        psi: N-CA-C-N torsion, degrees: one number, or one for each residue.
        chi: Side-chain torsions (degrees) of single residues, counted from 0, instead of the usual ones.
        chain: Name of the chain.
        first_residue: Number of the first residue.
        source: Named in error messages and reports.

    Raises:
        StructureError: A letter is not an amino acid, or a torsion is missing.

    Example:
        >>> helix = build_peptide("ACDE")
        >>> helix.n_residues, len(helix), helix.residue_name[0].item()
        (4, 29, 'ALA')
    """
    names = _residue_names(sequence, source)
    backbone = _backbone(
        names,
        _one_each(phi, len(names), "phi", source),
        _one_each(psi, len(names), "psi", source),
    )
    atoms: list[tuple[str, str, NDArray[np.float64]]] = []
    residue_name: list[str] = []
    residue_number: list[int] = []
    for index, (name, placed) in enumerate(zip(names, backbone, strict=True)):
        turns = _chi_of(index, name, chi or {}, source)
        terminal = {"OXT": placed.pop("OXT")} if "OXT" in placed else {}
        residue = {**placed, **place_side_chain(placed, name, turns), **terminal}
        atoms += [(atom, atom[0], position) for atom, position in residue.items()]
        residue_name += [name] * len(residue)
        residue_number += [first_residue + index] * len(residue)
    return from_atoms(
        atoms,
        residue_name=residue_name,
        residue_number=residue_number,
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
        source: Named in error messages.

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
    """Rotate all atoms about the origin, then shift them; the crystal stays as it is.

    Args:
        structure: Any structure.
        rotation: (3, 3) orthogonal matrix.
        shift: (3,) Å.
    """
    turn: NDArray[np.float64] = np.asarray(rotation, np.float64)
    position = structure.position.astype(np.float64) @ turn.T + np.asarray(shift, np.float64)
    return replace(structure, position=position.astype(np.float32))


def combine(
    parts: Sequence[Structure],
    *,
    source: str | None = None,
    entry: Entry | None = None,
    crystal: Crystal | None = None,
) -> Structure:
    """Put structures one after the other into one: records, residues and links are counted on.

    ANISOU is dropped; entry and crystal are those given, not those of the parts.

    Args:
        parts: At least one structure.
        source: Name of the result; None: that of the first part.
        entry: Facts about the whole; None: none.
        crystal: Cell and symmetry of the whole; None: none.

    Raises:
        StructureError: There is nothing to combine.
    """
    if not parts:
        raise StructureError(
            source or "combine", "no parts to combine", "Give at least one structure"
        )
    shared = [
        item.name
        for item in fields(Structure)
        if isinstance(getattr(parts[0], item.name), np.ndarray)
        and item.name not in ("links", "record", "residue_index", "u_aniso")
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
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in shared},
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
) -> list[dict[str, NDArray[np.float64]]]:
    """Place N, CA, C and O of every residue, and OXT of the last one."""
    first = names[0]
    n = np.zeros(3)
    ca = np.array([backbone_value(first, "N-CA"), 0.0, 0.0])
    before = np.array([0.0, 1.0, 0.0])  # any point off the line N-CA: it only fixes the pose
    residues = []
    for index, name in enumerate(names):
        if index:
            last, bond = residues[-1], names[index - 1]
            n = place_atom(
                last["N"], last["CA"], last["C"],
                backbone_value(bond, "C-N"), backbone_value(name, "CA-C-N"), psi[index - 1],
            )  # fmt: skip
            ca = place_atom(
                last["CA"], last["C"], n,
                backbone_value(name, "N-CA"), backbone_value(name, "C-N-CA"), 180.0,
            )  # fmt: skip
            before = last["C"]
        c = place_atom(
            before, n, ca, backbone_value(name, "CA-C"), backbone_value(name, "N-CA-C"), phi[index]
        )
        length, angle = backbone_value(name, "C-O"), backbone_value(name, "CA-C-O")
        o = place_atom(n, ca, c, length, angle, psi[index] + 180.0)
        residues.append({"N": n, "CA": ca, "C": c, "O": o})
    residues[-1]["OXT"] = place_atom(n, ca, c, length, angle, psi[-1])
    return residues
