"""Build a data store from an index of entries and a folder of structure files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debye.dataset.search.entry_list import read_record
from debye.dataset.store.index import KNOWN_COLUMNS, IndexRow, find_file, read_index
from debye.dataset.store.parts import Arrays, Progress, concatenate, run_parts
from debye.dataset.store.store import (
    BOND_COLUMNS,
    FORMAT,
    LINK_COLUMNS,
    NUMERIC_COLUMNS,
    TEXT_COLUMNS,
    Store,
    StoreEntry,
    encode_crystal,
)
from debye.errors import StoreError, StructureError
from debye.structure.bonds import Bonds, find_bonds
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import EntityKind, Structure
from debye.targets.b_factor import BQuality, assess_b
from debye.version import library_version

PART_ENTRIES = 16


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
    """Read every entry of an index and write the store; go on where a killed build stopped.

    Args:
        index: CSV file with the columns ``id`` and ``split``; see
            :data:`debye.dataset.store.index.KNOWN_COLUMNS` for those that are understood, the rest is kept
            as text. ``has_crystal`` = 0 drops the crystal.
        structures: Folder laid out as ``<id[1:3]>/<id>.bcif.gz``, or flat; any of
            :data:`debye.dataset.store.index.SUFFIXES`.
        out: Folder of the store.
        splits: Only these; all if empty.
        workers: Processes.
        overwrite: Replace a finished store.
        as_of: Date (``2026-11-24``) of the archive that the files come from, for updates; None: that of the
            search, if the index has its record beside it.
        progress: Told how many entries are done.

    Returns:
        The finished store. Entries that failed are in :attr:`Store.failures`.

    Raises:
        StoreError: the index is not usable, or a store of other content is already there.
    """
    rows = read_index(index, splits)
    plan = plan_digest(rows, structures)
    if is_finished(out, plan, overwrite=overwrite):
        return Store.open(out)
    content = write_splits(rows, structures, out, plan, workers=workers, progress=progress)
    write_manifest(out, content, plan, as_of=as_of, search=read_record(index))
    return Store.open(out)


def is_finished(out: Path, plan: str, *, overwrite: bool) -> bool:
    """Tell whether a folder holds the store that is to be built; with ``overwrite`` delete what it holds.

    Args:
        out: Folder of the store.
        plan: Digest of all that decides what the store holds.
        overwrite: Whether a finished store is in the way.

    Raises:
        StoreError: a store of other content is there, or what is to be overwritten is no store.
    """
    if not (out / "manifest.json").exists():
        return False
    if overwrite:
        _remove(out)
        return False
    if Store.open(out).manifest["plan"] != plan:
        raise StoreError(
            str(out),
            problem="a store from other inputs (index, folder, recipe, store, settings, version), or of files that have "
            "changed since, is already there",
            remedy="Choose another folder, or give --overwrite",
        )
    return True


@dataclass(frozen=True, slots=True)
class Content:
    """What was written of a store, before its manifest makes it a finished one."""

    splits: dict[str, dict[str, int]]
    """Entries and atoms of each split."""
    digests: dict[tuple[str, str], str]
    """Digest of each entry, by split and id."""
    failures: list[dict[str, str]]
    """Entries that could not be stored: id, split, reason."""

    @property
    def digest(self) -> str:
        """SHA-256 of the content of the store."""
        return content_digest(self.digests)


def content_digest(digests: Mapping[tuple[str, str], str]) -> str:
    """Return the digest of a store from those of its entries, by split and id."""
    items = sorted((split, name, digest) for (split, name), digest in digests.items())
    return hashlib.sha256(json.dumps([FORMAT, items]).encode()).hexdigest()


def write_splits(
    rows: Sequence[IndexRow],
    structures: Path,
    out: Path,
    plan: str,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Content:
    """Write the arrays of all entries into the folder of a store, which is not finished by that.

    Args:
        rows: Entries, split by split, each sorted by id.
        structures: Folder of the files.
        out: Folder of the store.
        plan: Names the folder of finished parts, from which a killed build goes on.
        workers: Processes.
        progress: Told how many entries are done.
    """
    chunks = _chunks(rows)
    out.mkdir(parents=True, exist_ok=True)
    parts = run_parts(
        store_part,
        [(chunk, structures) for chunk in chunks],
        [len(chunk) for chunk in chunks],
        out / f"parts-{plan[:16]}",
        workers=workers,
        progress=progress,
    )
    return assemble(out, [chunk[0].split for chunk in chunks], parts)


def write_manifest(
    out: Path,
    content: Content,
    plan: str,
    *,
    as_of: str | None = None,
    search: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Finish a store: one with a manifest is a whole one, and what was left of its making is removed.

    Args:
        out: Folder of the store.
        content: What :func:`write_splits` wrote.
        plan: Digest of all that decides what the store holds.
        as_of: Date of the archive that the files come from; None: that of the search, if there was one.
        search: Recipe and date of the search that found the entries, for updates.
        more: Further items of the manifest.
    """
    digest = content.digest
    as_of = as_of or (search["date"] if search else None)
    origin = {"search": dict(search)} if search else {}
    write_json(
        {
            "format": FORMAT,
            "version": library_version(),
            "digest": digest,
            "plan": plan,
            "date": as_of,
            "config": {"splits": list(content.splits), "altlocs": "one conformer", "waters": False},
            "splits": content.splits,
            "failures": content.failures,
            "history": [{"date": as_of, "digest": digest, "entries": len(content.digests)}],
            **origin,
            **more,
        },
        out / "manifest.json",
    )
    for leftover in out.glob("parts-*"):
        shutil.rmtree(leftover)


