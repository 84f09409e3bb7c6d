"""RCSB's servers: searches, metadata of entries, sequence clusters, withdrawn entries.

RCSB's own client ``rcsb-api`` is not used: its addresses are constants, so it cannot be pointed at a mirror, it downloads
its attribute schema when it is imported, and it does not heed ``Retry-After``. The tests compare the JSON with that schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from debye.archives.catalog import PDB, pdb_successors
from debye.archives.http import Absent, HttpClient, RemoteSettings, Unusable
from debye.dataset.search.ligands import BoundComponent
from debye.dataset.search.recipes import (
    Condition,
    EntryFilter,
    Identity,
    ProteinGroup,
    Range,
    SearchRecipe,
)
from debye.errors import DownloadError

ENTRIES = """
query entries($ids: [String!]!) {
  entries(entry_ids: $ids) {
    rcsb_id
    exptl { method }
    refine { ls_R_factor_R_free }
    rcsb_accession_info { initial_release_date revision_date }
    rcsb_entry_info {
      resolution_combined selected_polymer_entity_types deposited_atom_count
      deposited_modeled_polymer_monomer_count
    }
    polymer_entities {
      rcsb_id
      entity_poly { rcsb_entity_polymer_type rcsb_sample_sequence_length }
      rcsb_polymer_entity { rcsb_ec_lineage { id } }
      pfams { rcsb_pfam_accession }
    }
    nonpolymer_entities { nonpolymer_comp { rcsb_id rcsb_chem_comp_info { atom_count_heavy } } }
    branched_entities { chem_comp_monomers { rcsb_id rcsb_chem_comp_info { atom_count_heavy } } }
  }
}
"""
"""The question about entries; entries that the server does not have are missing in the answer."""


def search_request(recipe: SearchRecipe) -> dict[str, Any]:
    """Return the body of a search for the protein entities of a recipe.

    Clusters, Pfam families and enzyme classes belong to entities, not to entries. All hits come in one answer: pages
    could shift while the archive is updated.
    """
    conditions = [*entry_conditions(recipe.entries)]
    groups = [group_condition(group) for group in recipe.groups]
    if groups:
        conditions.append(Condition(any=tuple(groups)) if len(groups) > 1 else groups[0])
    conditions += recipe.where
    return {
        "query": _group("and", [node(condition) for condition in conditions]),
        "return_type": "polymer_entity",
        "request_options": {
            "return_all_hits": True,
            "results_content_type": ["experimental"],
            "results_verbosity": "compact",
        },
    }


def entry_conditions(entries: EntryFilter) -> list[Condition]:
    """Return the filter as conditions of the search."""
    info, dates = "rcsb_entry_info", "rcsb_accession_info"
    window = Range(at_least=entries.best_resolution, at_most=entries.worst_resolution)
    return _conditions(
        ("entity_poly.rcsb_entity_polymer_type", "exact_match", "Protein"),
        ("exptl.method", "exact_match", entries.method),
        (f"{info}.resolution_combined", "range", window),
        ("entity_poly.rcsb_sample_sequence_length", "greater_or_equal", entries.least_residues),
        (f"{info}.selected_polymer_entity_types", "in", entries.polymers),
        (f"{info}.deposited_atom_count", "less_or_equal", entries.most_atoms),
        (f"{dates}.initial_release_date", "greater_or_equal", entries.released_from),
        (f"{dates}.initial_release_date", "less_or_equal", entries.released_until),
        (f"{dates}.revision_date", "greater_or_equal", entries.revised_from),
    )


def group_condition(group: ProteinGroup) -> Condition:
    """Return the condition that finds the proteins of a group."""
    annotation = "rcsb_polymer_entity_annotation"
    tests = _conditions(("rcsb_polymer_entity.rcsb_ec_lineage.id", "in", group.ec))
    if group.pfam:
        family = _conditions(
            (f"{annotation}.annotation_id", "in", group.pfam),
            (f"{annotation}.type", "exact_match", "Pfam"),
        )
        tests.insert(0, Condition(all=tuple(family), same_record=True))
    if len(tests) == 1:
        return tests[0]
    return Condition(any=tuple(tests)) if group.match == "any" else Condition(all=tuple(tests))


def _conditions(*tests: tuple[str, Any, Any]) -> list[Condition]:
    """Return conditions from attributes, operators and values; an empty value makes none."""
    return [
        Condition(attribute=attribute, operator=operator, value=value)
        for attribute, operator, value in tests
        if value
    ]


def node(condition: Condition) -> dict[str, Any]:
    """Return a condition as a node of the search API's query tree."""
    if condition.all:
        label = {"label": "nested-attribute"} if condition.same_record else {}
        return _group("and", [node(each) for each in condition.all]) | label
    if condition.any:
        return _group("or", [node(each) for each in condition.any])
    parameters: dict[str, Any] = {
        "attribute": condition.attribute,
        "operator": condition.operator,
        "negation": condition.negation,
    }
    if condition.value is not None:
        parameters["value"] = _json_value(condition.value)
    return {"type": "terminal", "service": condition.service, "parameters": parameters}


