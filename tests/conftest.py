"""Fixtures that every test may use: a small built structure, and the benchmark data if present."""

from __future__ import annotations

import multiprocessing.process
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from fake_pymol import FakePymol

from debye.structure.structure import Structure

DATA_VARIABLE = "DEBYE_BENCHMARK_DATA"
REQUIRE_VARIABLE = "DEBYE_REQUIRE_BENCHMARK"


@pytest.fixture(scope="session")
def benchmark_data() -> Path:
    """Folder of the benchmark data; the test is skipped without it, or fails where it is required."""
    value = os.environ.get(DATA_VARIABLE, "")
    folder = Path(value)
    if value and (folder / "index.csv").is_file():
        return folder.resolve()
    reason = f"{DATA_VARIABLE} is {value!r}: not a folder with the benchmark data (index.csv)"
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_VARIABLE}=1 forbids to skip")
    pytest.skip(reason)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that read the benchmark data, and those that use the package as a whole, which are slow."""
    for item in items:
        if "benchmark_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark)
        programs = {"mmseqs", "pymol"} & set(getattr(item, "fixturenames", ()))
        if programs or {"end_to_end", "reference"} & set(item.path.parts):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def only_slow_tests_start_processes(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail a test that starts a process without the marker ``slow``, so that ``make fast`` stays fast."""
    if request.node.get_closest_marker("slow"):
        return

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a test that starts a process needs @pytest.mark.slow")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)


@pytest.fixture(scope="session")
def peptide() -> Structure:
    """Thirteen residues, helix then strand, with rings, sulfur, a proline and a glycine; no B-factors."""
    from debye.testing.peptide import build_peptide, torsions

    phi, psi = torsions("HHHHHHHPPBBBB")
    return build_peptide("MKWHEFRGPYCIT", phi, psi, source="peptide")


@pytest.fixture(scope="session")
def in_crystal(peptide: Structure) -> Structure:
    """The peptide as two chains, in a tight cell: mates touch it but do not clash."""
    from debye.testing.peptide import peptide_in_crystal

    return replace(peptide_in_crystal(), source=peptide.source)


@pytest.fixture(scope="session")
def peptide_cif(peptide: Structure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The peptide as an mmCIF file; copy it before you change it."""
    from debye.structure.write import write_structure

    return write_structure(peptide, tmp_path_factory.mktemp("peptide") / "peptide.cif")


@pytest.fixture(scope="session")
def peptide_pdb(peptide: Structure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The peptide as a PDB file; copy it before you change it."""
    from debye.structure.write import write_structure

    return write_structure(peptide, tmp_path_factory.mktemp("peptide") / "peptide.pdb")


def find_program(program: str, name: str, package: str) -> str:
    """Return the path of a program; the test is skipped without it, or fails where nothing may be skipped."""
    path = shutil.which(program)
    if path:
        return path
    reason = f"{name} is not on PATH (Debian: apt-get install {package})"
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_VARIABLE}=1 forbids to skip")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mmseqs() -> str:
    """Path of MMseqs2, see find_program."""
    return find_program("mmseqs", "MMseqs2", "mmseqs2")


@pytest.fixture(scope="session")
def pymol() -> str:
    """Path of PyMOL, see find_program."""
    return find_program("pymol", "PyMOL", "pymol")


@pytest.fixture
def fake_pymol(tmp_path: Path) -> FakePymol:
    """A stand-in for PyMOL, not written yet."""
    folder = tmp_path / "program"
    folder.mkdir()
    return FakePymol(folder)
