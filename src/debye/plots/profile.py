"""A picture of one prediction: its main target along each chain, and on the backbone as colors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from debye.plots.drawing import (
    BLUE,
    GRAY,
    GRID,
    INK,
    SCALE,
    add_color_bar,
    b_colors,
    color_limits,
    new_figure,
    principal_axes,
    save_figure,
)
from debye.prediction.prediction import ResidueTable, residue_table
from debye.structure.structure import EntityKind
from debye.targets.target import Per

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from debye.prediction.prediction import Prediction
    from debye.structure.structure import Structure

MOST_CHAINS = 4
"""Chains with a panel of their own; further ones are only counted."""
POLYMER_STEP = {"CA": 4.5, "P": 8.0}
"""Largest distance between trace atoms of neighboring residues, Å."""
TUBE = 1.7
"""Width of the backbone, Å."""
PANEL_POINTS = 230.0
"""Width of the panel of the backbone, points."""


def save_profile(prediction: Prediction, path: str | Path) -> Path:
    """Write the picture in the format of the suffix and return its path."""
    return save_figure(plot_profile(prediction), path)


def plot_profile(prediction: Prediction) -> Figure:
    """Draw the main target along the chains on the left, and the backbone colored by it on the right.

    Raises:
        StructureError: the main target has one value for the whole structure.
    """
    residues, target = residue_table(prediction), prediction.finest.target
    unit = f" ({target.unit})" if target.unit else ""
    chains = _polymer_chains(prediction.structure, residues)
    shown = sorted(chains[:MOST_CHAINS], key=lambda rows: int(residues.first_atom[rows[0]]))
    figure = new_figure(12, 3.4 + 1.1 * max(len(shown) - 1, 0), layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=(1.6, 1))
    left, right = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    limits = color_limits(prediction.finest.predicted)
    panels = left.subplots(max(len(shown), 1), 1, sharey=True, squeeze=False)[:, 0]
    for panel, rows in zip(panels, shown, strict=False):
        _draw_chain(panel, prediction, residues, rows, labeled=len(shown) > 1)
    if not shown:
        order = np.argsort(residues.predicted)
        x, marker = np.arange(len(order)), {"marker": "o", "color": BLUE, "label": "predicted"}
        _draw_interval(panels[0], x, residues.lower[order], residues.upper[order])
        panels[0].plot(x, residues.predicted[order], **marker)
    _finish_panels(panels, residues, shown, is_signed=target.minimum is None)
    panels[0].legend(frameon=False, ncols=3, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    title = prediction.structure.entry.id or Path(prediction.structure.source).name
    title = title if len(title) <= 40 else f"{title[:37]}…"
    if len(chains) > len(shown):
        title += f" · {len(chains) - len(shown)} more chains"
    panels[0].set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    below = "Residue" if shown else f"Residues, by predicted {target.title}"
    panels[-1].set_xlabel(below, color=INK)
    left.supylabel(f"{target.title}, residue mean{unit}", fontsize=10, color=INK)
    if len(residues.atoms):
        label = f"Predicted {target.title}{unit}"
        panel = right.subplots()
        _draw_trace(panel, prediction, residues, chains, limits)
        add_color_bar(
            right, SCALE, limits, label,
            ax=panel, shrink=0.7, aspect=20, extend="both", extendfrac=0.03,
        )  # fmt: skip
    return figure


def _polymer_chains(structure: Structure, residues: ResidueTable) -> list[NDArray[np.intp]]:
    """Return the rows of the residue table of each polymer chain, the longest chain first."""
    first = residues.first_atom
    polymer = structure.is_polymer[first]
    names = np.char.add(structure.model[first].astype(str), structure.chain[first])
    chains = [np.flatnonzero(polymer & (names == name)) for name in np.unique(names[polymer])]
    return sorted((rows for rows in chains if len(rows) > 1), key=len, reverse=True)


def _draw_chain(
    panel: Axes,
    prediction: Prediction,
    residues: ResidueTable,
    rows: NDArray[np.intp],
    *,
    labeled: bool,
) -> None:
    structure, first = prediction.structure, residues.first_atom[rows]
    # A blank position breaks the line where residues are missing; numbers alone do not tell.
    broken = _is_broken(structure, _trace_rows(prediction, residues)[rows])
    place = np.arange(len(rows)) + np.concatenate([[0], np.cumsum(broken)])

    def with_gaps(values: NDArray[np.float64]) -> NDArray[np.float64]:
        spread = np.full(place[-1] + 1, np.nan)
        spread[place] = values[rows]
        return spread

    x = np.arange(place[-1] + 1)
    _draw_interval(panel, x, with_gaps(residues.lower), with_gaps(residues.upper))
    if np.isfinite(residues.observed[rows]).any():
        panel.plot(x, with_gaps(residues.observed), color=INK, linewidth=0.9, label="deposited")
    panel.plot(x, with_gaps(residues.predicted), color=BLUE, linewidth=1.6, label="predicted")
    if labeled:
        name = f"chain {structure.chain[first[0]] or 'without name'}"
        at = {"transform": panel.transAxes, "va": "top"}
        panel.text(0.008, 0.93, name, fontsize=8, color=INK, **at)
    panel.set_xlim(-0.5, place[-1] + 0.5)
    number = structure.residue_number[first]
    wanted = MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]).tick_values(0, len(place) - 1)
    step = max(int(wanted[1] - wanted[0]), 1)
    ticks: list[int] = []
    for index in np.flatnonzero(number % step == 0).tolist():
        # Insertion codes repeat a number, and gaps crowd the round ones.
        if not ticks or place[index] - place[ticks[-1]] >= len(place) / 20:
            ticks.append(index)
    ticks = ticks or [0]
    panel.set_xticks(place[ticks], [str(value) for value in number[ticks]])


def _draw_interval(panel: Axes, x: NDArray, lower: NDArray, upper: NDArray) -> None:
    label = "5-95 % interval"
    panel.fill_between(x, lower, upper, color=BLUE, alpha=0.13, linewidth=0, label=label)


def _finish_panels(
    panels: NDArray, residues: ResidueTable, shown: list[NDArray[np.intp]], *, is_signed: bool
) -> None:
    rows = np.concatenate(shown) if shown else np.arange(len(residues.atoms))
    drawn = np.concatenate([residues.upper[rows], residues.observed[rows]])
    top, bottom = 1.0, 0.0
    if np.isfinite(drawn).any():
        # One wild residue must not flatten all others.
        top = 1.15 * float(np.nanpercentile(drawn, 99.5))
        low = np.nanpercentile(np.concatenate([residues.lower[rows], drawn]), 0.5)
        bottom = min(1.15 * float(low), 0.0) if is_signed else 0.0
    for panel in panels:
        panel.set_ylim(bottom, max(top, bottom + 1.0))
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(GRAY)
        panel.tick_params(colors=INK, labelsize=8, color=GRAY)
        panel.grid(axis="y", color=GRID, linewidth=0.7)
        panel.set_axisbelow(True)


def _draw_trace(
    panel: Axes,
    prediction: Prediction,
    residues: ResidueTable,
    chains: list[NDArray[np.intp]],
    limits: tuple[float, float],
) -> None:
    """Draw the backbone as a tube, and ligands and ions as dots, seen along the shortest axis of all."""
    panel.set_aspect("equal")
    panel.axis("off")
    structure, values_of_atoms = prediction.structure, prediction.finest.predicted
    if prediction.finest.target.per is Per.RESIDUE:
        values_of_atoms = values_of_atoms[structure.residue_index]
    rows = np.flatnonzero(prediction.has_prediction)
    center = structure.position[rows].mean(axis=0)
    # The mean of large coordinates in float32 is too rough for the axes.
    view = principal_axes(structure.position[rows] - structure.position[rows].mean(0, dtype=float))
    placed = (structure.position[rows] - center) @ view
    scale = PANEL_POINTS / max(float(np.ptp(placed[:, :2], axis=0).max()), 10.0)
    segments, values = _trace_segments(prediction, residues, chains)
    small = (EntityKind.LIGAND, EntityKind.SUGAR, EntityKind.ION)
    dots = np.isin(structure.entity_kind[rows], small)
    if len(segments):
        _draw_tube(panel, (segments - center) @ view, b_colors(values, limits), scale)
    else:
        dots[:] = True
    size, colors = (
        np.clip(1.5 * scale, 1.5, 5.0) ** 2,
        b_colors(values_of_atoms[rows[dots]], limits),
    )
    look = {"edgecolors": INK, "linewidths": 0.4, "zorder": 3}
    panel.scatter(placed[dots, 0], placed[dots, 1], s=size, c=colors, **look)
    panel.autoscale_view()


def _trace_rows(prediction: Prediction, residues: ResidueTable) -> NDArray[np.intp]:
    """Return the row of the trace atom (CA or P) of each residue, -1 where it has none."""
    structure = prediction.structure
    is_trace = prediction.has_prediction & np.isin(structure.atom_name, list(POLYMER_STEP))
    of_residue = np.full(structure.n_residues, -1, np.intp)
    rows = np.flatnonzero(is_trace)[::-1]
    of_residue[structure.residue_index[rows]] = rows
    return of_residue[structure.residue_index[residues.first_atom]]


def _is_broken(structure: Structure, trace: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return whether the chain is broken between each residue and the next, by distance."""
    reach = np.array([POLYMER_STEP.get(str(name), 0.0) for name in structure.atom_name[trace]])
    step = np.linalg.norm(np.diff(structure.position[trace], axis=0), axis=1)
    return (step > np.minimum(reach[:-1], reach[1:])) | (trace[:-1] < 0) | (trace[1:] < 0)


