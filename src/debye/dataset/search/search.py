"""A recipe → the list of entries that make a data set, with every decision recorded.

Beside the list ``NAME.csv`` lie ``NAME.decisions.csv``, with a line for every entry that was looked at,
``NAME.json``, with recipe, request, servers, date, counts and digests, and ``NAME.clusters-by-entity-30.txt``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from debye.archives.download import RemoteSettings
from debye.archives.id_list import read_ids
from debye.archives.remote import parse_identifier
from debye.dataset.search.choose import Decision, decide
from debye.dataset.search.entry_list import (
    count_decisions,
    count_reasons,
    decision_table,
    make_folder,
    write_whole,
)
from debye.dataset.search.folder import facts_of_folder
from debye.dataset.search.ligands import LigandState
from debye.dataset.search.queries import search_request
from debye.dataset.search.rcsb import EntryFacts, Rcsb, read_clusters
from debye.dataset.search.recipes import SearchRecipe
from debye.errors import ConfigError, DownloadError
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
    facts: list[EntryFacts]
    missing: list[Decision]
    """Entries that there are no facts of, with the reason."""
    origin: dict[str, Any]
    """What the record says about where the candidates are from."""
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
        recipe: Which entries.
        output: The list, a CSV file; the other files are written beside it.
        settings: Addresses and patience; from the environment if not given.
        progress: Called with how many entries are known and how many there are.

    Raises:
        DownloadError: A server did not answer, or not as documented.
        ConfigError: A list or folder of the recipe cannot be read, or the output is no CSV file.
    """
    if output.suffix != ".csv":
        raise ConfigError(str(output), problem="the list is a CSV file", remedy="Call it NAME.csv")
    settings = settings or RemoteSettings.from_environment()
    # Before the long search, so that a folder that cannot be written to is known at once.
    make_folder(output.parent)
    if recipe.structures is not None:
        found, clusters, file = _from_folder(recipe.structures), {}, {}
    else:
        with Rcsb(settings) as rcsb:
            found = _from_server(recipe, rcsb, progress)
            clusters, file = _clusters(recipe, rcsb, found.facts, output)
    decisions = [*decide(found.facts, recipe, clusters, found.hits), *found.missing]
    decisions.sort(key=lambda decision: decision.facts.id)
    chosen = [decision for decision in decisions if decision.decision == "chosen"]
    result = SearchResult(
        list=output,
        decisions=output.with_suffix(".decisions.csv"),
        record=output.with_suffix(".json"),
        counts=count_decisions(decisions, clusters if file else None),
    )
    record = {
        "debye": library_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": recipe.model_dump(mode="json"),
        **found.origin,
        **file,
        "counts": result.counts,
        "reasons": count_reasons(decisions),
        "list_sha256": write_whole(result.list, decision_table(chosen, recipe)),
        "decisions_sha256": write_whole(result.decisions, decision_table(decisions, recipe)),
    }
    write_whole(result.record, json.dumps(record, indent=2) + "\n")
    return result


def _from_server(recipe: SearchRecipe, rcsb: Rcsb, progress: Progress | None) -> _Candidates:
    origin: dict[str, Any] = {
        "search_url": rcsb.settings.search_url,
        "data_url": rcsb.settings.data_url,
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
    facts, asked = [], set()
    while ids:  # successors of obsolete entries are looked up in their turn
        found = list(rcsb.entries(ids, progress))
        facts += found
        asked.update(ids)
        lost = sorted(set(ids) - {each.id for each in found})
        replacements = {entry_id: rcsb.successors(entry_id) for entry_id in lost}
        missing += [_unknown(entry_id, _fate(new)) for entry_id, new in replacements.items()]
        ids = sorted({each for new in replacements.values() for each in new or ()} - asked)
    return _Candidates(facts, missing, origin, hits)


def _listed(path: Path) -> tuple[list[str], list[Decision]]:
    """Read a list of identifiers; what is none becomes a decision."""
    ids, missing = set(), []
    for row in read_ids(path):
        try:
            identifier = parse_identifier(row["id"])
        except DownloadError as error:
            missing.append(_unknown(row["id"], error.problem))
            continue
        if identifier.archive == "pdb":
            ids.add(identifier.name)
        else:
            missing.append(_unknown(identifier.name, "a predicted model has no B-factors"))
    return sorted(ids), missing


def _from_folder(folder: Path) -> _Candidates:
    facts, missing = [], []
    for found in facts_of_folder(folder):
        if isinstance(found, EntryFacts):
            facts.append(found)
        else:
            name, error = found
            missing.append(_unknown(name, f"cannot be read: {error}"))
    return _Candidates(facts, missing, {"structures": str(folder)})


def _clusters(
    recipe: SearchRecipe, rcsb: Rcsb, facts: Iterable[EntryFacts], output: Path
) -> tuple[dict[str, str], dict[str, Any]]:
    """Download the clusters at the recipe's identity; ``debye data build`` can use the same file.

    It is named after the list: that of another list, of another week, must not be replaced.
    """
    identity = recipe.choose.identity
    if identity == 0:
        return {}, {}
    path = output.with_suffix(f".clusters-by-entity-{identity}.txt")
    rcsb.save_clusters(identity, path)
    wanted = [protein.id for each in facts for protein in each.proteins]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    origin = {"clusters_url": rcsb.settings.clusters_url, "clusters": path.name}
    return read_clusters(path, wanted), origin | {"clusters_sha256": digest}


def _unknown(name: str, reason: str) -> Decision:
    facts = EntryFacts(
        id=name, methods=(), resolution=None, r_free=None, polymers="", n_residues=None,
        n_atoms=None, released="", revised="", proteins=(), components=(),
    )  # fmt: skip
    return Decision(
        facts=facts, entity=None, state=LigandState("apo", (), ()), group="", cluster="",
        clusters=(), decision="excluded", reason=reason,
    )  # fmt: skip


def _fate(successors: list[str] | None) -> str:
    if successors is None:
        return "not in the archive"
    if not successors:
        return "obsolete, and nothing replaced it"
    return f"obsolete: replaced by {', '.join(successors)}, looked at in its place"
