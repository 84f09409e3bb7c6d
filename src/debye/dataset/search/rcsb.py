"""What RCSB's servers say: searches, facts about entries, sequence clusters, successors of obsolete entries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debye.archives.download import Absent, Downloader, RemoteSettings, Unusable
from debye.dataset.search.ligands import Component
from debye.dataset.search.queries import ENTRIES
from debye.dataset.search.recipes import Identity
from debye.errors import DownloadError

ENTRIES_A_QUESTION = 200
"""RCSB's client asks for 300 at a time and allows 1000; large entries make answers slow."""
QUESTIONS_AT_ONCE = 4
_ENTITY = re.compile(rb"[0-9A-Za-z_]+_[0-9]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A protein of an entry: chains of one sequence."""

    id: str
    """``1abc_1``, in lower case."""
    length: int
    """Residues of the sample."""
    pfam: tuple[str, ...] = ()
    ec: tuple[str, ...] = ()
    """Enzyme class and all that it belongs to: ``2``, ``2.7``, ``2.7.11``, ``2.7.11.1``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFacts:
    """What is known of an entry before its file is there; None or empty where nothing is."""

    id: str
    methods: tuple[str, ...]
    resolution: float | None
    """Å; the best where an entry has several."""
    r_free: float | None
    polymers: str
    """As ``rcsb_entry_info.selected_polymer_entity_types``; empty: not known."""
    n_residues: int | None
    """Residues of polymers that are built."""
    n_atoms: int | None
    released: str
    """Date."""
    revised: str
    """Date."""
    proteins: tuple[Entity, ...]
    components: tuple[Component, ...]
    """Ligands, ions and monomers of sugars."""


class Rcsb:
    """Asks RCSB's servers, or a mirror of them; use it in a ``with`` statement."""

    def __init__(self, settings: RemoteSettings) -> None:
        self.settings = settings
        self.downloader = Downloader(settings)

    def __enter__(self) -> Rcsb:
        return self

    def __exit__(self, *details: object) -> None:
        self.downloader.__exit__(*details)

    def search(self, request: Mapping[str, Any]) -> list[str]:
        """Return the identifiers that a search finds, in lower case and sorted."""
        url = _join(self.settings.search_url, "rcsbsearch/v2/query")
        answer = self._ask(url, request)
        if answer is None:  # HTTP 204: no hits
            return []
        try:
            hits = [
                hit if isinstance(hit, str) else hit["identifier"] for hit in answer["result_set"]
            ]
            total = int(answer["total_count"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unexpected(url, answer) from error
        if len(hits) != total:
            raise DownloadError(
                url,
                problem=f"says {total} hits but lists {len(hits)}",
                remedy="Try again; the archive may be in the middle of its weekly update",
            )
        return sorted(hit.lower() for hit in hits)

    def entries(
        self, ids: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> Iterator[EntryFacts]:
        """Yield the facts of each entry that the server holds, in the order of the identifiers."""
        url = _join(self.settings.data_url, "graphql")

        def ask(batch: Sequence[str]) -> list[EntryFacts]:
            names = [name.upper() for name in batch]
            question = {"query": ENTRIES, "variables": {"ids": names}}
            answer = self._ask(url, question)
            if not isinstance(answer, dict) or answer.get("errors") or not answer.get("data"):
                raise _unexpected(url, answer)
            try:
                return [_facts(entry) for entry in answer["data"]["entries"] or () if entry]
            except (KeyError, TypeError, AttributeError) as error:
                raise _unexpected(url, answer) from error

        size = ENTRIES_A_QUESTION
        batches = [ids[start : start + size] for start in range(0, len(ids), size)]
        done = 0
        with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as pool:
            for batch, found in zip(batches, pool.map(ask, batches), strict=True):
                order = {name.lower(): place for place, name in enumerate(batch)}
                yield from sorted(found, key=lambda facts: order.get(facts.id, len(order)))
                done += len(batch)
                if progress is not None:
                    progress(done, len(ids))

    def save_clusters(self, identity: Identity, path: Path) -> Path:
        """Download the file that has a cluster of polymer entities a line, the largest first."""
        name = f"clusters-by-entity-{identity}.txt"
        url = _join(self.settings.clusters_url, f"resources/sequence/clusters/{name}")
        try:
            return self.downloader.save(url, path, check=_clusters_problem)
        except (Absent, Unusable) as error:
            raise _failed(url, error) from error

    def successors(self, entry_id: str) -> list[str] | None:
        """Return what replaced an obsolete entry, in lower case; None if it is not known as one."""
        url = holdings_url(entry_id, self.settings)
        try:
            return parse_successors(self.downloader.json(url))
        except Absent:
            return None
        except Unusable as error:
            raise _failed(url, error) from error

    def removed(self) -> set[str]:
        """Return all entries that the archive has withdrawn, in lower case."""
        url = _join(self.settings.data_url, "rest/v1/holdings/removed/entry_ids")
        try:
            answer = self.downloader.json(url)
        except (Absent, Unusable) as error:
            raise _failed(url, error) from error
        if not isinstance(answer, list) or not all(isinstance(name, str) for name in answer):
            raise _unexpected(url, answer)
        return {name.lower() for name in answer}

    def _ask(self, url: str, question: Any) -> Any:
        try:
            return self.downloader.json(url, question)
        except (Absent, Unusable) as error:
            raise _failed(url, error) from error


def holdings_url(entry_id: str, settings: RemoteSettings) -> str:
    """Return the address at which the data API tells what became of an obsolete entry."""
    return _join(settings.data_url, f"rest/v1/holdings/removed/{entry_id.upper()}")


def parse_successors(document: Any) -> list[str]:
    """Return the identifiers that a holdings document of a removed entry names, in lower case.

    Example:
        >>> parse_successors(
        ...     {"rcsb_repository_holdings_removed": {"id_codes_replaced_by": ["4HHB"]}}
        ... )
        ['4hhb']
    """
    removed = document.get("rcsb_repository_holdings_removed") if isinstance(document, dict) else {}
    return [str(name).lower() for name in (removed or {}).get("id_codes_replaced_by") or ()]


def read_clusters(path: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Return the cluster of each wanted entity; those in no cluster are left out.

    A cluster is called after the first PDB entity of its line, because lines move from week to week.

    Args:
        path: File of :meth:`Rcsb.save_clusters`: a cluster a line, entities separated by blanks.
        wanted: Entities in lower case.
    """
    remaining = set(wanted)
    found: dict[str, str] = {}
    with path.open(encoding="ascii") as file:
        for line in file:
            members = line.lower().split()
            mine = remaining.intersection(members)
            if mine:
                name = next((each for each in members if not each.startswith(("af_", "ma_"))), "")
                found.update(dict.fromkeys(mine, name))
                remaining -= mine
    return found


def _facts(entry: Mapping[str, Any]) -> EntryFacts:
    info = entry["rcsb_entry_info"]
    dates = entry.get("rcsb_accession_info") or {}
    r_free = [part.get("ls_R_factor_R_free") for part in entry.get("refine") or ()]
    return EntryFacts(
        id=entry["rcsb_id"].lower(),
        methods=tuple(part["method"] for part in entry.get("exptl") or ()),
        resolution=min(info.get("resolution_combined") or (), default=None),
        r_free=min((value for value in r_free if value is not None and value > 0), default=None),
        polymers=info.get("selected_polymer_entity_types") or "",
        n_residues=info.get("deposited_modeled_polymer_monomer_count"),
        n_atoms=info.get("deposited_atom_count"),
        released=(dates.get("initial_release_date") or "")[:10],
        revised=(dates.get("revision_date") or "")[:10],
        proteins=tuple(_proteins(entry.get("polymer_entities") or ())),
        components=tuple(_components(entry)),
    )


def _proteins(entities: Iterable[Mapping[str, Any]]) -> Iterator[Entity]:
    for entity in entities:
        polymer = entity.get("entity_poly") or {}
        if polymer.get("rcsb_entity_polymer_type") == "Protein":
            lineage = (entity.get("rcsb_polymer_entity") or {}).get("rcsb_ec_lineage") or ()
            yield Entity(
                id=entity["rcsb_id"].lower(),
                length=polymer.get("rcsb_sample_sequence_length") or 0,
                pfam=tuple(family["rcsb_pfam_accession"] for family in entity.get("pfams") or ()),
                ec=tuple(each["id"] for each in lineage if each.get("id")),
            )


def _components(entry: Mapping[str, Any]) -> Iterator[Component]:
    for entity in entry.get("nonpolymer_entities") or ():
        yield from _component(entity.get("nonpolymer_comp"))
    for entity in entry.get("branched_entities") or ():
        for monomer in entity.get("chem_comp_monomers") or ():
            yield from _component(monomer)


def _component(found: Mapping[str, Any] | None) -> Iterator[Component]:
    if found:
        size = (found.get("rcsb_chem_comp_info") or {}).get("atom_count_heavy")
        yield Component(found["rcsb_id"], size)


def _clusters_problem(path: Path, name: str) -> str | None:
    """Say what is wrong with a file of clusters: each line is looked at, and none may be missing at the end.

    The largest cluster comes first, so that a file of which a middle part is missing is mostly noticed, too.
    """
    last, line = None, b""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            members = line.split()
            if not members or not all(map(_ENTITY.match, members)):
                if number == 1:
                    return f"no file of clusters: it starts with {line[:40]!r}"
                return f"line {number} is no cluster: {line[:40]!r}"
            if last is not None and len(members) > last:
                return f"line {number} has {len(members)} entities, the line before it only {last}"
            last = len(members)
    if last is None:
        return "no file of clusters: it is empty"
    return None if line.endswith(b"\n") else "the file of clusters ends in the middle of a line"


def _join(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{path}"


def _unexpected(url: str, answer: Any) -> DownloadError:
    return DownloadError(
        url,
        problem=f"answered {str(answer)[:500]!r}",
        remedy="Check the recipe; if it is right, the server's interface has changed",
    )


def _failed(url: str, error: Exception) -> DownloadError:
    return DownloadError(
        url,
        problem=str(error),
        remedy="Check the network and the recipe, and try again",
    )
