"""A picture of evaluations: how the correlation is spread over the structures of a set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from debye.errors import ConfigError
from debye.evaluation.strata import PRIMARY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from debye.evaluation.evaluation import Evaluation

# Okabe & Ito's palette, told apart with every common color vision; repeated with other line styles.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
STYLES = ("-", "--", ":", "-.")
INK = "#22262b"
WIDEST = 0.4
"""Half the height of a ridge, in rows."""
FEWEST_FOR_SHAPE = 5
"""With fewer structures a density would be made up: only the points are drawn."""


def save_distribution(
    evaluations: Sequence[Evaluation],
    path: str | Path,
    *,
    title: str = "",
    atom_class: str = PRIMARY,
) -> Path:
    """Write the picture as PNG (or whatever format the suffix says) and return its path."""
    figure = plot_distribution(evaluations, title=title, atom_class=atom_class)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    return Path(path)


def plot_distribution(
    evaluations: Sequence[Evaluation], *, title: str = "", atom_class: str = PRIMARY
) -> Figure:
    """Draw the per-structure Pearson r of every evaluation.

    On the left a ridge each, with one point a structure, quartiles and mean; on the right the share of
    structures at or below each r. Structures without an r are counted in the labels.

    Raises:
        ConfigError: there is no evaluation.
    """
    if not evaluations:
        raise ConfigError(
            "distribution", problem="no evaluation to draw", remedy="Evaluate a model first"
        )
    figure = Figure(figsize=(11, 1.9 + 0.75 * max(len(evaluations), 3)), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    labels = []
    for row, evaluation in enumerate(evaluations):
        values, undefined = correlations(evaluation, atom_class)
        color, style = PALETTE[row % len(PALETTE)], STYLES[row // len(PALETTE) % len(STYLES)]
        _draw_ridge(left, values, row, color)
        _draw_steps(right, values, color, style, evaluation.label)
        labels.append(_label(evaluation, values, undefined))
    _finish(left, right, labels, atom_class)
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


def _label(evaluation: Evaluation, values: NDArray[np.float64], undefined: int) -> str:
    """Model and crystal, then the figures that a reader would measure in the picture."""
    found = f"mean {values.mean():.3f}, median {np.median(values):.3f}" if values.size else "no r"
    missing = f", {undefined} undefined" if undefined else ""
    return f"{evaluation.label}\n{found}\n{len(values)} structures{missing}"


def _finish(left: Axes, right: Axes, labels: Sequence[str], atom_class: str) -> None:
    left.set_yticks(range(len(labels)), labels, fontsize=8)
    left.set_ylim(len(labels) - 0.5, -0.6)
    left.tick_params(axis="y", length=0)
    name = "protein heavy atoms" if atom_class == PRIMARY else f"{atom_class} atoms"
    for axes in (left, right):
        axes.set_xlabel(f"Pearson r per structure, {name}", color=INK)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    left.spines["left"].set_visible(False)
    low = min(left.get_xlim()[0], right.get_xlim()[0])
    for axes in (left, right):
        axes.set_xlim(max(low, -1.0), 1.0)
    right.set_ylim(0, 1)
    right.set_ylabel("share of structures at or below", color=INK)
    if right.get_legend_handles_labels()[0]:
        # Below the axes: no corner of a cumulative curve is free for many models.
        right.legend(
            frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2
        )
    left.set_title(
        "thick line: quartiles · circle: median · diamond: mean", loc="left", fontsize=8, color=INK
    )
