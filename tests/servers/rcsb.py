"""RCSB's interfaces, played by the local server: search, data (GraphQL), clusters, holdings, files.

Questions are compared with RCSB's own schemas (``tests/reference/rcsb``): what they do not allow gets the answer 400, as
from RCSB, and GraphQL is executed by ``graphql-core`` on the types of RCSB's schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
from graphql import build_schema, graphql_sync
from servers.archive import ArchiveServer

SCHEMAS = Path(__file__).parents[1] / "reference" / "rcsb"
SEARCH = "/rcsbsearch/v2/query"
GRAPHQL = "/graphql"
KINDS_OF_SEARCH = {
    "exact-match": {"exact_match", "in", "exists"},
    "default-match": {"equals", "greater", "greater_or_equal", "less", "less_or_equal", "range", "exists"},
    "full-text": {"contains_words", "contains_phrase", "exists"},
}  # fmt: skip
"""Operators by ``rcsb_search_context``, https://search.rcsb.org/#field-queries."""


@dataclass(frozen=True, kw_only=True)
class Protein:
    """A protein entity of an entry of the server."""

    length: int = 100
    pfam: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    """Others: id and type."""
    kind: str = "Protein"
    """Of polymer."""
    ec: str = ""
    """Lowest class, e.g. ``2.7.11.1``."""


@dataclass(frozen=True, kw_only=True)
class ServedEntry:
    """An entry of the server; ``ligands`` are component → heavy atoms."""

    id: str
    resolution: float | None = 2.0
    r_free: float | None = 0.2
    method: str = "X-RAY DIFFRACTION"
    is_computed: bool = False
    """A computed model, which a search finds only if it asks for such content."""
    nucleic_acids: int = 0
    """Entities of nucleic acids."""
    residues: int = 100
    atoms: int = 1000
    released: str = "2000-01-01"
    revised: str = "2020-01-01"
    proteins: tuple[Protein, ...] = (Protein(),)
    ligands: dict[str, int | None] | None = None
    sugars: dict[str, int | None] | None = None
    """Of glycans, which the archive takes for oligosaccharides."""

    @property
    def polymers(self) -> str:
        """What RCSB calls the polymers of such an entry."""
        kinds = (bool(self.proteins), self.nucleic_acids > 0, bool(self.sugars))
        return {
            (True, False, False): "Protein (only)",
            (True, False, True): "Protein/Oligosaccharide",
            (True, True, False): "Protein/NA",
            (False, True, False): "Nucleic acid (only)",
            (False, False, True): "Oligosaccharide (only)",
        }.get(kinds, "Other")


def serve(
    server: ArchiveServer,
    entries: Iterable[ServedEntry],
    clusters: dict[int, str] | None = None,
    removed: dict[str, list[str]] | None = None,
) -> None:
    """Let a server answer as RCSB does.

    Args:
        server: Running.
        entries: Entries of the archive; their files are added with ``server.add_pdb``.
        clusters: Identity in % → text of the file of clusters.
        removed: Obsolete entries and what replaced each.
    """
    entries = list(entries)
    documents = {entry.id.upper(): document(entry) for entry in entries}
    computed = {entry.id.upper() for entry in entries if entry.is_computed}
    server.answers[SEARCH] = lambda body: answer_search(json.loads(body), documents, computed)
    server.answers[GRAPHQL] = lambda body: answer_graphql(json.loads(body), documents)
    for identity, text in (clusters or {}).items():
        path = f"/resources/sequence/clusters/clusters-by-entity-{identity}.txt"
        server.files[path] = text.encode()
    names = [name.upper() for name in removed or {}]
    server.files["/rest/v1/holdings/removed/entry_ids"] = json.dumps(names).encode()
    for name, successors in (removed or {}).items():
        holdings = {"status_code": "OBS", "remove_date": "2010-01-01T00:00:00+0000"}
        if successors:
            holdings["id_codes_replaced_by"] = [each.upper() for each in successors]
        body = {"rcsb_id": name.upper(), "rcsb_repository_holdings_removed": holdings}
        server.files[f"/rest/v1/holdings/removed/{name.upper()}"] = json.dumps(body).encode()


