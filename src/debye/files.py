"""A file that is there is a whole one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from debye.errors import StructureError


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8); its folder must be there."""
    partial = partial_path(path)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def partial_path(path: Path) -> Path:
    """Return the place, of this process alone, where a file is written before it is renamed."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def write_whole(
    target: Path, write: Callable[[Path], None], failure: type[StructureError] = StructureError
) -> Path:
    """Write beside the place of a file, with the same suffix, rename, and return the place.

    Args:
        target: Where the file shall be; its folder is made.
        write: Writes the whole file to the path that it is given.
        failure: What is raised.

    Raises:
        StructureError: of the kind ``failure``, where the system refuses.
    """
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(target)
    except OSError as error:
        raise failure(
            str(target),
            problem=f"cannot be written ({error.strerror or error})",
            remedy="Check the folder's permissions and the free space",
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return target
