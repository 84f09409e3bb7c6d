"""The only list of targets: command line, data stores, docs and contract tests read it.

A new target is one file with its label function and one row here. Packages add rows through the entry
point group ``debye.targets``.
"""

from __future__ import annotations

from collections.abc import Iterable

from debye.errors import ConfigError
from debye.plugins import Catalog
from debye.targets.b_factor import B_FACTOR, B_FACTOR_LOG, B_FACTOR_RAW
from debye.targets.target import Target

TARGETS = Catalog("target", "debye.targets", Target, [B_FACTOR, B_FACTOR_LOG, B_FACTOR_RAW])


def find_target(name: str) -> Target:
    """Look up a target by name; an unknown one is a ``ConfigError`` with the nearest name."""
    return TARGETS.find(name)


def find_targets(names: Iterable[str]) -> tuple[Target, ...]:
    """Look up several targets by name, in order."""
    targets = tuple(map(find_target, names))
    for what in ("column", "source"):
        keys = [(t.column or t.name) if what == "column" else t.source.name for t in targets]
        if len(set(keys)) < len(keys):
            problem = (
                f"{', '.join(t.name for t in targets)} share the {what} {max(keys, key=keys.count)}"
            )
            raise ConfigError("targets", problem, "Learn them in different models")
    return targets
