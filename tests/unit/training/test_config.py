"""Recipes: strict, explained, overridable."""

from __future__ import annotations

from pathlib import Path

import pytest

from debye.errors import ConfigError
from debye.graph.build import build_graph
from debye.models.catalog import model_config
from debye.training.config import read_recipe

ROOT = Path(__file__).parents[3] / "recipes"
RECIPES = sorted(
    path for folder in (".", "further", "last") for path in (ROOT / folder).glob("*.toml")
)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_recipes_are_valid(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    config = model_config(recipe.model, recipe.settings)
    if recipe.data.loader.augment.other_crystal:
        assert "other_coordinates" in config.graph.structure_scalars


def test_the_covalent_recipe_has_bonds_only(peptide):
    recipe = read_recipe(next(path for path in RECIPES if path.stem == "meta_gnn_covalent"))
    config = model_config(recipe.model, recipe.settings).graph
    assert config.radius is None
    assert not config.reads_crystal
    assert bool((build_graph(peptide, config).edge_bond > 0).all())


def test_there_are_recipes():
    assert {"meta_gnn", "meta_gnn_covalent"} <= {path.stem for path in RECIPES}


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\nmodel = "meta_gnn"\n[training]\nepochs = 3\n')
    return path


def test_overrides_reach_nested_settings(recipe_file):
    recipe = read_recipe(
        recipe_file,
        ["training.epochs=7", "settings.graph.radius=4.5", "name=other", "data.loader.workers=2"],
    )
    assert recipe.training.epochs == 7
    assert recipe.settings["graph"]["radius"] == 4.5
    assert recipe.name == "other"
    assert recipe.data.loader.workers == 2
    assert recipe.data.loader.hide_crystal == 0.4, (
        "a section given in part keeps its other defaults"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "training.epoch"),
        ("training.learning_rate=2", "less than 1"),
        ("training.epochs=0", "greater than 0"),
        ("epochs", "section.key=value"),
        ("training.epochs.x=1", "epochs is a setting, not a section"),
        ("data.loader.seed=3", "data.loader.seed"),
        ("training.precision=fp8", "bf16-mixed"),
        ("training.cycles=2", "not a multiple of cycles"),
    ],
)
def test_wrong_settings_are_named(recipe_file, override, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(recipe_file, [override])


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        read_recipe(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(ConfigError, match="not TOML"):
        read_recipe(broken)


def test_one_target_may_be_given_by_its_old_name(recipe_file):
    assert read_recipe(recipe_file).targets == ("b_factor",)
    assert read_recipe(recipe_file, ["target=b_factor_log"]).targets == ("b_factor_log",)
    both = read_recipe(recipe_file, ['targets=["b_factor", "b_factor_log"]', "weights.b_factor=2"])
    assert both.targets == ("b_factor", "b_factor_log")
    assert both.weights == {"b_factor": 2.0}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["target=b_factor", 'targets=["b_factor"]'], "target or targets, not both"),
        (['targets=["b_factor", "b_factor"]'], "a target is given twice"),
        (["targets=[]"], "at least 1 item"),
        (["weights.charge=1"], "weights of charge"),
    ],
)
def test_targets_that_contradict_each_other_are_refused(recipe_file, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(recipe_file, overrides)


def test_a_recipe_takes_what_it_lacks_from_its_base(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "base.toml").write_text(
        'model = "meta_gnn"\n[settings]\nlayers = 2\n[training]\nseed = 7\nepochs = 3\n'
    )
    (tmp_path / "folder" / "middle.toml").write_text(
        'base = "../base.toml"\n[settings]\nlayers = 5\n'
    )
    own = tmp_path / "own.toml"
    own.write_text('base = "folder/middle.toml"\nname = "own"\n[training]\nseed = 1\n')
    recipe = read_recipe(own, ["training.epochs=9"])
    assert (recipe.model, recipe.settings["layers"]) == ("meta_gnn", 5)
    assert (recipe.training.seed, recipe.training.epochs) == (1, 9)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("3", "base = 3 is not a path"),
        ('"own.toml"', "leads back to this file"),
        ('"missing.toml"', "missing.toml: cannot be read"),
    ],
)
def test_a_base_that_cannot_be_read_is_explained(tmp_path, base, message):
    path = tmp_path / "own.toml"
    path.write_text(f'base = {base}\nname = "own"\nmodel = "meta_gnn"\n')
    with pytest.raises(ConfigError, match=message):
        read_recipe(path)
