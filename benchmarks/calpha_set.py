"""The public set of 364 proteins that Cα models of B-factors are compared on, and its list of 346.

Published with https://github.com/ZHHMCI/CAL (MIT): one Cα atom a residue in PDB format, no cell, no header.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from jaxtyping import Float

from debye.errors import FormatError

SUPERSET = "list-superset.txt"
"""The 346 proteins that blind predictions are scored on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalphaProtein:
    """The Cα atoms of one protein, in the order of the file."""

    id: str
    position: Float[np.ndarray, "residues 3"]
    """Å."""
    b_iso: Float[np.ndarray, " residues"]
    """Å²."""
    chain: tuple[str, ...]
    residue_name: tuple[str, ...]

    @property
    def letters(self) -> str:
        """One letter a residue; a modified residue counts as the amino acid it comes from, X as none."""
        found = (gemmi.find_tabulated_residue(name).one_letter_code for name in self.residue_name)
        return "".join(letter.upper() if letter.isalpha() else "X" for letter in found)

    def sequences(self) -> dict[str, str]:
        """Return the observed sequence of each chain."""
        letters = self.letters
        return {
            name: "".join(
                letter for letter, chain in zip(letters, self.chain, strict=True) if chain == name
            )
            for name in dict.fromkeys(self.chain)
        }


def read_calpha(path: Path) -> CalphaProtein:
    """Read one file of the set; of a residue with alternative locations the first one counts.

    Raises:
        FormatError: the file cannot be read, or has no Cα atom.
    """
    atoms: dict[tuple[str, str], tuple[list[float], float, str]] = {}
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith(("ATOM", "HETATM")) and line[12:16] == " CA ":
                place = line[21], line[22:27]  # chain; number and insertion code
                values = [float(line[start : start + 8]) for start in (30, 38, 46)]
                atoms.setdefault(place, (values, float(line[60:66]), line[17:20].strip()))
    except (OSError, ValueError) as error:
        raise FormatError(
            str(path), problem=f"cannot be read ({error})", remedy="Get the set again"
        ) from error
    if not atoms:
        raise FormatError(str(path), problem="no Cα atom", remedy="Give a file of the set")
    position, b_iso, names = zip(*atoms.values(), strict=True)
    return CalphaProtein(
        id=path.name[:4].upper(),
        position=np.array(position),
        b_iso=np.array(b_iso),
        chain=tuple(chain for chain, _ in atoms),
        residue_name=names,
    )


def read_calpha_set(folder: Path, ids: Sequence[str] | None = None) -> list[CalphaProtein]:
    """Read proteins of the set, sorted by id; all of the folder where none are named.

    Args:
        folder: Holds ``364/<id>_CA_A2.pdb`` and the lists.
        ids: PDB ids.

    Raises:
        FormatError: a file is missing or cannot be read, or the folder holds none.
    """
    return [read_calpha(path) for path in calpha_files(folder, ids)]


def calpha_files(folder: Path, ids: Sequence[str] | None = None) -> list[Path]:
    """Return the files of proteins of the set, sorted; see :func:`read_calpha_set`.

    Raises:
        FormatError: none are named, and the folder holds none.
    """
    if ids is None:
        found = sorted((folder / "364").glob("*_CA_A2.pdb"))
        if not found:
            raise FormatError(
                str(folder),
                problem="no file 364/<id>_CA_A2.pdb is in it",
                remedy="Give the folder of the set of 364 proteins",
            )
        return found
    return [folder / "364" / f"{name}_CA_A2.pdb" for name in sorted(ids)]


def superset_ids(folder: Path) -> list[str]:
    """Return the 346 ids, sorted.

    Raises:
        FormatError: the list is missing.
    """
    path = folder / SUPERSET
    try:
        return sorted(path.read_text(encoding="ascii").split())
    except OSError as error:
        raise FormatError(
            str(path), problem=f"cannot be read ({error})", remedy="Get the set again"
        ) from error


def files_digest(paths: Sequence[Path]) -> str:
    """Return one SHA-256 of the names and contents of files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