def document(entry: ServedEntry) -> dict[str, Any]:
    """Return an entry as the data API gives it, and as it is in the search index."""
    name = entry.id.upper()
    ligands, sugars = entry.ligands or {}, entry.sugars or {}
    return {
        "rcsb_id": name,
        "exptl": [{"method": entry.method}],
        "refine": [{"ls_R_factor_R_free": entry.r_free}],
        "rcsb_accession_info": {
            "initial_release_date": f"{entry.released}T00:00:00Z",
            "revision_date": f"{entry.revised}T00:00:00Z",
        },
        "rcsb_entry_info": {
            "resolution_combined": None if entry.resolution is None else [entry.resolution],
            "selected_polymer_entity_types": entry.polymers,
            "deposited_atom_count": entry.atoms,
            "deposited_modeled_polymer_monomer_count": entry.residues,
        },
        "polymer_entities": [
            {
                "rcsb_id": f"{name}_{number}",
                "entity_poly": {
                    "rcsb_entity_polymer_type": protein.kind,
                    "rcsb_sample_sequence_length": protein.length,
                },
                "rcsb_polymer_entity": {"rcsb_ec_lineage": _lineage(protein.ec)},
                "pfams": [{"rcsb_pfam_accession": family} for family in protein.pfam] or None,
                "rcsb_polymer_entity_annotation": [
                    {"annotation_id": name, "type": kind}
                    for name, kind in (
                        *((family, "Pfam") for family in protein.pfam),
                        *protein.annotations,
                    )
                ],
            }
            for number, protein in enumerate(entry.proteins, 1)
        ],
        "nonpolymer_entities": [{"nonpolymer_comp": _component(*item)} for item in ligands.items()]
        or None,
        "branched_entities": [
            {"chem_comp_monomers": [_component(*item)]} for item in sugars.items()
        ]
        or None,
    }


def answer_search(
    request: dict[str, Any], documents: dict[str, dict], computed: Set[str] = frozenset()
) -> tuple[int, bytes]:
    """Return status and body for a search of polymer entities."""
    if problem := search_problem(request):
        return 400, json.dumps({"status": 400, "message": problem}).encode()
    content = request["request_options"].get(
        "results_content_type", ["experimental", "computational"]
    )
    hits = [
        entity["rcsb_id"]
        for name, entry in documents.items()
        if ("computational" if name in computed else "experimental") in content
        for entity in entry["polymer_entities"]
        if _matches(request["query"], [entry | entity])
    ]
    if not hits:
        return 204, b""
    answer = {
        "query_id": "test",
        "result_type": request["return_type"],
        "total_count": len(hits),
        "result_set": hits,
    }
    return 200, json.dumps(answer).encode()


def search_problem(request: dict[str, Any]) -> str | None:
    """Say what RCSB's schemas do not allow in a search, or None."""
    schema = json.loads((SCHEMAS / "search_request.json").read_text())
    try:
        jsonschema.validate(request, schema)
    except jsonschema.ValidationError as error:
        return f"JSON schema validation failed: {error.message}"
    attributes = json.loads((SCHEMAS / "search_attributes.json").read_text())
    for parameters in terminals(request["query"]):
        name, operator, value = (parameters.get(key) for key in ("attribute", "operator", "value"))
        if name not in attributes:
            return f"unknown attribute {name}"
        row = attributes[name]
        allowed = set().union(*(KINDS_OF_SEARCH.get(kind, set()) for kind in row["search"]))
        if operator not in allowed:
            return f"{name}: {operator} is not one of {sorted(allowed)}"
        values = value if isinstance(value, list) else [value]
        if "values" in row and operator != "exists" and not set(values) <= set(row["values"]):
            return f"{name}: {values} are not among {row['values']}"
        if operator not in ("exists", "range") and not all(_has_type(each, row) for each in values):
            return f"{name}: {values} should be of type {row['type']}"
    return None


