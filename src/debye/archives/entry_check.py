"""Is this file the entry that was asked for, whole and readable?"""

from __future__ import annotations

import gzip
from pathlib import Path

import gemmi

from debye.archives.download import body_problem
from debye.errors import FormatError
from debye.structure.bcif import read_categories


def entry_problem(path: Path, name: str, expected: str) -> str | None:
    """Say what is wrong with a structure file, or None: complete, decodable, and the right entry.

    Args:
        path: File to check.
        name: Its name once it is in place.
        expected: Identifier of the entry, in any case. PDB-format files are not asked for it.
    """
    if problem := body_problem(path, name):
        return problem
    content = path.read_bytes()
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    kind = Path(name.removesuffix(".gz")).suffix
    if kind == ".pdb":
        return None
    try:
        found, atoms = (_in_bcif if kind == ".bcif" else _in_cif)(content, name)
    except FormatError as error:
        return error.problem
    if not atoms:
        return "has no atoms"
    return None if found.lower() == expected.lower() else f"holds entry {found!r}, not {expected!r}"


def _in_bcif(content: bytes, name: str) -> tuple[str, int]:
    """Return identifier and number of atoms; every column of the atoms is decoded."""
    found, _ = read_categories(content, ("entry", "atom_site"), source=name, needed="atom_site")
    atoms = found.get("atom_site", {})
    if len({len(column) for column in atoms.values()}) > 1:
        raise FormatError(
            name, problem="columns of atoms differ in length", remedy="Download the file again"
        )
    column = found.get("entry", {}).get("id")
    identifier = "" if column is None or not len(column) else str(column.texts()[0])
    return identifier, len(next(iter(atoms.values()), ()))


def _in_cif(content: bytes, name: str) -> tuple[str, int]:
    try:
        blocks = gemmi.cif.read_string(content)
    except (ValueError, RuntimeError) as error:
        raise FormatError(
            name, problem=f"damaged mmCIF ({error})", remedy="Download the file again"
        ) from error
    for block in blocks:
        if atoms := len(block.find_values("_atom_site.id")):
            return gemmi.cif.as_string(block.find_value("_entry.id") or block.name), atoms
    return "", 0