def write_json(content: Any, path: Path) -> None:
    """Write JSON through a temporary file: what exists under the name is whole."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=1))
    os.replace(temporary, path)


def store_part(rows: Sequence[IndexRow], structures: Path) -> Arrays:
    """Return the arrays of some entries, end to end; a failed entry leaves its reason instead."""
    entries: list[StoreEntry] = []
    failures: list[dict[str, str]] = []
    columns: list[dict[str, NDArray[Any]]] = []
    for row in rows:
        try:
            entry, arrays = store_entry(row, structures)
        # One odd file must not end a build of thousands: whatever it raised is recorded by name.
        except Exception as error:
            reason = str(error) if isinstance(error, StructureError) else repr(error)
            failures.append({"id": row.id, "split": row.split, "reason": reason})
            continue
        entries.append(entry)
        columns.append(arrays)
    return pack_part(entries, columns, failures)


def pack_part(
    entries: Sequence[StoreEntry],
    columns: Sequence[Mapping[str, NDArray[Any]]],
    failures: Sequence[Mapping[str, str]],
) -> Arrays:
    """Return the arrays of entries end to end, with their records and what failed, as a part of a store."""
    joined = {name: _join([arrays[name] for arrays in columns], name) for name in stored_names()}
    for name in TEXT_COLUMNS:
        words, codes = np.unique(joined.pop(name), return_inverse=True)
        joined[name] = codes.astype(np.uint32)
        joined[f"{name}_words"] = words.astype(np.str_)
    joined["entries"] = _pack([asdict(entry) for entry in entries])
    joined["failures"] = _pack(failures)
    return joined


def store_entry(row: IndexRow, structures: Path) -> tuple[StoreEntry, dict[str, NDArray[Any]]]:
    """Read one entry and return its record and arrays."""
    everything = read_structure(find_file(structures, row.id))
    structure, selection = select_atoms(everything)
    if len(structure) == 0:
        raise StructureError(
            row.id, problem="no atoms are left after the selection", remedy="Leave the entry out"
        )
    if row.says_no("has_crystal"):
        structure = replace(structure, crystal=None)
    quality = assess_b(structure)
    bonds = find_bonds(structure)
    arrays = entry_arrays(structure, bonds, quality.usable)
    entry = _describe(row, structure, bonds, quality.usable)
    entry = replace(entry, dropped=_counts(selection), unusable=_unusable_counts(quality))
    return replace(entry, digest=entry_digest(entry, arrays)), arrays


def entry_arrays(
    structure: Structure, bonds: Bonds, usable: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """Return the arrays that a store keeps of an entry."""
    arrays: dict[str, NDArray[Any]] = {
        name: np.ascontiguousarray(getattr(structure, name), kind)
        for name, kind in NUMERIC_COLUMNS.items()
    }
    arrays |= {name: np.asarray(getattr(structure, name)).astype(np.str_) for name in TEXT_COLUMNS}
    arrays["usable"] = np.ascontiguousarray(usable, np.bool_)
    arrays["bond_pairs"] = np.ascontiguousarray(bonds.pairs, np.int32).reshape(-1, 2)
    arrays["bond_order"] = np.ascontiguousarray(bonds.order, np.int8)
    arrays["links"] = np.ascontiguousarray(structure.links, np.int32).reshape(-1, 2)
    return arrays


def _describe(
    row: IndexRow, structure: Structure, bonds: Bonds, usable: NDArray[np.bool_]
) -> StoreEntry:
    facts = structure_facts(structure, bonds, usable)
    stated = row.columns.get("resolution", "")
    if not facts["resolution"] and stated:
        facts["resolution"] = float(stated)
    return StoreEntry(
        id=row.id,
        split=row.split,
        cluster=row.columns.get("cluster", ""),
        representative=not row.says_no("representative"),
        near364=row.columns.get("near364", "") == "1",
        whole_entry=not row.says_no("whole_entry"),
        columns={k: v for k, v in row.columns.items() if v and k not in KNOWN_COLUMNS},
        **facts,
    )


def structure_facts(
    structure: Structure, bonds: Bonds, usable: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return what the record of an entry says of its structure itself: header, crystal, counts."""
    facts = structure.entry
    is_protein = structure.entity_kind == EntityKind.PROTEIN
    return {
        "title": facts.title,
        "method": facts.method,
        "resolution": facts.resolution,
        "r_free": facts.r_free,
        "program": facts.program,
        "has_tls": bool(facts.has_tls),
        "b_kind": int(facts.b_kind),
        "is_predicted": bool(facts.is_predicted),
        "crystal": encode_crystal(structure.crystal),
        "model": int(structure.model[0]),
        "n_atoms": len(structure),
        "n_residues": structure.n_residues,
        "n_protein_residues": len(np.unique(structure.residue_index[is_protein])),
        "n_usable": int(usable.sum()),
        "n_bonds": len(bonds.pairs),
        "n_links": len(structure.links),
    }