def terminals(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of all terminal nodes of a query."""
    if node["type"] == "terminal":
        return [node["parameters"]]
    return [each for child in node["nodes"] for each in terminals(child)]


def answer_graphql(question: dict[str, Any], documents: dict[str, dict]) -> tuple[int, bytes]:
    """Return status and body for a question to the data API; unknown entries are left out."""
    schema = build_schema((SCHEMAS / "data.graphql").read_text())

    def entries(info: Any, entry_ids: list[str]) -> list[dict]:
        return [documents[name] for name in entry_ids if name in documents]

    result = graphql_sync(
        schema, question["query"], root_value={"entries": entries},
        variable_values=question.get("variables"),
    )  # fmt: skip
    body = {"data": result.data}
    if result.errors:
        body["errors"] = [{"message": error.message} for error in result.errors]
    return 200, json.dumps(body).encode()


def _matches(node: dict[str, Any], records: list[Any]) -> bool:
    """Tell whether one of some records passes a query."""
    if node["type"] == "group":
        together = all if node["logical_operator"] == "and" else any
        if node.get("label") == "nested-attribute":
            paths = [each["attribute"].rsplit(".", 1)[0] for each in terminals(node)]
            assert len(set(paths)) == 1, "tests of one record have one parent"
            nested = [record for each in records for record in _values(each, paths[0].split("."))]
            return any(
                together(
                    _test(parameters, _values(record, [parameters["attribute"].rsplit(".", 1)[1]]))
                    for parameters in terminals(node)
                )
                for record in nested
            )
        return together(_matches(child, records) for child in node["nodes"])
    parameters = node["parameters"]
    path = parameters["attribute"].split(".")
    return _test(parameters, [value for record in records for value in _values(record, path)])


def _test(parameters: dict[str, Any], values: list[Any]) -> bool:
    operator, wanted = parameters["operator"], parameters.get("value")
    tests = {
        "exact_match": lambda value: str(value).lower() == str(wanted).lower(),
        "equals": lambda value: value == wanted,
        "in": lambda value: value in wanted,
        "exists": lambda value: True,
        "greater": lambda value: value > wanted,
        "greater_or_equal": lambda value: value >= wanted,
        "less": lambda value: value < wanted,
        "less_or_equal": lambda value: value <= wanted,
        "range": lambda value: _is_within(value, wanted),
    }
    return any(map(tests[operator], values)) != parameters.get("negation", False)


def _is_within(value: Any, wanted: dict[str, Any]) -> bool:
    """Bounds that are not given are open; those that are given count only where the request says so."""
    first, last = wanted.get("from"), wanted.get("to")
    fits = first is None or value > first or (value == first and wanted.get("include_lower"))
    return bool(fits) and (
        last is None or value < last or (value == last and bool(wanted.get("include_upper")))
    )


def _values(record: Any, path: list[str]) -> list[Any]:
    """Return all values at a path of a document, through lists."""
    if isinstance(record, list):
        return [value for each in record for value in _values(each, path)]
    if not path:
        return [] if record is None else [record]
    return _values(record.get(path[0]), path[1:]) if isinstance(record, dict) else []


def _has_type(value: Any, row: dict[str, Any]) -> bool:
    if row["type"] == "string":
        return isinstance(value, str)
    whole = row["type"] == "integer"
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)


def _lineage(ec: str) -> list[dict[str, str]] | None:
    parts = ec.split(".") if ec else []
    return [{"id": ".".join(parts[:depth])} for depth in range(1, len(parts) + 1)] or None


def _component(name: str, heavy: int | None) -> dict[str, Any]:
    info = None if heavy is None else {"atom_count_heavy": heavy}
    return {"rcsb_id": name, "rcsb_chem_comp_info": info}
