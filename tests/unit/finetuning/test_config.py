"""The recipe of a fine-tuning: what the start model decides, and what the user does."""

from __future__ import annotations

import pytest

from debye.errors import CheckpointError, ConfigError
from debye.finetuning.config import FinetuneConfig, StartModel, open_start, tuning_recipe
from debye.models.catalog import find_model, model_config
from debye.models.checkpoint import CheckpointHeader, read_header, released_checkpoints

RELEASED = [name for name, path in released_checkpoints().items()]


def start(**training) -> StartModel:
    header = CheckpointHeader(
        name="base",
        model="meta_gnn",
        config={"layers": 2},
        targets=("b_factor_log",),
        training=training,
    )
    return StartModel(checkpoint="base.safetensors", sha256="f" * 64, header=header)


@pytest.mark.parametrize("name", RELEASED)
def test_every_released_model_that_learns_can_be_fine_tuned(name):
    header = read_header(name)
    if not find_model(header.model).learned:
        with pytest.raises(ConfigError, match="nothing to fine-tune"):
            open_start(name)
        return
    recipe = tuning_recipe("x", open_start(name), FinetuneConfig(), {"split": "a"}, choose=False)
    assert model_config(recipe.model, recipe.settings) == model_config(header.model, header.config)
    past = header.training["recipe"]
    assert recipe.loss.huber_delta == past["loss"]["huber_delta"]
    assert recipe.data.loader.hide_crystal == past["data"]["loader"]["hide_crystal"]
    assert recipe.data.loader.batch_atoms == past["data"]["loader"]["batch_atoms"]


def test_the_start_model_decides_what_is_learned_and_the_user_how():
    past = {
        "loss": {"level": 0.7},
        "data": {
            "hide_resolution": 0.9,
            "loader": {
                "hide_crystal": 0.2,
                "seed": 1,
                "shuffle": True,
                "representative_only": True,
                "augment": {"noise": 0.3, "other_crystal": 0.3},
            },
        },
        "training": {"precision": "32-true", "epochs": 99, "learning_rate": 0.1},
    }
    config = FinetuneConfig(mode="low-rate", epochs=3, anchor=0.5, blend=0.25, batch_atoms=77)
    entries = {"split": "new", "only": ("a", "b")}
    recipe = tuning_recipe("x", start(recipe=past), config, entries, choose=False)
    assert (recipe.model, recipe.settings, recipe.targets) == (
        "meta_gnn",
        {"layers": 2},
        ("b_factor_log",),
    )
    assert recipe.loss.level == 0.7
    assert recipe.data.hide_resolution == 0.9
    loader = recipe.data.loader
    assert (loader.hide_crystal, loader.batch_atoms, loader.only) == (0.2, 77, ("a", "b"))
    assert not loader.representative_only, "new entries are chosen by the user"
    assert (loader.augment.noise, loader.augment.other_crystal) == (0.3, 0.0)
    training = recipe.training
    assert (training.precision, training.epochs, training.learning_rate) == ("32-true", 3, 1e-4)
    assert training.keep == "last"
    assert recipe.start is not None
    assert (recipe.start.train, recipe.start.anchor, recipe.start.blend) == ("all", 0.5, 0.25)
    assert recipe.rehearsal is None


def test_old_entries_are_rehearsed_without_copies_of_the_new_ones():
    entries = {"split": "new", "old_split": "train", "old_without": ("1abc",)}
    config = FinetuneConfig(mode="head", rehearsal=0.5)
    recipe = tuning_recipe("x", start(), config, entries, choose=True)
    assert recipe.rehearsal is not None
    assert (recipe.rehearsal.share, recipe.rehearsal.without) == (0.5, ("1abc",))
    assert recipe.training.keep == "best"
    assert recipe.start is not None
    assert recipe.start.train == "head"


def test_settings_of_another_version_are_explained():
    past = {"data": {"loader": {"sparkle": 3}}}
    with pytest.raises(CheckpointError, match="sparkle"):
        tuning_recipe("x", start(recipe=past), FinetuneConfig(), {"split": "new"}, choose=True)
