"""The index of a data set: a CSV file with a line an entry, and the structure files of the entries."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from debye.archives.catalog import find_identifier
from debye.archives.fetch import local_files
from debye.errors import StoreError, StructureError
from debye.files import STRUCTURE_SUFFIXES

KNOWN_COLUMNS = ("id", "split", "cluster", "representative", "whole_entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One line of the index: an entry, its split, and all columns."""

    id: str
    split: str
    columns: dict[str, str]

    def says_no(self, column: str) -> bool:
        """Return whether a yes/no column is 0; a missing or empty one is not."""
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
            str(path), f"cannot be read ({error.strerror})", "Give a CSV index"
        ) from error
    if not lines or not set(needed) <= lines[0].keys():
        found = ", ".join(lines[0]) if lines else "no rows"
        hint = "; a build recipe (--recipe) draws splits" if "split" in needed else ""
        remedy = f"An index needs the columns {' and '.join(needed)}{hint}"
        raise StoreError(str(path), f"found {found}", remedy)
    rows = [
        IndexRow(
            id=line["id"].strip().lower(),
            split=(line.get("split") or "").strip(),
            columns={name: (text or "").strip() for name, text in line.items() if name},
        )
        for line in lines
    ]
    order = list(dict.fromkeys(row.split for row in rows))
    unknown = [name for name in splits if name not in order]
    if unknown:
        problem = f"no entry is in split {unknown[0]!r}"
        raise StoreError(str(path), problem, f"Choose from {', '.join(order)}")
    if not all(row.id for row in rows):
        raise StoreError(str(path), "empty id", "Give every entry of a split one line")
    for split in order:
        check_unique(path, (row.id for row in rows if row.split == split), f" in split {split!r}")
    kept = [row for row in rows if not splits or row.split in splits]
    return sorted(kept, key=lambda row: (order.index(row.split), row.id))


def check_unique(path: Path, ids: Iterable[str], where: str = "") -> None:
    """Refuse identifiers that occur twice.

    Raises:
        StoreError: names the first one.
    """
    name, count = next(iter(Counter(ids).most_common(1)), ("", 0))
    if count > 1:
        raise StoreError(str(path), f"id {name!r} comes twice{where}", "Give every entry one line")


def find_file(structures: Path, entry_id: str) -> Path:
    """Find the file of an entry in a folder.

    Raises:
        StructureError: there is none.
    """
    for folder in (structures / entry_id[1:3], structures):
        for suffix in STRUCTURE_SUFFIXES:
            path = folder / f"{entry_id}{suffix}"
            if path.exists():
                return path
    identifier = find_identifier(entry_id)  # other archives than the PDB have a folder each
    if identifier and (path := next(local_files(identifier, structures), None)):
        return path
    raise StructureError(
        entry_id,
        f"no file {entry_id[1:3]}/{entry_id}.bcif.gz in {structures}",
        f"Give a folder that has it, or {entry_id} with one of {', '.join(STRUCTURE_SUFFIXES)}",
    )


def list_entries(structures: Path) -> list[IndexRow]:
    """Return the entries of all files of a folder, sorted by id, in no split.

    Raises:
        StoreError: there is none, or an id comes twice.
    """
    found: dict[str, Path] = {}
    for path in sorted([*structures.glob("*.*"), *structures.glob("*/*.*")]):
        suffix = next((suffix for suffix in STRUCTURE_SUFFIXES if path.name.endswith(suffix)), "")
        entry_id = path.name.removesuffix(suffix)
        if not suffix or not path.is_file():
            continue
        if entry_id in found:
            problem = f"{entry_id} is there twice: {found[entry_id].name} and {path.name}"
            raise StoreError(str(structures), problem, "Remove one of them, or give an index")
        found[entry_id] = path
    if not found:
        raise StoreError(
            str(structures),
            "no structure file is in it, nor in its folders",
            f"Give a folder with files named {', '.join(STRUCTURE_SUFFIXES)}",
        )
    return [IndexRow(id=name, split="", columns={"id": name}) for name in sorted(found)]
