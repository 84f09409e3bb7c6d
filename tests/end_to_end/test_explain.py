"""``debye explain`` as a user runs it."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from outputs import spread_out
from typer.testing import CliRunner, Result

from debye.cli.main import app
from debye.errors import DebyeError
from debye.models.catalog import build_model
from debye.models.checkpoint import CheckpointHeader, save_checkpoint
from debye.structure.read import read_structure
from debye.structure.structure import Crystal
from debye.structure.write import write_structure

EXAMPLE = Path(__file__).parents[2] / "examples" / "designed_protein.cif"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A small untrained Waller with the level of real crystals."""
    settings = {"atom_width": 8, "residue_width": 8, "edge_width": 8, "residue_layers": 2}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model("waller", settings)
    spread_out(model, 20, mean=30.0, sd=8.0)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_checkpoint(path, model, CheckpointHeader(name="small", model="waller", config=settings))
    return path


@pytest.fixture(scope="module")
def in_crystal(peptide, tmp_path_factory) -> Path:
    """The peptide in a crystal whose mates touch it, as an mmCIF file."""
    crystal = Crystal(cell=(31.0, 17.0, 30.0, 90.0, 90.0, 90.0), space_group="P 21 21 21")
    entry = replace(peptide.entry, id="1aaa", method="X-RAY DIFFRACTION", resolution=1.7)
    return write_structure(
        replace(peptide, crystal=crystal, entry=entry),
        tmp_path_factory.mktemp("crystal") / "crystal.cif",
    )


def debye_explain(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_peptide_in_a_crystal_as_table_and_colors(checkpoint, in_crystal, tmp_path):
    result = debye_explain(
        in_crystal, "--residue", "A:5", "--model", checkpoint, "-o", tmp_path, "--top", 4
    )
    assert result.exit_code == 0, result.output
    stem = tmp_path / "crystal_A_GLU5_occlusion"
    assert {path.name for path in tmp_path.iterdir()} == {
        stem.name + suffix for suffix in (".csv", ".cif", ".png")
    }
    assert (
        "A:GLU5 of crystal.cif · small · crystal contacts used · resolution 1.70 Å" in result.output
    )
    rows = rows_of(Path(f"{stem}.csv"))
    kinds = {row["kind"] for row in rows}
    assert kinds == {"covalent neighbor", "same chain", "symmetry mate", "feature"}
    effect = {
        (row["chain"], int(row["residue_number"])): float(row["effect"])
        for row in rows
        if row["kind"] in ("covalent neighbor", "same chain")
    }
    colored = read_structure(Path(f"{stem}.cif"))
    for chain, number, b in zip(
        colored.chain.tolist(), colored.residue_number.tolist(), colored.b_iso.tolist(), strict=True
    ):
        assert b == pytest.approx(effect.get((chain, number), 0.0), abs=0.01)
    table = result.output.splitlines()[4:8]
    assert [line.split()[1] for line in table] == [row["name"] for row in rows[:4]]


def test_without_its_crystal_there_are_no_mates(checkpoint, in_crystal, tmp_path):
    result = debye_explain(
        in_crystal, "--residue", "A:5", "--model", checkpoint, "--crystal", "off",
        "--method", "gradients", "-o", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "no crystal contacts (switched off)" in result.output
    assert "not attributed" in result.output
    rows = rows_of(tmp_path / "crystal_A_GLU5_gradients.csv")
    assert {row["kind"] for row in rows} == {"covalent neighbor", "same chain", "feature"}


def test_an_ion_of_the_designed_protein(checkpoint):
    result = debye_explain(
        EXAMPLE, "--residue", "ZN101", "--model", checkpoint, "--reach", 4, "--workers", 2
    )
    assert result.exit_code == 0, result.output
    assert (
        result.output.count("covalent neighbor") == 2
    )  # two histidines; its waters are no atoms here


def test_an_identifier_is_read_from_a_mirror(checkpoint, benchmark_data, tmp_path):
    (tmp_path / "l2").mkdir()
    shutil.copy(benchmark_data / "formats" / "1l2y.bcif", tmp_path / "l2" / "1l2y.bcif")
    result = debye_explain(
        "1l2y", "--residue", "A:6", "--mirror", tmp_path, "--model", checkpoint, "--atom", "CA"
    )
    assert result.exit_code == 0, result.output
    assert "A:TRP6 CA of 1l2y.bcif" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--residue", "B:5"], "There is no chain 'B'"),
        (["--residue", "A:99"], "there is no residue A:99. Chain A has residues 1-13"),
        (["--residue", "A:5", "--atom", "XX"], "A:GLU5 has no atom XX"),
        (["--residue", "A:5", "--model", "no_such"], "no_such: neither a released model nor a file"),
        (["--residue", "A:5", "--model", "locant_element_mean", "--method", "gradients"],
         "no gradients to follow"),
    ],
)  # fmt: skip
def test_errors_are_one_line(checkpoint, in_crystal, arguments, message):
    model = [] if "--model" in arguments else ["--model", checkpoint]
    result = debye_explain(in_crystal, *arguments, *model)
    assert isinstance(result.exception, DebyeError)  # which `main` shows, with exit code 2
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_files_that_cannot_be_explained(checkpoint, tmp_path):
    (tmp_path / "bad.pdb").write_text("<html>")
    for name, message in (("bad.pdb", "bad.pdb"), ("missing.cif", "no such file")):
        result = debye_explain(tmp_path / name, "--residue", "A:5", "--model", checkpoint)
        assert result.exit_code == 1
        assert message in str(result.exception)