def assemble(out: Path, splits: Sequence[str], parts: Sequence[Path]) -> Content:
    """Put parts together, each of one split, into the folder of a store."""
    vocabulary = _merge_vocabularies(parts)
    (out / "vocabulary.json").write_text(json.dumps({k: v.tolist() for k, v in vocabulary.items()}))
    by_split: dict[str, list[Path]] = {}
    for split, part in zip(splits, parts, strict=True):
        by_split.setdefault(split, []).append(part)
    content = Content({}, {}, [])
    for split, own in by_split.items():
        (out / split).mkdir(exist_ok=True)
        entries = [record for part in own for record in unpack(part, "entries")]
        content.failures.extend(record for part in own for record in unpack(part, "failures"))
        content.digests.update({(split, record["id"]): record["digest"] for record in entries})
        for name in stored_names():
            if name in TEXT_COLUMNS:
                _write_text(own, name, vocabulary[name], out / split / f"{name}.npy")
            else:
                concatenate(own, name, out / split / f"{name}.npy")
        (out / split / "entries.json").write_text(json.dumps(entries))
        content.splits[split] = {
            "entries": len(entries),
            "atoms": sum(entry["n_atoms"] for entry in entries),
        }
    return content


def _merge_vocabularies(parts: Iterable[Path]) -> dict[str, NDArray[np.str_]]:
    words: dict[str, set[str]] = {name: set() for name in TEXT_COLUMNS}
    for part in parts:
        with np.load(part) as arrays:
            for name in TEXT_COLUMNS:
                words[name].update(arrays[f"{name}_words"].tolist())
    return {name: np.array(sorted(found), dtype=np.str_) for name, found in words.items()}


