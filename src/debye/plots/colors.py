"""Blue-white-red colors for B-factors; never the confidence palette of predicted models."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

BLUE, WHITE, RED = (0.13, 0.29, 0.69), (0.93, 0.93, 0.93), (0.75, 0.11, 0.15)
PERCENTILES = (5.0, 95.0)
GRAY = (0.6, 0.6, 0.6)
"""Color of what has no B."""
Palette = Literal["blue-red", "cividis"]
"""Both are told apart with every common color vision; ``cividis`` also grows evenly in lightness."""


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
    from matplotlib import colormaps

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
    anchors = np.array([BLUE, WHITE, RED])
    colors = np.stack(
        [np.interp(share, [0, 0.5, 1], anchors[:, channel]) for channel in range(3)], axis=-1
    )
    colors[~np.isfinite(b)] = GRAY
    return colors
