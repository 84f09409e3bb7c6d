"""Figures of a comparison of many models: bars with the standard deviation of runs, ridges, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from debye.benchmark.comparison.results import MeanSd, Overview
from debye.benchmark.crystal_pairs import CEILING
from debye.errors import ConfigError
from debye.plots.distribution import FEWEST_FOR_SHAPE, Band, draw_band, draw_ridge
from debye.plots.drawing import INK, new_figure, png
from debye.reports.comparison_tables import (
    ComparedFigure,
    ceiling_pairs,
    column_name,
    compared_figures,
)
from debye.reports.document import Picture
from debye.scores.tables import rows_where
from debye.targets.target import Target

TRAINED, OTHER, CHOSEN = "#2b6cb0", "#9aa5b1", "#c05621"
MEANINGS = {
    CHOSEN: "reference",
    TRAINED: "trained here",
    OTHER: "fitted in one pass, or evaluated without training",
}
RIDGE_HEIGHT = 0.85
"""Of the highest point of a ridge, in rows."""
DOTS_PER_INCH = 140


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model of a figure."""

    label: str
    is_trained: bool
    is_reference: bool = False

    @property
    def color(self) -> str:
        """The color of its kind."""
        if self.is_reference:
            return CHOSEN
        return TRAINED if self.is_trained else OTHER


def _explain_colors(figure: Figure, rows: Sequence[ModelRow]) -> None:
    """Explain the colors below the axes, if there is more than one."""
    used = {row.color for row in rows}
    handles = [Patch(color=each, label=text) for each, text in MEANINGS.items() if each in used]
    if len(handles) > 1:
        place = "outside lower center"
        figure.legend(handles=handles, loc=place, frameon=False, fontsize=8, ncols=3)


def draw_comparison(
    overview: Overview, reference: str, differences: pd.DataFrame, target: Target
) -> dict[str, Picture]:
    """Return the figures of the report of a comparison, by name; empty ones are left out."""
    pictures = [_bars(overview, reference, each) for each in compared_figures(target)]
    pictures += _ridges(overview, reference, overview.scored[-1])
    pictures += _differences(overview, reference, differences)
    return {each.name: each for each in pictures}


def _rows(overview: Overview, reference: str, names: Sequence[str]) -> list[ModelRow]:
    return [ModelRow(name, overview.is_trained(name), name == reference) for name in names]


def _bars(overview: Overview, reference: str, figure: ComparedFigure) -> Picture:
    panels = {
        split: {name: overview.mean_sd(name, split, figure.measure) for name in overview.contenders}
        for split in overview.splits
    }
    known = {
        name for bars in panels.values() for name, bar in bars.items() if np.isfinite(bar.mean)
    }
    names = [name for name in overview.contenders if name in known] or overview.contenders
    drawn = plot_bars(
        _rows(overview, reference, names),
        {column_name(split): [panel[name] for name in names] for split, panel in panels.items()},
        axis=f"{figure.label}, mean over structures",
        digits=figure.digits,
    )
    alt = f"{figure.name} ({figure.meaning}) of {len(names)} models on {', '.join(panels)}"
    alt = f"Bars: {alt}; the lines are the sd of runs."
    return Picture(figure.name.lower(), alt, png(drawn, DOTS_PER_INCH))


def _ridges(overview: Overview, reference: str, split: str) -> list[Picture]:
    """Draw the distribution of r over structures; nothing if no model has an r."""
    values = {
        name: overview.per_structure(name, split)["pearson"].to_numpy(np.float64)
        for name in overview.contenders
    }
    known = [name for name, found in values.items() if np.isfinite(found).any()]
    names = sorted(known, key=lambda name: -float(np.nanmean(values[name])))
    if not names:
        return []
    pairs = ceiling_pairs(overview, split, CEILING)["pearson"].dropna().to_numpy(np.float64)
    band = Band.quartiles(pairs, f"one crystal against another, {len(pairs)} pairs")
    figure = plot_ridges(
        _rows(overview, reference, names),
        [values[name] for name in names],
        axis=f"Pearson r of each structure of {split}, mean of runs; at the right the mean",
        band=band,
    )
    alt = (
        f"Ridges: distribution of the correlation over the structures of {split}, {len(names)} models, best "
        "first; circle: median, thick line: quartiles"
    )
    behind = "."
    if band:
        behind = (
            "; the band, from quartile to quartile, is the agreement of one crystal with another of the same protein "
            f"in {len(pairs)} pairs (the table has the models on these)."
        )
    return [Picture("per_structure", alt + behind, png(figure, DOTS_PER_INCH))]


