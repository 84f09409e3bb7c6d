"""Who takes part in a comparison, and as what."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from debye.benchmark.comparison.contenders import read_contenders
from debye.benchmark.comparison.runs import needs_package
from debye.errors import CheckpointError, ConfigError
from debye.models.catalog import build_model

RECIPES = Path(__file__).parents[4] / "recipes"


def test_recipes_are_trained_fitted_or_evaluated_as_they_stand(tmp_path: Path):
    fixed = tmp_path / "contact_7.toml"
    fixed.write_text('name = "contact_7"\nmodel = "contact_number"\n[settings]\nradius = 5.0\n')
    searched = tmp_path / "searched.toml"
    searched.write_text(
        'name = "searched"\nmodel = "meta_gnn"\n[search]\n"training.learning_rate" = [1e-3, 2e-3]\n'
    )
    words = [str(RECIPES / "meta_gnn.toml"), str(RECIPES / "locant_element_mean.toml")]
    found = read_contenders(
        [*words, str(fixed), str(searched), "contact_number", "meta_gnn"], ["training.epochs=2"]
    )
    kinds = {each.name: each.kind for each in found}
    assert kinds == {
        "meta_gnn": "learned",
        "locant_element_mean": "fitted",
        "contact_7": "fixed",
        "searched": "learned",
        "contact_number": "fixed",
        "meta_gnn-released": "fixed",
    }
    by_name = {each.name: each for each in found}
    assert by_name["meta_gnn"].has_seeds
    assert not by_name["locant_element_mean"].has_seeds
    assert not by_name["contact_7"].has_seeds
    assert len(by_name["searched"].trials) == 2
    assert by_name["meta_gnn"].recipe.training.epochs == 2  # type: ignore[union-attr]
    assert by_name["contact_7"].recipe.training.epochs != 2  # type: ignore[union-attr]
    assert by_name["contact_number"].checkpoint is None
    assert by_name["meta_gnn-released"].checkpoint == "meta_gnn"


def test_nobody_twice_nobody_unknown_and_not_nobody():
    with pytest.raises(ConfigError, match="more than one recipe or model is called waller"):
        read_contenders(["waller", "waller"])
    with pytest.raises(CheckpointError, match="nonsense"):
        read_contenders(["nonsense"])
    with pytest.raises(ConfigError, match="no recipe is given"):
        read_contenders([])


def test_a_recipe_can_be_read_without_the_package_of_its_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name in [name for name in sys.modules if name.startswith("debye.models.convolutional")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == "torch_geometric"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    (found,) = read_contenders([str(RECIPES / "comparison" / "gcn.toml")])
    assert found.recipe is not None
    assert len(found.trials) == 4
    with pytest.raises(ConfigError, match="needs torch_geometric") as refused:
        build_model(found.model, found.recipe.settings)
    assert needs_package(refused.value)
