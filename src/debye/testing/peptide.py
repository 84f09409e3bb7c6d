"""Proteins built from sequence and torsions, with ideal bond lengths and angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from debye.errors import StructureError
from debye.structure.structure import EntityKind, Structure
from debye.testing.assemble import from_atoms
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
            problem=f"no conformation is called {', '.join(unknown) or repr(segments)}",
            remedy=f"Use one letter a residue out of {' '.join(SEGMENTS)}",
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

    The first residue's N is at the origin. Nothing keeps side chains or far residues from clashing: choose
    the torsions so that they do not. The last residue gets an OXT.

    Args:
        sequence: One-letter codes of the 20 amino acids.
        phi: C-N-CA-C torsion, degrees: one number, or one for each residue (the first is not used).
        psi: N-CA-C-N torsion, degrees: one number, or one for each residue.
        chi: Side-chain torsions (degrees) of single residues, counted from 0, instead of the usual ones.
        chain: Name of the chain.
        first_residue: Number of the first residue.
        source: Named in error messages and reports.

    Raises:
        StructureError: A letter is no amino acid, or a torsion is missing.

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


def _residue_names(sequence: str, source: str) -> list[str]:
    unknown = sorted(set(sequence) - set(LETTERS))
    if unknown or not sequence:
        raise StructureError(
            source,
            problem=f"the sequence {sequence[:20]!r} holds {unknown or 'nothing'}",
            remedy=f"Use the letters {''.join(sorted(LETTERS))}",
        )
    return [LETTERS[letter] for letter in sequence]


def _one_each(value: ArrayLike, residues: int, name: str, source: str) -> NDArray[np.float64]:
    values = np.asarray(value, np.float64)
    if values.shape not in ((), (residues,)):
        raise StructureError(
            source,
            problem=f"{name} has shape {values.shape} for {residues} residues",
            remedy="Give one number, or one for each residue",
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
            problem=f"residue {index} ({name}) has {needed} chi torsions, but {len(turns)} are given",
            remedy="Give all of them, in degrees",
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