def _group(operator: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "group", "logical_operator": operator, "nodes": nodes}


def _json_value(value: Any) -> Any:
    if isinstance(value, Range):
        bounds = {"from": value.at_least, "to": value.at_most}
        found = {name: _json_value(bound) for name, bound in bounds.items() if bound is not None}
        return found | {"include_lower": True, "include_upper": True}
    if isinstance(value, tuple):
        return list(value)
    return f"{value.isoformat()}T00:00:00Z" if isinstance(value, date) else value


SERVERS = {
    "search": "https://search.rcsb.org",
    "data": PDB.servers["data"],
    "clusters": "https://cdn.rcsb.org",
}
"""Name → base address; the variable ``DEBYE_<NAME>_URL`` of the environment replaces it."""
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
    """Enzyme class and all classes above it: ``2``, ``2.7``, ``2.7.11``, ``2.7.11.1``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryMetadata:
    """What is known of an entry without its file; None or empty if unknown."""

    id: str
    methods: tuple[str, ...] = ()
    resolution: float | None = None
    """Å; the best if an entry has several."""
    r_free: float | None = None
    polymers: str = ""
    """``rcsb_entry_info.selected_polymer_entity_types``."""
    n_residues: int | None = None
    """Polymer residues that are built."""
    n_atoms: int | None = None
    released: str = ""
    """Date."""
    revised: str = ""
    """Date."""
    proteins: tuple[Entity, ...] = ()
    components: tuple[BoundComponent, ...] = ()
    """Ligands, ions and monomers of sugars."""


class Rcsb:
    """Client of RCSB's servers, or of a mirror of them; use it in a ``with`` statement.

    Every method raises a :class:`~debye.errors.DownloadError` if a server does not answer, or not as documented.
    """

    def __init__(self, settings: RemoteSettings | None = None) -> None:
        self.client = HttpClient(settings)

    def __enter__(self) -> Rcsb:
        return self

    def __exit__(self, *details: object) -> None:
        self.client.__exit__(*details)

    def address(self, server: str) -> str:
        """Return the base address of one of :data:`SERVERS`."""
        return self.client.settings.address(server, SERVERS[server])

    def search(self, request: Mapping[str, Any]) -> list[str]:
        """Return the identifiers that a search finds, in lower case and sorted."""
        url = f"{self.address('search')}/rcsbsearch/v2/query"
        answer = self._ask(url, request)
        if answer is None:  # HTTP 204: no hits
            return []
        try:
            hits = [
                _entity_id(hit if isinstance(hit, str) else hit["identifier"])
                for hit in answer["result_set"]
            ]
            total = int(answer["total_count"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unexpected(url, answer) from error
        if len(hits) != total:
            raise DownloadError(
                url,
                f"says {total} hits but lists {len(hits)}",
                "Try again; the archive may be in the middle of its weekly update",
            )
        return sorted(hits)

    def entries(
        self, ids: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> Iterator[EntryMetadata]:
        """Yield the metadata of each entry that the server has, in the order of the identifiers."""
        url = f"{self.address('data')}/graphql"

        def ask(batch: Sequence[str]) -> list[EntryMetadata]:
            names = [name.upper() for name in batch]
            answer = self._ask(url, {"query": ENTRIES, "variables": {"ids": names}})
            if not isinstance(answer, dict) or answer.get("errors") or not answer.get("data"):
                raise _unexpected(url, answer)
            try:
                return [_metadata(entry) for entry in answer["data"]["entries"] or () if entry]
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise _unexpected(url, answer) from error

        size = ENTRIES_A_QUESTION
        batches = [ids[start : start + size] for start in range(0, len(ids), size)]
        done = 0
        with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as pool:
            for batch, found in zip(batches, pool.map(ask, batches), strict=True):
                order = {name.lower(): place for place, name in enumerate(batch)}
                yield from sorted(found, key=lambda entry: order.get(entry.id, len(order)))
                done += len(batch)
                if progress is not None:
                    progress(done, len(ids))

    def save_clusters(self, identity: Identity, path: Path) -> str:
        """Download the file with a cluster of polymer entities a line, the largest first; returns its SHA-256."""
        name = f"clusters-by-entity-{identity}.txt"
        url = f"{self.address('clusters')}/resources/sequence/clusters/{name}"
        try:
            return self.client.save(url, path, _clusters_problem).sha256
        except (Absent, Unusable) as error:
            raise _failed(url, error) from error

    def successors(self, entry_id: str) -> list[str] | None:
        """Return what replaced an obsolete entry, in lower case; None if it is not known as one."""
        try:
            return pdb_successors(PDB, entry_id, self.client)
        except Unusable as error:
            raise _failed(entry_id, error) from error

    def removed(self) -> set[str]:
        """Return all entries that the archive has withdrawn, in lower case."""
        url = f"{self.address('data')}/rest/v1/holdings/removed/entry_ids"
        answer = self._ask(url)
        if not isinstance(answer, list) or not all(isinstance(name, str) for name in answer):
            raise _unexpected(url, answer)
        return {name.lower() for name in answer}

    def _ask(self, url: str, question: Any = None) -> Any:
        try:
            return self.client.json(url, question)
        except (Absent, Unusable) as error:
            raise _failed(url, error) from error


def read_clusters(path: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Return the cluster of each wanted entity; those in no cluster are left out.

    A cluster is called after the first PDB entity of its line, because lines move from week to week. The file is that
    of :meth:`Rcsb.save_clusters`; entities are in lower case.
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


def _entry_id(text: str) -> str:
    if name := PDB.parse(text):
        return name
    raise ValueError(f"{text!r} is not a PDB identifier")


def _entity_id(text: str) -> str:
    entry, _, number = text.rpartition("_")
    return f"{_entry_id(entry)}_{int(number)}"


def _metadata(entry: Mapping[str, Any]) -> EntryMetadata:
    info = entry["rcsb_entry_info"]
    dates = entry.get("rcsb_accession_info") or {}
    r_free = [part.get("ls_R_factor_R_free") for part in entry.get("refine") or ()]
    return EntryMetadata(
        id=_entry_id(entry["rcsb_id"]),
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
                id=_entity_id(entity["rcsb_id"]),
                length=polymer.get("rcsb_sample_sequence_length") or 0,
                pfam=tuple(family["rcsb_pfam_accession"] for family in entity.get("pfams") or ()),
                ec=tuple(each["id"] for each in lineage if each.get("id")),
            )


def _components(entry: Mapping[str, Any]) -> Iterator[BoundComponent]:
    found = [entity.get("nonpolymer_comp") for entity in entry.get("nonpolymer_entities") or ()]
    for entity in entry.get("branched_entities") or ():
        found += entity.get("chem_comp_monomers") or ()
    for component in filter(None, found):
        size = (component.get("rcsb_chem_comp_info") or {}).get("atom_count_heavy")
        yield BoundComponent(component["rcsb_id"], size)


def _clusters_problem(path: Path, name: str) -> str | None:
    """Return the fault of a file of clusters, or None if every line is a complete cluster.

    The largest cluster comes first, so a file without a part in the middle is mostly noticed, too.
    """
    last, line = None, b""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            members = line.split()
            if not members or not all(map(_ENTITY.match, members)):
                if number == 1:
                    return f"not a file of clusters: it starts with {line[:40]!r}"
                return f"line {number} is not a cluster: {line[:40]!r}"
            if last is not None and len(members) > last:
                return f"line {number} has {len(members)} entities, the line before it only {last}"
            last = len(members)
    if last is None:
        return "not a file of clusters: it is empty"
    return None if line.endswith(b"\n") else "the file of clusters ends in the middle of a line"


def _unexpected(url: str, answer: Any) -> DownloadError:
    problem = f"answered {str(answer)[:500]!r}"
    remedy = "Check the recipe; if it is right, the server's interface has changed"
    return DownloadError(url, problem, remedy)


def _failed(url: str, error: Exception) -> DownloadError:
    return DownloadError(url, str(error), "Check the network and the recipe, and try again")
