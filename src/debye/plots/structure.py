"""Pictures of structures colored by deposited and predicted B, on one scale, rendered by PyMOL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from debye.benchmark.cases import StructureCase
from debye.errors import ConfigError, DebyeError, StructureError
from debye.files import write_bytes
from debye.plots.drawing import (
    GRAY,
    INK,
    add_color_bar,
    color_limits,
    color_stops,
    new_figure,
    png,
    save_figure,
)
from debye.plots.pymol import Panels, PictureConfig, Side, Style, find_pymol, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Box = tuple[float, float, float, float]

PERCENTILES = (2.0, 98.0)
"""Of all deposited and predicted values of a picture: the ends of its scale."""
SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
PANEL_INCHES = 2.6
"""Width of a panel."""
NARROWEST = 5.6
"""Width that the legend needs, inches."""
MARGIN, TITLES, BAR = 0.12, 0.56, 0.8
"""Left of the titles; titles of a row; legend below all, inches."""


class SavedPicture(NamedTuple):
    """A picture that was written."""

    path: Path
    drawn: list[str]
    """Names of its structures."""
    limits: tuple[float, float]
    """Ends of the scale, Å²."""
    failures: list[DebyeError]
    """Why other structures are missing."""


def save_structures(
    cases: Sequence[StructureCase],
    path: str | Path,
    config: PictureConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> SavedPicture:
    """Draw structures, one row each, and write the picture whole or not at all.

    A structure on which PyMOL fails is left out and reported. The suffix of the path, one of :data:`SUFFIXES`,
    gives the format; ``progress`` is called with the number of structures done and the total.

    Raises:
        ConfigError: no structure, another suffix, or no PyMOL.
        RenderError: nothing could be drawn.
    """
    config = config or PictureConfig()
    target = check_target(path)
    find_pymol(config.program)
    if not cases:
        raise ConfigError("plot structure", "no structure to draw", "Give at least one")
    limits = config.limits or shared_limits(cases)
    drawn: list[tuple[StructureCase, Panels]] = []
    failures: list[DebyeError] = []
    for done, case in enumerate(cases, start=1):
        try:
            drawn.append((case, render(case, config, limits)))
        except DebyeError as error:
            failures.append(error)
        if progress:
            progress(done, len(cases))
    if not drawn:
        raise failures[0]
    figure = compose(drawn, config, limits)
    if config.is_small and target.suffix.lower() == ".png":
        write_bytes(target, png(figure, colors=256), StructureError)
    else:
        save_figure(figure, target)
    return SavedPicture(target, [case.name for case, _ in drawn], limits, failures)


def check_target(path: str | Path) -> Path:
    """Return the path of a picture.

    Raises:
        ConfigError: its suffix is not that of a picture format.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        remedy = f"Name the picture {', '.join('*' + suffix for suffix in SUFFIXES)}"
        raise ConfigError(str(path), f"no picture format is called {target.suffix!r}", remedy)
    return target


def shared_limits(cases: Sequence[StructureCase]) -> tuple[float, float]:
    """Return the 2nd and 98th percentile of all deposited and predicted B together, Å², in whole numbers."""
    values = np.concatenate([b for case in cases for b in (case.deposited, case.predicted)])
    low, high = color_limits(values, PERCENTILES)
    # Whole numbers are read more easily; a narrow scale keeps its decimals.
    return (float(np.floor(low)), float(np.ceil(high))) if high - low > 5 else (low, high)


def compose(
    drawn: Sequence[tuple[StructureCase, Panels]],
    config: PictureConfig,
    limits: tuple[float, float],
) -> Figure:
    """Put the images of all structures into one figure with one color bar, whose limits are in Å²."""
    sides: tuple[Side, ...] = ("deposited", "predicted")
    if not any(case.has_deposited for case, _ in drawn):
        sides = ("predicted",)
    columns: list[tuple[Style, Side]] = [(style, side) for style in config.styles for side in sides]
    shapes = [next(iter(panels.values())).shape for _, panels in drawn]
    heights = [PANEL_INCHES * min(shape[0] / shape[1], 1.3) for shape in shapes]
    width = max(len(columns) * PANEL_INCHES + 2 * MARGIN, NARROWEST)
    height = sum(heights) + len(heights) * TITLES + BAR
    figure = new_figure(width, height)

    def box(left: float, bottom: float, wide: float, high: float) -> Box:
        """Return a box given in inches as shares of the figure."""
        return left / width, bottom / height, wide / width, high / height

    indent = (width - len(columns) * PANEL_INCHES) / 2
    for row, (case, panels) in enumerate(drawn):
        top = height - sum(heights[:row]) - row * TITLES
        bottom = top - TITLES - heights[row]
        for column, (style, side) in enumerate(columns):
            left = indent + column * PANEL_INCHES
            panel = figure.add_axes(box(left, bottom, PANEL_INCHES, heights[row]))
            panel.axis("off")
            by = f" by {case.model_name}" if side == "predicted" and case.model_name else ""
            panel.set_title(f"{style}, {side}{by}", fontsize=8.5, color=INK, pad=4)
            if (style, side) in panels:
                panel.imshow(panels[style, side], interpolation="antialiased")
            else:
                panel.text(0.5, 0.5, "no deposited B", ha="center", fontsize=9, color=GRAY)
        x, y, *_ = box(MARGIN, top - 0.12, 0, 0)
        figure.text(x, y, case.title(), va="top", fontsize=10.5, color=INK, fontweight="bold")
    long = min(0.7 * width, 6.0)
    panel = figure.add_axes(box((width - long) / 2, BAR - 0.35, long, 0.13))
    ends = "as given" if config.limits else "2nd and 98th percentile of all values"
    label = f"B (Å²); ends {limits[0]:.4g} and {limits[1]:.4g}: {ends}; gray: no B"
    add_color_bar(
        figure, color_stops(config.palette), limits, label,
        cax=panel, orientation="horizontal", extend="both", extendfrac=0.02,
    )  # fmt: skip
    return figure
