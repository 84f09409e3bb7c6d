from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from debye.errors import ConfigError
from debye.plots.distribution import Band, density, plot_samples, samples_of
from debye.plots.drawing import save_figure
from debye.scores.scores import score_structure, score_table
from debye.scores.strata import StructureValues
from debye.structure.structure import EntityKind
from debye.targets.catalog import find_target


def values_of(number: int, r: float) -> StructureValues:
    """A structure whose Pearson r is exactly ``r``."""
    shape = np.tile([1.0, -1.0, 1.0, -1.0], 5)
    other = np.tile([1.0, 1.0, -1.0, -1.0], 5)  # orthogonal to the shape
    return StructureValues(
        id=f"s{number}",
        target=find_target("b_factor"),
        true=(20 + shape).astype(np.float32),
        predicted=(20 + r * shape + np.sqrt(1 - r**2) * other).astype(np.float32),
        entity_kind=np.full(20, EntityKind.PROTEIN, np.int8),
        is_backbone=np.zeros(20, bool),
        residue_name=np.full(20, "ALA"),
        residue_index=np.zeros(20, np.int32),
        chain_index=np.zeros(20, np.int32),
    )


def scores_of(values, name="m", crystal="on") -> pd.DataFrame:
    scores = [score_structure(each, ["protein"])[0] for each in values]
    return score_table(scores, model=name, crystal=crystal)


def table_of(rs, name="m", crystal="on") -> pd.DataFrame:
    return scores_of([values_of(number, r) for number, r in enumerate(rs)], name, crystal)


def plot(*tables: pd.DataFrame, **settings):
    return plot_samples(samples_of(pd.concat(tables)), axis="r", **settings)


def test_the_right_panel_is_the_share_at_or_below():
    figure = plot(table_of([0.9, 0.1, 0.5, 0.7]))
    x, y = figure.axes[1].lines[0].get_data()
    np.testing.assert_allclose(x, [0.1, 0.1, 0.5, 0.7, 0.9], atol=1e-6)
    np.testing.assert_allclose(y, [0, 0.25, 0.5, 0.75, 1])


def test_every_structure_is_a_point_and_labels_give_the_figures():
    rs = np.linspace(0.2, 0.9, 15)
    figure = plot(table_of(rs, "a"), table_of(rs / 2, "b", "off"))
    left = figure.axes[0]
    points = [c for c in left.collections if len(c.get_offsets()) == 15]
    np.testing.assert_allclose(points[0].get_offsets()[:, 0], rs, atol=1e-6)
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert labels[0].startswith("a, crystal on\nmean 0.550, median 0.550")
    assert "b, crystal off" in labels[1]


def test_undefined_structures_are_counted_in_the_label():
    constant = values_of(99, 0.5)
    constant.predicted[:] = 7.0
    (sample,) = samples_of(scores_of([values_of(0, 0.4), constant]))
    assert sample.values == pytest.approx([0.4])
    assert sample.undefined == 1
    text = plot(scores_of([values_of(0, 0.4), constant])).axes[0].get_yticklabels()[0].get_text()
    assert "1 structure, 1 undefined" in text


@pytest.mark.parametrize("rs", [[0.5], [0.5] * 8, [-1.0, 1.0], np.linspace(-0.9, 0.9, 100)])
@pytest.mark.parametrize("count", [1, 8])
def test_any_number_of_structures_and_models_can_be_drawn(rs, count, tmp_path):
    figure = plot(*(table_of(rs, f"m{number}") for number in range(count)))
    path = save_figure(figure, tmp_path / "new" / "d.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 5000


def test_a_model_without_any_r_still_has_its_row():
    constant = values_of(0, 0.5)
    constant.predicted[:] = 7.0
    assert "no r" in plot(scores_of([constant])).axes[0].get_yticklabels()[0].get_text()


def test_density_integrates_to_the_sample():
    values = np.random.default_rng(0).normal(0.6, 0.1, 2000)
    grid = np.linspace(0, 1.2, 600)
    heights = density(values, grid)
    mean = (grid * heights).sum() / heights.sum()
    assert mean == pytest.approx(values.mean(), abs=1e-3)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ConfigError, match="no evaluation"):
        plot_samples([], axis="r")


def test_a_band_is_drawn_behind_both_panels_and_named_in_the_legend():
    band = Band("ceiling", 0.6, 0.7, 0.8)
    figure = plot(table_of([0.9, 0.1, 0.5, 0.7]), band=band)
    for axes in figure.axes:
        edges = [
            patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches
        ]
        assert [(box.x0, box.x1) for box in edges] == [(pytest.approx(0.6), pytest.approx(0.8))]
        assert [0.7, 0.7] in [list(line.get_xdata()) for line in axes.lines]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["m, crystal on", "ceiling: quartiles, median 0.700"]


def test_no_band_without_a_finite_value():
    assert Band.quartiles(np.array([np.nan]), "ceiling") is None
    band = Band.quartiles(np.array([0.1, np.nan, 0.3]), "ceiling")
    assert band is not None
    assert (band.low, band.middle, band.high) == (0.15, 0.2, 0.25)