def _write_text(parts: Sequence[Path], name: str, words: NDArray[np.str_], target: Path) -> None:
    """Concatenate a text column, each part's codes translated to those of the whole store."""
    kind = code_type(len(words))
    lengths = []
    for part in parts:
        with np.load(part) as arrays:
            lengths.append(len(arrays[name]))
    flat = np.lib.format.open_memmap(target, mode="w+", dtype=kind, shape=(sum(lengths),))
    start = 0
    for part, length in zip(parts, lengths, strict=True):
        with np.load(part) as arrays:
            translate = np.searchsorted(words, arrays[f"{name}_words"]).astype(kind)
            flat[start : start + length] = translate[arrays[name]] if length else 0
        start += length
    flat.flush()


def code_type(words: int) -> type[np.unsignedinteger]:
    """Return the smallest type for the codes of so many words."""
    return np.uint8 if words <= 256 else np.uint16 if words <= 65536 else np.uint32


def entry_digest(entry: StoreEntry, arrays: dict[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of the facts and arrays of an entry."""
    content = hashlib.sha256(json.dumps(asdict(entry), sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        # Text is hashed as text: the width of a numpy string column depends on the reader.
        data = "\n".join(array.tolist()).encode() if name in TEXT_COLUMNS else array.tobytes()
        content.update(f"{name}:{len(array)}:".encode())
        content.update(data)
    return content.hexdigest()


def plan_digest(rows: Sequence[IndexRow], structures: Path, more: Sequence[Any] = ()) -> str:
    """Digest all that decides what a store holds; files by size and time, to read none of them.

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


def _remove(out: Path) -> None:
    """Delete a finished store; a folder that merely has a file of the same name is left alone."""
    try:
        is_store = {"format", "digest", "plan"} <= json.loads(
            (out / "manifest.json").read_text()
        ).keys()
    except (ValueError, AttributeError):
        is_store = False
    if not is_store:
        raise StoreError(
            str(out),
            problem="holds a manifest.json, but is no data store",
            remedy="Choose another folder: this one is not overwritten",
        )
    shutil.rmtree(out)


def _chunks(rows: Sequence[IndexRow]) -> list[list[IndexRow]]:
    chunks: list[list[IndexRow]] = []
    for row in rows:
        if not chunks or len(chunks[-1]) == PART_ENTRIES or chunks[-1][0].split != row.split:
            chunks.append([])
        chunks[-1].append(row)
    return chunks


def stored_names() -> tuple[str, ...]:
    """Return the names of the arrays of a split."""
    return (*NUMERIC_COLUMNS, *TEXT_COLUMNS, "usable", *BOND_COLUMNS, *LINK_COLUMNS)


def _join(arrays: Sequence[NDArray[Any]], name: str) -> NDArray[Any]:
    if arrays:
        return np.concatenate(arrays)
    if name in TEXT_COLUMNS:
        return np.zeros(0, np.str_)
    kinds = {**NUMERIC_COLUMNS, "usable": np.bool_, "bond_order": np.int8}
    width = {"position": (3,), "bond_pairs": (2,), "links": (2,)}.get(name, ())
    return np.zeros((0, *width), kinds.get(name, np.int32))


def _counts(selection: Any) -> dict[str, int]:
    return {name: int(count) for name, count in asdict(selection).items() if isinstance(count, int)}


def _unusable_counts(quality: BQuality) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for reason in quality.reasons:
        counts[f"entry: {reason}"] += len(quality.usable)
    for chain in quality.chains:
        for reason in chain.reasons:
            counts[f"chain: {reason}"] += chain.atoms
    for reason, atoms in quality.masked.items():
        counts[str(reason)] += atoms
    return dict(counts)


def _pack(records: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(records).encode(), np.uint8)


def unpack(part: Path, name: str) -> Any:
    """Return records that a part holds as JSON: ``entries`` or ``failures``."""
    with np.load(part) as arrays:
        return json.loads(arrays[name].tobytes().decode())
