from __future__ import annotations

import numpy as np
import pytest

from debye.dataset.store.statistics import QUANTITIES, REFERENCES, Histogram
from debye.errors import ConfigError
from debye.plots.distribution import plot_histograms
from debye.plots.drawing import save_figure

HISTOGRAMS = [
    Histogram(
        quantity=quantity,
        edges=np.array([1.0, 10.0, 100.0]),
        counts={"train": np.array([3, 1]), "val": np.array([0, 0])},
        unknown={"train": 0, "val": 2},
    )
    for quantity in QUANTITIES
]


def test_one_panel_a_quantity_with_shares_and_published_means(tmp_path) -> None:
    figure = plot_histograms(HISTOGRAMS, title="a store")
    panels = figure.get_axes()
    assert [panel.get_xlabel() for panel in panels] == [item.label for item in QUANTITIES]
    assert [panel.get_xscale() for panel in panels] == ["log", "log", "linear", "linear"]
    stairs = panels[0].patches[0].get_data()
    assert stairs.values.tolist() == [75.0, 25.0]
    means = [line.get_xdata()[0] for line in panels[3].lines]
    assert means == [reference.mean_b for reference in REFERENCES]
    path = save_figure(plot_histograms(HISTOGRAMS[:1]), tmp_path / "new" / "h.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no entry to draw"):
        plot_histograms([])