def _trace_segments(
    prediction: Prediction, residues: ResidueTable, chains: list[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return all backbones as smooth short pieces, Å, and the value of each.

    A piece is (4, 3): the end before it, its own two ends and the end after it.
    """
    structure, trace = prediction.structure, _trace_rows(prediction, residues)
    pieces, values = [np.zeros((0, 4, 3))], [np.zeros(0)]
    finest = 8 if sum(map(len, chains)) < 3000 else 3
    for chain in chains:
        ends = np.flatnonzero(_is_broken(structure, trace[chain])) + 1
        for run in np.split(chain, ends):
            if len(run) > 1:
                position = structure.position[trace[run]]
                curve, b = _smooth(position, residues.predicted[run], finest)
                padded = np.concatenate([curve[:1], curve, curve[-1:]])
                pieces.append(np.stack([padded[i : len(curve) - 1 + i] for i in range(4)], axis=1))
                values.append((b[:-1] + b[1:]) / 2)
    return np.concatenate(pieces), np.concatenate(values)


def _smooth(
    position: NDArray[np.float32], b: NDArray[np.float64], steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interpolate a trace by a Catmull-Rom spline, and its values linearly."""
    padded = np.concatenate([position[:1], position, position[-1:]]).astype(np.float64)
    before, here, there, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[:, None, None]
    curve = 0.5 * (
        2 * here
        + (there - before) * t
        + (2 * before - 5 * here + 4 * there - after) * t**2
        + (3 * here - before - 3 * there + after) * t**3
    )
    curve = np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 3), padded[-1:]])
    fine = np.interp(np.arange(len(curve)) / steps, np.arange(len(b)), b)
    return curve, fine


