"""The command line starts without what is slow to import, and reports errors in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import debye
from debye.cli.main import app, main
from debye.errors import StructureError

SLOW = [
    "torch",
    "numpy",
    "gemmi",
    "scipy",
    "pandas",
    "matplotlib",
    "httpx",
    "lightning",
]
COMMANDS = ["predict", "evaluate", "train", "finetune", "models", "data"]


def commands(group, path=()):
    """Every command below a group, by the words that call it."""
    for name, command in group.commands.items():
        words = (*path, name)
        yield from commands(command, words) if hasattr(command, "commands") else [(words, command)]


def run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["data", "--help"], ["predict", "--help"]])
def test_help_imports_nothing_slow(arguments):
    code = (
        f"import sys; sys.argv = ['debye', *{arguments!r}]\n"
        "from debye.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert leave.code == 0\n"
        f"print('SLOW', [name for name in {SLOW!r} if name in sys.modules])"
    )
    assert run_python(code).rstrip().endswith("SLOW []")


def test_import_of_the_package_is_light():
    code = f"import sys, debye; print([name for name in {SLOW!r} if name in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_help_lists_every_command_with_its_line():
    text = CliRunner().invoke(app, ["--help"]).output
    lines = {line.strip("│ ").split("  ")[0]: line for line in text.splitlines()}
    for command in COMMANDS:
        assert len(lines[command].strip("│ ").split(maxsplit=1)) == 2, f"{command} has no help line"


@pytest.mark.parametrize("words", [words for words, _ in commands(get_command(app))], ids=" ".join)
def test_help_shows_what_stands_in_brackets(words):
    """Markup swallows ``[all]`` and ``<id>`` where it is not told better."""
    command = dict(commands(get_command(app)))[words]
    # So wide that no line is broken.
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "400"}).output
    for parameter in command.params:
        assert parameter.help.replace("`", "") in shown


def test_every_option_is_documented():
    missing = [
        f"{command.name} {parameter.name}"
        for _, command in commands(get_command(app))
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert missing == []


def test_version():
    assert CliRunner().invoke(app, ["--version"]).output == f"debye {debye.__version__}\n"


def test_models_lists_the_catalog():
    from debye.models.catalog import CATALOG
    from debye.models.checkpoint import released_checkpoints

    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0
    listed = {line.split()[0] for line in result.output.splitlines() if line.startswith("  ")}
    assert listed >= {*CATALOG, *released_checkpoints()}


def test_an_error_of_the_user_is_one_line_and_exit_code_2(monkeypatch, capsys):
    def fail():
        raise StructureError("1abc.cif", problem="no atoms", remedy="Give a structure")

    monkeypatch.setattr("debye.cli.main.app", fail)
    with pytest.raises(SystemExit) as leave:
        main()
    captured = capsys.readouterr()
    assert leave.value.code == 2
    assert captured.err == "error: 1abc.cif: no atoms. Give a structure.\n"
    assert captured.out == ""


def test_an_unknown_command_is_explained():
    result = CliRunner().invoke(app, ["predikt"])
    assert result.exit_code == 2
    assert "predikt" in result.output
