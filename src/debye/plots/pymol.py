"""StructureCase → images by PyMOL, without a screen, with the same camera for all panels of a structure."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from debye.benchmark.cases import StructureCase
from debye.errors import ConfigError, StructureError
from debye.plots.drawing import NO_B_COLOR, Palette, color_stops
from debye.structure.structure import EntityKind
from debye.structure.write import write_structure

Style = Literal["cartoon", "putty", "surface", "spheres"]
Side = Literal["deposited", "predicted"]
Panels = dict[tuple[Style, Side], NDArray[np.uint8]]
"""The image of each style and side, (height, width, 3), all of one size."""

VARIABLE = "DEBYE_PYMOL"
"""Environment variable with the path of PyMOL, where it is not on PATH."""
LOG_LINES = 6
"""Last lines of PyMOL's output that an error message repeats."""
NO_B = -999.0
"""B of atoms that have none; they are drawn gray."""
THICKEST = 1.5
"""Radius of a putty tube at the upper end of the scale, Å."""
SLIMMEST = 0.2
"""Radius at the lower end, as a share of it; thinner tubes are invisible."""

_MAIN, _LIGANDS, _IONS = "(polymer_atoms)", "(ligand_atoms)", "(ion_atoms)"
# Ligands are small: as sticks alone they are hard to find next to a protein.
_SMALL = f"""\
show sticks, {_LIGANDS}
show spheres, {_LIGANDS} or {_IONS}
set sphere_scale, 0.7, {_LIGANDS}"""
_STYLES: dict[Style, str] = {
    "cartoon": f"cartoon automatic, {_MAIN}\nshow cartoon, {_MAIN}\n{_SMALL}",
    "putty": f"cartoon putty, {_MAIN}\nshow cartoon, {_MAIN}\n{_SMALL}",
    "surface": f"show surface, {_MAIN}\n{_SMALL}",
    "spheres": f"show spheres, {_MAIN} or {_LIGANDS} or {_IONS}\nset sphere_scale, 1, {_LIGANDS}",
}
STYLES: tuple[Style, ...] = tuple(_STYLES)
# Highlights and shadows would be read as other B-factors: they are off.
_SETTINGS = """\
orthoscopic=on depth_cue=off ray_trace_fog=off specular=off ray_shadows=off ambient=0.45 ray_trace_mode=0
ray_opaque_background=on antialias=2 max_threads=1 stick_radius=0.35 cartoon_loop_radius=0.35
cartoon_gap_cutoff=0 cartoon_putty_transform=7 cartoon_putty_quality=12 all_states=off""".split()


class RenderError(StructureError):
    """PyMOL failed, took too long or made no image."""


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
        unknown = set(self.styles) - set(STYLES)
        if unknown or not self.styles or len(set(self.styles)) < len(self.styles):
            named = ", ".join(self.styles) or "(none)"
            remedy = f"Choose one or more of {', '.join(STYLES)}, each once"
            raise ConfigError("plot structure", f"styles {named}", remedy)
        if self.limits is not None and not 0 <= self.limits[0] < self.limits[1] < np.inf:
            problem = "a scale from {:g} to {:g} Å²".format(*self.limits)
            raise ConfigError(
                "plot structure", problem, "Give the lower end first, neither negative"
            )


def render(case: StructureCase, config: PictureConfig, limits: tuple[float, float]) -> Panels:
    """Draw one structure by PyMOL, with limits of the color scale in Å²; without deposited B the prediction only.

    PyMOL reads and writes files in a temporary folder, which is removed.

    Raises:
        ConfigError: no PyMOL.
        RenderError: PyMOL failed.
    """
    b_of: dict[Side, NDArray[np.float32]] = {"predicted": case.predicted}
    if case.has_deposited:
        b_of = {"deposited": case.deposited, **b_of}
    panels: list[tuple[Style, Side]] = [(style, side) for style in config.styles for side in b_of]
    with tempfile.TemporaryDirectory(prefix="debye-picture-") as name:
        for side, b in b_of.items():
            colored = replace(
                case.structure,
                b_iso=np.where(np.isfinite(b), b, NO_B).astype(np.float32),
                occupancy=case.structure.entity_kind.astype(np.float32),  # to select atoms by it
                u_aniso=None,
                crystal=None,  # PyMOL needs no cell
            )
            write_structure(colored, Path(name) / f"{side}.cif")
        script = scene_script(tuple(b_of), config, limits)
        names = [f"{style}_{side}.png" for style, side in panels]
        settings = {"program": config.program, "timeout": config.timeout}
        images = run_pymol(script, Path(name), names, source=case.name, **settings)
    return dict(zip(panels, crop(images), strict=True))


