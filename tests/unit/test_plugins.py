"""Rows of installed packages stand in the catalogs; a broken package harms no other."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from debye.errors import ConfigError, DebyeWarning
from debye.plugins import Catalog, load_rows

ROWS = """
from dataclasses import dataclass
from test_plugin_rows import Row
ONE = Row("one")
MANY = (Row("two"), Row("three"))
TAKEN = Row("own")
WRONG = "a string"
"""


@dataclass(frozen=True)
class Row:
    name: str


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay a package with entry points on the path: its name, and NAME = VALUE lines."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "test_plugin_rows", sys.modules[__name__])

    def lay(package, **points):
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(ROWS)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {module}{value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[debye.rows]", *lines, ""]))
        return tmp_path

    return lay


def catalog():
    return Catalog("row", "debye.rows", Row, [Row("own")])


def test_rows_and_sequences_of_rows_are_added(install):
    install("good-rows", a=":ONE", b=":MANY")
    rows = catalog()
    assert list(rows) == ["own", "one", "two", "three"]
    assert len(rows) == 4
    assert rows.find("two") == Row("two")
    assert list(rows.builtin) == ["own"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (":MISSING", "cannot be imported from bad_rows:MISSING: AttributeError"),
        (".nowhere:ONE", "cannot be imported from bad_rows.nowhere:ONE: ModuleNotFoundError"),
        (":WRONG", "bad_rows:WRONG has type str, not Row"),
        (":TAKEN", "the name 'own' is taken"),
    ],
)
def test_a_broken_plugin_is_named_and_harms_no_other(install, value, problem):
    install("good-rows", a=":ONE")
    install("bad-rows", broken=value)
    rows = catalog()
    with pytest.warns(DebyeWarning, match="plugin broken of bad-rows") as warned:
        assert list(rows) == ["own", "one"]
    assert problem in str(warned[0].message)
    assert rows["own"] == Row("own")
    with pytest.raises(ConfigError, match="no row is called 'broken'") as error:
        rows.find("broken")
    assert problem in str(error.value)


def test_two_plugins_cannot_share_a_name(install):
    install("first-rows", a=":ONE")
    install("second-rows", b=":ONE")
    rows, failures = load_rows("debye.rows", Row)
    assert list(rows) == ["one"]
    assert [failure.source for failure in failures] == ["plugin b of second-rows"]


def test_built_in_names_read_no_entry_points(install):
    install("bad-rows", broken=":WRONG")
    rows = catalog()
    assert "own" in rows  # a warning would be an error here
    assert rows.find("own") == Row("own")


@pytest.mark.slow
def test_a_model_of_another_package_is_listed(tmp_path):
    (tmp_path / "extra_model.py").write_text(
        "from debye.models.catalog import ModelCard\n"
        "CARD = ModelCard('extra', __name__, 'A model of another package.')\n"
    )
    info = tmp_path / "extra_model-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-model\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[debye.models]\nextra = extra_model:CARD\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['debye', 'models']\n"
    code += "from debye.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "A model of another package." in done.stdout
    assert done.stderr == ""
