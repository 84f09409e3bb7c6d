"""Figures of evaluations: how the correlation is distributed over the structures of a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from debye.dataset.store.statistics import REFERENCES, Histogram
from debye.errors import ConfigError
from debye.plots.drawing import INK, new_figure
from debye.reports.document import counted
from debye.scores.scores import by_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Okabe & Ito's palette, told apart with every common color vision; repeated with other line styles.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
STYLES = ("-", "--", ":", "-.")
BAND = "#ececec"
WIDEST = 0.4
"""Height of a ridge, in rows."""
FEWEST_FOR_SHAPE = 5
"""With fewer structures a density would be made up: only the points are drawn."""


@dataclass(frozen=True, slots=True)
class RidgeSample:
    """Pearson r of one row of the figure."""

    label: str
    """One short line."""
    values: NDArray[np.float64]
    """Defined values, sorted."""
    undefined: int = 0
    """How many are not defined."""
    noun: str = "structure"
    """What one value stands for."""


@dataclass(frozen=True, slots=True)
class Band:
    """A range drawn behind all rows, such as the agreement of two crystals."""

    label: str
    low: float
    middle: float
    high: float

    @classmethod
    def quartiles(cls, values: NDArray[np.float64], label: str) -> Band | None:
        """Return the band between the quartiles of some values; None where none is finite.

        Example:
            >>> Band.quartiles(np.array([0.2, 0.4, 0.6]), "ceiling")
            Band(label='ceiling', low=0.3, middle=0.4, high=0.5)
        """
        known = values[np.isfinite(values)]
        if not known.size:
            return None
        return cls(label, *np.quantile(known, [0.25, 0.5, 0.75]).round(6).tolist())


def line_style(number: int) -> tuple[str, str]:
    """Return color and line style of one of many lines."""
    return PALETTE[number % len(PALETTE)], STYLES[number // len(PALETTE) % len(STYLES)]


def samples_of(table: pd.DataFrame, noun: str = "structure") -> list[RidgeSample]:
    """Return a sample for each model and crystal of a table with ``pearson``.

    Args:
        noun: What one row stands for.
    """
    samples = []
    for model, crystal, rows in by_run(table):
        known = rows["pearson"].dropna().to_numpy(np.float64)
        label = f"{model}, crystal {crystal}" if crystal else model
        samples.append(RidgeSample(label, np.sort(known), len(rows) - len(known), noun))
    return samples


def plot_samples(
    samples: Sequence[RidgeSample], *, axis: str, title: str = "", band: Band | None = None
) -> Figure:
    """Draw how correlations are distributed, one row a sample.

    On the left a ridge each, with one point a value, quartiles and mean; on the right the share of
    values at or below each r. Values that are not defined are counted in the labels.
    """
    if not samples:
        raise ConfigError("distribution", "no evaluation to draw", "Evaluate a model first")
    figure = new_figure(11, 1.9 + 0.75 * max(len(samples), 3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    for row, sample in enumerate(samples):
        values, (color, style) = sample.values, line_style(row)
        if values.size:
            draw_ridge(left, values, row, color)
            # Points below the ridge, moved apart evenly by rank: no random numbers in a figure.
            shift = 0.09 + 0.2 * ((np.arange(len(values)) * 0.618) % 1)
            left.scatter(values, row + shift, s=6, color=color, alpha=0.55, linewidths=0)
            left.plot(values.mean(), row, "D", color=INK, markersize=4, zorder=2.3)
            share, places = np.arange(len(values) + 1) / len(values), np.append(values[:1], values)
            right.step(
                places, share, where="post", color=color, linestyle=style, label=sample.label
            )
    if band is not None:
        draw_band((left, right), band)
    _finish(left, right, [_label(sample) for sample in samples], axis)
    handles, labels = right.get_legend_handles_labels()
    if handles:
        # Below the axes: no corner of a cumulative curve is free for many models.
        place = "outside lower right"
        figure.legend(handles, labels, frameon=False, fontsize=8, loc=place, ncols=3)
    if title:
        figure.suptitle(title, x=0.01, ha="left", color=INK, fontweight="bold", fontsize=11)
    return figure


def density(values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth a sample by Gaussians of Silverman's width (Silverman 1986, equation 3.31), peak 1.

    Example:
        >>> density(np.array([0.5, 0.5, 0.6]), np.array([0.0, 0.5])).round(2).tolist()
        [0.0, 1.0]
    """
    quartiles = np.subtract(*np.quantile(values, [0.75, 0.25]))
    spreads = [width for width in (values.std(), quartiles / 1.34) if width > 0]
    width = max(0.9 * min(spreads, default=0.0) * len(values) ** -0.2, 0.005)
    heights = np.exp(-0.5 * np.square((grid[:, None] - values) / width)).sum(axis=1)
    return heights / heights.max()


