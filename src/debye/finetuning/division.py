"""Divisions of entries into training, choice of the epoch and report, without leaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from debye.errors import ConfigError

LEAVE_ONE_OUT = 20
"""Most groups that are left out one by one."""
MANY_FOLDS = 10
"""Parts of a larger family."""


Ids = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of a family that is left out."""

    name: str
    train: tuple[str, ...]
    left_out: tuple[str, ...]


def divide(groups: Sequence[Sequence[str]], hold_out: float, seed: int) -> tuple[Ids, Ids, Ids]:
    """Hold out a share of the groups: half of them choose the epoch, half are reported.

    Args:
        groups: Ids that must stay together: clusters, joined where they share copies of a structure.
        hold_out: Share of the groups.
        seed: Random seed.

    Returns:
        Ids for training, to choose the epoch and calibrate the bounds, and for the report.

    Raises:
        ConfigError: too few groups.

    Example:
        >>> train, choose, report = divide([["a"], ["b"], ["c", "d"], ["e"]], 0.5, seed=1)
        >>> len(choose), len(report), sorted(train + choose + report)
        (1, 1, ['a', 'b', 'c', 'd', 'e'])
    """
    each = max(1, round(hold_out * len(groups) / 2))
    if len(groups) < 2 * each + 1:
        raise ConfigError(
            "finetune",
            f"{len(groups)} groups of new entries cannot be divided into training, choice of the epoch and "
            f"report (hold_out {hold_out})",
            "Name splits with --val and --report, or use --family for a few crystals of one protein",
        )
    choose, report, train = _draw(groups, seed, each, 2 * each)
    return train, choose, report


def halve(groups: Sequence[Sequence[str]], seed: int) -> tuple[Ids, Ids]:
    """Divide held-out groups into those that choose the epoch and those that are reported.

    Raises:
        ConfigError: there is only one.
    """
    if len(groups) < 2:
        problem = (
            "the held-out entries are 1 group, which cannot both choose the epoch and be reported"
        )
        raise ConfigError("finetune", problem, "Name a split with --report")
    choose, report = _draw(groups, seed, len(groups) // 2)
    return choose, report


def make_folds(groups: Sequence[Sequence[str]], folds: int | None, seed: int) -> list[Fold]:
    """Leave out every group once, one by one or in parts of nearly equal size.

    Args:
        groups: Ids that must be left out together: copies of one structure.
        folds: Number of parts; None: one a group up to :data:`LEAVE_ONE_OUT`, else :data:`MANY_FOLDS`.
        seed: Random seed.

    Raises:
        ConfigError: fewer than two groups, or more parts than groups.

    Example:
        >>> [fold.left_out for fold in make_folds([["a"], ["b", "c"]], None, seed=1)]
        [('a',), ('b', 'c')]
    """
    count = folds or (len(groups) if len(groups) <= LEAVE_ONE_OUT else MANY_FOLDS)
    if len(groups) < 2 or count > len(groups):
        problem = f"{len(groups)} different structures cannot be divided into {max(count, 2)} parts"
        remedy = "Give more structures, or a smaller number with --folds"
        raise ConfigError("finetune --family", problem, remedy)
    order = np.arange(len(groups))
    if count < len(groups):
        order = np.random.default_rng([seed, len(groups)]).permutation(order)
    all_ids = sorted(name for group in groups for name in group)
    made = []
    for number in range(count):
        out = {name for place in order[number::count] for name in groups[int(place)]}
        made.append(
            Fold(
                name=f"fold-{number + 1:02d}",
                train=tuple(name for name in all_ids if name not in out),
                left_out=tuple(sorted(out)),
            )
        )
    return made


def join_groups(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> list[list[str]]:
    """Merge two groupings: ids that share a group in either of them share one in the result.

    Example:
        >>> join_groups([["a", "b"], ["c"], ["d"]], [["b", "c"]])
        [['a', 'b', 'c'], ['d']]
    """
    joined: list[set[str]] = []
    for group in (*first, *second):
        merged = set(group)
        touched = [other for other in joined if merged & other]
        joined = [other for other in joined if not merged & other]
        joined.append(merged.union(*touched))
    return sorted(sorted(group) for group in joined)


def _draw(groups: Sequence[Sequence[str]], seed: int, *ends: int) -> list[Ids]:
    """Return the ids of the groups in random order, cut after some numbers of groups."""
    order = np.random.default_rng([seed, len(groups)]).permutation(len(groups))
    return [
        tuple(sorted(name for place in part for name in groups[int(place)]))
        for part in np.split(order, ends)
    ]
