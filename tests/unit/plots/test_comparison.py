"""Pictures of comparisons: every model is named, what is not defined is left empty."""

from __future__ import annotations

import numpy as np
import pytest

from debye.benchmark.comparison.results import MeanSd
from debye.errors import ConfigError
from debye.plots.comparison import ModelRow, plot_bars, plot_differences, plot_ridges
from debye.plots.distribution import Band
from debye.plots.drawing import png

ROWS = [
    ModelRow("gcn", True),
    ModelRow("meta_gnn", True, is_reference=True),
    ModelRow("contact_number", False),
]


def labels(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def test_bars_name_every_model_and_leave_out_what_is_not_defined():
    bars = [MeanSd(0.51, 0.01, 3), MeanSd(0.6, 0.02, 3), MeanSd(np.nan, np.nan, 1)]
    figure = plot_bars(ROWS, {"val": bars, "test": bars}, axis="CC")
    assert labels(figure) == ["gcn", "meta_gnn", "contact_number"]
    assert len(figure.axes) == 2
    shown = [text.get_text() for text in figure.axes[1].texts]
    assert shown == ["0.510", "0.600", "–"]
    assert len(figure.axes[1].containers) == 4  # two bars, two lines of sd
    assert png(figure).startswith(b"\x89PNG")


def test_ridges_have_a_band_and_the_mean_of_each_model():
    generator = np.random.default_rng(0)
    values = [generator.normal(0.6, 0.1, 40), np.array([0.2, np.nan, 0.4]), np.array([np.nan])]
    band = Band("ceiling", 0.6, 0.7, 0.8)
    figure = plot_ridges(ROWS, values, axis="r", band=band)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown == [f"{values[0].mean():.3f}", "0.300"]
    assert "ceiling" in figure.axes[0].get_legend().get_texts()[0].get_text()
    assert png(figure).startswith(b"\x89PNG")


def test_differences_have_intervals_where_there_are_any():
    found = [(0.1, 0.05, 0.15), (0.0, np.nan, np.nan), (-0.2, -0.3, -0.1)]
    figure = plot_differences(ROWS, {"test": found}, axis="CC − CC")
    trained, others = ([len(line.get_xdata()) for line in axes.lines] for axes in figure.axes)
    # Intervals with the line at zero, and points.
    assert (trained.count(2), trained.count(1)) == (1 + 1, 2)
    assert (others.count(2), others.count(1)) == (1 + 1, 1)
    assert labels(figure) == ["gcn", "meta_gnn"]


def test_differences_of_baselines_alone_have_one_scale():
    figure = plot_differences(
        ROWS[2:], {"val": [(0.1, 0.0, 0.2)], "test": [(0.1, 0.0, 0.2)]}, axis=""
    )
    assert len(figure.axes) == 2
    assert labels(figure) == ["contact_number"]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ConfigError, match="nothing to draw"):
        plot_bars([], {"val": []}, axis="CC")
