"""Build a data store: from an index with splits, or by a recipe that draws them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from debye.dataset.curate.build_recipe import BuildRecipe
from debye.dataset.curate.candidates import (
    Assignment,
    count_reasons,
    read_candidates,
    write_assignments,
)
from debye.dataset.curate.leakage import check_leaks, write_leaks
from debye.dataset.curate.mmseqs import MMseqs2, mmseqs_version
from debye.dataset.curate.splits import TEST, TRAIN, VALIDATION, Sequences, assign_splits
from debye.dataset.search.entry_list import read_record
from debye.dataset.store.content import PART_ENTRIES, Content, write_splits
from debye.dataset.store.index import IndexRow, check_unique, find_file, list_entries, read_index
from debye.dataset.store.resumable_map import Progress
from debye.dataset.store.store import FORMAT, Store
from debye.errors import StoreError, StructureError
from debye.files import write_json, write_text
from debye.version import library_version

ENTRIES = "entries.csv"
"""Every candidate: split, cluster, reason, digest; see :class:`debye.dataset.curate.candidates.Assignment`."""
LEAKAGE = "leakage.csv"
"""Training entries that were similar to other splits, see :class:`debye.dataset.curate.leakage.Leak`."""
SEQUENCES = "sequences.fasta"
"""The chains that were compared, of the entries in a split: ``>id_chain split``."""
INPUTS = "inputs"
"""Copies of the family's files, so that an update needs nothing but the store."""


def build_store(
    index: Path,
    structures: Path,
    out: Path,
    *,
    splits: Sequence[str] = (),
    workers: int = 1,
    overwrite: bool = False,
    as_of: str | None = None,
    progress: Progress | None = None,
) -> Store:
    """Read every entry of an index and write the store; a killed build resumes with the first missing part.

    Args:
        index: CSV file with the columns ``id`` and ``split``; ``cluster``, ``representative`` and ``whole_entry``
            are known, too, ``has_crystal`` = 0 drops the crystal, and other columns are kept as text.
        structures: Folder laid out as ``<id[1:3]>/<id>.bcif.gz``, or flat; any of
            :data:`debye.files.STRUCTURE_SUFFIXES`.
        out: Folder of the store.
        splits: Only these; all if empty.
        workers: Processes.
        overwrite: Replace a finished store.
        as_of: Date (``2026-11-24``) of the archive that the files come from, for updates; None: that of the
            search, if its record lies next to the index.
        progress: Called with the number of entries that are done.

    Returns:
        The finished store. Entries that failed are in :attr:`Store.failures`.

    Raises:
        StoreError: the index is not usable, or a store of other content is already there.
    """
    rows = read_index(index, splits)
    plan = plan_digest(rows, structures)
    if not is_finished(out, plan, overwrite=overwrite):
        content = write_splits(rows, structures, out, plan, workers=workers, progress=progress)
        write_manifest(out, content, plan, as_of=as_of, search=read_record(index))
    return Store.open(out)


