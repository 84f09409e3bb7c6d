"""A picture of one explanation: effects as bars, and the neighbors in place, colored by them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from debye.explanation.surroundings import Kind
from debye.plots.colors import BLUE, RED, WHITE, b_colors
from debye.structure.bonds import find_bonds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from debye.explanation.explanation import Contribution, Explanation

INK, GRAY = "#22262b", "#8a929b"
OWN = (0.2, 0.22, 0.24)
"""Color of the residue that is explained."""
NAMED = 7
"""Neighbors whose names stand in the scene."""
SMALLEST_SCALE = 0.1
"""Å². Smaller effects are never shown in full color."""


def save_contributions(explanation: Explanation, path: str | Path, *, top: int = 12) -> Path:
    """Write the picture as PNG (or whatever format the suffix says) and return its path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Drawn beside its place: a picture that is there is a whole one.
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        plot_contributions(explanation, top=top).savefig(part, dpi=160)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def plot_contributions(explanation: Explanation, *, top: int = 12) -> Figure:
    """Draw the largest effects as bars on the left, and the residue among its neighbors on the right."""
    shown = explanation.contributions[:top]
    largest = max((abs(item.effect) for item in shown), default=0.0)
    limit = max(largest, SMALLEST_SCALE)
    rows = len(shown) + len(explanation.features)
    figure = Figure(figsize=(12, max(4.2, 1.6 + 0.24 * rows)), layout="constrained")
    FigureCanvasAgg(figure)
    bars, scene = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _draw_bars(bars, explanation, shown, limit)
    _draw_scene(scene, explanation, shown, limit)
    colors = LinearSegmentedColormap.from_list("effect", (BLUE, WHITE, RED))
    bar = figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), colors), ax=scene, shrink=0.75, aspect=22
    )
    bar.set_label("Effect on B (Å²)", color=INK, fontsize=9)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return figure


def _draw_bars(
    panel: Axes, explanation: Explanation, shown: Sequence[Contribution], limit: float
) -> None:
    names = [_label(item) for item in shown]
    effects = [item.effect for item in shown]
    # A blank row parts neighbors from features.
    place = [*range(len(names)), *(len(names) + 1 + i for i in range(len(explanation.features)))]
    names += [row.name for row in explanation.features]
    effects += [row.effect for row in explanation.features]
    colors = b_colors(np.array(effects), (-limit, limit))
    panel.barh(place, effects, color=colors, edgecolor=INK, linewidth=0.5, height=0.72)
    panel.axvline(0, color=INK, linewidth=0.8)
    panel.set_yticks(place, names, fontsize=8, color=INK)
    panel.invert_yaxis()
    panel.tick_params(axis="x", labelsize=8, colors=INK)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.spines["bottom"].set_color(GRAY)
    panel.grid(axis="x", color="#e6e9ec", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.set_xlabel("Effect on B (Å²): below 0, B is lower because of it", fontsize=9, color=INK)
    entry = explanation.structure.entry.id or Path(explanation.structure.source).name
    deposited = ""
    if np.isfinite(explanation.b_deposited):
        deposited = f", {explanation.b_deposited:.1f} in the file"
    panel.set_title(
        f"{explanation.name} of {entry} · B {explanation.b_predicted:.1f} Å² predicted{deposited}",
        loc="left",
        fontsize=10,
        color=INK,
        fontweight="bold",
    )


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
    structure = explanation.structure
    own = np.flatnonzero(structure.residue_index == explanation.residue.index)
    groups = [own, *(item.neighbor.rows for item in shown)]
    places = [structure.position[own], *(item.neighbor.position for item in shown)]
    center = structure.position[explanation.rows].mean(axis=0)
    view = _view(np.concatenate(places) - center)
    placed = [(position - center) @ view for position in places]
    effects = b_colors(np.array([item.effect for item in shown]), (-limit, limit))
    colors = np.vstack([OWN, effects])
    dashed = [False, *(item.neighbor.kind == Kind.MATE for item in shown)]
    segments, of_group = _sticks(find_bonds(structure).pairs, groups, placed)
    _draw_sticks(panel, segments, of_group, colors, dashed)
    top = 3 + len(segments)
    for group, points in enumerate(placed):
        if not (of_group == group).any():  # an ion
            panel.scatter(
                points[:, 0], points[:, 1], s=70, color=[colors[group]], edgecolors=INK,
                linewidths=0.8, linestyles="--" if dashed[group] else "-", zorder=top,
            )  # fmt: skip
    panel.autoscale_view()
    panel.margins(0.06)
    names = [explanation.name, *(str(item.neighbor.residue) for item in shown)]
    for group in _named(placed, dashed):
        x, y = placed[group][:, :2].mean(axis=0)
        panel.text(
            x, y, names[group] + (" (mate)" if dashed[group] else ""),
            fontsize=7.5, color=INK, ha="center", va="center", zorder=top + 1,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip


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
        outline = LineCollection(
            [line],
            colors=[(0.6 - 0.35 * near[rank],) * 3],
            linewidths=width + 1.3,
            linestyles=(0, (1.2, 0.7)) if dashed[group] else "solid",
            capstyle="butt" if dashed[group] else "round",
            zorder=2 + rank,
        )
        fill = LineCollection(
            [line], colors=[colors[group]], linewidths=width, capstyle="round", zorder=2 + rank
        )
        panel.add_collection(outline)
        panel.add_collection(fill)


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


def _view(position: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the rotation whose columns are the axes of the surroundings, the longest first."""
    _, axes = np.linalg.eigh(position.T.astype(np.float64) @ position)
    axes = axes[:, ::-1]
    # eigh leaves signs free: the largest component of each axis points up, so pictures repeat.
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(3)])
    return axes * np.where(signs == 0, 1, signs)


def _sticks(
    bonds: NDArray[np.int32], groups: list[NDArray[np.intp]], placed: list[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the two ends of each bond within a group, and the group."""
    segments, of_group = [np.zeros((0, 2, 3))], [np.zeros(0, np.intp)]
    for number, (rows, position) in enumerate(zip(groups, placed, strict=True)):
        inside = bonds[np.isin(bonds, rows).all(axis=1)]
        segments.append(position[np.searchsorted(rows, inside)])
        of_group.append(np.full(len(inside), number))
    return np.concatenate(segments), np.concatenate(of_group)
