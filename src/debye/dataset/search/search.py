"""A recipe → the list of entries that make a data set, with every decision recorded.

With the list ``NAME.csv`` come ``NAME.decisions.csv``, with a line for every candidate, ``NAME.json``, with recipe,
request, servers, date, counts and digests, and ``NAME.clusters-by-entity-30.txt``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from debye.archives.catalog import NOT_AN_IDENTIFIER, PDB, find_identifier, read_ids
from debye.archives.http import RemoteSettings
from debye.dataset.search.entry_list import (
    SearchDecision,
    count_decisions,
    count_reasons,
    decision_table,
    select_entries,
)
from debye.dataset.search.folder import folder_metadata
from debye.dataset.search.rcsb import EntryMetadata, Rcsb, read_clusters, search_request
from debye.dataset.search.recipes import SearchRecipe
from debye.errors import ConfigError
from debye.files import make_folder, write_text
from debye.version import library_version

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Where the list lies, and how many entries there were at every step."""

    list: Path
    decisions: Path
    record: Path
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Candidates:
    entries: list[EntryMetadata]
    missing: list[SearchDecision]
    """Entries without metadata, with the reason."""
    origin: dict[str, Any]
    """Where the candidates are from, for the record."""
    hits: frozenset[str] | None = None
    """Protein entities that the search found; None: there was no search."""


def run_search(
    recipe: SearchRecipe,
    output: Path,
    settings: RemoteSettings | None = None,
    *,
    progress: Progress | None = None,
) -> SearchResult:
    """Find the candidates of a recipe, decide on each, and write the list.

    Args:
        output: The list, a CSV file; the other files have its name with another suffix.
        settings: Addresses and patience; from the environment if not given.
        progress: Called with the numbers of entries that are known and that were found.

    Raises:
        DownloadError: A server did not answer, or not as documented.
        ConfigError: A list or folder of the recipe cannot be read, or the output cannot be written or is not CSV.
    """
    if output.suffix != ".csv":
        raise ConfigError(str(output), "the list is a CSV file", "Call it NAME.csv")
    # Before the long search, so that a folder that cannot be written to is noticed at once.
    make_folder(output.parent, ConfigError)
    if recipe.structures is not None:
        found, clusters, file = _from_folder(recipe.structures), {}, {}
    else:
        with Rcsb(settings) as rcsb:
            found = _from_server(recipe, rcsb, progress)
            clusters, file = _clusters(recipe, rcsb, found.entries, output)
    decisions = [*select_entries(found.entries, recipe, clusters, found.hits), *found.missing]
    decisions.sort(key=lambda decision: decision.id)
    chosen = [decision for decision in decisions if decision.decision == "chosen"]
    result = SearchResult(
        list=output,
        decisions=output.with_suffix(".decisions.csv"),
        record=output.with_suffix(".json"),
        counts=count_decisions(decisions, clusters if file else None),
    )
    digests = []
    for path, rows in ((result.list, chosen), (result.decisions, decisions)):
        text = decision_table(rows, recipe)
        write_text(path, text, ConfigError)
        digests.append(hashlib.sha256(text.encode()).hexdigest())
    record = {
        "debye": library_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": recipe.model_dump(mode="json"),
        **found.origin,
        **file,
        "counts": result.counts,
        "reasons": count_reasons(decisions),
        "list_sha256": digests[0],
        "decisions_sha256": digests[1],
    }
    write_text(result.record, json.dumps(record, indent=2) + "\n", ConfigError)
    return result


def _from_server(recipe: SearchRecipe, rcsb: Rcsb, progress: Progress | None) -> _Candidates:
    origin: dict[str, Any] = {
        f"{server}_url": rcsb.address(server) for server in ("search", "data")
    }
    missing, hits = [], None
    if recipe.ids is None:
        request = search_request(recipe)
        hits = frozenset(rcsb.search(request))
        ids = sorted({hit.rsplit("_", 1)[0] for hit in hits})
        origin |= {"request": request, "hits": len(hits)}
    else:
        ids, missing = _listed(recipe.ids)
        origin |= {"ids": str(recipe.ids)}
    entries, seen = [], set()
    while ids:  # the successors of obsolete entries come in the next round
        found = list(rcsb.entries(ids, progress))
        entries += found
        seen.update(ids)
        lost = sorted(set(ids) - {each.id for each in found})
        replacements = {entry_id: rcsb.successors(entry_id) for entry_id in lost}
        missing += [_excluded(entry_id, _fate(new)) for entry_id, new in replacements.items()]
        ids = sorted({each for new in replacements.values() for each in new or ()} - seen)
    return _Candidates(entries, missing, origin, hits)


def _listed(path: Path) -> tuple[list[str], list[SearchDecision]]:
    """Read a list of identifiers; a text that is not one becomes a decision."""
    ids, missing = set(), []
    for row in read_ids(path):
        identifier = find_identifier(row["id"])
        if identifier is None:
            missing.append(_excluded(row["id"], NOT_AN_IDENTIFIER))
        elif identifier.archive.is_predicted:
            missing.append(_excluded(identifier.name, "a predicted model has no B-factors"))
        elif identifier.archive is not PDB:
            missing.append(_excluded(identifier.name, "RCSB has no metadata of this archive"))
        else:
            ids.add(identifier.name)
    return sorted(ids), missing


def _from_folder(folder: Path) -> _Candidates:
    entries, missing = [], []
    for found in folder_metadata(folder):
        if isinstance(found, EntryMetadata):
            entries.append(found)
        else:
            name, error = found
            missing.append(_excluded(name, f"cannot be read: {error}"))
    return _Candidates(entries, missing, {"structures": str(folder)})


def clusters_file(output: Path, identity: int) -> Path:
    """Return the file in which a search with the list ``output`` saves the clusters at an identity, %."""
    return output.with_suffix(f".clusters-by-entity-{identity}.txt")


def _clusters(
    recipe: SearchRecipe, rcsb: Rcsb, entries: Iterable[EntryMetadata], output: Path
) -> tuple[dict[str, str], dict[str, Any]]:
    """Download the clusters at the recipe's identity; ``debye data build`` can use the same file.

    The file has the name of the list, so that it does not replace that of another list, of another week.
    """
    identity = recipe.choose.identity
    if identity == 0:
        return {}, {}
    path = clusters_file(output, identity)
    digest = rcsb.save_clusters(identity, path)
    wanted = [protein.id for entry in entries for protein in entry.proteins]
    origin = {"clusters_url": rcsb.address("clusters"), "clusters": path.name}
    return read_clusters(path, wanted), origin | {"clusters_sha256": digest}


def _excluded(name: str, reason: str) -> SearchDecision:
    return SearchDecision(metadata=EntryMetadata(id=name), decision="excluded", reason=reason)


def _fate(successors: list[str] | None) -> str:
    if successors is None:
        return "not in the archive"
    if not successors:
        return "obsolete, and nothing replaced it"
    return f"obsolete: replaced by {', '.join(successors)}, looked at in its place"