def build_by_recipe(
    recipe: BuildRecipe,
    structures: Path,
    out: Path,
    *,
    index: Path | None = None,
    workers: int = 1,
    overwrite: bool = False,
    as_of: str | None = None,
    progress: Progress | None = None,
) -> Store:
    """Build a store that is filtered, clustered, split and checked for leakage by a recipe.

    The same recipe, files and version give the same bytes, also after a kill. Besides the arrays the store holds
    :data:`ENTRIES`, :data:`LEAKAGE`, :data:`SEQUENCES` and, in its manifest, the recipe.

    Args:
        recipe: The settings.
        structures: As for :func:`build_store`.
        out: Folder of the store.
        index: CSV file with a column ``id`` and what else is known; None: every file of the folder.
        workers: Processes, and threads of MMseqs2.
        overwrite: Replace a finished store.
        as_of: As for :func:`build_store`.
        progress: Called with the number of entries that are done, first of the candidates, then of the store.

    Raises:
        LeakageError: training entries are similar to others; the report is in ``out``.
        StoreError: the index is not usable, or a store of other content is already there.
        ConfigError: MMseqs2 is not on PATH.
    """
    has_splits = recipe.splits.source == "index"
    if index is None:
        rows = list_entries(structures)
    else:
        needed = ("id", "split") if has_splits else ("id",)
        rows = sorted(read_index(index, needed=needed), key=lambda row: row.id)
        check_unique(index, (row.id for row in rows))
    settings = recorded_recipe(recipe)
    plan = plan_digest(rows, structures, [settings, mmseqs_version()])
    if is_finished(out, plan, overwrite=overwrite):
        return Store.open(out)
    candidates, failures = read_candidates(
        rows,
        structures,
        recipe.ligands,
        out / f"scan-{plan[:16]}",
        workers=workers,
        progress=progress,
    )
    assigned = assign_splits(
        candidates,
        recipe,
        MMseqs2(workers),
        failures=failures,
        given={row.id: row.split for row in rows} if has_splits else None,
    )
    known = {row.id: row for row in rows}
    found = [with_revision(item, known[name]) for name, item in assigned.assignments.items()]
    write_assignments(found, out / ENTRIES)
    write_leaks(assigned.leaks, out / LEAKAGE)
    check_leaks(assigned.leaks, out / LEAKAGE, recipe.leakage)
    stored = [stored_row(known[item.id], item) for item in found if item.split]
    order = [TRAIN, VALIDATION, TEST, *([recipe.family.split] if recipe.family else [])]
    order += sorted({row.split for row in stored} - set(order))
    stored.sort(key=lambda row: (order.index(row.split), row.id))
    content = write_splits(stored, structures, out, plan, workers=workers, progress=progress)
    content.failures.extend(failures)
    found = [replace(item, digest=content.digests.get((item.split, item.id), "")) for item in found]
    write_assignments(found, out / ENTRIES)
    split = {item.id: item.split for item in found if item.split}
    write_sequences(assigned.sequences, split, out / SEQUENCES)
    copy_inputs(recipe, out)
    curation = curation_record(recipe, found, out, (ENTRIES, LEAKAGE, SEQUENCES))
    curation["leaks_excluded"] = sum(leak.outcome == "excluded" for leak in assigned.leaks)
    search = None if index is None else read_record(index)
    write_manifest(out, content, plan, as_of=as_of, search=search, more={"curation": curation})
    for leftover in out.glob("scan-*"):
        shutil.rmtree(leftover)
    return Store.open(out)


def with_revision(item: Assignment, row: IndexRow) -> Assignment:
    """Return an assignment with the date of the revision that the index names."""
    return replace(item, revised=row.columns.get("revised", "") or item.revised)


def stored_row(row: IndexRow, item: Assignment) -> IndexRow:
    """Return the row of an entry in a split, with what was decided."""
    decided = {
        "cluster": item.cluster,
        "representative": str(int(item.representative)),
        "state": item.state,
        "group_of_clusters": item.group,
    }
    return replace(row, split=item.split, columns=row.columns | decided)


def is_finished(out: Path, plan: str, *, overwrite: bool) -> bool:
    """Return whether a folder holds the store to be built; with ``overwrite`` delete any store that it holds.

    Args:
        out: Folder of the store.
        plan: Digest of all that decides the content of the store.
        overwrite: Replace a finished store.

    Raises:
        StoreError: a store of other content is there, or what would be overwritten is not a store.
    """
    path = out / "manifest.json"
    if not path.exists():
        return False
    if overwrite:
        try:
            is_store = {"format", "digest", "plan"} <= json.loads(path.read_text()).keys()
        except (ValueError, AttributeError):
            is_store = False
        if not is_store:
            raise StoreError(
                str(out),
                "has a manifest.json, but is not a data store",
                "Choose another folder: this one is not overwritten",
            )
        shutil.rmtree(out)
        return False
    if Store.open(out).manifest["plan"] != plan:
        raise StoreError(
            str(out),
            "a store from other inputs (index, folder, recipe, store, settings, version), or from files that have "
            "changed since, is already there",
            "Choose another folder, or give --overwrite",
        )
    return True


def plan_digest(rows: Sequence[IndexRow], structures: Path, more: Sequence[Any] = ()) -> str:
    """Digest all that decides the content of a store; files count by size and time, so that none is read.

    Args:
        rows: Entries of the index.
        structures: Folder of the files.
        more: Whatever else decides, as JSON values.
    """
    plan: list[Any] = [FORMAT, library_version(), str(structures.resolve()), PART_ENTRIES]
    plan += [(asdict(row), _file_state(structures, row.id)) for row in rows]
    plan += more
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _file_state(structures: Path, entry_id: str) -> tuple[str, int, int] | None:
    """Return name, size (bytes) and time of change (ns) of an entry's file; None if there is none."""
    try:
        path = find_file(structures, entry_id)
    except StructureError:
        return None
    state = path.stat()
    return path.name, state.st_size, state.st_mtime_ns


