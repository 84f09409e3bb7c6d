"""New entries for a finished store: assigned to splits by the rules of its build, while no old entry moves.

A store changes in one step, when its manifest is replaced: before, the new entries are in folders that it does not
name; afterwards the old folders are removed. A killed append leaves the old store or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from debye.dataset.curate.build_recipe import BuildRecipe
from debye.dataset.curate.candidates import (
    Assignment,
    read_assignments,
    read_candidates,
    write_assignments,
)
from debye.dataset.curate.clusters import read_fasta
from debye.dataset.curate.mmseqs import MMseqs2
from debye.dataset.curate.splits import Sequences, assign_splits
from debye.dataset.store.build import (
    ENTRIES,
    SEQUENCES,
    copy_inputs,
    curation_record,
    stored_recipe,
    stored_row,
    with_revision,
    write_manifest,
    write_sequences,
)
from debye.dataset.store.content import STORED_COLUMNS, code_type, content_digest, write_splits
from debye.dataset.store.index import IndexRow, check_unique
from debye.dataset.store.resumable_map import Progress, write_flat
from debye.dataset.store.store import TEXT_COLUMNS, Store
from debye.errors import StoreError
from debye.files import write_json, write_text
from debye.structure.sequences import observed_sequences
from debye.version import library_version

NEXT = "next"
"""Folder in the store with the files of an unfinished append."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """The result of :func:`append_entries`."""

    store: Store
    added: tuple[str, ...]
    revised: tuple[str, ...]
    """Entries of the store that now have the content of the new file, in their old split."""
    refused: dict[str, str]
    """Reason by id. An entry of the store whose revision is refused stays as it was."""


def append_entries(
    path: Path,
    rows: Sequence[IndexRow],
    structures: Path,
    *,
    date: str,
    recipe: BuildRecipe | None = None,
    search: Mapping[str, Any] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Appended:
    """Append entries to a finished store, or replace the content of those that it has.

    The rules are those of :func:`debye.dataset.curate.splits.assign_splits`: an entry joins the split of the entries
    that it is similar to, and a group that is similar to none is drawn. Old entries keep split, cluster and rank.
    Other processes that have the store open must open it again.

    Args:
        path: The store.
        rows: Entries and what the index says of them (``split`` is ignored); ids in lower case.
        structures: Folder of their files, laid out as ``<id[1:3]>/<id>.bcif.gz`` or flat.
        date: Date (``2026-11-24``) of the archive that the files come from, which becomes that of the store.
        recipe: How to continue; None: as the store was built. Needed if it was built without one, or if its clusters
            are those of an RCSB file, which the recipe must then name.
        search: The search that found the entries, for the manifest; None: as recorded.
        workers: Processes, and threads of MMseqs2.
        progress: Called with the number of entries that are done, first of the candidates, then of the store.

    Raises:
        StoreError: there is no finished store, it records no recipe and none is given, or an id comes twice.
        ConfigError: MMseqs2 is not on PATH.
    """
    Store.open(path)
    with FileLock(path / "append.lock"):
        _settle(path)
        store = Store.open(path)
        recipe = recipe or stored_recipe(store)
        check_unique(path, (row.id for row in rows))
        if recipe.clusters.source == "rcsb" and recipe.clusters.file is None:
            raise StoreError(
                str(path),
                "its clusters come from a file of the RCSB, which lacks the new entries",
                "Give a recipe whose clusters.file is the file of the new date",
            )
        work = path / NEXT
        candidates, failures = read_candidates(
            rows, structures, recipe.ligands, work / "scan", workers=workers, progress=progress
        )
        old, known = stored_assignments(store), stored_sequences(store)
        assigned = assign_splits(
            candidates,
            recipe,
            MMseqs2(workers),
            existing=old.values(),
            sequences=known,
            failures=failures,
        )
        refused = dict(assigned.refused)
        index = {row.id: row for row in rows}
        chosen = [
            stored_row(index[name], item)
            for name, item in assigned.assignments.items()
            if item.split and name not in refused
        ]
        chosen.sort(key=lambda row: (row.split, row.id))
        content = write_splits(
            chosen, structures, work / "new", "new", workers=workers, progress=progress
        )
        write_manifest(work / "new", content, "new")
        assignments = assigned.assignments
        for failure in content.failures:
            name = failure["id"]
            reason = f"could not be stored: {failure['reason']}"
            refused[name] = reason
            changes = {"split": "", "representative": False, "reason": reason}
            is_revision = name in old and old[name].split
            assignments[name] = old[name] if is_revision else replace(assignments[name], **changes)
        found = old | {name: with_revision(item, index[name]) for name, item in assignments.items()}
        accepted = {name: own for name, own in assigned.sequences.items() if name not in refused}
        return _commit(store, found, refused, known | accepted, recipe, date, search)


def settle(path: Path) -> Store:
    """Open a store after finishing, or clearing away, an append that was killed."""
    Store.open(path)
    with FileLock(path / "append.lock"):
        _settle(path)
        return Store.open(path)


def stored_assignments(store: Store) -> dict[str, Assignment]:
    """Return the assignment of every entry that a store was built from, by id."""
    if (store.path / ENTRIES).exists():
        return {item.id: item for item in read_assignments(store.path / ENTRIES)}
    return {
        entry.id: Assignment(
            id=entry.id,
            state=entry.columns.get("state", ""),
            split=split,
            representative=entry.representative,
            cluster=entry.cluster,
            clusters=(entry.cluster,) if entry.cluster else (),
            resolution=entry.resolution,
            n_protein_residues=entry.n_protein_residues,
            n_atoms=entry.n_atoms,
            revised=entry.columns.get("revised", ""),
        )
        for split in store.splits
        for entry in store.entries(split)
    }


def stored_sequences(store: Store) -> dict[str, dict[str, str]]:
    """Return the sequences of all entries of a store, by id and chain."""
    found: dict[str, dict[str, str]] = {}
    if (store.path / SEQUENCES).exists():
        for name, text in read_fasta(store.path / SEQUENCES).items():
            entry, _, chain = name.rpartition("_")
            found.setdefault(entry, {})[chain] = text
        return found
    for split in store.splits:
        for row, entry in enumerate(store.entries(split)):
            found[entry.id] = observed_sequences(store.structure(split, row))
    return found


def _commit(
    store: Store,
    assignments: Mapping[str, Assignment],
    refused: Mapping[str, str],
    sequences: Sequences,
    recipe: BuildRecipe,
    date: str,
    search: Mapping[str, Any] | None,
) -> Appended:
    """Write the new state into folders that the store does not name yet, then the manifest that names them."""
    path, work, manifest = store.path, store.path / NEXT, store.manifest
    new = Store.open(work / "new")
    merged = _merge(store, new, work)
    appended = {entry.id for split in new.splits for entry in new.entries(split)}
    known = {entry.id for split in store.splits for entry in store.entries(split)}
    found = [
        replace(item, digest=merged.digests.get((item.split, name), ""))
        for name, item in sorted(assignments.items())
    ]
    write_assignments(found, work / ENTRIES)
    split = {item.id: item.split for item in found if item.split}
    write_sequences(sequences, split, work / SEQUENCES)
    digest = content_digest(merged.digests)
    event = {
        "date": date,
        "digest": digest,
        "entries": len(merged.digests),
        "added": sorted(appended - known),
        "revised": sorted(appended & known),
        "refused": dict(sorted(refused.items())),
    }
    plan = hashlib.sha256(json.dumps([manifest["plan"], event]).encode()).hexdigest()
    splits = {
        name: size
        | {"folder": f"{name}.{plan[:12]}" if name in merged.changed else store.folder(name)}
        for name, size in merged.splits.items()
    }
    curation = curation_record(recipe, found, work, (ENTRIES, SEQUENCES))
    manifest |= {
        "version": library_version(),
        "digest": digest,
        "plan": plan,
        "date": date,
        "config": manifest["config"] | {"splits": list(splits)},
        "splits": splits,
        "history": [*manifest.get("history", []), event],
        "curation": manifest.get("curation", {}) | curation,
    }
    if search is not None:
        manifest["search"] = dict(search)
    for name in merged.changed:
        os.replace(work / name, path / manifest["splits"][name]["folder"])
    # It only gains words, so the old arrays still mean the same.
    write_json(path / "vocabulary.json", merged.vocabulary)
    copy_inputs(recipe, path)
    write_text(work / "plan", plan)
    write_json(path / "manifest.json", manifest)
    _settle(path)
    return Appended(
        store=Store.open(path),
        added=tuple(event["added"]),
        revised=tuple(event["revised"]),
        refused=event["refused"],
    )


@dataclass(slots=True)
class _Merged:
    """Entries of two stores; the arrays of changed splits are in a folder of their own."""

    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Entries and atoms of each split."""
    changed: list[str] = field(default_factory=list)
    digests: dict[tuple[str, str], str] = field(default_factory=dict)
    """Digest of each entry, by split and id."""
    vocabulary: dict[str, list[str]] = field(default_factory=dict)


