"""New entries for a finished store: their split is decided by their clusters, and no old entry ever moves.

A store changes in one step, when its manifest is replaced: before, what is new lies in folders that nothing names;
after, the old folders are removed. A killed call leaves the old store or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from filelock import FileLock

from debye.dataset.curate.build_recipe import BuildRecipe
from debye.dataset.curate.clusters import Chains, chain_sequences, unique_chains
from debye.dataset.curate.curate import (
    Decision,
    count_reasons,
    read_decisions,
    with_digests,
    with_facts,
    with_revisions,
    write_decisions,
)
from debye.dataset.curate.families import read_fasta
from debye.dataset.curate.mmseqs import mmseqs_version
from debye.dataset.curate.place import Placement, place
from debye.dataset.curate.scan import Candidate, refusals, scan
from debye.dataset.store.build import write_json, write_manifest, write_splits
from debye.dataset.store.build_curated import (
    DECISIONS,
    SEQUENCES,
    copy_inputs,
    file_digest,
    recorded_recipe,
    stored_recipe,
    stored_row,
    write_sequences,
)
from debye.dataset.store.index import IndexRow
from debye.dataset.store.merge import Merged, merge_stores
from debye.dataset.store.parts import Progress
from debye.dataset.store.store import Store
from debye.errors import StoreError
from debye.structure.sequences import observed_sequences
from debye.version import library_version

NEXT = "next"
"""Folder in the store where an unfinished append keeps its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What became of entries that were offered to a store."""

    store: Store
    added: tuple[str, ...]
    revised: tuple[str, ...]
    """Were in the store, and now have the content of the new file, in their old split."""
    refused: dict[str, str]
    """Reason by id. An entry that was in the store and whose revision is refused stays as it was."""


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

    Each entry passes the recipe's filter, family and leakage rules. It joins the split of the entries that it is
    similar to; entries that are similar to none are drawn, as whole groups, by the recipe's seed and shares. One that
    is similar to entries of training and of a held-out split is in none. Old entries keep split, cluster and rank.
    Other processes that have the store open must open it again.

    Args:
        path: The store.
        rows: Entries and what the index says of them (``split`` is not looked at); ids in lower case.
        structures: Folder of their files, laid out as ``<id[1:3]>/<id>.bcif.gz`` or flat.
        date: Date (``2026-11-24``) of the archive that the files come from: from now on that of the store.
        recipe: How to continue; None: as the store was built. Needed where it was built without one, or its clusters
            are those of an RCSB file, which the recipe must then name.
        search: What found the entries, for the manifest; None: what it says already.
        workers: Processes, and threads of MMseqs2.
        progress: Told how many entries are done, first of the scan, then of the store.

    Raises:
        StoreError: there is no finished store, nothing says how to continue, or an id comes twice.
        ConfigError: MMseqs2 is not on PATH.
    """
    Store.open(path)
    with FileLock(path / "append.lock"):
        _settle(path)
        store = Store.open(path)
        recipe = recipe or stored_recipe(store)
        _check(path, rows, recipe)
        candidates, failures = scan(
            rows,
            structures,
            recipe.ligands,
            path / NEXT / "scan",
            workers=workers,
            progress=progress,
        )
        old = old_decisions(store)
        kept, refused = _filter(candidates, failures, recipe)
        known = stored_sequences(store)
        fresh = {entry.id: chain_sequences(entry, recipe.clusters) for entry in kept}
        chains = unique_chains(known | fresh)
        placement = place(kept, chains, old, recipe, threads=workers)
        placement.refused |= refused
        decisions = _decide(rows, candidates, placement, old)
        new = _store_new(
            rows, decisions, placement, structures, path / NEXT / "new", workers, progress
        )
        for failure in new.failures:
            placement.refuse(failure["id"], f"could not be stored: {failure['reason']}")
        decisions = _decide(rows, candidates, placement, old)
        accepted = {name: own for name, own in fresh.items() if name not in placement.refused}
        chains = unique_chains(known | accepted)
        return _commit(store, new, decisions, placement.refused, old, chains, recipe, date, search)


def settle(path: Path) -> Store:
    """Open a store after finishing, or clearing away, an append that was killed."""
    Store.open(path)
    with FileLock(path / "append.lock"):
        _settle(path)
        return Store.open(path)


