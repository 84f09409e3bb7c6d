"""Pictures of evaluations: how the correlation is spread over the structures of a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from debye.errors import ConfigError
from debye.scores.strata import PRIMARY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from debye.scores.correlations import CorrelationReport
    from debye.scores.evaluation import Evaluation

# Okabe & Ito's palette, told apart with every common color vision; repeated with other line styles.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
STYLES = ("-", "--", ":", "-.")
INK = "#22262b"
BAND = "#ececec"
WIDEST = 0.4
"""Half the height of a ridge, in rows."""
FEWEST_FOR_SHAPE = 5
"""With fewer structures a density would be made up: only the points are drawn."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Pearson r of one row of the picture."""

    label: str
    """One short line."""
    values: NDArray[np.float64]
    """Defined values, sorted."""
    undefined: int = 0
    """How many are not defined."""
    noun: str = "structures"
    """What one value stands for."""


@dataclass(frozen=True, slots=True)
class Band:
    """A range drawn behind all rows: what would be reached with knowledge that no model has."""

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
        return cls(
            label, *(round(float(edge), 6) for edge in np.quantile(known, [0.25, 0.5, 0.75]))
        )


def save_distribution(
    evaluations: Sequence[Evaluation],
    path: str | Path,
    *,
    title: str = "",
    atom_class: str = PRIMARY,
    band: Band | None = None,
) -> Path:
    """Write the picture as PNG (or whatever format the suffix says) and return its path."""
    figure = plot_distribution(evaluations, title=title, atom_class=atom_class, band=band)
    return _save(figure, path)


def save_correlations(
    report: CorrelationReport, path: str | Path, *, title: str = "", band: Band | None = None
) -> Path:
    """Write the picture of the primary group of a report of correlations and return its path."""
    primary = next(iter(report.groups.values()))
    samples = []
    for row in report.rows:
        values = row.pearson[row.counted(primary)]
        known = np.isfinite(values)
        crystal = f", crystal {row.crystal}" if row.crystal else ""
        missing = int((~known).sum())
        samples.append(
            Sample(f"{row.model}{crystal}", np.sort(values[known]), missing, report.name)
        )
    axis = "Pearson r, protein heavy atoms"
    return _save(plot_samples(samples, axis=axis, title=title, band=band), path)


def _save(figure: Figure, path: str | Path) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    return Path(path)


def plot_distribution(
    evaluations: Sequence[Evaluation],
    *,
    title: str = "",
    atom_class: str = PRIMARY,
    band: Band | None = None,
) -> Figure:
    """Draw the per-structure Pearson r of every evaluation, see :func:`plot_samples`.

    Raises:
        ConfigError: there is no evaluation.
    """
    samples = [
        Sample(evaluation.label, *correlations(evaluation, atom_class))
        for evaluation in evaluations
    ]
    name = "protein heavy atoms" if atom_class == PRIMARY else f"{atom_class} atoms"
    axis = f"Pearson r per structure, {name}"
    return plot_samples(samples, axis=axis, title=title, band=band)


def plot_samples(
    samples: Sequence[Sample], *, axis: str, title: str = "", band: Band | None = None
) -> Figure:
    """Draw how correlations are spread, one row a sample.

    On the left a ridge each, with one point a value, quartiles and mean; on the right the share of
    values at or below each r. Values that are not defined are counted in the labels.

    Raises:
        ConfigError: there is no sample.
    """
    if not samples:
        raise ConfigError(
            "distribution", problem="no evaluation to draw", remedy="Evaluate a model first"
        )
    figure = Figure(figsize=(11, 1.9 + 0.75 * max(len(samples), 3)), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    for row, sample in enumerate(samples):
        color, style = PALETTE[row % len(PALETTE)], STYLES[row // len(PALETTE) % len(STYLES)]
        _draw_ridge(left, sample.values, row, color)
        _draw_steps(right, sample.values, color, style, sample.label)
    if band is not None:
        _draw_band((left, right), band)
    _finish(left, right, [_label(sample) for sample in samples], axis)
    handles, labels = right.get_legend_handles_labels()
    if handles:
        # Below the axes: no corner of a cumulative curve is free for many models.
        figure.legend(
            handles, labels, frameon=False, fontsize=8, loc="outside lower right", ncols=3
        )
    if title:
        figure.suptitle(title, x=0.01, ha="left", color=INK, fontweight="bold", fontsize=11)
    return figure


def correlations(
    evaluation: Evaluation, atom_class: str = PRIMARY
) -> tuple[NDArray[np.float64], int]:
    """Return the defined Pearson r of an evaluation, sorted, and how many are not defined."""
    values = np.array([score.pearson for score in evaluation.of_class(atom_class)], np.float64)
    known = np.isfinite(values)
    return np.sort(values[known]), int((~known).sum())


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


def _draw_ridge(axes: Axes, values: NDArray[np.float64], row: int, color: str) -> None:
    if not values.size:
        return
    if len(values) >= FEWEST_FOR_SHAPE:
        grid = np.linspace(values[0], values[-1], 300)
        height = WIDEST * density(values, grid)
        axes.fill_between(grid, row, row - height, color=color, alpha=0.3, linewidth=0)
        axes.plot(grid, row - height, color=color, linewidth=1)
    # Points below the ridge, spread evenly by rank: no random numbers in a figure.
    shift = 0.09 + 0.2 * ((np.arange(len(values)) * 0.618) % 1)
    axes.scatter(values, row + shift, s=6, color=color, alpha=0.55, linewidths=0)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.plot([low, high], [row, row], color=color, linewidth=4, solid_capstyle="butt")
    axes.plot(middle, row, "o", color="white", markeredgecolor=color, markersize=6)
    axes.plot(values.mean(), row, "D", color=INK, markersize=4)


def _draw_steps(
    axes: Axes, values: NDArray[np.float64], color: str, style: str, label: str
) -> None:
    if values.size:
        share = np.arange(len(values) + 1) / len(values)
        places = np.concatenate([values[:1], values])
        axes.step(places, share, where="post", color=color, linestyle=style, label=label)


def _draw_band(both: Sequence[Axes], band: Band) -> None:
    label = f"{band.label}: quartiles, median {band.middle:.3f}"
    for axes in both:
        axes.axvspan(band.low, band.high, color=BAND, zorder=0, linewidth=0, label=label)
        axes.axvline(band.middle, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0.5)


def _label(sample: Sample) -> str:
    """Model and crystal, then the figures that a reader would measure in the picture."""
    values, undefined = sample.values, sample.undefined
    found = f"mean {values.mean():.3f}, median {np.median(values):.3f}" if values.size else "no r"
    missing = f", {undefined} undefined" if undefined else ""
    return f"{sample.label}\n{found}\n{len(values)} {sample.noun}{missing}"


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
