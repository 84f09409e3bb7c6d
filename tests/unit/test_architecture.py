"""Imports point only upstream: the folders of the package are the data flow."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import debye

UPSTREAM_FIRST = [
    "errors", "config_files", "files", "version", "plugins", "structure", "archives", "targets", "graph",
    "dataset", "models", "scores", "training", "prediction", "benchmark", "reports", "finetuning", "explanation",
    "plots", "cli", "testing",
]  # fmt: skip


def imported_modules(path: Path, package: Path) -> list[str]:
    """List the modules that a file imports, anywhere in it, as absolute dotted names."""
    inside = list(path.relative_to(package.parent).with_suffix("").parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [f"{module}.{alias.name}" for alias in node.names]
    return found


def upstream_violations(package: Path) -> list[str]:
    """List every import that points against the data flow."""
    rank = {name: position for position, name in enumerate(UPSTREAM_FIRST)}
    found = []
    for path in sorted(package.rglob("*.py")):
        here = path.relative_to(package).parts[0].removesuffix(".py")
        for module in imported_modules(path, package):
            root, *rest = module.split(".")
            if root == package.name and rest and rank.get(rest[0], -1) > rank.get(here, len(rank)):
                found.append(f"{path.relative_to(package)}: {here} must not import {rest[0]}")
    return found


def test_imports_point_upstream():
    assert upstream_violations(Path(debye.__file__).parent) == []


def test_every_folder_has_a_place_in_the_flow():
    package = Path(debye.__file__).parent
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert folders - set(UPSTREAM_FIRST) <= {"weights"}


@pytest.mark.parametrize(
    "line",
    [
        "from debye.models.catalog import CATALOG",
        "from debye.models import catalog",
        "from debye import models",
        "import debye.models",
        "import debye.models.catalog as zoo",
        "from ..models import catalog",
        "from .. import models",
        "def late():\n    from debye.models import catalog",
        "if TYPE_CHECKING:\n    import debye.models",
    ],
)
def test_planted_violations_are_found(tmp_path, line):
    package = tmp_path / "debye"
    (package / "graph").mkdir(parents=True)
    (package / "graph" / "build.py").write_text(
        f"import numpy\nfrom debye.structure import x\n{line}\n"
    )
    assert upstream_violations(package) == ["graph/build.py: graph must not import models"]


@pytest.mark.parametrize(
    "line",
    [
        "from debye.structure import Structure",
        "import debye",
        "from . import neighbors",
        "import models",
    ],
)
def test_allowed_imports_pass(tmp_path, line):
    package = tmp_path / "debye"
    (package / "graph").mkdir(parents=True)
    (package / "graph" / "build.py").write_text(line + "\n")
    assert upstream_violations(package) == []
