"""Pictures of structures colored by deposited and predicted B, on one scale, rendered by PyMOL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from debye.errors import ConfigError, DebyeError
from debye.files import write_whole
from debye.plots.colors import Palette, color_limits, color_stops
from debye.plots.pymol import find_pymol
from debye.plots.structure_case import StructureCase
from debye.plots.structure_scene import STYLES, Look, Side, Style, render

if TYPE_CHECKING:
    Box = tuple[float, float, float, float]
    Panels = dict[tuple[Style, Side], NDArray[np.uint8]]

PERCENTILES = (2.0, 98.0)
"""Ends of the scale: of all deposited and predicted values of the picture."""
SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
PANEL_INCHES = 2.6
"""Width of a panel."""
NARROWEST = 5.6
"""Width that the legend needs, inches."""
MARGIN, TITLES, BAR = 0.12, 0.56, 0.8
"""Left of the titles; titles of a row; legend below all, inches."""
INK, GRAY = "#22262b", "#8a929b"
DPI = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureConfig:
    """How a picture is made."""

    styles: tuple[Style, ...] = ("cartoon", "surface")
    """Columns, each once for deposited and once for predicted B."""
    palette: Palette = "blue-red"
    limits: tuple[float, float] | None = None
    """Ends of the scale, Å²; None: :data:`PERCENTILES` of all values."""
    size: int = 700
    """Width of a panel as PyMOL draws it, pixels."""
    is_small: bool = False
    """A PNG of 256 colors, a third as large as one of all colors; other formats stay as they are."""
    program: Path | None = None
    """PyMOL; None: that of ``DEBYE_PYMOL`` or PATH."""
    timeout: float = 600.0
    """Seconds that PyMOL may take for one structure."""

    def __post_init__(self) -> None:
        unknown = [style for style in self.styles if style not in STYLES]
        if unknown or not self.styles or len(set(self.styles)) < len(self.styles):
            raise ConfigError(
                "plot structure",
                problem=f"styles {', '.join(self.styles) or '(none)'}",
                remedy=f"Choose one or more of {', '.join(STYLES)}, each once",
            )
        if self.limits is not None and not 0 <= self.limits[0] < self.limits[1] < np.inf:
            raise ConfigError(
                "plot structure",
                problem=f"a scale from {self.limits[0]:g} to {self.limits[1]:g} Å²",
                remedy="Give the lower end first, neither negative",
            )


@dataclass(frozen=True, slots=True)
class Picture:
    """What came of it."""

    path: Path
    drawn: list[str]
    """Names of the structures that are in it."""
    limits: tuple[float, float]
    """Ends of the scale, Å²."""
    failures: list[DebyeError] = field(default_factory=list)
    """Why others are not."""


def save_structures(
    cases: Sequence[StructureCase],
    path: str | Path,
    config: PictureConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Picture:
    """Draw structures, one row each, and write the picture, which appears whole or not at all.

    A structure that PyMOL fails on is left out and reported.

    Args:
        cases: What to draw.
        path: The suffix says the format: one of :data:`SUFFIXES`.
        config: How.
        progress: Told after each structure.

    Raises:
        ConfigError: no structure, another suffix, or no PyMOL.
        RenderError: nothing could be drawn.
    """
    config = config or PictureConfig()
    target = check_target(path)
    find_pymol(config.program)
    if not cases:
        raise ConfigError(
            "plot structure", problem="no structure to draw", remedy="Give at least one"
        )
    limits = config.limits or shared_limits(cases)
    look = Look(limits=limits, styles=config.styles, palette=config.palette, size=config.size)
    drawn: list[tuple[StructureCase, Panels]] = []
    failures: list[DebyeError] = []
    for done, case in enumerate(cases, start=1):
        try:
            panels = render(case, look, program=config.program, timeout=config.timeout)
            drawn.append((case, panels))
        except DebyeError as error:
            failures.append(error)
        if progress:
            progress(done, len(cases))
    if not drawn:
        raise failures[0]
    _save(compose(drawn, look, is_chosen=config.limits is not None), target, config.is_small)
    return Picture(target, [case.name for case, _ in drawn], limits, failures)


def check_target(path: str | Path) -> Path:
    """Return the path of a picture.

    Raises:
        ConfigError: its suffix is no format that is written.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            str(path),
            problem=f"no picture format is called {target.suffix!r}",
            remedy=f"Name the picture {', '.join('*' + suffix for suffix in SUFFIXES)}",
        )
    return target


