"""Every target of the catalog, and three kinds that the catalog may get, from labels to files and back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from debye import testing
from debye.benchmark.store import evaluate_store
from debye.dataset.store.build import build_store
from debye.dataset.store.labels import label_store
from debye.dataset.store.store import Store
from debye.errors import ConfigError, DebyeWarning, StructureError
from debye.models.checkpoint import read_header
from debye.prediction.calibrate import calibrate_checkpoint
from debye.prediction.prediction import residue_text
from debye.prediction.predictor import Predictor
from debye.scores.summary import measure
from debye.scores.tables import rows_where
from debye.structure.read import read_structure
from debye.structure.structure import Entry, Structure
from debye.structure.write import write_structure
from debye.targets.catalog import TARGETS, find_targets
from debye.targets.target import Labels, LabelSource, Per, Target, Transform
from debye.testing.peptide import build_peptide
from debye.training.config import Recipe
from debye.training.fit import fit


def neighbors(structure: Structure) -> Labels:
    """Atoms within 6 Å: per atom, never negative."""
    pairs = cKDTree(structure.position).query_ball_point(structure.position, 6.0)
    return Labels.where_finite(np.array([len(found) - 1 for found in pairs], np.float32))


def polarity(structure: Structure) -> Labels:
    """A made-up charge: per atom, negative for oxygen, unknown for sulfur."""
    charge = {"O": -0.5, "N": -0.3, "C": 0.2, "S": np.nan}
    return Labels.where_finite(np.array([charge[name] for name in structure.element], np.float32))


def residue_size(structure: Structure) -> Labels:
    """Atoms of each residue: per residue."""
    return Labels.where_finite(np.bincount(structure.residue_index).astype(np.float32))


def residue_number(structure: Structure) -> Labels:
    """Number of residues: per structure."""
    return Labels.where_finite(np.array([structure.n_residues], np.float32))


def row(name: str, compute, **settings) -> Target:
    source = LabelSource(name=name, compute=compute)
    return Target(name=name, unit="", summary="Test.", source=source, **settings)


TEST_ROWS = {
    target.name: target
    for target in (
        row("neighbors", neighbors, minimum=0.0, percent_floor=1.0),
        row("polarity", polarity, loss="within_structures", monitor="structure_r"),
        row("residue_size", residue_size, per=Per.RESIDUE, minimum=0.0),
        row("residue_number", residue_number, per=Per.STRUCTURE, minimum=0.0),
        row("neighbors_log", neighbors, minimum=0.5, transform=Transform.LOG),
    )
}
SETTINGS = {"layers": 1, "node_width": 8, "edge_width": 8, "global_width": 8, "embedding_width": 4}


@pytest.fixture(scope="module")
def chains() -> list[Structure]:
    """Ten chains of different length, hot at their ends; the last is from NMR and has no B-factors."""
    generator = np.random.default_rng(0)
    found = []
    for number in range(10):
        residues = 12 + number % 4
        sequence = "".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), residues))
        structure = build_peptide(sequence)
        middle = np.abs(structure.residue_index - (residues - 1) / 2)
        b = 15 + 3 * middle + generator.gamma(4.0, 0.5, len(structure))
        method = "X-RAY DIFFRACTION" if number < 9 else "SOLUTION NMR"
        entry = Entry(id=f"{number}abc", method=method, resolution=1.5)
        found.append(replace(structure, b_iso=np.round(b, 2).astype(np.float32), entry=entry))
    return found


@pytest.fixture(scope="module")
def folder(chains: list[Structure], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("targets")
    rows = ["id,split,cluster"]
    for number, structure in enumerate(chains):
        write_structure(structure, folder / f"{structure.entry.id}.cif")
        split = "val" if number in (6, 7, 8) else "train"
        rows.append(f"{structure.entry.id},{split},c{number}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    build_store(folder / "index.csv", folder, folder / "store")
    return folder


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog with the rows of this file."""
    monkeypatch.setattr(TARGETS, "builtin", {**TARGETS.builtin, **TEST_ROWS})


def recipe(*targets: str, **more) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "model": "meta_gnn",
            "settings": SETTINGS,
            "targets": targets,
            "data": {"loader": {"batch_atoms": 300, "min_usable": 10}, "graph_workers": 1},
            "training": {"epochs": 2, "learning_rate": 1e-2, "precision": "32-true"},
            **more,
        }
    )


