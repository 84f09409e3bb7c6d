"""``debye predict`` as a user runs it."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gemmi
import pytest
import torch
from outputs import spread_out
from servers.archive import Fault, running
from servers.entry_files import entry_cif, zipped
from typer.testing import CliRunner, Result

from debye.cli.main import app
from debye.errors import ConfigError
from debye.models.catalog import build_model
from debye.models.checkpoint import (
    CheckpointHeader,
    read_header,
    released_checkpoints,
    save_checkpoint,
)
from debye.prediction.calibration import Calibration, Interval
from debye.scores.strata import ErrorClass
from debye.targets.catalog import TARGETS
from debye.targets.target import LabelSource, Target

HEADER = (
    "model,chain,residue_number,insertion_code,residue_name,atom_name,altloc,element,"
    "b_predicted,b_lower,b_upper,b_deposited"
)


SETTINGS = {"layers": 1, "node_width": 8, "edge_width": 8, "global_width": 8}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A small untrained model with the level of real crystals."""
    settings = SETTINGS
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model("meta_gnn", settings)
    spread_out(model, 1, mean=30.0, sd=8.0)
    intervals = tuple(
        Interval(atom_class=kind, resolution_known=known, lower=-1.0, upper=1.5, atoms=1000)
        for kind in ErrorClass
        for known in (True, False)
    )
    calibration = Calibration(intervals=intervals).model_dump(mode="json")
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    header = CheckpointHeader(
        name="small", model="meta_gnn", config=settings, calibration={"b_factor": calibration}
    )
    save_checkpoint(path, model, header)
    return path


def debye_predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_with_a_bad_file(checkpoint, peptide_cif, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(peptide_cif, folder / "one.cif")
    shutil.copy(peptide_cif, folder / "deep" / "one.cif")
    (folder / "bad.pdb").write_text("<html>")
    result = debye_predict(folder, "no/such.cif", "--model", checkpoint, "-o", out, "--workers", 1)
    assert result.exit_code == 1
    assert sorted(path.name for path in out.iterdir()) == [
        "one.cif", "one.csv", "one_2.cif", "one_2.csv"
    ]  # fmt: skip
    assert "2 predicted, 2 failed" in result.output
    assert re.search(r"failed: .*bad\.pdb", result.output)
    assert "no/such.cif: no such file" in result.output
    assert len(re.findall(r"one\.cif: 117 atoms", result.output)) == 2
    assert (out / "one.csv").read_text().splitlines()[0] == HEADER


def test_results_are_skipped_then_replaced(checkpoint, peptide_cif, tmp_path):
    arguments = (peptide_cif, "--model", checkpoint, "-o", tmp_path, "--format", "csv")
    assert debye_predict(*arguments).exit_code == 0
    (tmp_path / "peptide.csv").write_text("mine")
    result = debye_predict(*arguments)
    assert result.exit_code == 0
    assert "0 predicted, 1 skipped (output folder:" in result.output
    assert (tmp_path / "peptide.csv").read_text() == "mine"
    assert "1 predicted" in debye_predict(*arguments, "--overwrite").output
    assert (tmp_path / "peptide.csv").read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "cif,xyz"], "no format is called 'xyz'"),
        (["--crystal", "maybe"], "maybe"),
        (["--resolution", "900"], "equal to 30"),
        (["--mirror", "no/such/folder"], "no/such/folder"),
    ],
)
def test_bad_options_are_explained(checkpoint, peptide_cif, tmp_path, arguments, message):
    result = debye_predict(peptide_cif, "--model", checkpoint, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "out").exists()


@pytest.fixture
def charge_model(tmp_path, monkeypatch) -> Path:
    """A small untrained model of a target that has no place in the B column."""
    target = Target(name="charge", unit="e", summary="Made.", source=LabelSource("charge"))
    monkeypatch.setattr(TARGETS, "builtin", {**TARGETS.builtin, "charge": target})
    path = tmp_path / "charge.safetensors"
    header = CheckpointHeader(name="charge", model="meta_gnn", config=SETTINGS, targets=("charge",))
    save_checkpoint(path, build_model("meta_gnn", SETTINGS, (target,)), header)
    return path