def _merge(old: Store, new: Store, out: Path) -> _Merged:
    """Write the splits that new entries change to ``out/<split>/``.

    Entries are sorted by id; a new entry replaces an old one of the same split and id. Words that the old
    store does not have get codes after its own, so that its arrays keep their meaning.
    """
    merged = _Merged()
    for column in TEXT_COLUMNS:
        known = old.vocabulary[column].tolist()
        more = sorted(set(new.vocabulary[column].tolist()) - set(known))
        merged.vocabulary[column] = known + more
    for split in dict.fromkeys([*old.splits, *new.splits]):
        sources: dict[str, tuple[Store, int]] = {}
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
                _write_column(rows, split, column, words, out / split / f"{column}.npy")
            write_json(out / split / "entries.json", [asdict(entry) for entry in entries], None)
        merged.digests |= {(split, entry.id): entry.digest for entry in entries}
        atoms = sum(entry.n_atoms for entry in entries)
        merged.splits[split] = {"entries": len(entries), "atoms": atoms}
    return merged


def _write_column(
    rows: Sequence[tuple[Store, int]],
    split: str,
    column: str,
    words: Sequence[str] | None,
    target: Path,
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


def _settle(path: Path) -> None:
    """Finish an append that was killed after its manifest was written; clear away one that was killed before."""
    manifest = Store.open(path).manifest
    work = path / NEXT
    if (work / "plan").exists() and (work / "plan").read_text() == manifest["plan"]:
        for name in (ENTRIES, SEQUENCES):
            if (work / name).exists():
                os.replace(work / name, path / name)
    shutil.rmtree(work, ignore_errors=True)
    named = {size.get("folder", split) for split, size in manifest["splits"].items()}
    for records in path.glob("*/entries.json"):
        if records.parent.name not in named:
            shutil.rmtree(records.parent)
