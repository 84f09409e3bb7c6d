"""Pictures of a comparison of many models: bars with the spread of runs, ridges, differences."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from debye.errors import ConfigError
from debye.plots.distribution import BAND, INK, Band, density

TRAINED, OTHER, CHOSEN = "#2b6cb0", "#9aa5b1", "#c05621"
"""Models trained here, others, the reference."""
FEWEST_FOR_SHAPE = 5
RIDGE_HEIGHT = 0.85
"""Of the highest point of a ridge, in rows."""
DOTS_PER_INCH = 140


@dataclass(frozen=True, slots=True)
class Bar:
    """One model in one panel."""

    mean: float
    sd: float
    """NaN where there is one run."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model of a picture."""

    label: str
    is_trained: bool
    is_reference: bool = False

    @property
    def color(self) -> str:
        """Say by color what it is."""
        if self.is_reference:
            return CHOSEN
        return TRAINED if self.is_trained else OTHER


def _explain_colors(figure: Figure, rows: Sequence[ModelRow]) -> None:
    """Say below the axes what the colors mean, where there is more than one."""
    meanings = {
        CHOSEN: "reference",
        TRAINED: "trained here",
        OTHER: "fitted in one pass, or evaluated as it stands",
    }
    shown = [color for color in meanings if color in {row.color for row in rows}]
    handles = [Patch(color=color, label=meanings[color]) for color in shown]
    if len(handles) > 1:
        place = "outside lower center"
        figure.legend(handles=handles, loc=place, frameon=False, fontsize=8, ncols=3)


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()


