"""Catalogs: the rows of this package, and those that installed packages add through entry points.

A package adds models, targets, atom features or archives in its ``pyproject.toml``::

    [project.entry-points."debye.models"]
    my_model = "my_package.my_model:CARD"

The value names a row of the catalog (here a :class:`debye.models.ModelCard`), or a sequence of rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from debye.errors import ConfigError, DebyeWarning, unknown_name


class Row(Protocol):
    """What every row of a catalog has."""

    @property
    def name(self) -> str:
        """What the user types."""
        ...


AnyRow = TypeVar("AnyRow", bound=Row)


class Catalog(Mapping[str, AnyRow], Generic[AnyRow]):
    """Rows by name. Entry points are read once, at the first name that is not built in or the first full list.

    A plugin that cannot be used is left out with a warning.
    """

    def __init__(
        self, noun: str, group: str, row_type: type[AnyRow], builtin: Iterable[AnyRow]
    ) -> None:
        self.noun = noun
        """What a row is called in messages."""
        self.group = group
        """Entry-point group, such as ``debye.models``."""
        self.builtin: Mapping[str, AnyRow] = {row.name: row for row in builtin}
        """The rows of this package."""
        self._row_type = row_type
        self._plugins: dict[str, AnyRow] | None = None
        self._failures: list[ConfigError] = []

    def __getitem__(self, name: str) -> AnyRow:
        if name in self.builtin:
            return self.builtin[name]
        return self._added()[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.builtin, *self._added()])

    def __len__(self) -> int:
        return len(self.builtin) + len(self._added())

    def find(self, name: str) -> AnyRow:
        """Look up a row by name; a ConfigError names the nearest one, and the plugins that could not be used."""
        if name in self:
            return self[name]
        error = unknown_name(self.noun, name, self)
        unusable = "; ".join(f"{failure.source} {failure.problem}" for failure in self._failures)
        if unusable:
            error = ConfigError(self.noun, f"{error.problem} ({unusable})", error.remedy)
        raise error

    def _added(self) -> dict[str, AnyRow]:
        if self._plugins is None:
            self._plugins, self._failures = load_rows(self.group, self._row_type, self.builtin)
            for failure in self._failures:
                warnings.warn(str(failure), DebyeWarning, stacklevel=3)
        return self._plugins


def load_rows(
    group: str, row_type: type[AnyRow], taken: Iterable[str] = ()
) -> tuple[dict[str, AnyRow], list[ConfigError]]:
    """Load the rows that installed packages add to a catalog.

    Returns:
        Rows by name, and an error for each plugin that cannot be used: its import fails, it names an object
        of another class, or its name is taken.
    """
    from importlib.metadata import entry_points  # 20 ms: only where a plugin may be needed

    rows: dict[str, AnyRow] = {}
    failures = []
    taken = set(taken)
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        package = "unknown package" if point.dist is None else point.dist.name
        where = f"plugin {point.name} of {package}"
        try:
            found = point.load()
        except Exception as error:  # code of another package: it may raise anything
            problem = f"cannot be imported from {point.value}: {type(error).__name__}: {error}"
            failures.append(ConfigError(where, problem, f"Repair or uninstall {package}"))
            continue
        added = list(found) if isinstance(found, (list, tuple)) else [found]
        wrong = [row for row in added if not isinstance(row, row_type)]
        names = [row.name for row in added if row not in wrong]
        clash = [name for name in names if name in {*taken, *rows} or names.count(name) > 1]
        if wrong:
            problem = f"{point.value} has type {type(wrong[0]).__name__}, not {row_type.__name__}"
            remedy = f"Point it to a {row_type.__name__} or a sequence of them"
            failures.append(ConfigError(where, problem, remedy))
        elif clash:
            problem = f"the name {clash[0]!r} is taken by debye or another plugin"
            failures.append(ConfigError(where, problem, f"Rename it, or uninstall {package}"))
        else:
            rows.update({row.name: row for row in added})
    return rows, failures