def scene_script(sides: Sequence[Side], config: PictureConfig, limits: tuple[float, float]) -> str:
    """Return the PyMOL commands: load, color, orient once, and draw one image a panel."""
    low, high = limits
    widest, height = max(high, 1.0), round(0.8 * config.size)
    colors = {f"debye_{n}": stop for n, stop in enumerate(color_stops(config.palette))}
    lines = [
        "bg_color white",
        *(f"set {setting.replace('=', ', ')}" for setting in _SETTINGS),
        f"set cartoon_putty_radius, {THICKEST / widest:.6f}",
        f"set cartoon_putty_scale_min, {SLIMMEST * widest:.3f}",
        f"set cartoon_putty_scale_max, {widest:.3f}",
        f"viewport {config.size}, {height}",
    ]
    for name, stop in (colors | {"debye_none": NO_B_COLOR}).items():
        lines.append(f"set_color {name}, [{', '.join(f'{channel:.4f}' for channel in stop)}]")
    lines += [
        *(f"load {side}.cif, {side}" for side in sides),
        "hide everything",
        f"select polymer_atoms, {_of_kinds(*(kind for kind in EntityKind if kind.is_polymer))}",
        f"select ligand_atoms, {_of_kinds(EntityKind.LIGAND, EntityKind.SUGAR)}",
        f"select ion_atoms, {_of_kinds(EntityKind.ION)}",
        "deselect",
        # The surface is that of the whole polymer: PyMOL would leave out modified residues.
        f"flag ignore, {_MAIN}, clear",
        f"flag ignore, {_LIGANDS} or {_IONS}, set",
        f"set sphere_scale, 0.7, {_IONS}",
        f"spectrum b, {' '.join(colors)}, all, minimum={low:.4f}, maximum={high:.4f}",
        f"color debye_none, b < {NO_B + 1:.0f}",
        f"orient {sides[0]}",
        # The view is never changed after this: all panels have the same camera.
        f"zoom {sides[0]}, 3, complete=1",
    ]
    for style in config.styles:
        lines += ["hide everything", _STYLES[style]]
        for side in sides:
            image = f"png {style}_{side}.png, width={config.size}, height={height}, ray=1"
            lines += ["disable all", f"enable {side}", image]
    return "\n".join([*lines, "quit", ""])


def _of_kinds(*kinds: EntityKind) -> str:
    """Return PyMOL's selection of atoms by kind: the occupancy in the files."""
    return " or ".join(f"(q > {kind - 0.5} and q < {kind + 0.5})" for kind in kinds)


def crop(images: Sequence[NDArray[np.uint8]], margin: int = 6) -> list[NDArray[np.uint8]]:
    """Cut the margins that are white in every image.

    Example:
        >>> white = np.full((40, 60, 3), 255, np.uint8)
        >>> inked = white.copy()
        >>> inked[20, 30] = 0
        >>> [image.shape for image in crop([white, inked], margin=2)]
        [(5, 5, 3), (5, 5, 3)]
    """
    places = np.argwhere(np.any([(image < 250).any(axis=2) for image in images], axis=0))
    if not len(places):
        return list(images)
    top, left = np.maximum(places.min(axis=0) - margin, 0)
    bottom, right = places.max(axis=0) + margin + 1
    return [image[top:bottom, left:right] for image in images]


def find_pymol(path: str | Path | None = None) -> str:
    """Return the path of PyMOL: the one given, that of ``DEBYE_PYMOL``, or the one on PATH.

    Raises:
        ConfigError: there is none; the message tells how to install it.
    """
    wanted = str(path or os.environ.get(VARIABLE) or "pymol")
    found = shutil.which(wanted)
    if found is None:
        raise ConfigError(
            wanted,
            "PyMOL is not there or cannot be run; structures are drawn with it",
            "Install it (Debian and Ubuntu: apt-get install pymol; conda install -c conda-forge "
            f"pymol-open-source; Homebrew: brew install pymol), or give its path by --pymol or {VARIABLE}",
        )
    return str(Path(found).absolute())


def run_pymol(
    script: str,
    folder: Path,
    images: Sequence[str],
    *,
    source: str,
    program: str | Path | None = None,
    timeout: float = 600.0,
) -> list[NDArray[np.uint8]]:
    """Run a script of PyMOL commands in a folder and return its images, each (height, width, 3).

    Args:
        script: File names in it are relative to the folder.
        folder: Where the script is written and runs.
        images: PNG files that the script writes there.
        source: What is drawn, for error messages.
        program: See :func:`find_pymol`.
        timeout: Seconds; PyMOL is stopped after them.

    Raises:
        ConfigError: no PyMOL.
        RenderError: it failed, took too long or left out an image; the message repeats its output.
    """
    (folder / "scene.pml").write_text(script, encoding="utf-8")
    # c: no window, k: no settings of the user's, q: no banner.
    command = [find_pymol(program), "-ckq", "scene.pml"]
    log = folder / "pymol.log"
    place = {"cwd": folder, "env": _environment(command[0]), "start_new_session": True}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **place
        )
        try:
            with _ended_by_sigterm():
                code = process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            remedy = "Allow more time (--timeout) or draw smaller panels (--size)"
            problem = f"PyMOL had not finished after {timeout:g} s{_last_lines(log)}"
            raise RenderError(source, problem, remedy) from error
        finally:
            if (
                process.poll() is None
            ):  # with its child processes: its launcher may be a shell script
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    missing = [name for name in images if not (folder / name).is_file()]
    if code or missing:
        what = f"ended with code {code}" if code else f"made no image {', '.join(missing)}"
        remedy = "Check the installation (pymol -c), and that it is version 2.0 or later"
        raise RenderError(source, f"PyMOL {what}{_last_lines(log)}", remedy)
    found = []
    for name in images:
        try:
            with Image.open(folder / name) as image:
                found.append(np.asarray(image.convert("RGB")))
        except OSError as error:
            problem = f"PyMOL wrote an image that cannot be read, {name} ({error})"
            raise RenderError(source, problem, "Check the free disk space") from error
    return found


def _environment(program: str) -> dict[str, str]:
    """Return an environment in which PyMOL's launcher finds the Python that PyMOL is installed for.

    Debian's launcher takes the first ``python3`` on PATH, which may be that of a virtual environment; the
    right one is in the folder of the launcher.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept["PATH"] = os.pathsep.join([str(Path(program).parent), kept.get("PATH", os.defpath)])
    return kept


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Raise SystemExit on SIGTERM, so that the caller can stop PyMOL, which has a session of its own.

    A handler that is already set stays, and outside the main thread none can be set.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _last_lines(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f": {' / '.join(lines[-LOG_LINES:])}" if lines else ", without a message"
