"""A store of records without arrays, for what only counts and names entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from debye.dataset.store.store import StoreEntry
from debye.targets.target import Target


@dataclass
class FakeStore:
    """Has the entries of each split, and their numbers of usable B-factors."""

    records: Mapping[str, Sequence[StoreEntry]]
    path: Path = Path("store")

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.records)

    def entries(self, split: str) -> tuple[StoreEntry, ...]:
        """Return the records of a split."""
        return tuple(self.records[split])

    def usable_counts(self, split: str, target: Target) -> np.ndarray:
        """Return the number of usable labels of each entry, the same for every target."""
        return np.array([entry.n_usable for entry in self.records[split]], np.int64)
