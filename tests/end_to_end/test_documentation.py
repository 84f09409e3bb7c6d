"""What the documentation says about files, links and commands is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from debye.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def documented_commands() -> list[str]:
    """Every ``debye …`` line of a code block and every ``debye …`` in backquotes, without comments."""
    found = set()
    for page in PAGES:
        text = page.read_text()
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            found.update(line for line in block.splitlines() if line.startswith("debye "))
        found.update(re.findall(r"`(debye [^`\n]+)`", text))
    return sorted(line.split("  #")[0].strip() for line in found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    if page.name == "CHANGELOG.md":
        return
    links = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("line", documented_commands())
def test_documented_commands_and_options_exist(line):
    words = shlex.split(line)[1:]
    command = get_command(app)
    while words and hasattr(command, "commands"):
        name = words.pop(0)
        if name == "COMMAND":
            return
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    used = {word.split("=")[0] for word in words if word.startswith("-")}
    assert used <= options | {"--help"}


def test_some_commands_are_documented():
    assert len(documented_commands()) > 8


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 60


def test_readme_keeps_the_place_for_results():
    text = (ROOT / "README.md").read_text()
    assert text.index("<!-- results:start -->") < text.index("<!-- results:end -->")


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.M
    )
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert {path.name for path in tmp_path.iterdir()} == {
        "examples",
        "designed_protein_b.cif",
        "out.csv",
    }
