"""Structure files → arrays and records of entries → the splits of a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debye.dataset.packing import pack
from debye.dataset.store.index import KNOWN_COLUMNS, IndexRow, find_file
from debye.dataset.store.resumable_map import (
    Arrays,
    Failure,
    Progress,
    attempt_each,
    concatenate,
    pack_records,
    run_parts,
    unpack_records,
)
from debye.dataset.store.store import (
    BOND_COLUMNS,
    FORMAT,
    LINK_COLUMNS,
    NUMERIC_COLUMNS,
    TEXT_COLUMNS,
    StoreEntry,
    encode_crystal,
)
from debye.errors import StructureError
from debye.files import write_json
from debye.structure.bonds import Bonds, find_bonds
from debye.structure.read import read_structure
from debye.structure.select import select_atoms
from debye.structure.structure import EntityKind, Structure
from debye.targets.b_factor import b_labels

PART_ENTRIES = 16
STORED_COLUMNS = (*NUMERIC_COLUMNS, *TEXT_COLUMNS, "usable", *BOND_COLUMNS, *LINK_COLUMNS)
"""Names of the arrays of a split."""


@dataclass(frozen=True, slots=True)
class Content:
    """The splits of a store, before its manifest makes it a finished one."""

    splits: dict[str, dict[str, int]]
    """Entries and atoms of each split."""
    digests: dict[tuple[str, str], str]
    """Digest of each entry, by split and id."""
    failures: list[Failure]
    """Entries that could not be stored."""

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
    """Write the arrays of all entries into the folder of a store; its manifest is still missing.

    Args:
        rows: Entries, split by split, each sorted by id.
        structures: Folder of the files.
        out: Folder of the store.
        plan: Names the folder of finished parts, with which a killed build resumes.
        workers: Processes.
        progress: Called with the number of entries that are done.
    """
    chunks = [
        chunk
        for _, own in groupby(rows, key=lambda row: row.split)
        for chunk in pack(((row, 1) for row in own), PART_ENTRIES)
    ]
    out.mkdir(parents=True, exist_ok=True)
    parts = run_parts(
        content_part,
        [(chunk, structures) for chunk in chunks],
        [len(chunk) for chunk in chunks],
        out / f"parts-{plan[:16]}",
        workers=workers,
        progress=progress,
    )
    return assemble(out, [chunk[0].split for chunk in chunks], parts)


def content_part(rows: Sequence[IndexRow], structures: Path) -> Arrays:
    """Return the arrays of some entries, end to end, and the reasons of those that failed."""
    return pack_part(*attempt_each(partial(read_entry, structures=structures), rows))


def pack_part(entries: Sequence[tuple[StoreEntry, Arrays]], failures: Sequence[Failure]) -> Arrays:
    """Return the arrays of entries end to end, with their records and what failed, as a part of a store."""
    joined = {
        name: _concatenated([arrays[name] for _, arrays in entries], name)
        for name in STORED_COLUMNS
    }
    for name in TEXT_COLUMNS:
        words, codes = np.unique(joined.pop(name), return_inverse=True)
        joined[name] = codes.astype(np.uint32)
        joined[f"{name}_words"] = words.astype(np.str_)
    joined["entries"] = pack_records([asdict(entry) for entry, _ in entries])
    joined["failures"] = pack_records(failures)
    return joined


def read_entry(row: IndexRow, structures: Path) -> tuple[StoreEntry, Arrays]:
    """Read one entry and return its record and arrays."""
    structure, selection = select_atoms(read_structure(find_file(structures, row.id)))
    if len(structure) == 0:
        raise StructureError(row.id, "no atoms are left after the selection", "Leave the entry out")
    if row.says_no("has_crystal"):
        structure = replace(structure, crystal=None)
    labels = b_labels(structure)
    bonds = find_bonds(structure)
    arrays = entry_arrays(structure, bonds, labels.usable)
    facts = structure_facts(structure, bonds, labels.usable)
    stated = row.columns.get("resolution", "")
    if not facts["resolution"] and stated:
        facts["resolution"] = float(stated)
    counts = {name: n for name, n in asdict(selection).items() if isinstance(n, int)}
    entry = StoreEntry(
        id=row.id,
        split=row.split,
        cluster=row.columns.get("cluster", ""),
        representative=not row.says_no("representative"),
        whole_entry=not row.says_no("whole_entry"),
        columns={k: v for k, v in row.columns.items() if v and k not in KNOWN_COLUMNS},
        dropped=counts,
        unusable=dict(labels.reasons),
        **facts,
    )
    return replace(entry, digest=entry_digest(entry, arrays)), arrays


def entry_arrays(structure: Structure, bonds: Bonds, usable: NDArray[np.bool_]) -> Arrays:
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


def structure_facts(
    structure: Structure, bonds: Bonds, usable: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the part of an entry's record that comes from its structure: header, crystal, counts."""
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