def old_decisions(store: Store) -> dict[str, Decision]:
    """Return what was decided of every entry that the store was built from, by id."""
    if (store.path / DECISIONS).exists():
        return {decision.id: decision for decision in read_decisions(store.path / DECISIONS)}
    return {
        entry.id: Decision(
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


def _check(path: Path, rows: Sequence[IndexRow], recipe: BuildRecipe) -> None:
    names = sorted(row.id for row in rows)
    twice = [name for name, other in pairwise(names) if name == other]
    if twice:
        raise StoreError(
            str(path), problem=f"id {twice[0]!r} comes twice", remedy="Give every entry one row"
        )
    if recipe.clusters.source == "rcsb" and recipe.clusters.file is None:
        raise StoreError(
            str(path),
            problem="its clusters come from a file of the RCSB, which new entries are not in",
            remedy="Give a recipe whose clusters.file is the file of the new date",
        )


def _filter(
    candidates: Iterable[Candidate], failures: Iterable[Mapping[str, str]], recipe: BuildRecipe
) -> tuple[list[Candidate], dict[str, str]]:
    kept: list[Candidate] = []
    refused = {
        failure["id"]: f"file could not be read: {failure['reason']}" for failure in failures
    }
    for entry in candidates:
        found = refusals(entry, recipe.filter)
        if found:
            refused[entry.id] = found[0][0]
        elif not chain_sequences(entry, recipe.clusters):
            refused[entry.id] = "no chain that is in a cluster"
        else:
            kept.append(entry)
    return kept, refused


def _decide(
    rows: Iterable[IndexRow],
    candidates: Iterable[Candidate],
    placement: Placement,
    old: Mapping[str, Decision],
) -> dict[str, Decision]:
    """Return the decision on every entry that was offered, by id."""
    rows = list(rows)
    facts = {entry.id: entry for entry in candidates}
    found = {}
    for name in sorted(row.id for row in rows):
        cluster = placement.cluster.get(name, "")
        decision = Decision(
            id=name,
            split=placement.split.get(name, ""),
            representative=name in placement.representative,
            cluster=cluster,
            clusters=(cluster,) if cluster else (),
            group=placement.group.get(name, ""),
            reason=placement.refused.get(name, ""),
            detail=placement.detail.get(name, ""),
        )
        if name in old and old[name].split:
            # A revision never moves an entry, and a refused one leaves it as it was.
            decision = old[name]
        if name in facts and (name not in placement.refused or not decision.split):
            decision = with_facts(decision, facts[name])
        found[name] = decision
    return {decision.id: decision for decision in with_revisions(found.values(), rows)}


def _store_new(
    rows: Iterable[IndexRow],
    decisions: Mapping[str, Decision],
    placement: Placement,
    structures: Path,
    out: Path,
    workers: int,
    progress: Progress | None,
) -> Store:
    """Build a store of what is new, and of nothing else."""
    chosen = [
        stored_row(row, decisions[row.id])
        for row in rows
        if decisions[row.id].split and row.id not in placement.refused
    ]
    chosen.sort(key=lambda row: (row.split, row.id))
    content = write_splits(chosen, structures, out, "new", workers=workers, progress=progress)
    write_manifest(out, content, "new")
    return Store.open(out)


def _commit(
    store: Store,
    new: Store,
    decisions: Mapping[str, Decision],
    refused: Mapping[str, str],
    old: Mapping[str, Decision],
    chains: Chains,
    recipe: BuildRecipe,
    date: str,
    search: Mapping[str, Any] | None,
) -> Appended:
    """Write the new state beside the old one, then name it in the manifest."""
    path, work = store.path, store.path / NEXT
    merged = merge_stores(store, new, work)
    stored = {entry.id for split in new.splits for entry in new.entries(split)}
    revised = tuple(sorted(name for name in stored if name in old and old[name].split))
    added = tuple(sorted(stored - set(revised)))
    everything = sorted(
        with_digests((dict(old) | dict(decisions)).values(), merged.digests),
        key=lambda decision: decision.id,
    )
    write_decisions(everything, work / DECISIONS)
    split = {decision.id: decision.split for decision in everything if decision.split}
    write_sequences(chains, split, work / SEQUENCES)
    event = {
        "date": date,
        "digest": merged.digest,
        "entries": len(merged.digests),
        "added": list(added),
        "revised": list(revised),
        "refused": dict(sorted(refused.items())),
    }
    manifest = _manifest(store, merged, event, recipe, everything)
    if search is not None:
        manifest["search"] = dict(search)
    for name in merged.changed:
        os.replace(work / name, path / manifest["splits"][name]["folder"])
    # It only gains words, so the old arrays still mean the same.
    write_json(merged.vocabulary, path / "vocabulary.json")
    copy_inputs(recipe, path)
    (work / "plan").write_text(manifest["plan"])
    write_json(manifest, path / "manifest.json")
    _settle(path)
    return Appended(store=Store.open(path), added=added, revised=revised, refused=event["refused"])


def _manifest(
    store: Store,
    merged: Merged,
    event: dict[str, Any],
    recipe: BuildRecipe,
    decisions: Sequence[Decision],
) -> dict[str, Any]:
    manifest = dict(store.manifest)
    plan = hashlib.sha256(json.dumps([manifest["plan"], event]).encode()).hexdigest()
    splits = {
        name: size
        | {"folder": f"{name}.{plan[:12]}" if name in merged.changed else store.folder(name)}
        for name, size in merged.splits.items()
    }
    curation = dict(manifest.get("curation", {})) | {
        "recipe": recorded_recipe(recipe),
        "mmseqs": mmseqs_version(),
        "candidates": len(decisions),
        "reasons": count_reasons(decisions),
        "files": {name: file_digest(store.path / NEXT / name) for name in (DECISIONS, SEQUENCES)},
    }
    return manifest | {
        "version": library_version(),
        "digest": merged.digest,
        "plan": plan,
        "date": event["date"],
        "config": manifest["config"] | {"splits": list(splits)},
        "splits": splits,
        "history": [*manifest.get("history", []), event],
        "curation": curation,
    }


def _settle(path: Path) -> None:
    """Finish an append that was killed after its manifest was written; clear away one that was killed before."""
    manifest = Store.open(path).manifest
    work = path / NEXT
    if (work / "plan").exists() and (work / "plan").read_text() == manifest["plan"]:
        for name in (DECISIONS, SEQUENCES):
            if (work / name).exists():
                os.replace(work / name, path / name)
    shutil.rmtree(work, ignore_errors=True)
    named = {size.get("folder", split) for split, size in manifest["splits"].items()}
    for records in path.glob("*/entries.json"):
        if records.parent.name not in named:
            shutil.rmtree(records.parent)