def draw_ridge(
    axes: Axes,
    values: NDArray[np.float64],
    row: float,
    color: str,
    *,
    height: float = WIDEST,
    alpha: float = 0.3,
    zorder: float = 2,
) -> None:
    """Draw the density, quartiles and median of sorted values, upwards from a row.

    Args:
        axes: Rows count downwards.
        values: At least one.
        height: Of the highest point, in rows.
        zorder: Of the area; the other parts are just above it.
    """
    if len(values) >= FEWEST_FOR_SHAPE:
        grid = np.linspace(values[0], values[-1], 300)
        top = row - height * density(values, grid)
        axes.fill_between(grid, row, top, color=color, alpha=alpha, linewidth=0, zorder=zorder)
        axes.plot(grid, top, color=color, linewidth=1, zorder=zorder)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    (line,) = axes.plot([low, high], [row, row], color=color, linewidth=4, zorder=zorder + 0.1)
    line.set_solid_capstyle("butt")
    (circle,) = axes.plot(middle, row, "o", color="white", markersize=5, zorder=zorder + 0.2)
    circle.set_markeredgecolor(color)


def draw_band(panels: Sequence[Axes], band: Band) -> None:
    """Draw a range behind all rows, with its median and an entry for the legend."""
    label = f"{band.label}: quartiles, median {band.middle:.3f}"
    for axes in panels:
        axes.axvspan(band.low, band.high, color=BAND, zorder=0, linewidth=0, label=label)
        axes.axvline(band.middle, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0.5)


def _label(sample: RidgeSample) -> str:
    """Return model and crystal, then the numbers that a reader would measure in the figure."""
    values, undefined = sample.values, sample.undefined
    found = f"mean {values.mean():.3f}, median {np.median(values):.3f}" if values.size else "no r"
    missing = f", {undefined} undefined" if undefined else ""
    return f"{sample.label}\n{found}\n{counted(len(values), sample.noun)}{missing}"


def _finish(left: Axes, right: Axes, labels: Sequence[str], axis: str) -> None:
    left.set_yticks(range(len(labels)), labels, fontsize=8)
    left.set_ylim(len(labels) - 0.5, -0.6)
    left.tick_params(axis="y", length=0)
    for axes in (left, right):
        axes.set_xlabel(axis, color=INK)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    left.spines["left"].set_visible(False)
    low = min(left.get_xlim()[0], right.get_xlim()[0])
    for axes in (left, right):
        axes.set_xlim(max(low, -1.0), 1.0)
    right.set_ylim(0, 1)
    right.set_ylabel("share at or below", color=INK)
    left.set_title(
        "thick line: quartiles · circle: median · diamond: mean", loc="left", fontsize=8, color=INK
    )


def plot_histograms(histograms: Sequence[Histogram], *, title: str = "") -> Figure:
    """Draw one panel a quantity: the share of each split's entries in each bin, and the published means."""
    if not histograms:
        raise ConfigError("histograms", "no entry to draw", "Give a store with entries")
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
        color, style = line_style(number)
        share = 100 * counts / max(counts.sum(), 1)
        look = {"color": color, "linestyle": style, "linewidth": 1.5}
        axes.stairs(share, histogram.edges, label=split, **look)
    for number, reference in enumerate(REFERENCES):
        mean = getattr(reference, histogram.quantity.published)
        style = ("--", ":")[number % 2]
        label = f"mean of {reference.split}"
        axes.axvline(mean, color=INK, linestyle=style, linewidth=1, label=label)
    if histogram.quantity.has_wide_range:
        axes.set_xscale("log")
    axes.set_xlabel(histogram.quantity.label, color=INK)
    axes.set_ylabel("% of the split's entries", color=INK)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
