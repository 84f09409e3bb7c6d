"""A picture of one explanation: effects as bars, and the neighbors in place, colored by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from debye.explanation.neighbors import Kind, atom_rows
from debye.plots.drawing import (
    GRAY,
    GRID,
    INK,
    SCALE,
    add_color_bar,
    b_colors,
    new_figure,
    principal_axes,
    save_figure,
)
from debye.structure.bonds import find_bonds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from debye.explanation.case import Contribution
    from debye.explanation.explanation import Explanation

OWN = (0.2, 0.22, 0.24)
"""Color of the residue that is explained."""
NAMED = 7
"""Neighbors that are labeled in the scene."""
SMALLEST_SCALE = 0.1
"""In the unit of the target. Smaller effects are never shown in full color."""


def save_contributions(explanation: Explanation, path: str | Path, *, top: int = 12) -> Path:
    """Write the picture in the format of the suffix and return its path."""
    return save_figure(plot_contributions(explanation, top=top), path)


def plot_contributions(explanation: Explanation, *, top: int = 12) -> Figure:
    """Draw the largest effects as bars on the left, and the residue among its neighbors on the right."""
    shown = explanation.contributions[:top]
    largest = max((abs(item.effect) for item in shown), default=0.0)
    limit = max(largest, SMALLEST_SCALE)
    rows = len(shown) + len(explanation.features)
    figure = new_figure(12, max(4.2, 1.6 + 0.24 * rows), layout="constrained")
    bars, scene = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _draw_bars(bars, explanation, shown, limit)
    _draw_scene(scene, explanation, shown, limit)
    look = {"ax": scene, "shrink": 0.75, "aspect": 22}
    add_color_bar(figure, SCALE, (-limit, limit), _axis(explanation), **look)
    return figure


def _draw_bars(
    panel: Axes, explanation: Explanation, shown: Sequence[Contribution], limit: float
) -> None:
    names, features = [_label(item) for item in shown], explanation.features
    # A blank row parts neighbors from features.
    place = np.arange(len(shown) + len(features))
    place[len(shown) :] += 1
    names += [row.name for row in features]
    effects = [row.effect for row in (*shown, *features)]
    colors = b_colors(np.array(effects), (-limit, limit))
    panel.barh(place, effects, color=colors, edgecolor=INK, linewidth=0.5, height=0.72)
    panel.axvline(0, color=INK, linewidth=0.8)
    panel.set_yticks(place, names, fontsize=8, color=INK)
    panel.invert_yaxis()
    panel.tick_params(axis="x", labelsize=8, colors=INK)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.spines["bottom"].set_color(GRAY)
    panel.grid(axis="x", color=GRID, linewidth=0.7)
    panel.set_axisbelow(True)
    case = explanation.case
    label = f"{_axis(explanation)}: below 0, {case.target.title} is lower because of it"
    panel.set_xlabel(label, fontsize=9, color=INK)
    entry = case.structure.entry.id or Path(case.structure.source).name
    title = f"{case.name} of {entry} · {explanation.values_text}"
    panel.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")


def _axis(explanation: Explanation) -> str:
    target = explanation.case.target
    return f"Effect on {target.title}" + (f" ({target.unit})" if target.unit else "")


def _label(item: Contribution) -> str:
    near = item.neighbor
    how = f"{near.kind.value} {near.operation}".strip()
    return f"{near.residue} · {how} · {near.distance:.1f} Å"


def _draw_scene(
    panel: Axes, explanation: Explanation, shown: Sequence[Contribution], limit: float
) -> None:
    """Draw the residue in black among its neighbors, seen along the shortest axis of all."""
    panel.set_aspect("equal")
    panel.axis("off")
    case, structure = explanation.case, explanation.case.structure
    own = atom_rows(structure, case.residue)
    groups = [own, *(item.neighbor.rows for item in shown)]
    places = [structure.position[own], *(item.neighbor.position for item in shown)]
    center = structure.position[case.rows].mean(axis=0)
    view = principal_axes(np.concatenate(places) - center)
    placed = [(position - center) @ view for position in places]
    effects = b_colors(np.array([item.effect for item in shown]), (-limit, limit))
    colors = np.vstack([OWN, effects])
    dashed = [False, *(item.neighbor.kind == Kind.MATE for item in shown)]
    segments, of_group = _sticks(find_bonds(structure).pairs, groups, placed)
    _draw_sticks(panel, segments, of_group, colors, dashed)
    top = 3 + len(segments)
    for group, points in enumerate(placed):
        if not (of_group == group).any():  # an ion
            look = {"color": [colors[group]], "edgecolors": INK, "linewidths": 0.8, "zorder": top}
            outline = "--" if dashed[group] else "-"
            panel.scatter(points[:, 0], points[:, 1], s=70, linestyles=outline, **look)
    panel.autoscale_view()
    panel.margins(0.06)
    names = [case.name, *(str(item.neighbor.residue) for item in shown)]
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    look = {"fontsize": 7.5, "color": INK, "ha": "center", "va": "center", "bbox": box}
    for group in _named(placed, dashed):
        x, y = placed[group][:, :2].mean(axis=0)
        name = names[group] + (" (mate)" if dashed[group] else "")
        panel.text(x, y, name, zorder=top + 1, **look)


def _draw_sticks(
    panel: Axes,
    segments: NDArray[np.float64],
    of_group: NDArray[np.intp],
    colors: NDArray[np.float64],
    dashed: Sequence[bool],
) -> None:
    """Draw bonds back to front, those of symmetry mates with a dashed outline; the first group is thicker."""
    order = np.argsort(segments[:, :, 2].mean(axis=1))
    depth = segments[order, :, 2].mean(axis=1)
    near = (depth - depth.min(initial=0.0)) / max(float(np.ptp(depth)) if len(depth) else 0.0, 1e-6)
    flat = segments[order, :, :2]
    for rank, (line, group) in enumerate(zip(flat, of_group[order], strict=True)):
        width = (3.4 if group else 4.6) * (0.75 + 0.4 * near[rank])
        dash, cap = ((0, (1.2, 0.7)), "butt") if dashed[group] else ("solid", "round")
        gray = (0.6 - 0.35 * near[rank],) * 3
        outline = {"colors": [gray], "linewidths": width + 1.3, "linestyles": dash, "capstyle": cap}
        fill = {"colors": [colors[group]], "linewidths": width, "capstyle": "round"}
        for look in (outline, fill):
            panel.add_collection(LineCollection([line], zorder=2 + rank, **look))


def _named(placed: list[NDArray[np.float64]], dashed: list[bool]) -> list[int]:
    """Return the groups whose names are shown: mates before others, none on top of another."""
    center = np.array([points[:, :2].mean(axis=0) for points in placed])
    extent = np.ptp(np.concatenate(placed)[:, :2], axis=0).max()
    order = sorted(range(len(placed)), key=lambda group: (group > 0, not dashed[group], group))
    chosen: list[int] = []
    for group in order:
        apart = np.abs(center[chosen] - center[group]) / max(float(extent), 1e-6) > (0.16, 0.03)
        if apart.any(axis=1).all() and len(chosen) <= NAMED:
            chosen.append(group)
    return chosen


def _sticks(
    bonds: NDArray[np.int32], groups: list[NDArray[np.intp]], placed: list[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the two ends of each bond within a group, and the group."""
    inside = [bonds[np.isin(bonds, rows).all(axis=1)] for rows in groups]
    ends = map(np.searchsorted, groups, inside)
    segments = [position[end] for position, end in zip(placed, ends, strict=True)]
    return np.concatenate(segments), np.repeat(np.arange(len(groups)), [len(own) for own in inside])
