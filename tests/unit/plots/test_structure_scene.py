"""The script and the files that PyMOL gets."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debye.benchmark.cases import StructureCase
from debye.plots.colors import BLUE, RED
from debye.plots.structure_scene import PictureConfig, crop, render, scene_script
from debye.structure.read import read_structure
from debye.structure.structure import EntityKind

CONFIG, LIMITS = PictureConfig(styles=("cartoon", "putty"), size=100), (15.0, 60.0)


def draw(case, program):
    return render(case, replace(CONFIG, program=program), LIMITS)


@pytest.fixture
def case(in_crystal) -> StructureCase:
    deposited = in_crystal.b_iso.copy()
    deposited[4] = np.nan
    kind = in_crystal.entity_kind.copy()
    kind[-2:] = EntityKind.LIGAND
    return StructureCase(
        name="1aaa",
        structure=replace(in_crystal, entity_kind=kind),
        deposited=deposited,
        predicted=in_crystal.b_iso + 7,
        model_name="tiny",
    )


def test_panels_have_one_scale_and_one_camera():
    lines = scene_script(("deposited", "predicted"), CONFIG, LIMITS).splitlines()
    (colored,) = (line for line in lines if line.startswith("spectrum"))
    assert colored.endswith("all, minimum=15.0000, maximum=60.0000")
    images = [number for number, line in enumerate(lines) if line.startswith("png")]
    views = [n for n, line in enumerate(lines) if re.match("orient|zoom|turn|set_view", line)]
    assert len(images) == 4
    assert len(views) == 2
    assert max(views) < min(images)


def test_only_the_object_of_the_panel_is_on():
    lines = scene_script(("deposited", "predicted"), CONFIG, LIMITS).splitlines()
    for number, line in enumerate(lines):
        if found := re.match(r"png \w+?_(\w+)\.png", line):
            assert lines[number - 2 : number] == ["disable all", f"enable {found[1]}"]


def test_the_scale_has_the_colors_of_the_package():
    script = scene_script(("predicted",), CONFIG, LIMITS)
    colors = dict(re.findall(r"set_color (debye_\w+), \[(.*)\]", script))
    assert [float(x) for x in colors["debye_0"].split(",")] == list(BLUE)
    assert [float(x) for x in colors["debye_2"].split(",")] == list(RED)
    assert "load deposited.cif" not in script
    script = scene_script(("predicted",), replace(CONFIG, palette="cividis"), LIMITS)
    assert len(re.findall("set_color", script)) == 10


def test_pymol_reads_the_b_of_the_panel_and_the_kinds(case, fake_pymol):
    images = draw(case, fake_pymol.make())
    assert set(images) == {
        (style, side) for style in CONFIG.styles for side in ("deposited", "predicted")
    }
    read = {
        side: read_structure(fake_pymol.log / f"0_{side}.cif")
        for side in ("deposited", "predicted")
    }
    np.testing.assert_allclose(read["predicted"].b_iso, case.predicted, atol=0.006)
    assert read["deposited"].b_iso[4] == -999
    np.testing.assert_allclose(read["deposited"].occupancy, case.structure.entity_kind)
    np.testing.assert_allclose(read["deposited"].position, read["predicted"].position)


def test_temporary_files_are_removed(case, fake_pymol):
    draw(case, fake_pymol.make())
    where = Path((fake_pymol.log / "0.where").read_text())
    assert where.name.startswith("debye-picture-")
    assert not where.exists()


def test_without_deposited_b_the_prediction_alone(case, fake_pymol):
    predicted = replace(case, deposited=np.full_like(case.deposited, np.nan))
    images = draw(predicted, fake_pymol.make())
    assert {side for _, side in images} == {"predicted"}
    assert not (fake_pymol.log / "0_deposited.cif").exists()


def test_margins_are_cut_alike():
    images = [np.full((50, 80, 3), 255, np.uint8) for _ in range(2)]
    images[0][10, 20] = 0
    images[1][30, 60] = 0
    first, second = crop(images, margin=3)
    assert first.shape == second.shape == (27, 47, 3)
    assert not first[3, 3].any()
    assert not second[23, 43].any()


def test_a_white_image_stays_as_it_is():
    white = np.full((5, 5, 3), 255, np.uint8)
    assert crop([white])[0].shape == (5, 5, 3)
