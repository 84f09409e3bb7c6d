"""Which code a run was computed by: a digest of the source files of the package."""

from __future__ import annotations

import hashlib
from pathlib import Path

import debye

DIGITS = 12
"""Of the digest, hexadecimal."""


def source_digest(folder: Path | None = None) -> str:
    """Return a digest of all Python files of a package, by name and content.

    Args:
        folder: Of the package; None: of debye.
    """
    folder = folder or Path(debye.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGITS]