def write_manifest(
    out: Path,
    content: Content,
    plan: str,
    *,
    as_of: str | None = None,
    search: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Finish a store: its manifest is written last, then the parts are removed.

    Args:
        out: Folder of the store.
        content: Its splits.
        plan: Digest of all that decides the content of the store.
        as_of: Date of the archive that the files come from; None: that of the search, if there was one.
        search: Recipe and date of the search that found the entries, for updates.
        more: Further items of the manifest.
    """
    digest = content.digest
    as_of = as_of or (search["date"] if search else None)
    origin = {"search": dict(search)} if search else {}
    manifest = {
        "format": FORMAT,
        "version": library_version(),
        "digest": digest,
        "plan": plan,
        "date": as_of,
        "config": {"splits": list(content.splits), "altlocs": "one conformer", "waters": False},
        "splits": content.splits,
        "failures": content.failures,
        "history": [{"date": as_of, "digest": digest, "entries": len(content.digests)}],
    }
    write_json(out / "manifest.json", manifest | origin | dict(more))
    for leftover in out.glob("parts-*"):
        shutil.rmtree(leftover)


def recorded_recipe(recipe: BuildRecipe) -> dict[str, Any]:
    """Return the settings as JSON values, with name and SHA-256 instead of the paths of files."""
    content = recipe.model_dump(mode="json")
    content["clusters"]["file"] = _file_record(recipe.clusters.file)
    if recipe.family is not None:
        content["family"]["ids"] = _file_record(recipe.family.ids)
        content["family"]["sequences"] = _file_record(recipe.family.sequences)
    return content


def stored_recipe(store: Store) -> BuildRecipe:
    """Return the recipe that a store was built by, with the store's own copies of its files.

    A cluster file is not copied: :attr:`ClusterConfig.file` is None.

    Raises:
        StoreError: the store was built from given splits, without a recipe.
    """
    if "curation" not in store.manifest:
        raise StoreError(
            str(store.path),
            "was built without a recipe, which would say how to continue its splits",
            "Give a build recipe",
        )
    content = dict(store.manifest["curation"]["recipe"])
    content["clusters"] = content["clusters"] | {"file": None}
    if content["family"]:
        own = {name: content["family"][name] for name in ("ids", "sequences")}
        content["family"] = content["family"] | {
            name: str(store.path / INPUTS / record["name"]) if record else None
            for name, record in own.items()
        }
    return BuildRecipe.model_validate(content)


def curation_record(
    recipe: BuildRecipe, assignments: Sequence[Assignment], folder: Path, files: Sequence[str]
) -> dict[str, Any]:
    """Return the part of the manifest that says how splits were made; ``files`` lie in ``folder``."""
    return {
        "recipe": recorded_recipe(recipe),
        "mmseqs": mmseqs_version(),
        "candidates": len(assignments),
        "reasons": count_reasons(assignments),
        "files": {name: file_digest(folder / name) for name in files},
    }


def write_sequences(sequences: Sequences, split: Mapping[str, str], path: Path) -> None:
    """Write the chains of the entries that are in a split as FASTA: ``>id_chain split``, longest first."""
    lines = [
        f">{entry}_{chain} {split[entry]}\n{text}\n"
        for entry in sorted(split)
        for chain, text in sorted(
            sequences.get(entry, {}).items(), key=lambda item: (-len(item[1]), item[0])
        )
    ]
    write_text(path, "".join(lines))


def copy_inputs(recipe: BuildRecipe, out: Path) -> None:
    """Copy the files that define the family into a store, so that an update needs nothing else."""
    family = recipe.family
    for file in (family.ids, family.sequences) if family else ():
        if file is not None and file.parent != out / INPUTS:
            (out / INPUTS).mkdir(exist_ok=True)
            shutil.copyfile(file, out / INPUTS / file.name)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_record(path: Path | None) -> dict[str, str] | None:
    return None if path is None else {"name": path.name, "sha256": file_digest(path)}
