"""The questions that debye asks agree with the schemas of RCSB's interfaces (see ``make_rcsb_schema.py``)."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate
from servers.rcsb import SCHEMAS, search_problem, terminals

from debye.dataset.search.rcsb import ENTRIES, search_request
from debye.dataset.search.recipes import (
    Condition,
    EntryFilter,
    ProteinGroup,
    Range,
    SearchRecipe,
    read_search_recipe,
)

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "data").glob("*.toml"))
EVERYTHING = SearchRecipe(
    name="everything",
    entries=EntryFilter(
        released_from=date(2020, 1, 1),
        released_until=date(2021, 1, 1),
        revised_from=date(2022, 1, 1),
    ),
    groups=(
        ProteinGroup(name="one", pfam=("PF00069", "PF07714"), ec=("2.7.10",), match="both"),
        ProteinGroup(name="two", ec=("2.7.1", "2.7.2")),
    ),
    where=(
        Condition(attribute="struct.title", operator="contains_phrase", value="kinase"),
        Condition(attribute="rcsb_entry_info.resolution_combined", operator="exists"),
        Condition(
            attribute="rcsb_accession_info.deposit_date",
            operator="range",
            value=Range(at_least=date(2000, 1, 1)),
        ),
    ),
)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_searches_of_the_recipes_agree_with_the_schema(path):
    recipe = read_search_recipe(path)
    if recipe.ids is None and recipe.structures is None:
        assert search_problem(search_request(recipe)) is None


def test_a_search_with_every_setting_agrees_with_the_schema():
    request = search_request(EVERYTHING)
    assert search_problem(request) is None
    assert len(terminals(request["query"])) == 16


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ({"attribute": "exptl.methods", "value": "X-RAY DIFFRACTION"}, "unknown attribute"),
        ({"attribute": "exptl.method", "value": "X-RAY"}, "not among"),
        ({"attribute": "exptl.method", "operator": "greater", "value": 2}, "is not one of"),
        (
            {"attribute": "rcsb_entry_info.deposited_atom_count", "operator": "less", "value": "9"},
            "should be of type integer",
        ),
    ],
)
def test_the_check_can_fail(condition, problem):
    recipe = SearchRecipe(name="wrong", where=(Condition.model_validate(condition),))
    assert problem in (search_problem(search_request(recipe)) or "")


def test_the_question_about_entries_agrees_with_the_schema():
    schema = build_schema((SCHEMAS / "data.graphql").read_text())
    assert validate(schema, parse(ENTRIES)) == []
    assert validate(schema, parse(ENTRIES.replace("rcsb_id", "rcsb_name")))


def test_dates_are_given_as_the_search_wants_them():
    """The search API takes a moment in UTC, not a day."""
    days = [
        str(each["value"]).removesuffix("T00:00:00Z")
        for each in terminals(search_request(EVERYTHING)["query"])
        if each["attribute"].startswith("rcsb_accession_info") and each["operator"] != "range"
        if str(each["value"]).endswith("T00:00:00Z")
    ]
    assert days == ["2020-01-01", "2021-01-01", "2022-01-01"]
