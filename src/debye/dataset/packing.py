"""Items in groups of bounded size; imports nothing slow, since the parent of worker processes uses it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def pack(items: Iterable[tuple[Item, int]], limit: int) -> Iterator[list[Item]]:
    """Group items, each with its size, in order, so that the sizes of a group add up to at most ``limit``.

    A larger item is a group of its own.

    Example:
        >>> list(pack([("a", 3), ("b", 4), ("c", 9), ("d", 1)], 8))
        [['a', 'b'], ['c'], ['d']]
        >>> list(pack(enumerate([3, 4, 9, 1]), 8))
        [[0, 1], [2], [3]]
    """
    group: list[Item] = []
    total = 0
    for item, size in items:
        if group and total + size > limit:
            yield group
            group, total = [], 0
        group.append(item)
        total += size
    if group:
        yield group
