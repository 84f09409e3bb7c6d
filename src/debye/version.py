"""The version of the installed package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def library_version() -> str:
    """Return the version of debye; ``unknown`` where the package is not installed."""
    try:
        return version("debye")
    except PackageNotFoundError:
        return "unknown"
