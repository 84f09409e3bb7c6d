"""Pictures of structures colored by deposited and predicted B, on one scale, rendered by PyMOL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debye.benchmark.cases import StructureCase
from debye.errors import ConfigError, DebyeError
from debye.plots.colors import color_limits, color_stops
from debye.plots.drawing import GRAY, INK, add_color_bar, new_figure, save_figure
from debye.plots.pymol import find_pymol
from debye.plots.structure_scene import PictureConfig, Side, Style, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Box = tuple[float, float, float, float]
    Panels = dict[tuple[Style, Side], NDArray[np.uint8]]

PERCENTILES = (2.0, 98.0)
"""Of all deposited and predicted values of a picture: the ends of its scale."""
SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
PANEL_INCHES = 2.6
"""Width of a panel."""
NARROWEST = 5.6
"""Width that the legend needs, inches."""
MARGIN, TITLES, BAR = 0.12, 0.56, 0.8
"""Left of the titles; titles of a row; legend below all, inches."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was written."""

    path: Path
    drawn: list[str]
    """Names of its structures."""
    limits: tuple[float, float]
    """Ends of the scale, Å²."""
    failures: list[DebyeError] = field(default_factory=list)
    """Why other structures are missing."""


def save_structures(
    cases: Sequence[StructureCase],
    path: str | Path,
    config: PictureConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Picture:
    """Draw structures, one row each, and write the picture whole or not at all.

    A structure on which PyMOL fails is left out and reported.

    Args:
        cases: What to draw.
        path: Its suffix gives the format: one of :data:`SUFFIXES`.
        config: How.
        progress: Called after each structure with the number done and the total.

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
    reduce = _reduce_colors if config.is_small and target.suffix.lower() == ".png" else None
    save_figure(compose(drawn, config, limits), target, reduce)
    return Picture(target, [case.name for case, _ in drawn], limits, failures)


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
    """Put the images of all structures into one figure with one color bar.

    Args:
        drawn: Structures with their images.
        config: How they were drawn.
        limits: Ends of the color scale, Å².
    """
    sides: tuple[Side, ...] = ("deposited", "predicted")
    if not any(case.has_deposited for case, _ in drawn):
        sides = ("predicted",)
    columns: list[tuple[Style, Side]] = [(style, side) for style in config.styles for side in sides]
    place = _Layout(len(columns), [_height(panels) for _, panels in drawn])
    figure = new_figure(*place.size)
    for row, (case, panels) in enumerate(drawn):
        _draw_row(figure, place, row, case, panels, columns)
    _draw_bar(figure, place, config, limits)
    return figure


def _height(panels: Panels) -> float:
    """Return the height of the images at the width of a panel, inches."""
    height, width = next(iter(panels.values())).shape[:2]
    return PANEL_INCHES * min(height / width, 1.3)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Places of panels and titles, computed so that images of any size fit."""

    columns: int
    heights: list[float]
    """Of the images of each row, inches."""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure, inches."""
        width = max(self.columns * PANEL_INCHES + 2 * MARGIN, NARROWEST)
        return width, sum(self.heights) + len(self.heights) * TITLES + BAR

    def top(self, row: int) -> float:
        """Upper edge of a row with its titles, inches from below."""
        return self.size[1] - sum(self.heights[:row]) - row * TITLES

    def box(self, left: float, bottom: float, width: float, height: float) -> Box:
        """Return a box given in inches as shares of the figure."""
        across, up = self.size
        return left / across, bottom / up, width / across, height / up

    def panel(self, row: int, column: int) -> Box:
        """Return the box of the image of a panel."""
        indent = (self.size[0] - self.columns * PANEL_INCHES) / 2
        height = self.heights[row]
        bottom = self.top(row) - TITLES - height
        return self.box(indent + column * PANEL_INCHES, bottom, PANEL_INCHES, height)


def _draw_row(
    figure: Figure,
    place: _Layout,
    row: int,
    case: StructureCase,
    panels: Panels,
    columns: list[tuple[Style, Side]],
) -> None:
    for column, (style, side) in enumerate(columns):
        panel = figure.add_axes(place.panel(row, column))
        panel.axis("off")
        by = f" by {case.model_name}" if side == "predicted" and case.model_name else ""
        panel.set_title(f"{style}, {side}{by}", fontsize=8.5, color=INK, pad=4)
        if (style, side) in panels:
            panel.imshow(panels[style, side], interpolation="antialiased")
        else:
            panel.text(0.5, 0.5, "no deposited B", ha="center", fontsize=9, color=GRAY)
    left, bottom, *_ = place.box(MARGIN, place.top(row) - 0.12, 0, 0)
    figure.text(left, bottom, case.title(), va="top", fontsize=10.5, color=INK, fontweight="bold")


def _draw_bar(
    figure: Figure, place: _Layout, config: PictureConfig, limits: tuple[float, float]
) -> None:
    width = min(0.7 * place.size[0], 6.0)
    panel = figure.add_axes(place.box((place.size[0] - width) / 2, BAR - 0.35, width, 0.13))
    ends = "as given" if config.limits else "2nd and 98th percentile of all values"
    label = f"B (Å²); ends {limits[0]:.4g} and {limits[1]:.4g}: {ends}; gray: no B"
    add_color_bar(
        figure, color_stops(config.palette), limits, label,
        cax=panel, orientation="horizontal", extend="both", extendfrac=0.02,
    )  # fmt: skip


def _reduce_colors(path: Path) -> None:
    """Rewrite a PNG with the 256 colors that fit it best."""
    from PIL import Image

    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)
