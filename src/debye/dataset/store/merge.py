"""Two stores → the splits of a third: the old one's arrays with new entries in between, or in the place of old ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debye.dataset.store.build import code_type, content_digest, stored_names
from debye.dataset.store.store import TEXT_COLUMNS, Store

Row = tuple[Store, int]
"""An entry of a split: in which store, and at which row."""


@dataclass(slots=True)
class Merged:
    """What the merged store holds; the arrays of the splits that changed lie in a folder of their own."""

    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Entries and atoms of each split."""
    changed: list[str] = field(default_factory=list)
    """Splits that were written; the others are as they were."""
    digests: dict[tuple[str, str], str] = field(default_factory=dict)
    """Digest of each entry, by split and id."""
    vocabulary: dict[str, list[str]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the content of the store."""
        return content_digest(self.digests)


def merge_stores(old: Store, new: Store, out: Path) -> Merged:
    """Write the splits that new entries change to ``out/<split>/``.

    Entries are sorted by id; a new one takes the place of an old one of the same split and id. Words that the old
    store does not have get codes after its own, so that its arrays keep their meaning.
    """
    merged = Merged(vocabulary=_vocabulary(old, new))
    for split in dict.fromkeys([*old.splits, *new.splits]):
        sources: dict[str, Row] = {}
        for store in (old, new):
            if split in store.splits:
                sources |= {item.id: (store, row) for row, item in enumerate(store.entries(split))}
        rows = [sources[name] for name in sorted(sources)]
        entries = [store.entries(split)[row] for store, row in rows]
        if any(store is new for store, _ in rows):
            merged.changed.append(split)
            (out / split).mkdir(parents=True)
            for column in stored_names():
                words = merged.vocabulary.get(column, [])
                _write(rows, split, column, words, out / split / f"{column}.npy")
            records = json.dumps([asdict(entry) for entry in entries])
            (out / split / "entries.json").write_text(records)
        merged.digests |= {(split, entry.id): entry.digest for entry in entries}
        atoms = sum(entry.n_atoms for entry in entries)
        merged.splits[split] = {"entries": len(entries), "atoms": atoms}
    return merged


def _vocabulary(old: Store, new: Store) -> dict[str, list[str]]:
    found = {}
    for column in TEXT_COLUMNS:
        known = old.vocabulary[column].tolist()
        found[column] = known + sorted(set(new.vocabulary[column].tolist()) - set(known))
    return found


def _write(
    rows: Sequence[Row], split: str, column: str, words: Sequence[str], target: Path
) -> None:
    """Write one column, entry by entry, so that memory does not grow with the split."""
    is_text = column in TEXT_COLUMNS
    code = {word: number for number, word in enumerate(words)}
    translate: Mapping[int, NDArray[Any]] = {
        id(store): np.array([code[word] for word in store.vocabulary[column].tolist()], np.int64)
        for store in ({id(store): store for store, _ in rows}.values() if is_text else ())
    }
    lengths = [len(store.values(split, row, column)) for store, row in rows]
    first = rows[0][0].values(split, rows[0][1], column)
    kind = code_type(len(words)) if is_text else first.dtype
    shape = (sum(lengths), *first.shape[1:])
    flat = np.lib.format.open_memmap(target, mode="w+", dtype=kind, shape=shape)
    start = 0
    for (store, row), length in zip(rows, lengths, strict=True):
        values = store.values(split, row, column)
        flat[start : start + length] = translate[id(store)][values] if is_text else values
        start += length
    flat.flush()
