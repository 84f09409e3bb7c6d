"""Recipes of the comparison: the same for every model, apart from what is searched."""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path

import pytest

from debye.config_files import apply_override
from debye.models.catalog import CATALOG, build_model, model_config
from debye.models.convolutional.base import USUAL_DEGREE
from debye.training.config import Recipe, read_recipe

FOLDER = Path(__file__).parents[3] / "recipes" / "comparison"
NETWORKS = [
    name for name, card in CATALOG.items() if (FOLDER / f"{name}.toml").exists() and card.learned
]


@pytest.fixture(scope="module")
def recipes() -> dict[str, Recipe]:
    return {name: read_recipe(FOLDER / f"{name}.toml") for name in NETWORKS}


def test_every_convolution_is_compared():
    convolutions = {name for name, card in CATALOG.items() if ".convolutional." in card.module}
    assert convolutions < set(NETWORKS)


def test_they_are_valid(recipes):
    for name, recipe in recipes.items():
        assert recipe.name == recipe.model == name
        model_config(recipe.model, recipe.settings)


def test_they_differ_in_size_alone(recipes):
    """Graph, layers, data, loss and training come from one base; a recipe adds its widths."""
    for name in recipes:
        own = tomllib.loads((FOLDER / f"{name}.toml").read_text())
        assert own.keys() == {"base", "name", "model", "settings", "search"}
        assert own["base"] == "base/network.toml"
        sizes = own["settings"].keys() - {"distance_basis", "usual_degree"}
        assert all("width" in setting for setting in sizes)
        assert not {"graph", "layers"} & own["settings"].keys()


def test_meta_gnn_describes_edges_as_the_others_do(recipes):
    meta, gin = (model_config(name, recipes[name].settings) for name in ("meta_gnn", "gin"))
    for setting in ("layers", "embedding_width", "distance_basis"):
        assert getattr(meta, setting) == getattr(gin, setting)
    assert meta.usual_degree == USUAL_DEGREE


def test_they_read_what_the_released_meta_gnn_reads(recipes):
    graph = recipes["meta_gnn"].settings["graph"]
    released = read_recipe(FOLDER.parent / "meta_gnn.toml").settings["graph"]
    assert {**released, "radius": 4.0} == graph


def test_they_search_width_and_learning_rate(recipes):
    for name, recipe in recipes.items():
        width = "settings.node_width" if name == "meta_gnn" else "settings.width"
        assert list(recipe.search) == [width, "training.learning_rate"]
        assert all(len(values) == 2 for values in recipe.search.values())
        assert recipe.search["training.learning_rate"] == [1e-3, 4e-3]


def test_all_sizes_lie_within_a_factor_of_two(recipes):
    sizes = {
        (name, width): parameters(recipe, width)
        for name, recipe in recipes.items()
        for width in widths(recipe)
    }
    assert max(sizes.values()) <= 2 * min(sizes.values()), sizes


def widths(recipe: Recipe) -> list[int]:
    return next(values for key, values in recipe.search.items() if key.startswith("settings."))


def parameters(recipe: Recipe, width: int) -> int:
    content = recipe.model_dump(mode="json")
    key = next(key for key in recipe.search if key.startswith("settings."))
    apply_override(content, f"{key}={width}")
    model = build_model(recipe.model, content["settings"])
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_combination_is_valid(recipes):
    for recipe in recipes.values():
        for values in product(*recipe.search.values()):
            content = recipe.model_dump(mode="json")
            for key, value in zip(recipe.search, values, strict=True):
                apply_override(content, f"{key}={value}")
            Recipe.model_validate(content)
            model_config(recipe.model, content["settings"])
