"""Batches of old data among those of new data, so that what was learned before is not forgotten.

Reference: Robins (1995), Connection Science 7, 123-146, doi:10.1080/09540099550039318.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch.utils.data import Dataset, Sampler

from debye.dataset.batches.loader import Batch, BatchKey, BatchSampler, EntryBatches


@dataclass(frozen=True, slots=True)
class MixedKey:
    """A batch of the new data, or of the old."""

    is_old: bool
    key: BatchKey


class MixedBatches(Dataset[Batch]):
    """Makes the batch of a :class:`MixedKey`."""

    def __init__(self, new: EntryBatches, old: EntryBatches) -> None:
        self.new = new
        self.old = old

    def __getitem__(self, key: MixedKey) -> Batch:
        return (self.old if key.is_old else self.new)[key.key]


class MixedSampler(Sampler[MixedKey]):
    """One epoch of the new data, with ``share`` old batches after each new one (on average).

    The old data are an endless stream that goes on from epoch to epoch; like the new batches, the old ones
    of an epoch depend on seed and epoch alone.
    """

    def __init__(self, new: BatchSampler, old: BatchSampler, share: float) -> None:
        self.new = new
        self.old = old
        self.share = share
        self.n_old = round(share * len(new))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; trainers call this."""
        self.new.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.new) + self.n_old

    def __iter__(self) -> Iterator[MixedKey]:
        new = list(self.new)
        old = self.old.stream(self.new.epoch * self.n_old, self.n_old)
        given = 0
        for number, key in enumerate(new, start=1):
            yield MixedKey(False, key)
            due = round(number * self.n_old / len(new))
            yield from (MixedKey(True, next(old)) for _ in range(due - given))
            given = due
