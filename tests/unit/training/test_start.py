"""Start weights: loaded, frozen, held, blended, and remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from debye.errors import CheckpointError, ConfigError
from debye.graph.build import build_graph
from debye.models.catalog import build_model, model_config
from debye.models.checkpoint import (
    CheckpointHeader,
    checkpoint_digest,
    load_checkpoint,
    save_checkpoint,
)
from debye.structure.structure import Entry
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import LabelSource, Per, Target
from debye.training.config import Recipe, StartConfig
from debye.training.start import ancestor, blend, freeze_body, start_from

pytest.importorskip("lightning")

from debye.training.module import FitModule

SETTINGS = {"layers": 1, "node_width": 8, "edge_width": 8, "global_width": 8, "embedding_width": 4}


def save(path: Path, seed: int, training: dict | None = None, **changes) -> Path:
    torch.manual_seed(seed)
    config = model_config("meta_gnn", SETTINGS).model_dump(mode="json")
    header = {"name": path.stem, "model": "meta_gnn", "config": config, "training": training or {}}
    save_checkpoint(path, build_model("meta_gnn", SETTINGS), CheckpointHeader(**(header | changes)))
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save(tmp_path / "base.safetensors", 1, {"store": "abc", "best_epoch": 3})


def recipe_from(base: Path, **start) -> Recipe:
    return Recipe(
        name="tuned",
        model="meta_gnn",
        settings=SETTINGS,
        start=StartConfig(checkpoint=str(base), **start),
    )


def test_a_recipe_without_a_start_leaves_the_model_alone():
    model = build_model("meta_gnn", SETTINGS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert start_from(model, Recipe(name="new", model="meta_gnn", settings=SETTINGS)) is None
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_weights_and_lineage_come_from_the_checkpoint(base):
    model = build_model("meta_gnn", SETTINGS)
    start = start_from(model, recipe_from(base))
    assert start is not None
    torch.manual_seed(1)
    for name, value in build_model("meta_gnn", SETTINGS).state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
        assert torch.equal(start.weights[name], value)
    assert start.lineage["name"] == "base"
    assert start.lineage["sha256"] == checkpoint_digest(base)
    assert start.lineage["training"] == {"store": "abc", "best_epoch": 3}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_chain_of_fine_tunings_keeps_all_ancestors(base, tmp_path):
    model = build_model("meta_gnn", SETTINGS)
    first = start_from(model, recipe_from(base))
    assert first is not None
    child = save(tmp_path / "child.safetensors", 2, {"store": "def", "parent": first.lineage})
    second = start_from(model, recipe_from(child))
    assert second is not None
    assert second.lineage["name"] == "child"
    assert second.lineage["training"]["parent"]["name"] == "base"
    assert second.lineage["training"]["parent"]["training"]["store"] == "abc"


def test_the_start_weights_do_not_follow_the_model(base):
    model = build_model("meta_gnn", SETTINGS)
    start = start_from(model, recipe_from(base))
    assert start is not None
    with torch.no_grad():
        model.heads["b_factor"].atom[-1].bias.add_(1.0)
    assert torch.equal(
        start.weights["heads.b_factor.atom.2.bias"] + 1, model.heads["b_factor"].atom[-1].bias
    )


@pytest.mark.parametrize("train", ["all", "head"])
def test_the_optimizer_gets_what_the_mode_says(base, train):
    recipe = recipe_from(base, train=train)
    model = build_model("meta_gnn", SETTINGS)
    start = start_from(model, recipe)
    assert start is not None
    optimizer = FitModule(model, recipe, steps=5, start=start.weights).configure_optimizers()
    groups = optimizer["optimizer"].param_groups  # type: ignore[attr-defined]
    given = {id(parameter) for group in groups for parameter in group["params"]}
    expected = {
        id(parameter)
        for name, parameter in model.named_parameters()
        if train == "all" or name.split(".")[0] in model.head
    }
    assert given == expected


def test_a_model_without_a_head_cannot_be_frozen(monkeypatch):
    model = build_model("meta_gnn", SETTINGS)
    monkeypatch.setattr(type(model), "head", ())
    with pytest.raises(ConfigError, match="declares no head"):
        freeze_body(model)


def test_the_distance_counts_trained_weights_alone(base):
    recipe = recipe_from(base, train="head", anchor=1.0)
    model = build_model("meta_gnn", SETTINGS)
    start = start_from(model, recipe)
    assert start is not None
    module = FitModule(model, recipe, steps=5, start=start.weights)
    assert module.squared_distance().item() == 0
    with torch.no_grad():
        model.heads["b_factor"].atom[-1].bias.add_(2.0)  # two numbers, each 2 away
        model.atoms.project.bias.add_(9.0)
    distance = module.squared_distance()
    assert distance.item() == pytest.approx(8.0)
    distance.backward()
    assert model.heads["b_factor"].atom[-1].bias.grad.tolist() == pytest.approx([4.0, 4.0])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_blending_is_a_weighted_mean(base, share):
    model = build_model("meta_gnn", SETTINGS)
    start = start_from(model, recipe_from(base))
    assert start is not None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(4.0)
    blend(model, start.weights, share)
    for name, value in model.named_parameters():
        assert torch.allclose(value, start.weights[name] + 4.0 * share, atol=1e-5), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {**SETTINGS, "layers": 2}}, "settings"),
        ({"model": "waller", "settings": {}}, "its model is meta_gnn"),
    ],
)
def test_a_checkpoint_that_does_not_fit_the_recipe_is_refused(base, changes, message):
    recipe = recipe_from(base).model_copy(update=changes)
    model = build_model(recipe.model, recipe.settings)
    with pytest.raises(ConfigError, match=message):
        start_from(model, recipe)


def test_a_file_that_was_replaced_is_refused(base):
    digest = checkpoint_digest(base)
    save(base, 2)
    model = build_model("meta_gnn", SETTINGS)
    with pytest.raises(ConfigError, match="its sha256 is"):
        start_from(model, recipe_from(base, sha256=digest))
    with pytest.raises(CheckpointError, match="neither a released model nor a file"):
        start_from(model, recipe_from(base.with_name("gone.safetensors")))


def test_an_ancestor_is_plain_values(base):
    header = CheckpointHeader(name="x", model="meta_gnn", config={}, training={"store": "s"})
    assert ancestor(header, "d" * 64) == {
        "name": "x",
        "sha256": "d" * 64,
        "version": header.version,
        "training": {"store": "s"},
    }


WALLER = {
    "atom_width": 8,
    "residue_width": 8,
    "edge_width": 8,
    "atom_layers": 1,
    "residue_layers": 1,
    "rigid_terms": 2,
    "graph": {"residue_radius": 10.0, "structure_scalars": ["resolution", "log_atoms"]},
}


def save_waller(path: Path, facts: list[str] | None = None) -> Path:
    torch.manual_seed(3)
    graph = WALLER["graph"] | ({} if facts is None else {"structure_scalars": facts})
    settings = WALLER | {"graph": graph}
    config = model_config("waller", settings).model_dump(mode="json")
    header = CheckpointHeader(name="old", model="waller", config=config)
    save_checkpoint(path, build_model("waller", settings), header)
    return path


def wider(base: Path, facts: list[str], **settings) -> Recipe:
    graph = WALLER["graph"] | {"structure_scalars": facts}
    return Recipe(
        name="wider",
        model="waller",
        settings=WALLER | {"graph": graph} | settings,
        start=StartConfig(checkpoint=str(base)),
    )


def test_further_facts_and_dropout_change_nothing_at_first(tmp_path, peptide):
    base = save_waller(tmp_path / "old.safetensors")
    recipe = wider(base, ["resolution", "log_atoms", "other_coordinates"], dropout=0.3)
    model = build_model("waller", recipe.settings).eval()
    start = start_from(model, recipe)
    assert start is not None
    assert model.config.dropout == 0.3
    old = load_checkpoint(base).model.eval()
    model_file = replace(peptide, entry=Entry(id="model", is_predicted=True))
    said, says = (one(build_graph(model_file, one.graph_config)).first for one in (old, model))
    torch.testing.assert_close(said.value, says.value)
    torch.testing.assert_close(said.log_mean_sd, says.log_mean_sd)
    assert torch.equal(start.weights["structures.weight"][:, 2], torch.zeros(8))
    with torch.no_grad():
        model.structures.weight[:, 2] = 1.0
    changed = model(build_graph(model_file, model.graph_config)).first
    assert not torch.allclose(changed.value, says.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"facts": ["log_atoms", "resolution", "other_coordinates"]},
        {"facts": ["resolution"]},
        {"facts": []},
        {"facts": ["resolution", "log_atoms"], "atom_width": 16},
    ],
)
def test_what_would_change_the_old_weights_is_refused(tmp_path, changes):
    recipe = wider(save_waller(tmp_path / "old.safetensors"), **changes)
    with pytest.raises(ConfigError, match="its settings is") as error:
        start_from(build_model("waller", recipe.settings), recipe)
    # Both sides as they are.
    found, said = str(error.value).split("the recipe says")
    facts = [str(one["structure_scalars"]) for one in (WALLER["graph"], recipe.settings["graph"])]
    assert facts[0] in found
    assert facts[1] in said


def test_a_model_that_was_told_nothing_of_the_structure_stays_so(tmp_path):
    base = save_waller(tmp_path / "old.safetensors", facts=[])
    recipe = wider(base, ["resolution"])
    with pytest.raises(ConfigError, match="its settings is"):
        start_from(build_model("waller", recipe.settings), recipe)


def test_a_model_without_columns_for_facts_gets_no_further_ones(base):
    settings = SETTINGS | {
        "graph": {"structure_scalars": ["resolution", "resolution_known", "log_atoms"]}
    }
    recipe = Recipe(
        name="a", model="meta_gnn", settings=settings, start=StartConfig(checkpoint=str(base))
    )
    with pytest.raises(ConfigError, match="its settings is"):
        start_from(build_model("meta_gnn", settings), recipe)


def made(name: str, per: Per = Per.ATOM) -> Target:
    return Target(name=name, unit="e", summary="Made.", per=per, source=LabelSource(name=name))


CHARGE, SIZE = made("charge"), made("size", Per.RESIDUE)


def heads_of(weights: Mapping[str, torch.Tensor]) -> set[str]:
    return {name.split(".")[1] for name in weights if name.startswith("heads.")}


def test_another_target_starts_from_the_trunk_and_a_head_of_its_own(base):
    torch.manual_seed(7)
    model = build_model("meta_gnn", SETTINGS, (CHARGE,))
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    start = start_from(model, recipe_from(base))
    assert start is not None
    old = load_checkpoint(base).model.state_dict()
    for name, value in model.state_dict().items():
        expected = fresh[name] if name.startswith("heads.") else old[name]
        assert torch.equal(value, expected), name
    assert heads_of(start.weights) == set()
    assert set(start.weights) == {name for name in fresh if not name.startswith("heads.")}


def test_a_head_that_both_have_is_kept_and_further_ones_are_random(base):
    torch.manual_seed(7)
    model = build_model("meta_gnn", SETTINGS, (SIZE, B_FACTOR, CHARGE))
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    start = start_from(model, recipe_from(base))
    assert start is not None
    old = load_checkpoint(base).model.state_dict()
    assert heads_of(fresh) == {"size", "b_factor", "charge"}
    for name, value in model.state_dict().items():
        expected = old[name] if name in old else fresh[name]
        assert torch.equal(value, expected), name
    assert heads_of(start.weights) == {"b_factor"}


def test_anchor_and_blend_leave_a_new_head_alone(base):
    recipe = recipe_from(base, anchor=1.0)
    model = build_model("meta_gnn", SETTINGS, (CHARGE,))
    start = start_from(model, recipe)
    assert start is not None
    module = FitModule(model, recipe, steps=5, start=start.weights)
    with torch.no_grad():
        model.heads["charge"].atom[-1].bias.add_(5.0)
    assert module.squared_distance().item() == 0
    head = model.heads["charge"].atom[-1].bias.clone()
    with torch.no_grad():
        model.atoms.project.bias.add_(4.0)
    blend(model, start.weights, 0.5)
    assert torch.equal(model.heads["charge"].atom[-1].bias, head)
    torch.testing.assert_close(model.atoms.project.bias, start.weights["atoms.project.bias"] + 2.0)


def test_a_new_head_alone_may_be_trained(base):
    model = build_model("meta_gnn", SETTINGS, (CHARGE,))
    start_from(model, recipe_from(base, train="head"))
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name.split(".")[0] for name in trained} == set(model.head)
    assert heads_of(dict.fromkeys(trained, torch.zeros(()))) == {"charge"}
