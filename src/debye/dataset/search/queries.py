"""Recipes → the JSON of RCSB's search API and the GraphQL of its data API.

RCSB's own client ``rcsb-api`` is not used: its addresses are constants of the package, so it cannot be pointed at a
mirror, it downloads its attribute schema when it is imported, and it does not heed ``Retry-After``. The JSON is the
documented one (https://search.rcsb.org); the tests compare it with the schema that the client is made from.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from debye.dataset.search.recipes import Condition, EntryFilter, ProteinGroup, Range, SearchRecipe

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
        nodes = [node(each) for each in condition.all]
        label = {"label": "nested-attribute"} if condition.same_record else {}
        return _group("and", nodes) | label
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
