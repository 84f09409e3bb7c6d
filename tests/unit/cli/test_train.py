from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from debye.cli.main import app
from debye.errors import ConfigError


def run(*more: str) -> Result:
    return CliRunner().invoke(app, ["train", "recipe.toml", "--data", "store", *more])


@pytest.mark.parametrize("devices", ["two", "0", "-1", "1.5", ""])
def test_devices_that_are_no_number_are_a_usage_error(devices: str) -> None:
    result = run("--devices", devices)
    assert result.exit_code == 2
    assert "--devices" in result.output
    assert "is neither auto nor a number" in " ".join(result.output.replace("│", " ").split())


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "lightning" else object()
    )
    error = run().exception
    assert isinstance(error, ConfigError)
    assert "needs the extra train: lightning cannot be imported" in str(error)
    assert "pip install 'debye[train]'" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_process_calibrates_and_reports(
    rank: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fit = pytest.importorskip("debye.training.fit")
    from lightning.pytorch.utilities import rank_zero_only

    done = []
    result = fit.FitResult(
        checkpoint=tmp_path / "x.safetensors",
        best_epoch=3,
        monitor="mean per-structure r",
        val_r=0.5,
    )
    monkeypatch.setattr(fit, "fit", lambda *args, **settings: result)
    monkeypatch.setattr("debye.dataset.store.store.Store.open", lambda path: path)
    monkeypatch.setattr(
        "debye.prediction.calibrate.calibrate_checkpoint", lambda *args: done.append(args)
    )
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('name = "x"\nmodel = "meta_gnn"\n')
    finished = CliRunner().invoke(app, ["train", str(recipe), "--data", str(tmp_path)])
    assert finished.exit_code == 0, finished.output
    assert len(done) == (rank == 0)
    assert ("best epoch 3" in finished.output) == (rank == 0)
