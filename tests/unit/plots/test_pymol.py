"""The script and the files that PyMOL gets; it is found and run, with a stand-in, and failures are reported."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debye.benchmark.cases import StructureCase
from debye.errors import ConfigError
from debye.plots.drawing import BLUE, RED
from debye.plots.pymol import (
    PictureConfig,
    RenderError,
    crop,
    find_pymol,
    render,
    run_pymol,
    scene_script,
)
from debye.structure.read import read_structure
from debye.structure.structure import EntityKind

SCRIPT = "png a.png, width=60, height=48, ray=1\n"


@pytest.mark.slow
def test_images_come_back(fake_pymol, tmp_path):
    (image,) = run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=fake_pymol.make())
    assert image.shape == (48, 60, 3)
    assert image[20, 20].tolist() == [200, 30, 30]


def test_without_pymol_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("DEBYE_PYMOL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"apt-get install pymol.*--pymol or DEBYE_PYMOL"):
        find_pymol()
    with pytest.raises(ConfigError, match="nowhere/pymol: PyMOL is not there"):
        find_pymol("nowhere/pymol")


def test_option_goes_before_the_variable_and_that_before_path(monkeypatch, fake_pymol, tmp_path):
    fake = fake_pymol.make()
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    monkeypatch.delenv("DEBYE_PYMOL", raising=False)
    assert find_pymol() == str(fake)
    monkeypatch.setenv("DEBYE_PYMOL", str(other))
    assert find_pymol() == str(other)
    assert find_pymol(fake) == str(fake)


@pytest.mark.slow
def test_the_output_of_pymol_is_in_the_error(fake_pymol, tmp_path):
    program = fake_pymol.make("sys.stderr.write('no memory left'); sys.exit(3)")
    with pytest.raises(RenderError, match=r"^1abc: .*ended with code 3: no memory left\. Check"):
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program)


@pytest.mark.slow
def test_a_missing_image_is_an_error_although_pymol_ends_well(fake_pymol, tmp_path):
    with pytest.raises(RenderError, match=r"made no image b\.png, without a message"):
        run_pymol(SCRIPT, tmp_path, ["a.png", "b.png"], source="1abc", program=fake_pymol.make())


@pytest.mark.slow
def test_a_broken_image_is_an_error(fake_pymol, tmp_path):
    program = fake_pymol.make("Path('a.png').write_bytes(b'no image'); sys.exit(0)")
    with pytest.raises(RenderError, match=r"an image that cannot be read, a\.png"):
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program)


@pytest.mark.slow
def test_it_is_stopped_after_its_time_with_what_it_started(fake_pymol, tmp_path):
    # Its child would leave a file after two seconds, were it not stopped too.
    program = fake_pymol.make(
        "import subprocess; subprocess.run(['sh', '-c', 'sleep 2; touch late'])"
    )
    with pytest.raises(RenderError, match=r"had not finished after 1 s.*--timeout"):
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program, timeout=1)
    time.sleep(1.6)
    assert not (tmp_path / "late").exists()


@pytest.mark.slow
def test_the_launcher_finds_the_python_beside_it(fake_pymol, tmp_path, monkeypatch):
    """Debian's launcher runs the first python3 on PATH: not one of a virtual environment."""
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    program = fake_pymol.make(
        "import os; print(os.environ['PATH'].split(':')[0], os.environ.get('PYTHONPATH'));"
        "sys.exit(1)"
    )
    with pytest.raises(RenderError, match=f"code 1: {program.parent} None"):
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program)


@pytest.mark.slow
def test_sigterm_ends_it_too_and_the_old_handler_is_back(fake_pymol, tmp_path):
    program = fake_pymol.make("import os; Path('pid').write_text(str(os.getpid())); time.sleep(60)")

    def terminate() -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    with pytest.raises(SystemExit) as left:
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program)
    assert left.value.code == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_temporary_files_are_removed(case, fake_pymol):
    draw(case, fake_pymol.make())
    where = Path((fake_pymol.log / "0.where").read_text())
    assert where.name.startswith("debye-picture-")
    assert not where.exists()


@pytest.mark.slow
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