def test_a_model_without_b_factors_writes_tables_by_default(charge_model, peptide_cif, tmp_path):
    out = tmp_path / "out"
    result = debye_predict(peptide_cif, "--model", charge_model, "-o", out, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert [path.name for path in out.iterdir()] == ["peptide.csv"]
    assert "charge_predicted" in rows_of(out / "peptide.csv")[0]


@pytest.mark.parametrize(("formats", "copies"), [("cif,csv", "cif"), ("pdb,cif", "cif or pdb")])
def test_a_copy_of_a_model_without_b_factors_is_refused_before_any_work(
    formats, copies, charge_model, tmp_path
):
    out = tmp_path / "out"
    arguments = ("no/such.cif", "--model", charge_model, "-o", out, "--format", formats)
    error = debye_predict(*arguments).exception
    assert isinstance(error, ConfigError)
    assert f"predicts charge, no B-factors, so it writes no {copies}" in str(error)
    assert not out.exists()


def test_every_released_model_predicts_b_factors():
    for name in released_checkpoints():
        assert any(target.in_b_column for target in read_header(name).find_targets()), name


def test_unknown_model_names_the_choices(peptide_cif, tmp_path):
    command = [sys.executable, "-c", "from debye.cli.main import main; main()", "predict"]
    arguments = [str(peptide_cif), "--model", "no_such", "-o", str(tmp_path)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no_such: neither a released model nor a file" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_formats_picture_and_table(checkpoint, peptide_cif, tmp_path):
    result = debye_predict(
        peptide_cif, "--model", checkpoint, "-o", tmp_path,
        "--format", "cif,pdb,csv,parquet", "--plot", "--table",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert {path.suffix for path in tmp_path.iterdir()} == {
        ".cif", ".pdb", ".csv", ".parquet", ".png"
    }  # fmt: skip
    assert len([line for line in result.output.splitlines() if line.startswith("A ")]) == 13


def test_every_line_is_kept_and_only_b_is_new(checkpoint, benchmark_data, tmp_path):
    source = benchmark_data / "formats" / "1tal.pdb"
    result = debye_predict(source, "--model", checkpoint, "-o", tmp_path, "--format", "cif,csv,pdb")
    assert result.exit_code == 0, result.output
    assert "skipped: 301 waters, 83 altlocs" in result.output
    rows = rows_of(tmp_path / "1tal.csv")
    before = [line for line in source.read_text().splitlines() if line[:6] in ("ATOM  ", "HETATM")]
    after = (tmp_path / "1tal.pdb").read_text().splitlines()
    after = [line for line in after if line[:6] in ("ATOM  ", "HETATM")]
    assert len(rows) == len(before) == len(after)
    for row, old, new in zip(rows, before, after, strict=True):
        assert old[:60] == new[:60]
        assert old[66:] == new[66:]
        assert float(row["b_deposited"]) == float(old[60:66])
        assert float(new[60:66]) == float(row["b_predicted"] or row["b_deposited"])
        assert (row["b_predicted"] == "") == (row["b_upper"] == "")
    assert sum(row["b_predicted"] == "" for row in rows) == 301 + 83
    assert {"A", "B"} <= {row["insertion_code"] for row in rows}
    block = gemmi.cif.read(str(tmp_path / "1tal.cif")).sole_block()
    assert len(block.find_values("_atom_site.B_iso_or_equiv")) == len(rows)


def test_predicted_models_and_other_methods_are_inputs_without_deposited_b(
    checkpoint, benchmark_data, tmp_path
):
    model = sorted((benchmark_data / "af_models").glob("*.cif*"))[0]
    nmr = benchmark_data / "formats" / "1l2y.bcif"
    result = debye_predict(
        model, nmr, "--model", checkpoint, "-o", tmp_path, "--format", "csv", "--workers", 1
    )
    assert result.exit_code == 0, result.output
    for path in tmp_path.iterdir():
        rows = rows_of(path)
        assert all(row["b_deposited"] == "" for row in rows)
        assert any(row["b_predicted"] for row in rows)
    rows = rows_of(tmp_path / "1l2y.csv")
    assert {row["model"] for row in rows if row["b_predicted"]} == {"1"}
    assert len({row["model"] for row in rows}) == 38


def test_identifiers_are_read_from_a_mirror(checkpoint, benchmark_data, tmp_path):
    entry = sorted((benchmark_data / "structures").glob("*/*.bcif.gz"))[5]
    name = entry.name.removesuffix(".bcif.gz")
    result = debye_predict(
        name.upper(), "--mirror", benchmark_data / "structures",
        "--model", checkpoint, "-o", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.cif", f"{name}.csv"}


def test_identifiers_are_downloaded_once(checkpoint, peptide, tmp_path, monkeypatch):
    """From a server that fails once, then answers; the second run needs it no more."""
    with running() as server:
        for archive in ("MODELS", "FILES", "ALPHAFOLD"):
            monkeypatch.setenv(f"DEBYE_{archive}_URL", server.url)
        monkeypatch.setenv("DEBYE_CACHE", str(tmp_path / "cache"))
        server.add_pdb("1abc", cif_gz=zipped(entry_cif(peptide, "1abc")))
        server.fail("/download/1abc.cif.gz", Fault(status=500))
        arguments = ("1abc", "9xyz", "--model", checkpoint, "--workers", 1, "-o")
        result = debye_predict(*arguments, tmp_path / "first")
        assert result.exit_code == 1, "9xyz is not on the server"
        assert "1 predicted, 1 failed" in result.output
        assert re.search(r"failed: .*9xyz", result.output)
        assert len(rows_of(tmp_path / "first" / "1abc.csv")) == 117
        assert server.requests["/download/1abc.cif.gz"] == 2
        debye_predict(*arguments, tmp_path / "second")
        assert server.requests["/download/1abc.cif.gz"] == 2, "it is in the cache"
    assert (tmp_path / "second" / "1abc.cif").exists()


def test_all_format_files_are_predicted_by_two_processes(checkpoint, benchmark_data, tmp_path):
    result = debye_predict(
        benchmark_data / "formats", "--model", checkpoint, "-o", tmp_path,
        "--format", "csv", "--workers", 2,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    files = [
        path
        for path in (benchmark_data / "formats").iterdir()
        if path.name.removesuffix(".gz").endswith((".cif", ".bcif", ".pdb"))
    ]
    assert len(list(tmp_path.iterdir())) == len(files)
