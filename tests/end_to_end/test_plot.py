"""``debye plot structure`` as a user runs it, with the real PyMOL and with a stand-in."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from debye.benchmark.cases import StructureCase
from debye.cli.main import app
from debye.errors import ConfigError
from debye.plots.pymol import STYLES, PictureConfig, render
from debye.structure.write import write_structure

EXAMPLE = Path(__file__).parents[2] / "examples" / "designed_protein.cif"


def plot_structure(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["plot", "structure", *map(str, arguments)])


@pytest.fixture
def crystal_file(in_crystal, tmp_path) -> Path:
    return write_structure(in_crystal, tmp_path / "crystal.cif")


@pytest.mark.slow
def test_pymol_draws_low_b_blue_and_high_b_red(pymol, in_crystal):
    """B runs from blue to red; the same values under the same camera give the same pixels."""
    case = StructureCase(
        name="1aaa",
        structure=in_crystal,
        deposited=in_crystal.b_iso,
        predicted=in_crystal.b_iso.copy(),
        model_name="",
    )
    config = PictureConfig(styles=STYLES, size=120, program=pymol)
    images = render(case, config, (10.0, 40.0))
    assert len(images) == 8
    for style in STYLES:
        deposited, predicted = (images[style, side] for side in ("deposited", "predicted"))
        np.testing.assert_array_equal(deposited, predicted)
        red, blue = deposited[..., 0].astype(int), deposited[..., 2].astype(int)
        assert (red > blue + 50).sum() > 20
        assert (blue > red + 50).sum() > 20
    assert (images["cartoon", "predicted"] != images["spheres", "predicted"]).mean() > 0.1


@pytest.mark.slow
def test_a_picture_by_the_real_pymol(pymol, crystal_file, tmp_path):
    picture = tmp_path / "picture.png"
    result = plot_structure(
        crystal_file, "--predicted", crystal_file, "-o", picture, "--size", 100,
        "--style", "spheres", "--pymol", pymol, "--limits", "10", "40",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "1aaa: 10 to 40 Å²" in result.output
    image = matplotlib.image.imread(picture)
    assert (image[..., 0] > image[..., 2] + 0.2).sum() > 500


def test_a_model_without_b_beside_a_crystal_and_a_bad_file(
    fake_pymol, crystal_file, tmp_path, monkeypatch
):
    monkeypatch.setenv("DEBYE_PYMOL", str(fake_pymol.make()))
    bad = tmp_path / "bad.cif"
    bad.write_text("data_x\n")
    picture = tmp_path / "picture.png"
    result = plot_structure(
        crystal_file, bad, EXAMPLE, "-o", picture, "--model", "meta_gnn", "--size", 60
    )
    assert result.exit_code == 1
    assert "failed:" in result.output
    assert "bad.cif" in result.output
    assert picture.exists()
    assert "1aaa, " in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no structure is given"),
        (("x.cif", "--split", "kinase"), "name entries of a data store"),
        (("x.cif", "--data", "store"), "files and a data store are given"),
        (("x.cif", "--style", "wire"), "styles wire"),
        (("x.cif", "--pymol", "/nowhere/pymol"), "apt-get install pymol"),
    ],
)
def test_mistakes_are_explained(arguments, message, fake_pymol, monkeypatch):
    monkeypatch.setenv("DEBYE_PYMOL", str(fake_pymol.make()))
    error = plot_structure(*arguments, "-o", "x.png").exception
    assert isinstance(error, ConfigError)
    assert message in str(error)


def test_the_suffix_is_checked_before_anything_is_read():
    error = plot_structure("x.cif", "-o", "x.tiff").exception
    assert isinstance(error, ConfigError)
    assert "no picture format is called '.tiff'" in str(error)