def _differences(overview: Overview, reference: str, differences: pd.DataFrame) -> list[Picture]:
    """Draw differences from the reference; nothing if no other model has an r."""
    found = rows_where(differences, measure="pearson_mean")
    known = set(found.loc[found["estimate"].notna(), "contender"])
    names = [name for name in overview.contenders if name in known]
    if not names:
        return []
    columns = ["estimate", "interval_low", "interval_high"]
    panels = {
        str(split): rows.set_index("contender")[columns].reindex(names).to_numpy().tolist()
        for split, rows in found.groupby("split", sort=False)
    }
    rows, axis = _rows(overview, reference, names), f"CC − CC of {reference}"
    alt = (
        f"Points with 95 % intervals: difference of the mean CC of each model from {reference} on "
        f"{', '.join(panels)}, paired bootstrap over structures; how runs differ is not in it."
    )
    figure = plot_differences(rows, panels, axis=axis)
    return [Picture("differences", alt, png(figure, DOTS_PER_INCH))]


def plot_bars(
    rows: Sequence[ModelRow], panels: Mapping[str, Sequence[MeanSd]], *, axis: str, digits: int = 3
) -> Figure:
    """Draw one panel a split and one horizontal bar a model, with the standard deviation of its runs.

    Args:
        panels: Bars of every model, by the name of the split; NaN leaves the place empty.
    """
    _check(rows, panels)
    figure = new_figure(2.0 + 2.6 * len(panels), 1.3 + 0.27 * len(rows), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for each, (name, bars) in zip(axes, panels.items(), strict=True):
        _draw_bars(each, rows, bars, digits)
        each.set_title(name, fontsize=10, color=INK, fontweight="bold", loc="left")
        each.set_xlabel(axis, fontsize=8, color=INK)
    _name_rows(axes[0], rows)
    _explain_colors(figure, rows)
    return figure


def _draw_bars(axes: Axes, rows: Sequence[ModelRow], bars: Sequence[MeanSd], digits: int) -> None:
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
    rows: Sequence[ModelRow], values: Sequence[NDArray], *, axis: str, band: Band | None = None
) -> Figure:
    """Draw the distribution of a figure over structures, one ridge a model: density, quartiles and median.

    Args:
        values: (structures,) of each model; NaN is left out.
    """
    _check(rows, rows)
    figure = new_figure(8.5, 1.5 + 0.42 * len(rows), layout="constrained")
    axes = figure.subplots()
    if band is not None:
        draw_band([axes], band)
    low = 0.0
    for place, (row, found) in enumerate(zip(rows, values, strict=True)):
        known = np.sort(found[np.isfinite(found)])
        if known.size:
            low = min(low, float(np.quantile(known, 0.01)))
            zorder, color = place + 2, row.color  # later rows over earlier ones
            draw_ridge(axes, known, place, color, height=RIDGE_HEIGHT, alpha=0.45, zorder=zorder)
            if len(known) < FEWEST_FOR_SHAPE:
                axes.plot(known, np.full(len(known), place), "|", color=color, zorder=zorder)
            axes.text(1.005, place - 0.05, f"{known.mean():.3f}", fontsize=8, color=INK, va="center",
                      transform=axes.get_yaxis_transform())  # fmt: skip
    _name_rows(axes, rows, space=1.0)
    _tidy(axes)
    axes.set_xlim(max(-1.0, low - 0.05), 1.0)
    axes.set_xlabel(axis, fontsize=9, color=INK)
    if band is not None:
        axes.legend(loc="upper left", frameon=False, fontsize=8, bbox_to_anchor=(0, 1.0))
    _explain_colors(figure, rows)
    return figure


def plot_differences(
    rows: Sequence[ModelRow], panels: Mapping[str, Sequence[Sequence[float]]], *, axis: str
) -> Figure:
    """Draw differences from the reference with their intervals, one panel a split.

    Models that are trained, and all others, have panels and a scale of their own.

    Args:
        panels: Estimate, low and high end of every model, by the name of the split.
    """
    _check(rows, panels)
    # On one scale the small differences between trained models vanish next to those of baselines.
    kinds = np.array([row.is_trained for row in rows])
    groups = [
        places.tolist() for kind in (True, False) if (places := np.flatnonzero(kinds == kind)).size
    ]
    size = (2.0 + 2.9 * len(panels), 0.7 + 0.6 * len(groups) + 0.27 * len(rows))
    figure = new_figure(*size, layout="constrained")
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
    for top, bottom, name in zip(grid[0], grid[-1], panels, strict=True):
        top.set_title(name, fontsize=10, color=INK, fontweight="bold", loc="left")
        bottom.set_xlabel(axis, fontsize=8, color=INK)
    _explain_colors(figure, rows)
    return figure


def _draw_differences(
    axes: Axes, rows: Sequence[ModelRow], found: Sequence[Sequence[float]]
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
        raise ConfigError("comparison", "nothing to draw", "Compare at least one model")


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
