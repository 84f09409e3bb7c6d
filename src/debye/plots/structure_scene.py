"""StructureCase → images by PyMOL, with the same camera for all panels of a structure."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from debye.benchmark.cases import StructureCase
from debye.errors import ConfigError
from debye.plots.colors import GRAY, Palette, color_stops
from debye.plots.pymol import run_pymol
from debye.structure.structure import EntityKind
from debye.structure.write import write_structure

Style = Literal["cartoon", "putty", "surface", "spheres"]
Side = Literal["deposited", "predicted"]

NO_B = -999.0
"""B of atoms that have none; they are drawn gray."""
THICKEST = 1.5
"""Radius of a putty tube at the upper end of the scale, Å."""
SLIMMEST = 0.2
"""Radius at the lower end, as a share of it; thinner tubes are invisible."""

_MAIN, _LIGANDS, _IONS = "(polymer_atoms)", "(ligand_atoms)", "(ion_atoms)"
# Ligands are small: as sticks alone they are hard to find next to a protein.
_SMALL = (
    f"show sticks, {_LIGANDS}",
    f"show spheres, {_LIGANDS} or {_IONS}",
    f"set sphere_scale, 0.7, {_LIGANDS}",
)
_STYLES: Mapping[Style, tuple[str, ...]] = {
    "cartoon": (f"cartoon automatic, {_MAIN}", f"show cartoon, {_MAIN}", *_SMALL),
    "putty": (f"cartoon putty, {_MAIN}", f"show cartoon, {_MAIN}", *_SMALL),
    "surface": (f"show surface, {_MAIN}", *_SMALL),
    "spheres": (
        f"show spheres, {_MAIN} or {_LIGANDS} or {_IONS}",
        f"set sphere_scale, 1, {_LIGANDS}",
    ),
}
STYLES: tuple[Style, ...] = ("cartoon", "putty", "surface", "spheres")

_SETTINGS = (
    "bg_color white",
    "set orthoscopic, on",
    "set depth_cue, off",
    "set ray_trace_fog, off",
    # Highlights and shadows would be read as other B-factors.
    "set specular, off",
    "set ray_shadows, off",
    "set ambient, 0.45",
    "set ray_trace_mode, 0",
    "set ray_opaque_background, on",
    "set antialias, 2",
    "set max_threads, 1",
    "set stick_radius, 0.35",
    "set cartoon_loop_radius, 0.35",
    "set cartoon_gap_cutoff, 0",
    "set cartoon_putty_transform, 7",
    "set cartoon_putty_quality, 12",
    "set all_states, off",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureConfig:
    """How structures are drawn."""

    styles: tuple[Style, ...] = ("cartoon", "surface")
    """Columns, each once for deposited and once for predicted B."""
    palette: Palette = "blue-red"
    limits: tuple[float, float] | None = None
    """Ends of the color scale, Å²; None: the 2nd and 98th percentile of all values of a picture."""
    size: int = 700
    """Width of a panel before its margins are cut, pixels."""
    is_small: bool = False
    """Write a PNG of 256 colors, a third of the size; other formats stay as they are."""
    program: Path | None = None
    """PyMOL; None: that of ``DEBYE_PYMOL`` or PATH."""
    timeout: float = 600.0
    """Longest time of PyMOL for one structure, s."""

    def __post_init__(self) -> None:
        unknown = [style for style in self.styles if style not in STYLES]
        if unknown or not self.styles or len(set(self.styles)) < len(self.styles):
            named = ", ".join(self.styles) or "(none)"
            remedy = f"Choose one or more of {', '.join(STYLES)}, each once"
            raise ConfigError("plot structure", f"styles {named}", remedy)
        if self.limits is not None and not 0 <= self.limits[0] < self.limits[1] < np.inf:
            low, high = self.limits
            remedy = "Give the lower end first, neither negative"
            raise ConfigError("plot structure", f"a scale from {low:g} to {high:g} Å²", remedy)


def render(
    case: StructureCase, config: PictureConfig, limits: tuple[float, float]
) -> dict[tuple[Style, Side], NDArray[np.uint8]]:
    """Draw one structure by PyMOL: (height, width, 3) for each style and side, all of one size.

    PyMOL reads and writes files in a temporary folder, which is removed.

    Args:
        case: What is drawn.
        config: How.
        limits: Ends of the color scale, Å².

    Raises:
        ConfigError: no PyMOL.
        RenderError: PyMOL failed.
    """
    sides = sides_of(case)
    panels: list[tuple[Style, Side]] = [(style, side) for style in config.styles for side in sides]
    with tempfile.TemporaryDirectory(prefix="debye-picture-") as name:
        folder = Path(name)
        for side in sides:
            write_panel(case, side, folder / f"{side}.cif")
        images = run_pymol(
            scene_script(sides, config, limits),
            folder,
            [image_name(*panel) for panel in panels],
            source=case.name,
            program=config.program,
            timeout=config.timeout,
        )
    return dict(zip(panels, crop(images), strict=True))


def sides_of(case: StructureCase) -> tuple[Side, ...]:
    """Return the sides to draw: without deposited B only the prediction."""
    return ("deposited", "predicted") if case.has_deposited else ("predicted",)


def write_panel(case: StructureCase, side: Side, path: Path) -> None:
    """Write the file for PyMOL: B as it is colored, the kind of each atom in the occupancy column."""
    b = case.deposited if side == "deposited" else case.predicted
    write_structure(
        replace(
            case.structure,
            b_iso=np.where(np.isfinite(b), b, NO_B).astype(np.float32),
            occupancy=case.structure.entity_kind.astype(np.float32),
            u_aniso=None,
            crystal=None,  # PyMOL needs no cell
        ),
        path,
    )


def image_name(style: Style, side: Side) -> str:
    """Return the file of one panel.

    Example:
        >>> image_name("cartoon", "predicted")
        'cartoon_predicted.png'
    """
    return f"{style}_{side}.png"


def scene_script(sides: Sequence[Side], config: PictureConfig, limits: tuple[float, float]) -> str:
    """Return the PyMOL commands: load, color, orient once, and draw one image a panel."""
    low, high = limits
    height = round(0.8 * config.size)
    stops = color_stops(config.palette)
    names = " ".join(f"debye_{number}" for number in range(len(stops)))
    lines = [
        *_SETTINGS,
        f"set cartoon_putty_radius, {THICKEST / max(high, 1.0):.6f}",
        f"set cartoon_putty_scale_min, {SLIMMEST * max(high, 1.0):.3f}",
        f"set cartoon_putty_scale_max, {max(high, 1.0):.3f}",
        f"viewport {config.size}, {height}",
        *(f"set_color debye_{number}, {_rgb(stop)}" for number, stop in enumerate(stops)),
        f"set_color debye_none, {_rgb(GRAY)}",
        *(f"load {side}.cif, {side}" for side in sides),
        "hide everything",
        *_selections(),
        f"spectrum b, {names}, all, minimum={low:.4f}, maximum={high:.4f}",
        f"color debye_none, b < {NO_B + 1:.0f}",
        f"orient {sides[0]}",
        # The view is never changed after this: all panels have the same camera.
        f"zoom {sides[0]}, 3, complete=1",
    ]
    for style in config.styles:
        lines += ["hide everything", *_STYLES[style]]
        for side in sides:
            image = image_name(style, side)
            lines += [
                "disable all",
                f"enable {side}",
                f"png {image}, width={config.size}, height={height}, ray=1",
            ]
    return "\n".join([*lines, "quit", ""])


def _selections() -> list[str]:
    """Return the commands that select atoms by their kind, the occupancy in the files."""
    polymer = [kind for kind in EntityKind if kind.is_polymer]
    ligand = (EntityKind.LIGAND, EntityKind.SUGAR)

    def kinds(wanted: Sequence[EntityKind]) -> str:
        return " or ".join(f"(q > {kind - 0.5} and q < {kind + 0.5})" for kind in wanted)

    return [
        f"select polymer_atoms, {kinds(polymer)}",
        f"select ligand_atoms, {kinds(ligand)}",
        f"select ion_atoms, {kinds((EntityKind.ION,))}",
        "deselect",
        # The surface is that of the whole polymer: PyMOL would leave out modified residues.
        f"flag ignore, {_MAIN}, clear",
        f"flag ignore, {_LIGANDS} or {_IONS}, set",
        f"set sphere_scale, 0.7, {_IONS}",
    ]


def _rgb(color: tuple[float, float, float]) -> str:
    return "[" + ", ".join(f"{channel:.4f}" for channel in color) + "]"


def crop(images: Sequence[NDArray[np.uint8]], margin: int = 6) -> list[NDArray[np.uint8]]:
    """Cut the margins that are white in every image.

    Example:
        >>> white = np.full((40, 60, 3), 255, np.uint8)
        >>> inked = white.copy()
        >>> inked[20, 30] = 0
        >>> [image.shape for image in crop([white, inked], margin=2)]
        [(5, 5, 3), (5, 5, 3)]
    """
    inked = np.any([(image < 250).any(axis=2) for image in images], axis=0)
    if not inked.any():
        return list(images)
    cut = []
    for axis in (1, 0):
        place = np.flatnonzero(inked.any(axis=axis))
        cut.append(slice(max(int(place[0]) - margin, 0), int(place[-1]) + margin + 1))
    return [image[cut[0], cut[1]] for image in images]
