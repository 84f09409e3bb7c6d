"""A recipe and a folder of files → a store that was filtered, clustered, split and checked for leakage."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from debye.dataset.curate.build_recipe import BuildRecipe
from debye.dataset.curate.clusters import Chains
from debye.dataset.curate.curate import (
    Curation,
    Decision,
    curate,
    with_digests,
    with_revisions,
    write_decisions,
)
from debye.dataset.curate.leakage import check_leaks, write_leaks
from debye.dataset.curate.mmseqs import mmseqs_version
from debye.dataset.curate.scan import scan
from debye.dataset.curate.splits import TEST, TRAIN, VALIDATION
from debye.dataset.search.entry_list import read_record
from debye.dataset.store.build import (
    Content,
    is_finished,
    plan_digest,
    write_manifest,
    write_splits,
)
from debye.dataset.store.index import IndexRow, list_entries, read_index
from debye.dataset.store.parts import Progress
from debye.dataset.store.store import Store
from debye.errors import StoreError

DECISIONS = "entries.csv"
"""Every candidate: state, split, cluster, reason, digest; see :class:`debye.dataset.curate.curate.Decision`."""
LEAKAGE = "leakage.csv"
"""Entries of training that were similar to others, see :class:`debye.dataset.curate.leakage.Leak`."""
SEQUENCES = "sequences.fasta"
"""The chains that were compared, of the entries in a split: ``>id_chain split``."""
INPUTS = "inputs"
"""Copies of the family's files, so that an update needs nothing but the store."""


