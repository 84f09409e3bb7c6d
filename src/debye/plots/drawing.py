"""What pictures share: inks, figures that need no screen, color bars, views, whole files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
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


def new_figure(width: float, height: float, **settings: Any) -> Figure:
    """Return an empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), **settings)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """Return a chart as the bytes of a PNG file with a palette of :data:`COLORS` colors."""
    whole, small = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png", dpi=dpi)
    Image.open(whole).convert("RGB").quantize(COLORS).save(small, format="png", optimize=True)
    return small.getvalue()


def save_figure(
    figure: Figure, path: str | Path, finish: Callable[[Path], None] | None = None
) -> Path:
    """Write a picture in the format of its suffix, whole or not at all, and return its path.

    Args:
        figure: What is written.
        path: Its folder is made.
        finish: Changes the file before it gets its name.
    """

    target = Path(path)
    with replacing(target, StructureError) as partial:
        figure.savefig(partial, dpi=DPI)
        if finish is not None:
            finish(partial)
    return target


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
