"""What pictures share: colors, figures that need no screen, color bars, views, whole files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from debye.errors import StructureError
from debye.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

COLORS = 128
"""Of a PNG file of :func:`png`: a chart of a few plain colors takes a quarter of the bytes with a palette."""
INK, GRAY, GRID = "#22262b", "#8a929b", "#e6e9ec"
DPI = 160
BLUE, WHITE, RED = (0.13, 0.29, 0.69), (0.93, 0.93, 0.93), (0.75, 0.11, 0.15)
SCALE = (BLUE, WHITE, RED)
PERCENTILES = (5.0, 95.0)
NO_B_COLOR = (0.6, 0.6, 0.6)
Palette = Literal["blue-red", "cividis"]
"""Both are told apart with every common color vision; ``cividis`` also grows evenly in lightness."""


def new_figure(width: float, height: float, **settings: Any) -> Figure:
    """Return an empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), **settings)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, dpi: int = DPI, colors: int = COLORS) -> bytes:
    """Return a chart as the bytes of a PNG file with a palette."""
    whole, small = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png", dpi=dpi)
    Image.open(whole).convert("RGB").quantize(colors).save(small, format="png", optimize=True)
    return small.getvalue()


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a picture in the format of its suffix, whole or not at all, and return its path."""
    with replacing(Path(path), StructureError) as partial:
        figure.savefig(partial, dpi=DPI)
    return Path(path)


def add_color_bar(
    figure: FigureBase,
    stops: Sequence[tuple[float, float, float]],
    limits: tuple[float, float],
    label: str,
    **settings: Any,
) -> None:
    """Add the bar of a color scale; settings as for ``Figure.colorbar``."""
    scale = ScalarMappable(Normalize(*limits), LinearSegmentedColormap.from_list("b", stops))
    bar = figure.colorbar(scale, **settings)
    bar.set_label(label, color=INK, fontsize=9)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def principal_axes(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the (3, 3) rotation whose columns are the axes of (points, 3) vectors, the longest first."""
    vectors = vectors.astype(np.float64)
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    axes = axes[:, ::-1]
    # eigh leaves signs free: the largest component of each axis points up, so pictures repeat.
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(3)])
    return axes * np.where(signs == 0, 1, signs)


def color_stops(palette: Palette) -> list[tuple[float, float, float]]:
    """Return red, green, blue (0 to 1) of evenly spaced points of a scale, from low to high B.

    Example:
        >>> color_stops("blue-red") == [BLUE, WHITE, RED]
        True
        >>> len(color_stops("cividis"))
        9
    """
    if palette == "blue-red":
        return [BLUE, WHITE, RED]
    points = colormaps[palette](np.linspace(0, 1, 9))
    return [(float(red), float(green), float(blue)) for red, green, blue, _ in points]


def color_limits(
    b: NDArray[np.floating], percentiles: tuple[float, float] = PERCENTILES
) -> tuple[float, float]:
    """Return two percentiles of the finite values, Å²: the ends of the scale.

    A constant gets half an Å² on both sides, and no values at all the limits 0 and 1.

    Example:
        >>> color_limits(np.arange(101.0))
        (5.0, 95.0)
        >>> color_limits(np.array([20.0, np.nan]))
        (19.5, 20.5)
    """
    finite = b[np.isfinite(b)]
    if not len(finite):
        return 0.0, 1.0
    low, high = (float(edge) for edge in np.percentile(finite, percentiles))
    return (low, high) if high - low > 1e-6 else (low - 0.5, high + 0.5)


def b_colors(
    b: NDArray[np.floating], limits: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Return red, green, blue (0 to 1) of each value: blue is low, white the middle, red high.

    Args:
        b: (atoms,) B-factors, Å²; NaN becomes gray.
        limits: Ends of the scale, Å²; None: those of :func:`color_limits`.

    Example:
        >>> b_colors(np.array([0.0, 10.0]), limits=(0.0, 10.0)).tolist() == [list(BLUE), list(RED)]
        True
    """
    low, high = limits or color_limits(b)
    share = np.clip((b - low) / (high - low), 0, 1)
    channels = zip(*SCALE, strict=True)
    colors = np.stack([np.interp(share, [0, 0.5, 1], channel) for channel in channels], axis=-1)
    colors[~np.isfinite(b)] = NO_B_COLOR
    return colors
