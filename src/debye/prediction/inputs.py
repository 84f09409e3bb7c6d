"""Paths and identifiers of the user → files to read, and names of the results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal, get_args

from debye.errors import StructureError
from debye.files import STRUCTURE_SUFFIXES

OutputFormat = Literal["cif", "pdb", "csv", "parquet"]
FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)
BYTES_PER_ATOM = {".gz": 14, ".bcif": 25, "": 85}
"""Size of a structure file per atom record, by the end of its name; rough, for planning only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One structure to predict: a file, or an identifier to be downloaded."""

    name: str
    """The path, or the identifier in its usual spelling."""
    path: Path | None
    """The file; None: an identifier."""
    stem: str
    """Name of the outputs without suffix, unique among the inputs."""

    def expected_atoms(self) -> int:
        """Estimate the number of atoms from the size of the file; 5,000 for an identifier."""
        if self.path is None:
            return 5_000
        name = self.path.name.lower()
        per_atom = next(size for end, size in BYTES_PER_ATOM.items() if name.endswith(end))
        return self.path.stat().st_size // per_atom

    def local_file(self, mirror: Path | None = None) -> Path:
        """Return the file; that of an identifier is looked up in the mirror, else downloaded (``DownloadError``)."""
        if self.path is not None:
            return self.path
        from debye.archives.fetch import fetch

        return fetch(self.name, cache_folder(), mirror=mirror)


def expand_inputs(
    texts: Iterable[str | Path], *, exclude: Path | None = None
) -> tuple[list[Input], list[StructureError]]:
    """Return the structures of all inputs, and an error for each input without any.

    A file may have any suffix. A folder stands for every structure file below it, sorted by name; the folder
    ``exclude`` is not searched, so that outputs never become inputs. Any other text must be a PDB identifier or an
    AlphaFold DB (UniProt) accession. Duplicates count once.
    """
    found: dict[str, tuple[str, Path | None]] = {}
    failures: list[StructureError] = []
    for text in texts:
        try:
            for name, path in _locate(str(text), exclude):
                found.setdefault(str(path.resolve()) if path else name, (name, path))
        except StructureError as error:
            failures.append(error)
    stems = unique_stems([stem_of(path.name if path else name) for name, path in found.values()])
    inputs = [
        Input(name=name, path=path, stem=stem)
        for (name, path), stem in zip(found.values(), stems, strict=True)
    ]
    return inputs, failures


def find_file(text: str | Path, mirror: Path | None = None) -> Path:
    """Return the file of the one structure of a path or an identifier; a ``StructureError`` if there is none or several."""
    inputs, failures = expand_inputs([text])
    if failures:
        raise failures[0]
    if len(inputs) > 1:
        problem = f"a folder with {len(inputs)} structures"
        raise StructureError(str(text), problem, "Give one file, or use `debye predict`")
    return inputs[0].local_file(mirror)


def cache_folder() -> Path:
    """Return where downloads are kept: ``DEBYE_CACHE``, else ``debye`` in the user's cache folder."""
    if own := os.environ.get("DEBYE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "debye"


def _locate(text: str, exclude: Path | None) -> Sequence[tuple[str, Path | None]]:
    path = Path(text)
    if path.is_dir():
        return [(str(item), item) for item in _files_below(path, exclude)]
    if path.is_file():
        return [(text, path)]
    from debye.archives.catalog import ARCHIVES, find_identifier

    identifier = find_identifier(text)
    if identifier is None:
        titles = ", ".join(archive.title for archive in ARCHIVES.values())
        problem = "no such file or folder, and not an identifier either"
        raise StructureError(text, problem, f"Give a file, a folder, {titles}")
    return [(identifier.name, None)]


def _files_below(folder: Path, exclude: Path | None) -> list[Path]:
    hidden = exclude.resolve() if exclude else None
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name.lower().endswith(STRUCTURE_SUFFIXES)
        and not path.name.startswith(".")
        and not (hidden and hidden != folder.resolve() and hidden in path.resolve().parents)
    ]
    if not files:
        remedy = f"Structure files end in {', '.join(STRUCTURE_SUFFIXES[1::2])}, each also with .gz"
        raise StructureError(str(folder), "the folder has no structure files", remedy)
    return files


def stem_of(name: str) -> str:
    """Return a file name without the suffixes of structure files.

    Example:
        >>> [stem_of(name) for name in ("1abc.cif.gz", "AF-P69905-F1", "x.y.pdb", "4hhb")]
        ['1abc', 'AF-P69905-F1', 'x.y', '4hhb']
    """
    plain = name[:-3] if name.lower().endswith(".gz") else name
    suffix = next((suffix for suffix in STRUCTURE_SUFFIXES if plain.lower().endswith(suffix)), "")
    return plain[: len(plain) - len(suffix)] or plain


def unique_stems(stems: Sequence[str]) -> list[str]:
    """Number repeated stems; upper and lower case are the same, as on many file systems.

    Example:
        >>> unique_stems(["a", "A", "a_2", "a"])
        ['a', 'A_3', 'a_2', 'a_4']
    """
    taken, seen, unique = {stem.lower() for stem in stems}, set(), []
    for stem in stems:
        name = stem
        if stem.lower() in seen:
            numbered = (f"{stem}_{number}" for number in count(2))
            name = next(name for name in numbered if name.lower() not in taken)
            taken.add(name.lower())
        seen.add(name.lower())
        unique.append(name)
    return unique