def plot_bars(
    rows: Sequence[ModelRow], panels: Mapping[str, Sequence[Bar]], *, axis: str, digits: int = 3
) -> Figure:
    """Draw one panel a split and one horizontal bar a model, with the standard deviation of its runs.

    Args:
        rows: Models, from top to bottom.
        panels: Bars of every model, by the name of the split; NaN leaves the place empty.
        axis: What the bars measure, with its unit.
        digits: Decimals of the figures beside the bars.

    Raises:
        ConfigError: there is no model or no split.
    """
    _check(rows, panels)
    figure = Figure(figsize=(2.0 + 2.6 * len(panels), 1.3 + 0.27 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for each, (name, bars) in zip(axes, panels.items(), strict=True):
        _draw_bars(each, rows, bars, digits)
        each.set_title(name, fontsize=10, color=INK, fontweight="bold", loc="left")
        each.set_xlabel(axis, fontsize=8, color=INK)
    _name_rows(axes[0], rows)
    _explain_colors(figure, rows)
    return figure


def _draw_bars(axes: Axes, rows: Sequence[ModelRow], bars: Sequence[Bar], digits: int) -> None:
    known = [bar.mean for bar in bars if np.isfinite(bar.mean)]
    low, high = min([0.0, *known]), max([0.0, *known])
    span = (high - low) or 1.0
    for place, (row, bar) in enumerate(zip(rows, bars, strict=True)):
        if not np.isfinite(bar.mean):
            axes.text(0.02 * span, place, "–", va="center", fontsize=8, color=INK)
            continue
        axes.barh(place, bar.mean, height=0.7, color=row.color)
        end = bar.mean
        if np.isfinite(bar.sd):
            axes.errorbar(bar.mean, place, xerr=bar.sd, color=INK, linewidth=1, capsize=2)
            end += bar.sd
        text = f"{bar.mean:.{digits}f}"
        axes.text(max(end, 0.0) + 0.02 * span, place, text, va="center", fontsize=7.5, color=INK)
    axes.set_xlim(low - (0.05 * span if low < 0 else 0), high + 0.28 * span)
    axes.axvline(0, color=INK, linewidth=0.8)
    _tidy(axes)


def plot_ridges(
    rows: Sequence[ModelRow],
    values: Sequence[NDArray[np.float64]],
    *,
    axis: str,
    band: Band | None = None,
) -> Figure:
    """Draw how a figure is spread over structures, one ridge a model: density, quartiles and median.

    Args:
        rows: Models, from top to bottom.
        values: (structures,) of each model; NaN is left out.
        axis: What the values are.
        band: Drawn behind all rows.

    Raises:
        ConfigError: there is no model.
    """
    _check(rows, rows)
    figure = Figure(figsize=(8.5, 1.5 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    if band is not None:
        label = f"{band.label}: quartiles, median {band.middle:.3f}"
        axes.axvspan(band.low, band.high, color=BAND, zorder=0, linewidth=0, label=label)
        axes.axvline(band.middle, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0.5)
    low = 0.0
    for place, (row, found) in enumerate(zip(rows, values, strict=True)):
        known = np.sort(found[np.isfinite(found)])
        if known.size:
            low = min(low, float(np.quantile(known, 0.01)))
            _draw_ridge(axes, known, place, row.color)
    _name_rows(axes, rows, space=1.0)
    _tidy(axes)
    axes.set_xlim(max(-1.0, low - 0.05), 1.0)
    axes.set_xlabel(axis, fontsize=9, color=INK)
    if band is not None:
        axes.legend(loc="upper left", frameon=False, fontsize=8, bbox_to_anchor=(0, 1.0))
    _explain_colors(figure, rows)
    return figure


def _draw_ridge(axes: Axes, known: NDArray[np.float64], place: int, color: str) -> None:
    """Draw one sorted sample, later rows over earlier ones."""
    if len(known) >= FEWEST_FOR_SHAPE:
        grid = np.linspace(known[0], known[-1], 300)
        top = place - RIDGE_HEIGHT * density(known, grid)
        axes.fill_between(grid, place, top, color=color, alpha=0.45, linewidth=0, zorder=place + 2)
        axes.plot(grid, top, color=color, linewidth=1, zorder=place + 2)
    else:
        axes.plot(known, np.full(len(known), place), "|", color=color, zorder=place + 2)
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    axes.plot([low, high], [place, place], color=color, linewidth=3, zorder=place + 2.1)
    axes.plot(
        middle, place, "o", color="white", markeredgecolor=color, markersize=4.5, zorder=place + 2.2
    )
    axes.text(1.005, place - 0.05, f"{known.mean():.3f}", fontsize=8, color=INK, va="center",
              transform=axes.get_yaxis_transform())  # fmt: skip


def plot_differences(
    rows: Sequence[ModelRow],
    panels: Mapping[str, Sequence[tuple[float, float, float]]],
    *,
    axis: str,
) -> Figure:
    """Draw differences from the reference with their intervals, one panel a split.

    Models that are trained, and all others, have panels and a scale of their own.

    Args:
        rows: Models, from top to bottom.
        panels: Estimate, low and high end of every model, by the name of the split.
        axis: What the differences are.

    Raises:
        ConfigError: there is no model or no split.
    """
    _check(rows, panels)
    # On one scale the small differences between trained models vanish beside those of baselines.
    groups = [
        places
        for kind in (True, False)
        if (places := [place for place, row in enumerate(rows) if row.is_trained == kind])
    ]
    size = (2.0 + 2.9 * len(panels), 0.7 + 0.6 * len(groups) + 0.27 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(groups),
        len(panels),
        sharex="row",
        sharey="row",
        squeeze=False,
        height_ratios=[len(places) + 0.5 for places in groups],
    )
    for places, line in zip(groups, grid, strict=True):
        shown = [rows[place] for place in places]
        for axes, found in zip(line, panels.values(), strict=True):
            _draw_differences(axes, shown, [found[place] for place in places])
        _name_rows(line[0], shown)
    for axes, name in zip(grid[0], panels, strict=True):
        axes.set_title(name, fontsize=10, color=INK, fontweight="bold", loc="left")
    for axes in grid[-1]:
        axes.set_xlabel(axis, fontsize=8, color=INK)
    _explain_colors(figure, rows)
    return figure


def _draw_differences(
    axes: Axes, rows: Sequence[ModelRow], found: Sequence[tuple[float, float, float]]
) -> None:
    for place, (row, (estimate, low, high)) in enumerate(zip(rows, found, strict=True)):
        if np.isfinite(low):
            axes.plot([low, high], [place, place], color=row.color, linewidth=2)
        axes.plot(estimate, place, "o", color=row.color, markersize=4.5)
    axes.axvline(0, color=CHOSEN, linewidth=1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _tidy(axes)


def _check(rows: Sequence[ModelRow], panels: Mapping | Sequence) -> None:
    if not rows or not panels:
        raise ConfigError(
            "comparison", problem="nothing to draw", remedy="Compare at least one model"
        )


def _name_rows(axes: Axes, rows: Sequence[ModelRow], space: float = 0.6) -> None:
    axes.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=8)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(CHOSEN if row.is_reference else INK)
    axes.set_ylim(len(rows) - 0.4, -space)


def _tidy(axes: Axes) -> None:
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