def shared_limits(cases: Sequence[StructureCase]) -> tuple[float, float]:
    """Return the 2nd and 98th percentile of all deposited and predicted B together, Å², in whole numbers."""
    values = np.concatenate([b for case in cases for b in (case.deposited, case.predicted)])
    low, high = color_limits(values, PERCENTILES)
    # Whole numbers are read more easily; a narrow scale keeps its decimals.
    return (float(np.floor(low)), float(np.ceil(high))) if high - low > 5 else (low, high)


def compose(
    drawn: Sequence[tuple[StructureCase, Panels]], look: Look, *, is_chosen: bool = False
) -> Figure:
    """Put the images of all structures into one figure with one color bar.

    Args:
        drawn: Structures with their images.
        look: What they were drawn with.
        is_chosen: The ends of the scale were given, and are not percentiles.
    """
    sides: tuple[Side, ...] = ("deposited", "predicted")
    if not any(case.has_deposited for case, _ in drawn):
        sides = ("predicted",)
    columns: list[tuple[Style, Side]] = [(style, side) for style in look.styles for side in sides]
    place = _Layout(len(columns), [_height(panels) for _, panels in drawn])
    figure = Figure(figsize=place.size)
    FigureCanvasAgg(figure)
    for row, (case, panels) in enumerate(drawn):
        _draw_row(figure, place, row, case, panels, columns)
    _draw_bar(figure, place, look, is_chosen)
    return figure


def _height(panels: Panels) -> float:
    """Return the height of the images at the width of a panel, inches."""
    height, width = next(iter(panels.values())).shape[:2]
    return PANEL_INCHES * min(height / width, 1.3)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things are; a grid that is computed fits titles and images of any size."""

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
        image = panels.get((style, side))
        if image is None:
            panel.text(0.5, 0.5, "no deposited B", ha="center", fontsize=9, color=GRAY)
            continue
        panel.imshow(image, interpolation="antialiased")
    left, bottom, *_ = place.box(MARGIN, place.top(row) - 0.12, 0, 0)
    figure.text(left, bottom, case.title(), va="top", fontsize=10.5, color=INK, fontweight="bold")


def _draw_bar(figure: Figure, place: _Layout, look: Look, is_chosen: bool) -> None:
    width = min(0.7 * place.size[0], 6.0)
    panel = figure.add_axes(place.box((place.size[0] - width) / 2, BAR - 0.35, width, 0.13))
    colors = LinearSegmentedColormap.from_list("b", color_stops(look.palette))
    bar = figure.colorbar(
        ScalarMappable(Normalize(*look.limits), colors),
        cax=panel,
        orientation="horizontal",
        extend="both",
        extendfrac=0.02,
    )
    low, high = look.limits
    ends = "as given" if is_chosen else "2nd and 98th percentile of all values"
    bar.set_label(
        f"B (Å²); ends {low:.4g} and {high:.4g}: {ends}; gray: no B", color=INK, fontsize=9
    )
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def _save(figure: Figure, target: Path, is_small: bool) -> None:
    def write(part: Path) -> None:
        figure.savefig(part, dpi=DPI, facecolor="white")
        if is_small and target.suffix.lower() == ".png":
            _reduce_colors(part)

    write_whole(target, write, ConfigError)


def _reduce_colors(path: Path) -> None:
    """Rewrite a PNG with the 256 colors that fit it best."""
    from PIL import Image

    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)
