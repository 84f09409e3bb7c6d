"""Two stores → the splits of a third: the entries of both, with new entries replacing old ones of the same id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debye.dataset.store.content import STORED_COLUMNS, code_type, content_digest
from debye.dataset.store.resumable_map import write_flat
from debye.dataset.store.store import TEXT_COLUMNS, Store
from debye.files import write_json

Row = tuple[Store, int]
"""An entry of a split: its store and its row."""


@dataclass(slots=True)
class Merged:
    """What the merged store holds; the arrays of changed splits are in a folder of their own."""

    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Entries and atoms of each split."""
    changed: list[str] = field(default_factory=list)
    """Splits that were written; the others are unchanged."""
    digests: dict[tuple[str, str], str] = field(default_factory=dict)
    """Digest of each entry, by split and id."""
    vocabulary: dict[str, list[str]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the content of the store."""
        return content_digest(self.digests)


def merge_stores(old: Store, new: Store, out: Path) -> Merged:
    """Write the splits that new entries change to ``out/<split>/``.

    Entries are sorted by id; a new entry replaces an old one of the same split and id. Words that the old
    store does not have get codes after its own, so that its arrays keep their meaning.
    """
    merged = Merged()
    for column in TEXT_COLUMNS:
        known = old.vocabulary[column].tolist()
        more = sorted(set(new.vocabulary[column].tolist()) - set(known))
        merged.vocabulary[column] = known + more
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
            for column in STORED_COLUMNS:
                words = merged.vocabulary.get(column)
                _write(rows, split, column, words, out / split / f"{column}.npy")
            write_json(out / split / "entries.json", [asdict(entry) for entry in entries], None)
        merged.digests |= {(split, entry.id): entry.digest for entry in entries}
        atoms = sum(entry.n_atoms for entry in entries)
        merged.splits[split] = {"entries": len(entries), "atoms": atoms}
    return merged


def _write(
    rows: Sequence[Row], split: str, column: str, words: Sequence[str] | None, target: Path
) -> None:
    """Write one column, entry by entry, so that memory does not grow with the split."""
    translate: dict[int, NDArray[Any]] = {}
    if words is not None:
        code = {word: number for number, word in enumerate(words)}
        for store in {id(store): store for store, _ in rows}.values():
            own = [code[word] for word in store.vocabulary[column].tolist()]
            translate[id(store)] = np.array(own, np.int64)
    values = [store.values(split, row, column) for store, row in rows]  # views, not copies
    kind = values[0].dtype if words is None else code_type(len(words))
    recoded = (
        translate[id(store)][own] if translate else own
        for (store, _), own in zip(rows, values, strict=True)
    )
    write_flat(target, recoded, kind, (sum(map(len, values)), *values[0].shape[1:]))
