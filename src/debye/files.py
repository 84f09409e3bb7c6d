"""The one way to write a file: whole under its name, or not at all."""

from __future__ import annotations

import csv
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from debye.errors import StructureError

STRUCTURE_SUFFIXES = tuple(
    kind + packed for kind in (".bcif", ".cif", ".pdb", ".ent", ".mmcif") for packed in (".gz", "")
)
"""Of the files that are read as structures, the preferred one first."""


@contextmanager
def replacing(
    path: Path, failure: type[StructureError] | None = None, folder: Path | None = None
) -> Iterator[Path]:
    """Yield a temporary path, which replaces ``path`` if the block succeeds.

    The temporary name is hidden, differs between processes and calls, and ends like ``path``, so that writers
    that choose a format by suffix choose the right one. It is removed if the block fails.

    Args:
        path: The file to write; its folder must exist unless ``failure`` is given.
        failure: If given, the folder is made, and an error of this class replaces an ``OSError``.
        folder: Of the temporary path, on the same disk; that of ``path`` if not given.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "table.csv"
        >>> with replacing(path) as partial:
        ...     _ = partial.write_text("a,b")
        >>> path.read_text(), [file.name for file in path.parent.iterdir()]
        ('a,b', ['table.csv'])
    """
    name = f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}.part{path.suffix}"
    partial = (folder or path.parent) / name
    try:
        if failure is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        if failure is None:
            raise
        raise _cannot_write(path, error, failure) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def make_folder(folder: Path, failure: type[StructureError]) -> None:
    """Make a folder, and the folders above it; an error of the class ``failure`` replaces an ``OSError``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error, failure) from error


def _cannot_write(path: Path, error: OSError, failure: type[StructureError]) -> StructureError:
    problem = f"cannot be written ({error.strerror or error})"
    return failure(str(path), problem, "Check the folder's permissions and the free space")


def write_bytes(path: Path, data: bytes, failure: type[StructureError] | None = None) -> None:
    """Write bytes; arguments as for :func:`replacing`."""
    with replacing(path, failure) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str, failure: type[StructureError] | None = None) -> None:
    """Write text as UTF-8; arguments as for :func:`replacing`."""
    write_bytes(path, text.encode(), failure)


def write_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Write a value as JSON."""
    write_text(path, json.dumps(content, indent=indent))


def write_csv(path: Path, names: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file (UTF-8, lines end in a line feed): column names, then rows; None is an empty cell."""
    with replacing(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *rows])


def is_same_file(first: Path | None, second: Path | None) -> bool:
    """Return whether two paths lead to one existing file; None is no path."""
    return bool(first and second and first.exists() and second.exists() and first.samefile(second))
