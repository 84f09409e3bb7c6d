"""Files, links, commands, names and code in the documentation exist and work."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

from debye.cli.main import app
from debye.structure.structure import Structure
from debye.targets.target import Per
from debye.training.config import Recipe

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/results/ablations/*.md"),
        *ROOT.glob("src/debye/weights/*.md"),
    ]
)


def code_blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def documented_commands() -> list[str]:
    """Every ``debye …`` line of a code block and every ``debye …`` in backquotes, without comments."""
    found = set()
    for page in PAGES:
        text = page.read_text()
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            found.update(re.findall(r"^(?:\w+=\w+ |\.venv/bin/)*(debye .*)", block, re.MULTILINE))
        found.update(re.findall(r"`(debye [^`\n]+)`", text))
    return sorted(line.split("  #")[0].strip() for line in found)


def backquoted(pattern: str) -> list[str]:
    """Every text of this pattern in backquotes, over all pages."""
    return sorted(
        {found for page in PAGES for found in re.findall(f"`({pattern})`", page.read_text())}
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for link, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text()):
        target = page.parent / link if link else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)", target.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings]
            assert anchor in slugs


@pytest.mark.parametrize("line", documented_commands())
def test_documented_commands_and_options_exist(line):
    words = shlex.split(line)[1:]
    command = get_command(app)
    while words and hasattr(command, "commands"):
        name = words.pop(0)
        if name in {"COMMAND", "--help", "--version"} or name.endswith("…"):
            return
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    used = {word.split("=")[0] for word in words if word.startswith("-")}
    assert used <= options | {"--help"}


def test_some_commands_are_documented():
    assert len(documented_commands()) > 40


@pytest.mark.parametrize("name", backquoted(r"debye(?:\.\w+)+"))
def test_documented_names_can_be_imported(name):
    if name in {"debye.features", "debye.structure_features"}:
        return  # groups of entry points
    module, _, attribute = name.rpartition(".")
    try:
        import_module(name)
    except ModuleNotFoundError:
        assert hasattr(import_module(module), attribute)


@pytest.mark.parametrize(
    "path", backquoted(r"(?:src|recipes|scripts|benchmarks|tests|examples|docs)/[\w./-]+")
)
def test_documented_files_exist(path):
    assert (ROOT / path).exists()


def test_documented_make_targets_exist():
    pages = "".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert (
        {"demo", "fast", "test", "check"} <= set(re.findall(r"^make (\w+)", pages, re.M)) <= targets
    )


def test_short_pages_stay_short():
    lines = {
        name: len((ROOT / name).read_text().splitlines())
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
    }
    assert lines["README.md"] <= 100
    assert lines["CONTRIBUTING.md"] <= 60
    assert lines["CHANGELOG.md"] <= 60


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    (block,) = code_blocks("README.md", "python")
    exec(compile(block, "README.md", "exec"), {})
    assert {path.name for path in tmp_path.iterdir()} == {"examples", "designed_protein_b.cif"}


def test_targets_of_the_documentation_are_valid(peptide: Structure):
    names: dict = {}
    for block in code_blocks("docs/targets.md", "python"):
        exec(compile(block, "docs/targets.md", "exec"), names)
    labels = names["NEIGHBORS"].source.compute(peptide)
    assert len(labels.value) == len(peptide)
    assert labels.usable.all()
    assert 0 < labels.value.min() < labels.value.max() < 60
    assert names["MELTING_TEMPERATURE"].per is Per.STRUCTURE


def test_settings_of_the_documentation_are_valid():
    recipes = [tomllib.loads(block) for block in code_blocks("docs/targets.md", "toml")]
    found = [Recipe.model_validate(recipe) for recipe in recipes if "model" in recipe]
    assert [recipe.targets for recipe in found] == [("b_factor", "neighbors"), ("neighbors",)]
    (search,) = (tomllib.loads(block) for block in code_blocks("docs/comparison.md", "toml"))
    base = {"name": "a", "model": "gcn", **search}
    assert Recipe.model_validate(base).search == search["search"]