def trained(folder: Path, out: Path, *targets: str, **more) -> Path:
    """Label the store and train two short epochs."""
    store = Store.open(folder / "store")
    for name in targets:
        if not TARGETS[name].source.value_column:
            label_store(store, TARGETS[name])
    settings = {"accelerator": "cpu", "progress": False}
    checkpoint = fit(recipe(*targets, **more), store, out, **settings).checkpoint
    calibrate_checkpoint(checkpoint, store, "val")
    return checkpoint


@pytest.mark.parametrize("name", [*TARGETS.builtin, *TEST_ROWS])
def test_contract(name: str, catalog: None, chains: list[Structure]) -> None:
    testing.check_target(TARGETS[name], chains[:3])


@pytest.mark.parametrize("name", [*TARGETS.builtin, *TEST_ROWS])
def test_from_labels_to_files(name: str, catalog: None, folder: Path, tmp_path: Path) -> None:
    target, store = TARGETS[name], Store.open(folder / "store")
    checkpoint = trained(folder, tmp_path / "run", name)
    header = read_header(checkpoint)
    assert header.targets == (name,)
    assert name in header.calibration
    assert (name in header.scales) == (target.transform is Transform.STANDARD)
    assert np.isfinite(header.training["best_val_r"])

    predictor = Predictor.from_checkpoint(checkpoint)
    (scored,) = evaluate_store(store, "val", [("tiny", predictor)])
    assert not scored.failures
    assert (scored.target.name, scored.target.unit) == (name, target.unit)
    true, predicted = values_of(store, "val", predictor, target)
    every = rows_where(scored.scores, crystal="off", atom_class="all")
    assert len(every) == 3
    error = float(measure(every, "pooled_mae")[0])
    assert error == pytest.approx(np.abs(true - predicted).mean(), rel=0.02)

    path = folder / "6abc.cif"
    prediction = predictor.predict(path)
    written = pd.read_csv(prediction.write(tmp_path / "out.csv"))
    lower, upper = written[target.columns[1]], written[target.columns[2]]
    found = written[target.columns[0]]
    structure = read_structure(path)
    assert len(found) == target.per.count(structure)
    np.testing.assert_allclose(found, prediction.main.predicted, atol=0.6 * 10**-target.decimals)
    assert (lower <= found).all()
    assert (found <= upper).all()
    if target.minimum is not None:
        assert found.min() >= target.minimum
    if target.in_b_column:
        copy = read_structure(prediction.write(tmp_path / "out.cif"))
        np.testing.assert_allclose(copy.b_iso, found, atol=0.006)
        assert written["b_deposited"].notna().all()
    else:
        with pytest.raises(StructureError, match=f"predicts {name}, no B-factors"):
            prediction.write(tmp_path / "out.cif")
        assert not [column for column in written if column.startswith("b_")]
    assert f"{target.title} " in prediction.summary()


def values_of(store: Store, split: str, predictor: Predictor, target: Target):
    """True and predicted values of a split, crystals hidden, computed apart from the evaluation."""
    true, predicted = [], []
    for number in range(len(store.entries(split))):
        labels = store.labels(split, number, target)
        found = predictor.predict_structure(store.structure(split, number), crystal="off")
        true.append(labels.value[labels.usable])
        predicted.append(found.main.predicted[labels.usable])
    return np.concatenate(true), np.concatenate(predicted)


def test_a_structure_without_b_trains_other_targets(folder: Path, catalog: None) -> None:
    store = Store.open(folder / "store")
    label_store(store, TARGETS["neighbors"])
    number = store.row("train", "9abc")
    assert not store.labels("train", number, TARGETS["b_factor"]).usable.any()
    assert store.labels("train", number, TARGETS["neighbors"]).usable.all()
    assert store.usable_counts("train", TARGETS["b_factor"])[number] == 0
    assert store.usable_counts("train", TARGETS["neighbors"])[number] > 50


