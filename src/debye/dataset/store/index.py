"""The index of a data set: a CSV file with one line an entry, and where the files of the entries lie."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from debye.archives.catalog import find_identifier
from debye.archives.fetch import local_files
from debye.errors import StoreError, StructureError

SUFFIXES = (".bcif.gz", ".bcif", ".cif.gz", ".cif", ".pdb.gz", ".pdb", ".ent.gz", ".ent")
KNOWN_COLUMNS = ("id", "split", "cluster", "representative", "near364", "whole_entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One line of the index: which entry, in which split, and what the index says about it."""

    id: str
    split: str
    columns: dict[str, str]

    def says_no(self, column: str) -> bool:
        """Whether a yes/no column is 0; an absent or empty one is no answer."""
        return self.columns.get(column, "") == "0"


def read_index(
    path: Path, splits: Sequence[str] = (), *, needed: Sequence[str] = ("id", "split")
) -> list[IndexRow]:
    """Read the index, split by split in order of appearance, each sorted by id.

    Args:
        path: CSV file.
        splits: Only these; all if empty.
        needed: Columns that it must have; without ``split`` every entry is in split ``""``.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise StoreError(
            str(path), problem=f"cannot be read ({error.strerror})", remedy="Give a CSV index"
        ) from error
    if not lines or not set(needed) <= lines[0].keys():
        found = ", ".join(lines[0]) if lines else "no rows"
        hint = "; a build recipe (--recipe) draws splits" if "split" in needed else ""
        raise StoreError(
            str(path),
            problem=f"found {found}",
            remedy=f"An index needs the columns {' and '.join(needed)}{hint}",
        )
    rows = [
        IndexRow(
            id=line["id"].strip().lower(),
            split=(line.get("split") or "").strip(),
            columns={name: (text or "").strip() for name, text in line.items() if name},
        )
        for line in lines
    ]
    _check_rows(path, rows, splits)
    order = list(dict.fromkeys(row.split for row in rows))
    kept = [row for row in rows if not splits or row.split in splits]
    return sorted(kept, key=lambda row: (order.index(row.split), row.id))


def find_file(structures: Path, entry_id: str) -> Path:
    """Find the file of an entry in a folder.

    Raises:
        StructureError: there is none.
    """
    for folder in (structures / entry_id[1:3], structures):
        for suffix in SUFFIXES:
            path = folder / f"{entry_id}{suffix}"
            if path.exists():
                return path
    identifier = find_identifier(entry_id)  # other archives than the PDB have a folder each
    if identifier and (path := next(local_files(identifier, structures), None)):
        return path
    raise StructureError(
        entry_id,
        problem=f"no file {entry_id[1:3]}/{entry_id}.bcif.gz in {structures}",
        remedy=f"Give a folder that has it, or {entry_id} with one of {', '.join(SUFFIXES)}",
    )


def list_entries(structures: Path) -> list[IndexRow]:
    """Return the entries of all files of a folder, sorted by id, in no split.

    Raises:
        StoreError: there is none, or an id comes twice.
    """
    found: dict[str, Path] = {}
    for path in sorted([*structures.glob("*.*"), *structures.glob("*/*.*")]):
        suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), "")
        entry_id = path.name.removesuffix(suffix)
        if not suffix or not path.is_file():
            continue
        if entry_id in found:
            raise StoreError(
                str(structures),
                problem=f"{entry_id} is there twice: {found[entry_id].name} and {path.name}",
                remedy="Remove one of them, or give an index",
            )
        found[entry_id] = path
    if not found:
        raise StoreError(
            str(structures),
            problem="no structure file is in it, nor in its folders",
            remedy=f"Give a folder with files named {', '.join(SUFFIXES)}",
        )
    return [IndexRow(id=name, split="", columns={"id": name}) for name in sorted(found)]


def _check_rows(path: Path, rows: Sequence[IndexRow], splits: Sequence[str]) -> None:
    present = list(dict.fromkeys(row.split for row in rows))
    unknown = [name for name in splits if name not in present]
    if unknown:
        raise StoreError(
            str(path),
            problem=f"no entry is in split {unknown[0]!r}",
            remedy=f"Choose from {', '.join(present)}",
        )
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if not row.id or (row.split, row.id) in seen:
            raise StoreError(
                str(path),
                problem=f"id {row.id!r} comes twice in split {row.split!r}"
                if row.id
                else "empty id",
                remedy="Give every entry of a split one line",
            )
        seen.add((row.split, row.id))
