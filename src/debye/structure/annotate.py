"""Copies of structure files in which only the B-factors are new."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from debye.errors import StructureError
from debye.files import is_same_file, write_bytes
from debye.structure.formats.new_text import Edited, check_rows
from debye.structure.formats.pdb import LARGEST, SMALLEST, PdbFile
from debye.structure.read import SourceFile, read_source
from debye.structure.write import cif_text, pdb_text

TARGET_FORMATS: dict[str, Literal["cif", "pdb"]] = {
    ".cif": "cif",
    ".mmcif": "cif",
    ".pdb": "pdb",
    ".ent": "pdb",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """What a written copy contains."""

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
        counts = (
            (self.kept, "atoms keep their value"),
            (self.dropped_anisotropic, "anisotropic records dropped"),
            (self.clipped, "values clipped to the PDB columns"),
        )
        extras = [f"{count} {what}" for count, what in counts if count]
        return ", ".join([f"{self.target}: {self.replaced} B-factors replaced", *extras])


def write_with_b(
    source: SourceFile | Path | str, target: Path | str, b: NDArray[np.floating]
) -> WriteReport:
    """Write a copy of a structure file with new B-factors.

    The suffix of ``target`` chooses the format: ``.cif``, ``.mmcif``, ``.pdb`` or ``.ent``, each
    also with ``.gz``. Within a format nothing but B changes: mmCIF keeps its layout byte by byte,
    PDB keeps every byte outside columns 61-66. BinaryCIF becomes mmCIF text with every category.
    Between PDB and mmCIF the structure is written anew; what does not fit a PDB file is refused.
    Anisotropic records of replaced atoms are dropped and counted, in every format. The file appears
    complete or not at all.

    Args:
        source: File to copy: mmCIF, BinaryCIF or PDB, each also gzipped; already read, or a path.
        target: File to write; its folder is made.
        b: (records,) new B-factors, Å², by :attr:`~debye.structure.Structure.record`, all models;
            NaN keeps the value of the file.

    Raises:
        StructureError: The number of values differs from the file's, a value is infinite, the
            entry does not fit the format, or the target is the source or cannot be written.
    """
    target = Path(target)
    target_format = _target_format(target)
    if not isinstance(source, SourceFile):
        source = read_source(source)
    refuse_to_replace(source.path, target)
    edited = annotated(source, b, target_format)
    data = edited.data
    if target.name.endswith(".gz"):
        # Without the time stamp the same input gives the same file.
        data = gzip.compress(data, compresslevel=6, mtime=0)
    write_bytes(target, data, StructureError)
    return WriteReport(
        target=target,
        atoms=len(b),
        replaced=edited.replaced,
        kept=edited.kept,
        dropped_anisotropic=edited.dropped_anisotropic,
        clipped=edited.clipped,
    )


def annotated(
    source: SourceFile, b: NDArray[np.floating], target_format: Literal["cif", "pdb"]
) -> Edited:
    """Return the content of a copy with new B-factors; arguments and errors as in :func:`write_with_b`."""
    b = np.asarray(b)
    if np.isinf(b).any():
        problem = f"{int(np.isinf(b).sum())} of {len(b)} new B-factors are infinite"
        remedy = "Give finite values, or NaN to keep the file's value"
        raise StructureError(source.structure.source, problem, remedy)
    if isinstance(source.content, PdbFile) == (target_format == "pdb"):
        return source.content.annotated(b)
    return _converted(source, b, target_format)


def refuse_to_replace(source: Path | None, target: Path) -> None:
    """Raise :class:`StructureError` if a file to write is the file that was read."""
    if is_same_file(source, target):
        problem = "the output would replace the input"
        raise StructureError(str(target), problem, "Choose another folder or name")


def _converted(
    source: SourceFile, b: NDArray[np.floating], target_format: Literal["cif", "pdb"]
) -> Edited:
    """Write the structure of a file in the other format."""
    structure = source.structure
    check_rows(len(structure), b, "atom records", structure.source)
    new = np.isfinite(b)
    clipped = 0
    if target_format == "pdb":
        clipped = int(((b > LARGEST + 0.005) | (b < SMALLEST - 0.005)).sum())
        b = np.clip(b, SMALLEST, LARGEST)
    tensors, dropped = structure.u_aniso, 0
    if tensors is not None:
        dropped = int((np.isfinite(tensors).all(axis=1) & new).sum())
        tensors = np.where(new[:, None], np.nan, tensors).astype(np.float32)
        tensors = tensors if np.isfinite(tensors).any() else None
    b_iso = np.where(new, b, structure.b_iso)
    copy = replace(structure, b_iso=b_iso, u_aniso=tensors)
    text = pdb_text(copy) if target_format == "pdb" else cif_text(copy)
    return Edited(text.encode(), int(new.sum()), int((~new).sum()), dropped, clipped)


def _target_format(target: Path) -> Literal["cif", "pdb"]:
    """Return the format that a file name asks for.

    Example:
        >>> _target_format(Path("1abc.ent.gz"))
        'pdb'
    """
    suffix = Path(target.name.removesuffix(".gz")).suffix.lower()
    if suffix in TARGET_FORMATS:
        return TARGET_FORMATS[suffix]
    problem = f"debye does not write files that end in {suffix!r}"
    remedy = f"Use one of {', '.join(TARGET_FORMATS)}, each also with .gz"
    raise StructureError(str(target), problem, remedy)