def _draw_tube(
    panel: Axes, segments: NDArray[np.float64], colors: NDArray[np.float64], scale: float
) -> None:
    """Draw (segments, 4, 3) as a tube, back to front: the near parts hide the far ones."""
    order = np.argsort(segments[:, 1:3, 2].sum(axis=1))
    segments, colors = segments[order], colors[order]
    depth = segments[:, 1:3, 2].mean(axis=1)
    near = (depth - depth[0]) / max(float(np.ptp(depth)), 1e-6)
    width = np.clip(TUBE * scale, 0.8, 6.0) * (0.8 + 0.4 * near)
    # Distance pales toward the paper, so that the eye sees depth.
    fill = colors + (1 - colors) * (0.3 * (1 - near))[:, None]
    edge = 0.15 + (0.5 * (1 - near))[:, None] * np.ones(3)
    # Each segment's fill follows its outline in the drawing order, and both reach along the curve into
    # the neighbors, the fill further: so outlines have no gaps and none crosses the tube.
    flat = segments[:, :, :2]
    lines = np.stack([_reaching(flat, 0.4), _reaching(flat, 0.8)], axis=1).reshape(-1, 4, 2)
    ink = np.stack([edge, fill], axis=1).reshape(-1, 3)
    widths = np.stack([1.25 * width + 0.5, width], axis=1).ravel()
    look = {"linewidths": widths.tolist(), "capstyle": "butt", "joinstyle": "round"}
    panel.add_collection(LineCollection(list(lines), colors=ink, **look))


def _reaching(segments: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Shorten the first and the last step of (segments, 4, 2) lines to a share of their length."""
    before, start, end, after = segments.transpose(1, 0, 2)
    first, last = start + share * (before - start), end + share * (after - end)
    return np.stack([first, start, end, last], axis=1)