def test_several_targets_share_a_model(folder: Path, catalog: None, tmp_path: Path) -> None:
    names = ("b_factor", "polarity", "residue_size", "residue_number")
    checkpoint = trained(folder, tmp_path / "run", *names, weights={"polarity": 0.5})
    predictor = Predictor.from_checkpoint(checkpoint)
    prediction = predictor.predict(folder / "7abc.cif")
    assert tuple(prediction.values) == names
    scored = evaluate_store(Store.open(folder / "store"), "val", [("tiny", predictor)])
    assert tuple(each.target.name for each in scored) == names
    assert all(not each.failures for each in scored)
    prediction.write(tmp_path / "out.csv")
    rows = {
        per: pd.read_csv(tmp_path / f"out{part}.csv")
        for per, part in ((Per.ATOM, ""), (Per.RESIDUE, ".residue"), (Per.STRUCTURE, ".structure"))
    }
    for name in names:
        target = TARGETS[name]
        table = rows[target.per]
        assert len(table) == target.per.count(prediction.structure)
        assert table[list(target.columns)].notna().all(axis=None)
    copy = read_structure(prediction.write(tmp_path / "out.cif"))
    np.testing.assert_allclose(copy.b_iso, prediction.b_predicted, atol=0.006)


def test_a_target_without_labels_leaves_the_others_as_they_are(
    folder: Path, catalog: None, tmp_path: Path
) -> None:
    """No label in the validation split: no bounds and no scores of this target, both with a warning."""
    store = Store.open(shutil.copytree(folder / "store", tmp_path / "store"))
    label_store(store, TARGETS["polarity"], splits=["train"])
    names = ("b_factor", "polarity")
    settings = {"accelerator": "cpu", "progress": False}
    training = {"epochs": 1, "keep": "last", "precision": "32-true"}
    checkpoint = fit(
        recipe(*names, training=training), store, tmp_path / "run", **settings
    ).checkpoint
    for path in (tmp_path / "store" / "val").glob("*_polarity.*"):
        path.unlink()
    with pytest.warns(DebyeWarning, match="has no labels of polarity.*no bounds"):
        calibrate_checkpoint(checkpoint, store, "val")
    assert set(read_header(checkpoint).calibration) == {"b_factor"}
    with pytest.warns(DebyeWarning, match="not evaluated: .*no labels of polarity"):
        found = evaluate_store(store, "val", [("tiny", Predictor.from_checkpoint(checkpoint))])
    assert [scored.target.name for scored in found] == ["b_factor"]


def test_targets_that_share_labels_or_columns_are_refused(catalog: None) -> None:
    with pytest.raises(ConfigError, match="share the column b"):
        find_targets(("b_factor", "b_factor_log"))
    assert len(find_targets(("b_factor", "neighbors"))) == 2


def test_a_structure_has_no_correlation_within_it() -> None:
    for settings in ({"monitor": "structure_r"}, {"loss": "within_structures"}):
        with pytest.raises(ConfigError, match="no correlation within it"):
            row("mass", residue_number, per=Per.STRUCTURE, **settings)


def test_residues_are_listed_by_the_first_target_that_has_them(
    folder: Path, catalog: None, tmp_path: Path
) -> None:
    predictor = Predictor.from_checkpoint(
        trained(folder, tmp_path / "run", "residue_number", "b_factor")
    )
    prediction = predictor.predict(folder / "7abc.cif")
    assert "B predicted" in residue_text(prediction)
    alone = replace(prediction, values={"residue_number": prediction.main})
    assert "atoms" not in alone.summary()
    with pytest.raises(StructureError, match="residue_number has no values of residues"):
        residue_text(alone)


def test_a_model_starts_from_the_weights_of_another_target(
    folder: Path, catalog: None, tmp_path: Path
) -> None:
    first = trained(folder, tmp_path / "b", "b_factor")
    start = {"checkpoint": str(first), "train": "head"}
    second = trained(folder, tmp_path / "new", "residue_size", start=start)
    before, after = Predictor.from_checkpoint(first).model, Predictor.from_checkpoint(second).model
    ours = dict(before.named_parameters())
    trunk = {name for name in ours if name in dict(after.named_parameters())}
    assert trunk
    frozen = {name for name in trunk if name.split(".")[0] not in after.head}
    for name in frozen:
        assert bool((ours[name] == dict(after.named_parameters())[name]).all()), name
    assert [target.name for target in after.targets] == ["residue_size"]
    assert read_header(second).training["parent"]["name"] == "tiny"
