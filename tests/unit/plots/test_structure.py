"""The composition: rows, columns, titles, one scale; how it looks is for eyes."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from debye.benchmark.cases import StructureCase
from debye.errors import ConfigError
from debye.plots.pymol import PictureConfig, RenderError
from debye.plots.structure import compose, save_structures, shared_limits

CONFIG, LIMITS = PictureConfig(), (10.0, 50.0)


@pytest.fixture
def case(in_crystal) -> StructureCase:
    return StructureCase(
        name="1aaa",
        structure=in_crystal,
        deposited=in_crystal.b_iso,
        predicted=in_crystal.b_iso + 7,
        model_name="tiny",
    )


@pytest.fixture
def model(case) -> StructureCase:
    return replace(case, name="AF-1", deposited=np.full_like(case.deposited, np.nan))


def panels_of(case: StructureCase) -> dict:
    sides = ("deposited", "predicted") if case.has_deposited else ("predicted",)
    image = np.zeros((60, 80, 3), np.uint8)
    return {(style, side): image for style in CONFIG.styles for side in sides}


def test_limits_are_percentiles_of_both_in_whole_numbers(case):
    both = np.concatenate([case.deposited, case.predicted])
    low, high = shared_limits([case])
    assert (low, high) == (np.floor(np.percentile(both, 2)), np.ceil(np.percentile(both, 98)))
    wild = case.predicted.copy()
    wild[0] = 5000
    assert shared_limits([replace(case, predicted=wild)])[1] < 60


def test_one_scale_for_all_structures(case):
    high = replace(case, predicted=case.predicted + 100)
    assert shared_limits([case, high])[0] < 20
    assert shared_limits([case, high])[1] > 130


def test_a_row_a_structure_a_column_a_panel_and_one_bar(case):
    figure = compose([(case, panels_of(case)), (case, panels_of(case))], CONFIG, LIMITS)
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    row = ["cartoon, deposited", "cartoon, predicted by tiny"]
    row += ["surface, deposited", "surface, predicted by tiny"]
    assert titles == row * 2
    (bar,) = (axes for axes in figure.axes if axes.get_xlabel())
    assert "B (Å²); ends 10 and 50: 2nd and 98th percentile" in bar.get_xlabel()
    assert [text.get_text() for text in figure.texts] == [case.title()] * 2


def test_no_two_texts_overlap_and_none_is_cut(case):
    figure = compose([(case, panels_of(case)), (case, panels_of(case))], CONFIG, LIMITS)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    bar = figure.axes[-1]
    shown = [*figure.texts, *(axes.title for axes in figure.axes if axes.images)]
    shown += [bar.xaxis.label, *(label for label in bar.get_xticklabels() if label.get_text())]
    boxes = [text.get_window_extent(renderer) for text in shown]
    assert len(boxes) > 10
    for number, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        for other in boxes[:number]:
            assert not box.overlaps(other)


def test_models_without_b_have_one_column_a_style_or_a_note_beside_crystals(case, model):
    alone = compose([(model, panels_of(model))], CONFIG, LIMITS)
    assert len([axes for axes in alone.axes if axes.images]) == 2
    mixed = compose([(case, panels_of(case)), (model, panels_of(model))], CONFIG, LIMITS)
    notes = [text.get_text() for axes in mixed.axes for text in axes.texts]
    assert notes.count("no deposited B") == 2


@pytest.mark.slow
def test_a_picture_is_written(case, fake_pymol, tmp_path):
    seen = []
    picture = save_structures(
        [case],
        tmp_path / "new" / "x.png",
        PictureConfig(program=fake_pymol.make(), size=60, limits=(5, 40)),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert picture.path.read_bytes().startswith(b"\x89PNG")
    assert (picture.drawn, picture.limits, seen) == (["1aaa"], (5, 40), [(1, 1)])
    assert [path.name for path in picture.path.parent.iterdir()] == ["x.png"]


@pytest.mark.slow
def test_a_small_png_has_256_colors(case, fake_pymol, tmp_path):
    program = fake_pymol.make()
    for name in ("full", "small"):
        config = PictureConfig(program=program, size=60, is_small=name == "small")
        save_structures([case], tmp_path / f"{name}.png", config)
    full, small = (matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("full", "small"))
    assert full.shape[:2] == small.shape[:2]
    assert len(np.unique(small[:, :, :3].reshape(-1, 3), axis=0)) <= 256
    assert np.abs(full[:, :, :3] - small[:, :, :3]).mean() < 0.01


@pytest.mark.slow
def test_a_structure_that_cannot_be_drawn_does_not_stop_the_others(case, fake_pymol, tmp_path):
    bad = replace(
        case,
        name="2bad",
        structure=replace(case.structure, entry=replace(case.structure.entry, id="2bad")),
    )
    program = fake_pymol.make("if '2BAD' in text: sys.exit(4)")
    config = PictureConfig(program=program, size=60)
    picture = save_structures([bad, case], tmp_path / "x.png", config)
    assert picture.drawn == ["1aaa"]
    assert "2bad: PyMOL ended with code 4" in str(picture.failures[0])
    with pytest.raises(RenderError, match="2bad"):
        save_structures([bad], tmp_path / "y.png", config)
    assert not (tmp_path / "y.png").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"styles": ("cartoon", "wire")}, "styles cartoon, wire"),
        ({"styles": ()}, r"styles \(none\)"),
        ({"styles": ("putty", "putty")}, "each once"),
        ({"limits": (30, 20)}, "a scale from 30 to 20"),
        ({"limits": (0, float("nan"))}, "a scale from 0 to nan"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        PictureConfig(**settings)


def test_targets_are_checked_first(case, fake_pymol, tmp_path):
    config = PictureConfig(program=fake_pymol.make())
    with pytest.raises(ConfigError, match=r"no picture format is called '\.bmp'"):
        save_structures([case], tmp_path / "x.bmp", config)
    with pytest.raises(ConfigError, match="no structure to draw"):
        save_structures([], tmp_path / "x.png", config)
    assert not fake_pymol.log.exists()
