from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debye.errors import ConfigError
from debye.finetuning.division import divide, halve, join_groups, make_folds

sizes = st.lists(st.integers(1, 3), min_size=2, max_size=30)


def groups_of(lengths: list[int]) -> list[list[str]]:
    return [[f"g{g:02d}m{m}" for m in range(length)] for g, length in enumerate(lengths)]


def parts_of(ids: tuple[str, ...]) -> set[str]:
    return {name[:3] for name in ids}


@settings(deadline=None, max_examples=60)
@given(sizes, st.integers(0, 3), st.data())
def test_no_group_is_on_both_sides_of_a_fold_and_each_is_left_out_once(lengths, seed, data):
    groups = groups_of(lengths)
    count = data.draw(st.one_of(st.none(), st.integers(2, len(groups))))
    folds = make_folds(groups, count, seed)
    everyone = sorted(name for group in groups for name in group)
    for fold in folds:
        assert not parts_of(fold.train) & parts_of(fold.left_out)
        assert sorted(fold.train + fold.left_out) == everyone
        assert fold.train
    assert sorted(name for fold in folds for name in fold.left_out) == everyone
    assert folds == make_folds(groups, count, seed)


def test_twenty_are_left_out_one_by_one_and_more_in_ten_parts():
    assert len(make_folds(groups_of([1] * 20), None, 1)) == 20
    folds = make_folds(groups_of([1] * 25), None, 1)
    assert sorted({len(fold.left_out) for fold in folds}) == [2, 3]
    assert len(folds) == 10


@pytest.mark.parametrize(("groups", "folds"), [(1, None), (3, 4)])
def test_too_few_members_are_explained(groups, folds):
    with pytest.raises(ConfigError, match=f"{groups} different structures cannot be divided"):
        make_folds(groups_of([1] * groups), folds, 1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 3), min_size=3, max_size=30), st.floats(0.05, 0.6), st.integers(0, 3)
)
def test_a_group_has_one_use(lengths, share, seed):
    groups = groups_of(lengths)
    try:
        found = divide(groups, share, seed)
    except ConfigError:
        assert len(groups) < 2 * max(1, round(share * len(groups) / 2)) + 1
        return
    uses = [parts_of(ids) for ids in found]
    assert all(uses)
    assert not uses[0] & uses[1]
    assert not uses[0] & uses[2]
    assert not uses[1] & uses[2]
    assert sorted(sum(found, ())) == sorted(name for group in groups for name in group)
    assert found == divide(groups, share, seed)


def test_another_seed_divides_otherwise():
    groups = groups_of([1] * 20)
    assert len({divide(groups, 0.3, seed)[2] for seed in range(4)}) > 1


def test_one_group_cannot_be_halved():
    with pytest.raises(ConfigError, match="--report"):
        halve([["a", "b"]], 1)
    first, second = halve(groups_of([2, 1, 1]), 1)
    assert not parts_of(first) & parts_of(second)


def test_groups_that_touch_through_a_third_are_one():
    assert join_groups([["a"], ["b"], ["c"], ["d"]], [["a", "b"], ["b", "c"]]) == [
        ["a", "b", "c"],
        ["d"],
    ]