def entry_digest(entry: StoreEntry, arrays: Arrays) -> str:
    """Return the SHA-256 of the facts and arrays of an entry."""
    content = hashlib.sha256(json.dumps(entry.digested(), sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        # Text is hashed as text: the width of a numpy string column depends on the reader.
        data = "\n".join(array.tolist()).encode() if name in TEXT_COLUMNS else array.tobytes()
        content.update(f"{name}:{len(array)}:".encode())
        content.update(data)
    return content.hexdigest()


def assemble(out: Path, splits: Sequence[str], parts: Sequence[Path]) -> Content:
    """Write the arrays of parts, each of one split, into the folder of a store."""
    vocabulary = _merged_vocabulary(parts)
    write_json(out / "vocabulary.json", {k: v.tolist() for k, v in vocabulary.items()}, None)
    by_split: dict[str, list[Path]] = {}
    for split, part in zip(splits, parts, strict=True):
        by_split.setdefault(split, []).append(part)
    content = Content({}, {}, [])
    for split, own in by_split.items():
        (out / split).mkdir(exist_ok=True)
        entries = [record for part in own for record in unpack_records(part, "entries")]
        content.failures.extend(r for part in own for r in unpack_records(part, "failures"))
        content.digests.update({(split, record["id"]): record["digest"] for record in entries})
        for name in STORED_COLUMNS:
            target, words = out / split / f"{name}.npy", vocabulary.get(name)
            if words is None:
                concatenate(own, name, target)
            else:
                kind = code_type(len(words))
                concatenate(own, name, target, kind, partial(_recoded, name, words))
        write_json(out / split / "entries.json", entries, None)
        content.splits[split] = {
            "entries": len(entries),
            "atoms": sum(entry["n_atoms"] for entry in entries),
        }
    return content


def code_type(words: int) -> type[np.unsignedinteger]:
    """Return the smallest type for the codes of a number of words."""
    return np.uint8 if words <= 256 else np.uint16 if words <= 65536 else np.uint32


def _merged_vocabulary(parts: Iterable[Path]) -> dict[str, NDArray[np.str_]]:
    words: dict[str, set[str]] = {name: set() for name in TEXT_COLUMNS}
    for part in parts:
        with np.load(part) as arrays:
            for name in TEXT_COLUMNS:
                words[name].update(arrays[f"{name}_words"].tolist())
    return {name: np.array(sorted(found), dtype=np.str_) for name, found in words.items()}


def _recoded(
    name: str, words: NDArray[np.str_], arrays: Mapping[str, NDArray[Any]]
) -> NDArray[Any]:
    """Return a text column of a part in the codes of the whole store."""
    own = arrays[f"{name}_words"]
    return np.searchsorted(words, own)[arrays[name]] if len(own) else arrays[name]


def _concatenated(arrays: Sequence[NDArray[Any]], name: str) -> NDArray[Any]:
    if arrays:
        return np.concatenate(arrays)
    if name in TEXT_COLUMNS:
        return np.zeros(0, np.str_)
    kinds = {**NUMERIC_COLUMNS, "usable": np.bool_, "bond_order": np.int8}
    width = {"position": (3,), "bond_pairs": (2,), "links": (2,)}.get(name, ())
    return np.zeros((0, *width), kinds.get(name, np.int32))
