"""The structures of one family, from files or a store; those without usable labels are refused."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from debye.dataset.batches.loader import LoaderConfig, fewest_usable
from debye.dataset.store.build import build_store
from debye.dataset.store.resumable_map import Progress
from debye.dataset.store.store import Store, StoreEntry
from debye.errors import StoreError
from debye.prediction.inputs import expand_inputs
from debye.targets.target import Per, Target

SPLIT = "family"
"""Split of a store that is made from a folder."""


@dataclass(frozen=True, slots=True)
class Members:
    """Structures of one family in a store."""

    store: Store
    split: str
    ids: tuple[str, ...]
    """Entries with usable labels."""
    refused: Mapping[str, str]
    """Other structures, with reasons."""


def gather_members(
    data: Path,
    out: Path,
    *,
    split: str,
    ids: Collection[str] = (),
    targets: Sequence[Target],
    min_usable: int,
    progress: Progress | None = None,
) -> Members:
    """Open a store, or make one from a folder of structure files, and check every structure.

    Args:
        data: Store or folder.
        out: Folder of the store that is made.
        split: Split of a store; a folder has none.
        ids: Entries, or file names without suffix; empty: all.
        targets: What the model predicts.
        min_usable: Structures with fewer usable labels of every target are refused.
        progress: Called with the number of files read and the total.

    Raises:
        StoreError: neither a store nor a folder with structures, or no such split.
    """
    if (data / "manifest.json").is_file():
        store = Store.open(data)
    else:
        store, split = _store_of(data, out, ids, progress), SPLIT
    wanted = {name.lower() for name in ids}
    refused = {
        failure["id"]: failure["reason"]
        for failure in store.failures
        if failure["split"] == split and (not wanted or failure["id"] in wanted)
    }
    unusable = unusable_entries(store, split, targets, min_usable)
    known = {entry.id for entry in store.entries(split)}
    chosen = known & wanted if wanted else known
    refused |= {name: unusable[name] for name in sorted(chosen & unusable.keys())}
    refused |= dict.fromkeys(sorted(wanted - known - refused.keys()), f"not found in {data}")
    kept = (entry.id for entry in store.entries(split) if entry.id in chosen)
    return Members(store, split, tuple(name for name in kept if name not in unusable), refused)


def unusable_entries(
    store: Store, split: str, targets: Sequence[Target], min_usable: int
) -> dict[str, str]:
    """Return the entries with too few usable labels of every target, by id, with reasons.

    Raises:
        StoreError: no such split, or it has no labels of a target.
    """
    counts = [store.usable_counts(split, target) for target in targets]
    config = LoaderConfig(min_usable=min_usable)
    fewest = [fewest_usable(target, config) for target in targets]
    return {
        entry.id: "; ".join(
            _usable_text(entry, *each) for each in zip(targets, usable, strict=True)
        )
        for entry, *usable in zip(store.entries(split), *counts, strict=True)
        if all(count < least for count, least in zip(usable, fewest, strict=True))
    }


def _usable_text(entry: StoreEntry, target: Target, usable: int) -> str:
    """Return the number of usable labels of a target, and the reasons of the others."""
    total = {Per.ATOM: entry.n_atoms, Per.RESIDUE: entry.n_residues}.get(target.per, 1)
    text = f"{usable} of {total} {target.per}s have a usable {target.title}"
    if not target.in_b_column:
        return text
    reasons = [f"{reason} ({count} atoms)" for reason, count in entry.unusable.items()]
    return f"{text}: {'; '.join(reasons) or 'too small'}"


def _store_of(data: Path, out: Path, ids: Collection[str], progress: Progress | None) -> Store:
    """Copy the files of a folder under the names that a store needs, and build it."""
    if not data.is_dir():
        remedy = "Give a folder of structure files, or a store made by `debye data build`"
        raise StoreError(str(data), "neither a data store nor a folder", remedy)
    inputs, failures = expand_inputs([data], exclude=out)
    if failures:
        raise failures[0]
    wanted = {name.lower() for name in ids}
    inputs = [item for item in inputs if not wanted or item.stem.lower() in wanted]
    if not inputs:
        problem = f"no file is called {', '.join(sorted(wanted))}"
        raise StoreError(str(data), problem, "Give names of files without their suffix")
    structures = out / "structures"
    structures.mkdir(parents=True, exist_ok=True)
    with open(out / "index.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "split", "cluster"])
        for item in inputs:
            entry_id = item.stem.lower()
            writer.writerow([entry_id, SPLIT, SPLIT])
            # copy2 keeps the time: the same files make the same plan when the run is resumed.
            shutil.copy2(Path(item.name), structures / f"{entry_id}{_suffix(item.name)}")
    return build_store(out / "index.csv", structures, out / "store", progress=progress)


def _suffix(name: str) -> str:
    """Return the suffix of a file in the folder of a store.

    Example:
        >>> [_suffix(name) for name in ("a.CIF", "b.mmcif.gz", "c.ent", "d.bcif.gz")]
        ['.cif', '.cif.gz', '.ent', '.bcif.gz']
    """
    lower = name.lower().replace(".mmcif", ".cif")
    zipped = ".gz" if lower.endswith(".gz") else ""
    return Path(lower.removesuffix(".gz")).suffix + zipped
