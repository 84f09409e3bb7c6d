"""One error family: every message says where, what with the value, and what to do."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class DebyeError(Exception):
    """Base of every error that debye raises on purpose; catch it to continue with the next input."""


class StructureError(DebyeError, ValueError):
    """A structure file was read but cannot be used."""

    def __init__(self, source: str, problem: str, remedy: str) -> None:
        super().__init__(f"{source}: {problem}. {remedy}.")
        self.source = source
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # Errors cross process borders when many files are read in parallel.
        return type(self), (self.source, self.problem, self.remedy)


class FormatError(StructureError):
    """A file is not in the format that it claims or needs to be in."""


class DownloadError(StructureError):
    """An entry could not be fetched."""


class GraphError(StructureError):
    """A graph cannot be built from a structure, or a graph is inconsistent."""


class StoreError(StructureError):
    """A data store is missing, incomplete or lacks what is needed."""


class CheckpointError(StructureError):
    """A checkpoint cannot be read or does not fit this version."""


class ConfigError(StructureError):
    """A recipe or setting is not valid."""


class DebyeWarning(UserWarning):
    """Something was changed or left out."""


def explain_validation(error: ValueError) -> str:
    """Say in one line which settings are wrong, and how, by a pydantic ``ValidationError`` (errors import nothing)."""
    found = error.errors()  # type: ignore[attr-defined]
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']} (got {item['input']!r})"
        for item in found
    )


def unknown_name(catalog: str, name: str, known: Iterable[str]) -> ConfigError:
    """Make the error for a name that is not in a catalog: the nearest one, or all that there are.

    Example:
        >>> str(unknown_name("model", "meta-gnn", ["meta_gnn"]))
        "model: no model is called 'meta-gnn'. Did you mean 'meta_gnn'."
    """
    known = list(known)
    close = get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}" if close else f"Choose from {', '.join(known)}"
    return ConfigError(catalog, f"no {catalog} is called {name!r}", hint)


def require_extra(command: str, extra: str, packages: Sequence[str]) -> None:
    """Refuse to start, with a ``ConfigError``, without the packages of an extra."""
    missing = " and ".join(name for name in packages if importlib.util.find_spec(name) is None)
    if missing:
        problem = f"needs the extra {extra}: {missing} cannot be imported"
        raise ConfigError(command, problem, f"Install it with: pip install 'debye[{extra}]'")
