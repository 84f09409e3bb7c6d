from __future__ import annotations

from debye.dataset.packing import pack


def test_groups_keep_order_and_size() -> None:
    sizes = [5, 1, 1, 9, 2, 2, 2, 2]
    groups = list(pack(enumerate(sizes), 6))
    assert [i for group in groups for i in group] == list(range(8))
    assert all(len(group) == 1 or sum(sizes[i] for i in group) <= 6 for group in groups)


def test_what_is_too_large_is_alone_and_nothing_is_no_group() -> None:
    assert list(pack(enumerate([9, 9, 1]), 5)) == [[0], [1], [2]]
    assert list(pack(enumerate([]), 5)) == []
    assert list(pack(enumerate([0, 0]), 5)) == [[0, 1]]
