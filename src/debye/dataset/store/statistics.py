"""A description of a data store: a table with a row per split, and histograms of its entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from debye.dataset.store.store import Store
from debye.files import write_csv
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStatistics:
    """Figures of one split; None where unknown."""

    split: str
    proteins: int
    """Entries."""
    mean_residues: float | None = None
    """Protein residues per entry."""
    total_residues: int | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryQuantity:
    """A figure of an entry that is shown as a histogram."""

    name: str
    unit: str
    has_wide_range: bool
    """Whether bins have equal width in the logarithm."""
    published: str
    """Column of :class:`SplitStatistics` with its mean."""

    @property
    def label(self) -> str:
        """Name and unit."""
        return f"{self.name} / {self.unit}" if self.unit else self.name


QUANTITIES = (
    EntryQuantity(name="residues", unit="", has_wide_range=True, published="mean_residues"),
    EntryQuantity(name="atoms", unit="", has_wide_range=True, published="mean_atoms"),
    EntryQuantity(name="resolution", unit="Å", has_wide_range=False, published="mean_resolution"),
    EntryQuantity(name="mean B", unit="Å²", has_wide_range=False, published="mean_b"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Distribution of one quantity over the entries of each split."""

    quantity: EntryQuantity
    edges: NDArray[np.float64]
    """(bins + 1,); the outer bins also count the entries beyond them."""
    counts: dict[str, NDArray[np.int64]]
    """(bins,) entries of each split."""
    unknown: dict[str, int]
    """Entries of each split without the quantity."""


def split_figures(
    store: Store, split: str, target: Target = B_FACTOR
) -> dict[str, NDArray[np.float64]]:
    """Return the figures of each entry, (entries,) by name of the quantity and ``std B``; NaN where unknown.

    Of another target than B, ``mean B`` and ``std B`` are those of its usable labels.
    """
    entries = store.entries(split)
    means, spreads = np.full((2, len(entries)), np.nan)
    for row in range(len(entries)):
        labels = store.labels(split, row, target)
        value = labels.value[labels.usable]
        if value.size:
            means[row], spreads[row] = value.mean(dtype=np.float64), value.std(dtype=np.float64)
    return {
        "residues": np.array([entry.n_protein_residues for entry in entries], np.float64),
        "atoms": np.array([entry.n_atoms for entry in entries], np.float64),
        "resolution": np.array([entry.resolution or np.nan for entry in entries], np.float64),
        "mean B": means,
        "std B": spreads,
    }


def split_statistics(store: Store, split: str) -> SplitStatistics:
    """Describe one split of a store."""
    entries, figures = store.entries(split), split_figures(store, split)
    return SplitStatistics(
        split=split,
        proteins=len(entries),
        mean_residues=_mean(figures["residues"]),
        total_residues=sum(entry.n_protein_residues for entry in entries),
        mean_atoms=_mean(figures["atoms"]),
        total_atoms=sum(entry.n_atoms for entry in entries),
        mean_resolution=_mean(figures["resolution"]),
        mean_b=_mean(figures["mean B"]),
        std_b=_mean(figures["std B"]),
        percent_crystal=_mean([100.0 * entry.has_crystal for entry in entries]),
        usable_atoms=sum(entry.n_usable for entry in entries),
    )


def store_histograms(store: Store, bins: int = 12) -> list[Histogram]:
    """Return the histogram of each quantity over all splits, with common bins.

    The bins reach from the 1st to the 99th percentile of all entries; the outer bins count the entries beyond.

    Args:
        store: The store.
        bins: Number of bins; fewer if all entries are alike.
    """
    figures = {split: split_figures(store, split) for split in store.splits}
    found = []
    for quantity in QUANTITIES:
        values = {split: own[quantity.name] for split, own in figures.items()}
        known = np.concatenate([own[np.isfinite(own)] for own in values.values()])
        if not known.size:
            continue
        edges = _edges(known, bins, quantity.has_wide_range)
        found.append(
            Histogram(
                quantity=quantity,
                edges=edges,
                counts={split: _count(own, edges) for split, own in values.items()},
                unknown={split: int(np.isnan(own).sum()) for split, own in values.items()},
            )
        )
    return found


def store_statistics(store: Store) -> list[SplitStatistics]:
    """Describe every split, then the published sets, for comparison."""
    return [*(split_statistics(store, split) for split in store.splits), *REFERENCES]


def write_statistics(rows: Sequence[SplitStatistics], path: Path) -> None:
    """Write the table as CSV; unknown figures are empty."""
    names = [column.name for column in fields(SplitStatistics)]
    write_csv(path, names, [astuple(row) for row in rows])


def _edges(known: NDArray[np.float64], bins: int, is_wide: bool) -> NDArray[np.float64]:
    low, high = np.quantile(known, [0.01, 0.99])
    if low == high:
        return np.array([low * 0.99, high * 1.01]) if low else np.array([-0.5, 0.5])
    edges = np.geomspace(low, high, bins + 1) if is_wide and low > 0 else None
    return np.linspace(low, high, bins + 1) if edges is None else edges


def _count(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    known = values[np.isfinite(values)]
    return np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0].astype(np.int64)


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    found = np.asarray(values, np.float64)
    found = found[np.isfinite(found)]
    return float(found.mean()) if found.size else None
