"""Old batches among new ones: how many, in which order, and the same ones after a stop."""

from __future__ import annotations

import pytest

from debye.dataset.batches.loader import BatchSampler, LoaderConfig
from debye.training.batches import MixedSampler


def sampler(share: float, new: int = 10, old: int = 25) -> MixedSampler:
    def batches(count: int, seed: int) -> BatchSampler:
        return BatchSampler(range(count), [100] * count, LoaderConfig(batch_atoms=200, seed=seed))

    return MixedSampler(batches(new, 1), batches(old, 2), share)


@pytest.mark.parametrize(("share", "old"), [(0.0, 0), (0.4, 2), (1.0, 5), (2.0, 10)])
def test_an_epoch_has_every_new_batch_and_the_share_of_old_ones(share, old):
    mixed = sampler(share)
    keys = list(mixed)
    assert len(keys) == len(mixed) == 5 + old
    assert sum(key.is_rehearsal for key in keys) == old
    rows = [row for key in keys if not key.is_rehearsal for row in key.key[1]]
    assert sorted(rows) == list(range(10))


def test_old_batches_come_between_the_new_ones():
    assert [key.is_rehearsal for key in sampler(1.0)] == [False, True] * 5


def test_the_old_stream_goes_on_from_epoch_to_epoch():
    mixed = sampler(2.0)
    seen: list[int] = []
    for epoch in (0, 1):
        mixed.set_epoch(epoch)
        seen += [row for key in mixed if key.is_rehearsal for row in key.key[1]]
    # 20 batches: the first 13 are a whole pass over the 25 old entries.
    assert sorted(seen[:25]) == list(range(25))


def test_an_epoch_depends_on_its_number_alone():
    first, second = sampler(1.0), sampler(1.0)
    for epoch in (0, 1):
        first.set_epoch(epoch)
        last = list(first)
    second.set_epoch(1)
    assert list(second) == last
    second.set_epoch(0)
    assert list(second) != last
