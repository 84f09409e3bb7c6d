"""Search recipes: what they say, and what is refused."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from servers.rcsb import SCHEMAS

from debye.dataset.search.recipes import (
    Condition,
    Polymers,
    SearchRecipe,
    read_search_recipe,
    shipped_recipes,
)
from debye.errors import ConfigError


def test_every_shipped_recipe_is_known_by_its_name():
    for path in shipped_recipes().glob("*.toml"):
        assert read_search_recipe(path.stem).name == path.stem


def test_the_kinase_recipe_names_families_and_classes():
    (kinases,) = read_search_recipe("kinase").groups
    assert kinases.pfam == ("PF00069", "PF07714")
    assert kinases.ec == ("2.7.10", "2.7.11", "2.7.12", "2.7.13")


def test_recipes_of_older_stores_are_read():
    """They have one table of kinases, or null."""
    kinases = {
        "pfam": ["PF00069"], "ec": ["2.7.11"], "match": "both", "small_molecule": True,
        "small_molecule_ec": ["2.7.1"],
    }  # fmt: skip
    first, second = SearchRecipe.model_validate({"name": "x", "kinases": kinases}).groups
    assert (first.name, first.pfam, first.match) == ("protein-kinase", ("PF00069",), "both")
    assert (second.name, second.pfam, second.ec) == ("small-molecule-kinase", (), ("2.7.1",))
    assert SearchRecipe.model_validate({"name": "x", "kinases": None}).groups == ()


def test_paths_are_relative_to_the_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nids = "lists/ids.txt"\n')
    assert read_search_recipe(path).ids == tmp_path / "lists" / "ids.txt"


def test_kinds_of_polymers_are_those_that_the_server_knows():
    attributes = json.loads((SCHEMAS / "search_attributes.json").read_text())
    known = attributes["rcsb_entry_info.selected_polymer_entity_types"]["values"]
    assert sorted(get_args(Polymers)) == sorted(known)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('nam = "x"', "nam"),
        ('name = "x"\n[choose]\nidentity = 40', "30, 50, 70"),
        ('name = "x"\nids = "a"\nstructures = "b"', "exclude each other"),
        ('name = "x"\nids = "a"\n[[where]]\nattribute = "b"\nvalue = 1', "where needs a search"),
        ('name = "x"\nstructures = "a"\n[[groups]]\nname = "b"\nec = ["1"]', "structures has none"),
        ('name = "x"\n[[groups]]\nname = "b"', "give pfam, ec or both"),
        ('name = "x"\n[[where]]\nattribute = "b"', "needs a value"),
        ('name = "x"\n[[where]]\nattribute = "b"\nvalue = 1\noperator = "in"', "list of values"),
        ('name = "x"\n[[where]]\nvalue = 1', "exactly one of"),
        ('name = "x"\n[entries]\npolymers = ["Proteins"]', "Protein/Oligosaccharide"),
        ('name = "x"\nstructures = "a"', "no sequence clusters: set identity = 0"),
        ('name = "x"\n[[where]]\nattribute = "b"\noperator = "range"\nvalue = {}', "at_least"),
        (
            'name = "x"\n[[where]]\nattribute = "b"\noperator = "range"\n'
            "value = { at_least = 5, at_most = 2020-01-01 }",
            "both be numbers, or both dates",
        ),
        ('name = "../x"', "pattern"),
        ("name = ", "not TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, message):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_search_recipe(path)


def test_a_folder_does_not_hide_a_shipped_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kinase").mkdir()
    assert read_search_recipe("kinase").name == "kinase"


def test_values_keep_their_type():
    values = (True, 3, 2.5, "4")
    found = [Condition(attribute="a", operator="equals", value=value).value for value in values]
    assert [type(value) for value in found] == [bool, int, float, str]
