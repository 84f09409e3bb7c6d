"""Checkpoints of both formats: what is written comes back, and old files predict what they did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from debye.errors import CheckpointError, ConfigError
from debye.graph.build import build_graph
from debye.models.catalog import build_model, model_config
from debye.models.checkpoint import (
    CheckpointHeader,
    load_checkpoint,
    read_header,
    save_checkpoint,
)
from debye.plugins import Catalog
from debye.targets import catalog
from debye.targets.b_factor import B_FACTOR
from debye.targets.target import LabelSource, Target, Transform

SMALL = {
    "meta_gnn": {"layers": 1, "node_width": 8, "edge_width": 8, "global_width": 8},
    "gcn": {"layers": 1, "width": 8},
    "waller": {"atom_width": 8, "residue_width": 8, "edge_width": 8, "residue_layers": 1},
}
OLD_NAMES = {
    "meta_gnn": {"atom": "readout", "structure": "level"},
    "gcn": {"atom": "readout", "structure": "level"},
    "waller": {"atom": "atom_readout", "residue": "residue_readout", "structure": "level"},
}
CHARGE = Target(
    name="charge",
    unit="e",
    summary="Charge of an atom.",
    source=LabelSource(name="charge"),
    transform=Transform.STANDARD,
)


def write_old(path: Path, name: str, **header: object) -> Path:
    """Write a checkpoint of format 1, as earlier versions did: one target, its head in the model itself."""
    torch.manual_seed(1)
    state = build_model(name, SMALL[name]).state_dict()
    weights = {}
    for key, value in state.items():
        for part, old in OLD_NAMES[name].items():
            key = key.replace(f"heads.b_factor.{part}.", f"{old}.")
        weights[key] = value.contiguous()
    assert not any(key.startswith("heads.") for key in weights)
    config = model_config(name, SMALL[name]).model_dump(mode="json")
    content = {
        "format": 1,
        "name": "old",
        "model": name,
        "config": config,
        "target": "b_factor",
        "calibration": None,
        "training": {"store": "abc"},
        "version": "0.1.0",
        **header,
    }
    save_file(weights, path, metadata={"debye": json.dumps(content)})
    return path


@pytest.mark.parametrize("name", SMALL)
def test_a_checkpoint_of_format_1_predicts_what_it_did(name: str, peptide, tmp_path: Path) -> None:
    loaded = load_checkpoint(write_old(tmp_path / "old.safetensors", name))
    torch.manual_seed(1)
    expected = build_model(name, SMALL[name]).eval()
    assert loaded.header.targets == ("b_factor",)
    assert loaded.header.scales == loaded.header.calibration == {}
    assert loaded.header.training == {"store": "abc"}
    for key, value in expected.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key], value), key
    graph = build_graph(peptide, expected.graph_config)
    with torch.no_grad():
        one, two = expected(graph).first, loaded.model(graph).first
    for part in ("value", "log_error", "log_mean_sd"):
        assert torch.equal(getattr(one, part), getattr(two, part))


@pytest.mark.parametrize("target", ["b_factor", "b_factor_log"])
def test_bounds_of_format_1_are_those_of_its_target(target: str, tmp_path: Path) -> None:
    bounds = {"coverage": 0.9, "intervals": []}
    path = write_old(tmp_path / "old.safetensors", "gcn", target=target, calibration=bounds)
    header = read_header(path)
    assert header.targets == (target,)
    assert header.calibration == {target: bounds}


def test_an_old_checkpoint_is_saved_in_the_format_of_today(tmp_path: Path) -> None:
    old = load_checkpoint(write_old(tmp_path / "old.safetensors", "meta_gnn"))
    save_checkpoint(tmp_path / "new.safetensors", old.model, old.header)
    new = load_checkpoint(tmp_path / "new.safetensors")
    assert new.header.format == 2
    assert new.header.targets == old.header.targets
    for key, value in old.model.state_dict().items():
        assert torch.equal(new.model.state_dict()[key], value), key


def test_a_header_with_targets_and_scales_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Catalog("target", "debye.targets", Target, [B_FACTOR, CHARGE])
    monkeypatch.setattr(catalog, "TARGETS", rows)
    header = CheckpointHeader(
        name="two",
        model="gcn",
        config=SMALL["gcn"],
        targets=("b_factor", "charge"),
        scales={"charge": (-0.25, 0.5)},
        calibration={"charge": {"coverage": 0.9, "intervals": []}},
    )
    model = build_model("gcn", SMALL["gcn"], header.find_targets())
    save_checkpoint(tmp_path / "two.safetensors", model, header)
    loaded = load_checkpoint(tmp_path / "two.safetensors")
    assert loaded.header == header
    assert [target.name for target in loaded.model.targets] == ["b_factor", "charge"]
    charge = loaded.model.targets[1]
    assert (charge.location, charge.scale) == (-0.25, 0.5)


def test_targets_of_another_version_are_named(tmp_path: Path) -> None:
    header = CheckpointHeader(name="a", model="gcn", config={}, targets=("b_factr",))
    with pytest.raises(ConfigError, match="Did you mean 'b_factor'"):
        header.find_targets()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = write_old(tmp_path / "old.safetensors", "gcn", format=3)
    with pytest.raises(CheckpointError, match="format 3, this version reads 1 to 2"):
        read_header(path)
