"""The table that describes a data store: one row a split."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from debye.data.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStatistics:
    """Figures of one split; None where unknown."""

    split: str
    proteins: int
    """Entries."""
    mean_residues: float | None = None
    """Protein residues per entry."""
    mean_atoms: float | None = None
    """Heavy atoms per entry, waters left out."""
    total_atoms: int | None = None
    mean_resolution: float | None = None
    """Å, over the entries that state one."""
    mean_b: float | None = None
    """Å²: mean over entries of the mean over their usable atoms."""
    std_b: float | None = None
    """Å²: mean over entries of the standard deviation over their usable atoms."""
    percent_crystal: float | None = None
    """Entries with a cell and a space group."""
    usable_atoms: int | None = None
    """Atoms whose B-factor may be a target."""


REFERENCES = (
    SplitStatistics(
        split="Apo/Holo, published",
        proteins=2661,
        mean_residues=1004,
        mean_atoms=5452,
        mean_resolution=1.89,
        mean_b=31.3,
    ),
    SplitStatistics(
        split="kinase, published",
        proteins=4313,
        mean_residues=663,
        mean_atoms=3886,
        mean_resolution=1.96,
        mean_b=36.9,
    ),
)
"""The training and the test set of Sarparast et al. (2024), arXiv:2408.12519, for comparison."""


def split_statistics(store: Store, split: str) -> SplitStatistics:
    """Describe one split of a store."""
    entries = store.entries(split)
    resolutions = [entry.resolution for entry in entries if entry.resolution]
    means, spreads = [], []
    for row, entry in enumerate(entries):
        if entry.n_usable:
            value = store.values(split, row, "b_iso")[store.usable(split, row)]
            means.append(value.mean(dtype=np.float64))
            spreads.append(value.std(dtype=np.float64))
    return SplitStatistics(
        split=split,
        proteins=len(entries),
        mean_residues=_mean(entry.n_protein_residues for entry in entries),
        mean_atoms=_mean(entry.n_atoms for entry in entries),
        total_atoms=sum(entry.n_atoms for entry in entries),
        mean_resolution=_mean(resolutions),
        mean_b=_mean(means),
        std_b=_mean(spreads),
        percent_crystal=_mean(100.0 * entry.has_crystal for entry in entries),
        usable_atoms=sum(entry.n_usable for entry in entries),
    )


def store_statistics(store: Store) -> list[SplitStatistics]:
    """Describe every split, then the published sets that they can be compared with."""
    return [*(split_statistics(store, split) for split in store.splits), *REFERENCES]


def write_statistics(rows: Sequence[SplitStatistics], path: Path) -> None:
    """Write the table as CSV; unknown figures are empty."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(SplitStatistics)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None