def build_curated(
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
    """Build a store by a recipe; a killed build goes on with the files that were read.

    The same recipe, files and version give the same bytes. Besides the arrays the store holds
    :data:`DECISIONS`, :data:`LEAKAGE`, :data:`SEQUENCES` and, in its manifest, the recipe.

    Args:
        recipe: The settings.
        structures: Folder laid out as ``<id[1:3]>/<id>.bcif.gz``, or flat.
        out: Folder of the store.
        index: CSV with a column ``id`` and what else is known; None: every file of the folder.
        workers: Processes, and threads of MMseqs2.
        overwrite: Replace a finished store.
        as_of: Date (``2026-11-24``) of the archive that the files come from, for updates; None: that of the
            search, if the index has its record beside it.
        progress: Told how many entries are done, first of the scan, then of the store.

    Raises:
        LeakageError: entries of training are similar to others; the report is in ``out``.
        StoreError: the index is not usable, or a store of other content is already there.
        ConfigError: MMseqs2 is not on PATH.
    """
    rows = _rows(recipe, structures, index)
    settings = recorded_recipe(recipe)
    plan = plan_digest(rows, structures, [settings, mmseqs_version()])
    if is_finished(out, plan, overwrite=overwrite):
        return Store.open(out)
    scanned = out / f"scan-{plan[:16]}"
    candidates, failures = scan(
        rows, structures, recipe.ligands, scanned, workers=workers, progress=progress
    )
    given = {row.id: row.split for row in rows}
    curation = curate(candidates, failures, recipe, given, threads=workers)
    curation = replace(curation, decisions=tuple(with_revisions(curation.decisions, rows)))
    write_decisions(curation.decisions, out / DECISIONS)
    write_leaks(curation.leaks, out / LEAKAGE)
    check_leaks(curation.leaks, out / LEAKAGE, recipe.leakage)
    stored = _stored_rows(rows, curation.decisions, recipe)
    content = write_splits(stored, structures, out, plan, workers=workers, progress=progress)
    content.failures.extend(failures)
    _write_details(recipe, curation, content, out)
    more = {"curation": _summary(settings, curation, out)}
    search = None if index is None else read_record(index)
    write_manifest(out, content, plan, as_of=as_of, search=search, more=more)
    for leftover in out.glob("scan-*"):
        shutil.rmtree(leftover)
    return Store.open(out)


def recorded_recipe(recipe: BuildRecipe) -> dict[str, Any]:
    """Return the settings as JSON values, with name and SHA-256 in the place of files."""
    content = recipe.model_dump(mode="json")
    content["clusters"]["file"] = _file_record(recipe.clusters.file)
    if recipe.family is not None:
        content["family"]["ids"] = _file_record(recipe.family.ids)
        content["family"]["sequences"] = _file_record(recipe.family.sequences)
    return content


def stored_recipe(store: Store) -> BuildRecipe:
    """Return the recipe that a store was built by, its files being the store's own copies.

    A cluster file is not copied: :attr:`ClusterConfig.file` is None.

    Raises:
        StoreError: the store was built from given splits, without a recipe.
    """
    if "curation" not in store.manifest:
        raise StoreError(
            str(store.path),
            problem="was built without a recipe, so nothing says how its splits are to be continued",
            remedy="Give a build recipe",
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


def write_sequences(chains: Chains, split: Mapping[str, str], path: Path) -> None:
    """Write the chains of the entries that are in a split as FASTA: ``>id_chain split``."""
    with open(path, "w", encoding="ascii") as file:
        for entry in sorted(split):
            for chain, name in chains.names.get(entry, {}).items():
                file.write(f">{entry}_{chain} {split[entry]}\n{chains.sequences[name]}\n")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows(recipe: BuildRecipe, structures: Path, index: Path | None) -> list[IndexRow]:
    if index is None:
        return list_entries(structures)
    needed = ("id", "split") if recipe.splits.source == "index" else ("id",)
    rows = sorted(read_index(index, needed=needed), key=lambda row: row.id)
    twice = [row.id for row, other in pairwise(rows) if row.id == other.id]
    if twice:
        raise StoreError(
            str(index), problem=f"id {twice[0]!r} comes twice", remedy="Give every entry one line"
        )
    return rows


def _stored_rows(
    rows: Iterable[IndexRow], decisions: Iterable[Decision], recipe: BuildRecipe
) -> list[IndexRow]:
    """Return the rows of the entries in a split, training first, with what was decided."""
    known = {row.id: row for row in rows}
    found = [stored_row(known[decision.id], decision) for decision in decisions if decision.split]
    order = [TRAIN, VALIDATION, TEST, *([recipe.family.split] if recipe.family else [])]
    order += sorted({row.split for row in found} - set(order))
    return sorted(found, key=lambda row: (order.index(row.split), row.id))


def stored_row(row: IndexRow, decision: Decision) -> IndexRow:
    """Return the row of an entry in a split, with what was decided."""
    decided = {
        "cluster": decision.cluster,
        "representative": str(int(decision.representative)),
        "state": decision.state,
        "group_of_clusters": decision.group,
    }
    return replace(row, split=decision.split, columns=row.columns | decided)


def _write_details(recipe: BuildRecipe, curation: Curation, content: Content, out: Path) -> None:
    split = {decision.id: decision.split for decision in curation.decisions if decision.split}
    write_decisions(with_digests(curation.decisions, content.digests), out / DECISIONS)
    write_sequences(curation.chains, split, out / SEQUENCES)
    copy_inputs(recipe, out)


def copy_inputs(recipe: BuildRecipe, out: Path) -> None:
    """Copy the files that define the family into a store, so that an update needs nothing else."""
    family = recipe.family
    for file in (family.ids, family.sequences) if family else ():
        if file is not None and file.parent != out / INPUTS:
            (out / INPUTS).mkdir(exist_ok=True)
            shutil.copyfile(file, out / INPUTS / file.name)


def _summary(settings: dict[str, Any], curation: Curation, out: Path) -> dict[str, Any]:
    return {
        "recipe": settings,
        "mmseqs": mmseqs_version(),
        "candidates": len(curation.decisions),
        "reasons": curation.reasons,
        "leaks_excluded": sum(leak.outcome == "excluded" for leak in curation.leaks),
        "files": {name: file_digest(out / name) for name in (DECISIONS, LEAKAGE, SEQUENCES)},
    }


def _file_record(path: Path | None) -> dict[str, str] | None:
    return None if path is None else {"name": path.name, "sha256": file_digest(path)}
