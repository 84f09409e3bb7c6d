"""How far a summary would move with other structures: the bootstrap over whole structures.

Bonded atoms are not independent, so atoms are never resampled. Structures of one sequence cluster are
not independent either: draw whole clusters where a set has many crystals of one protein.
Reference: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debye.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapConfig:
    """How intervals are made."""

    repeats: int = 2000
    """Draws; 0 gives no intervals."""
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.repeats < 0 or self.seed < 0 or not 0 < self.level < 1:
            problem = f"repeats {self.repeats}, seed {self.seed}, level {self.level}"
            remedy = "Give repeats and seed of at least 0, and a level between 0 and 1"
            raise ConfigError("bootstrap", problem, remedy)

    def __str__(self) -> str:
        return f"{self.repeats} draws, seed {self.seed}"

    def draws(self, clusters: Sequence[str], *, by_cluster: bool) -> NDArray[np.float64]:
        """Return (repeats, structures) how often each structure is drawn.

        The generator starts anew each time: models scored on the same structures get the same draws.
        """
        generator = np.random.default_rng(self.seed)
        if by_cluster:
            return cluster_draws(clusters, self.repeats, generator)
        return structure_draws(len(clusters), self.repeats, generator)


def structure_draws(
    structures: int, repeats: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw as many structures as there are, with replacement, many times.

    Returns:
        (repeats, structures) how often each structure is drawn; every row sums to ``structures``.

    Example:
        >>> structure_draws(5, 3, np.random.default_rng(0)).sum(axis=1).tolist()
        [5.0, 5.0, 5.0]
    """
    if structures == 0:
        return np.zeros((repeats, 0))
    share = np.full(structures, 1 / structures)
    return generator.multinomial(structures, share, size=repeats).astype(np.float64)


def cluster_draws(
    clusters: Sequence[str], repeats: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw whole clusters with replacement, each with all of its structures.

    Args:
        clusters: Cluster of each structure; an empty name stands for a cluster of its own.

    Returns:
        (repeats, structures) how often each structure is drawn.
    """
    names = [name or f"\0{row}" for row, name in enumerate(clusters)]
    _, place = np.unique(np.array(names, dtype=str), return_inverse=True)
    count = int(place.max()) + 1 if len(names) else 0
    return structure_draws(count, repeats, generator)[:, place]


def percentile_interval(draws: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Return both ends of the interval of the middle ``level`` of the draws; NaN if no draw is finite.

    Example:
        >>> percentile_interval(np.arange(101.0), 0.5)
        (25.0, 75.0)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    finite = draws[np.isfinite(draws)]
    if not finite.size:
        return np.nan, np.nan
    tail = (1 - level) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)
