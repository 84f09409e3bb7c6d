"""Imports point only upstream, without cycles; files and functions stay small."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import debye

UPSTREAM_FIRST = [
    "errors", "config_files", "files", "version", "plugins", "structure", "archives", "targets", "graph",
    "dataset", "models", "scores", "training", "prediction", "benchmark", "reports", "finetuning", "explanation",
    "plots", "cli", "testing",
]  # fmt: skip
LONGEST_FILE, LONGEST_FUNCTION = 500, 80  # lines


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


def module_imports(package: Path) -> dict[str, set[str]]:
    """List the modules of the package that each of its modules imports, anywhere in it."""

    def name(path: Path) -> str:
        parts = path.relative_to(package.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    paths = {name(path): path for path in package.rglob("*.py")}
    found = {}
    for module, path in paths.items():
        names = imported_modules(path, package)
        # What is imported is a module, or something in one.
        found[module] = {each if each in paths else each.rpartition(".")[0] for each in names}
        found[module] = (found[module] & paths.keys()) - {module}
    return found


def import_cycles(imports: dict[str, set[str]]) -> list[str]:
    """List one path of modules for each cycle found."""
    cycles: list[str] = []
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            cycles.append(" → ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for other in sorted(imports[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in imports:
        visit(module, ())
    return cycles


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


def test_no_import_cycles():
    assert import_cycles(module_imports(Path(debye.__file__).parent)) == []


def test_a_cycle_is_found():
    cycles = import_cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}})
    assert cycles == ["b → c → b"]


def test_files_and_functions_are_small():
    package = Path(debye.__file__).parent
    long = []
    for path in package.rglob("*.py"):
        text = path.read_text()
        lines = text.count("\n")
        long += [f"{path.name}: {lines} lines"] if lines > LONGEST_FILE else []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                lines = node.end_lineno - node.lineno + 1
                long += [f"{path.name}: {node.name}"] if lines > LONGEST_FUNCTION else []
    assert long == []


def test_a_class_name_means_one_thing():
    names = Counter(
        node.name
        for path in Path(debye.__file__).parent.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


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
