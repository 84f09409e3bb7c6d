"""A digest of the code that makes graphs of one configuration: it changes when stored graphs become stale."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from debye.graph import build, features, neighbors
from debye.graph.config import GraphConfig
from debye.structure import components, crystal, row_keys
from debye.version import library_version

SHARED = (
    *(build, neighbors, components, crystal, row_keys),
    *(features.FeatureContext, features.packing_radii, features.mate_reach),
    features.structure_features,
)
"""Code on which every graph depends."""


@cache
def code_digest(config: GraphConfig) -> str:
    """Return a digest of the code of edges and of the configuration's features; other features do not matter.

    It follows functions, classes and constants that features use, in this package and in those of plugins.
    Comments and layout do not change it, another version of Python does.
    """
    names = (*config.node_categories, *config.node_scalars)
    rows = [*map(features.find_feature, names)]
    rows += [features.STRUCTURE_FEATURES.find(name) for name in config.structure_scalars]
    packages = {"debye", *(row.compute.__module__.split(".")[0] for row in rows)}
    digest = hashlib.sha256(library_version().encode())
    for text in _describe([*SHARED, *(row.compute for row in rows)], packages, set()):
        digest.update(text.encode())
    return digest.hexdigest()


def _describe(found: Iterable[Any], packages: set[str], seen: set[int]) -> Iterator[str]:
    """Yield text that determines what constants do, and the code of some packages."""
    for item in found:
        inside: Iterable[Any] = ()
        if isinstance(item, (bool, int, float, complex, str, bytes, type(None))):
            yield repr(item)
        elif isinstance(item, (set, frozenset)):
            yield repr(sorted(map(repr, item)))
        elif isinstance(item, (tuple, list)):
            inside = item
        elif isinstance(item, dict):
            inside = item.items()
        elif isinstance(item, CodeType):
            yield item.co_code.hex()
            inside = (item.co_consts, item.co_names)
        elif _package(item) in packages and id(item) not in seen:
            seen.add(id(item))
            if isinstance(item, FunctionType):
                cells = [cell.cell_contents for cell in item.__closure__ or ()]
                used = [item.__globals__.get(name) for name in sorted(_names(item.__code__))]
                inside = (item.__code__, item.__defaults__, item.__kwdefaults__, cells, used)
            else:
                yield ast.dump(ast.parse(textwrap.dedent(inspect.getsource(item))))
                inside = [each for each in vars(item).values() if isinstance(each, FunctionType)]
                inside = inside if isinstance(item, type) else ()
        yield from _describe(inside, packages, seen)


def _package(item: Any) -> str | None:
    """Return the top-level package of a function, class or module; None for anything else."""
    if not isinstance(item, (FunctionType, ModuleType, type)):
        return None
    return (item.__name__ if isinstance(item, ModuleType) else item.__module__).split(".")[0]


def _names(code: CodeType) -> set[str]:
    nested = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*map(_names, nested))
