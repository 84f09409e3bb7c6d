"""Copies of structure files in which only the B-factors are new."""

from __future__ import annotations

import gzip
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.structure.convert import mmcif_to_pdb, pdb_to_mmcif
from debye.structure.edits import Edited
from debye.structure.read import file_format, uncompressed
from debye.structure.write_bcif import replace_b_bcif
from debye.structure.write_mmcif import replace_b_mmcif
from debye.structure.write_pdb import LARGEST, SMALLEST, replace_b_pdb

TARGET_FORMATS = {".cif": "cif", ".mmcif": "cif", ".pdb": "pdb", ".ent": "pdb"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """What a written copy holds."""

    target: Path
    atoms: int
    """Atom records in the file, all models."""
    replaced: int
    """Atoms with a new B."""
    kept: int
    """Atoms that keep the file's value, because none was given."""
    dropped_anisotropic: int
    """Records (ANISOU, SIGUIJ, ``_atom_site_anisotrop``) that contradicted the new B."""
    clipped: int
    """New values cut to what a PDB file can hold, -99.99 to 999.99 Å²."""

    def __str__(self) -> str:
        extras = [
            f"{count} {what}"
            for count, what in (
                (self.kept, "atoms keep their value"),
                (self.dropped_anisotropic, "anisotropic records dropped"),
                (self.clipped, "values clipped to the PDB columns"),
            )
            if count
        ]
        return ", ".join([f"{self.target}: {self.replaced} B-factors replaced", *extras])


def write_with_b(source: Path | str, target: Path | str, b: NDArray[np.floating]) -> WriteReport:
    """Write a copy of a structure file with new B-factors.

    The suffix of ``target`` chooses the format: ``.cif``, ``.mmcif``, ``.pdb`` or ``.ent``, each
    also with ``.gz``. Within a format nothing but B changes: mmCIF keeps its layout byte by byte,
    PDB keeps every byte outside columns 61-66. BinaryCIF becomes mmCIF text with every category.
    Between PDB and mmCIF gemmi converts what it knows; what does not fit a PDB file is refused.
    Anisotropic records of replaced atoms are dropped and counted, in every format.

    The file appears complete or not at all: it is written beside its place and then renamed.

    Args:
        source: File to copy: mmCIF, BinaryCIF or PDB, each also gzipped.
        target: File to write; its folder must exist.
        b: (records,) new B-factors, Å², by :attr:`~debye.structure.Structure.record`, all models;
            NaN keeps the value of the file.

    Raises:
        StructureError: The number of values differs from the file's, a value is infinite, the
            entry does not fit the format, or the target cannot be written.
    """
    source, target = Path(source), Path(target)
    target_format = _target_format(target)
    b = np.asarray(b)
    if np.isinf(b).any():
        raise StructureError(
            str(source),
            problem=f"{int(np.isinf(b).sum())} of {len(b)} new B-factors are infinite",
            remedy="Give finite values, or NaN where the file's value is to stay",
        )
    if target.exists() and target.samefile(source):
        raise StructureError(
            str(source), "the copy would overwrite its source", "Choose another folder or name"
        )
    edited = _edit(source, target_format, b)
    _write_atomically(target, edited.data)
    return WriteReport(
        target=target,
        atoms=len(b),
        replaced=edited.replaced,
        kept=edited.kept,
        dropped_anisotropic=edited.dropped_anisotropic,
        clipped=edited.clipped,
    )


def _edit(source: Path, target_format: str, b: NDArray[np.floating]) -> Edited:
    """Read the source and put the new values in, in the format of the target."""
    name = str(source)
    data = uncompressed(source.read_bytes(), name)
    source_format = file_format(data, name)
    if source_format == "pdb":
        edited = replace_b_pdb(data, b, name)
        if target_format == "pdb":
            return edited
        return _with_data(edited, pdb_to_mmcif(edited.data, name), edited.clipped)
    clipped = 0
    if target_format == "pdb":
        clipped = int(((b > LARGEST + 0.005) | (b < SMALLEST - 0.005)).sum())
        b = np.clip(b, SMALLEST, LARGEST)
    replace_b = replace_b_mmcif if source_format == "mmcif" else replace_b_bcif
    edited = replace_b(data, b, name)
    if target_format == "cif":
        return edited
    return _with_data(edited, mmcif_to_pdb(edited.data, name), clipped)


def _with_data(edited: Edited, data: bytes, clipped: int) -> Edited:
    return Edited(data, edited.replaced, edited.kept, edited.dropped_anisotropic, clipped)


def _target_format(target: Path) -> str:
    """The format that a file name asks for.

    Example:
        >>> _target_format(Path("1abc.ent.gz"))
        'pdb'
    """
    suffix = Path(target.name.removesuffix(".gz")).suffix.lower()
    if suffix in TARGET_FORMATS:
        return TARGET_FORMATS[suffix]
    raise StructureError(
        str(target),
        problem=f"debye does not write files that end in {suffix!r}",
        remedy=f"Use one of {', '.join(TARGET_FORMATS)}, each also with .gz",
    )


def _write_atomically(target: Path, data: bytes) -> None:
    """Write a file beside its place and rename it, so that a half-written one is never seen."""
    if target.name.endswith(".gz"):
        # Without the time stamp the same input gives the same file.
        data = gzip.compress(data, compresslevel=6, mtime=0)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(target)
    except OSError as error:
        raise StructureError(
            str(target),
            problem=f"cannot be written: {error.strerror or error}",
            remedy="Free some space, create the folder, or choose another one",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
