"""A picture of a data store: how size, resolution and B are spread over the entries of each split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from debye.dataset.store.statistics import REFERENCES, Histogram
from debye.errors import ConfigError
from debye.plots.distribution import PALETTE, STYLES
from debye.plots.drawing import INK, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_histograms(histograms: Sequence[Histogram], *, title: str = "") -> Figure:
    """Draw one panel a quantity: the share of each split's entries in each bin, and the published means.

    Raises:
        ConfigError: there is no histogram.
    """
    if not histograms:
        raise ConfigError(
            "histograms", problem="no entry to draw", remedy="Give a store with entries"
        )
    rows = (len(histograms) + 1) // 2
    figure = new_figure(10, 0.8 + 2.9 * rows, layout="constrained")
    panels = np.ravel(figure.subplots(rows, 2))
    for axes, histogram in zip(panels, histograms, strict=False):
        _draw(axes, histogram)
    for axes in panels[len(histograms) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    if title:
        figure.suptitle(title, x=0.01, ha="left", color=INK, fontweight="bold", fontsize=10)
    return figure


def _draw(axes: Axes, histogram: Histogram) -> None:
    for number, (split, counts) in enumerate(histogram.counts.items()):
        color, style = PALETTE[number % len(PALETTE)], STYLES[number // len(PALETTE) % len(STYLES)]
        share = 100 * counts / max(counts.sum(), 1)
        axes.stairs(
            share, histogram.edges, color=color, linestyle=style, linewidth=1.5, label=split
        )
    for number, reference in enumerate(REFERENCES):
        mean = getattr(reference, histogram.quantity.published)
        style = ("--", ":")[number % 2]
        axes.axvline(
            mean, color=INK, linestyle=style, linewidth=1, label=f"mean of {reference.split}"
        )
    if histogram.quantity.has_wide_range:
        axes.set_xscale("log")
    axes.set_xlabel(histogram.quantity.label, color=INK)
    axes.set_ylabel("% of the split's entries", color=INK)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
