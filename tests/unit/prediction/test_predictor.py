"""What must not change a prediction, and what must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import debye
from debye.errors import CheckpointError, StructureError
from debye.models.checkpoint import released_checkpoints
from debye.prediction.predictor import Predictor
from debye.prediction.prepare import prepare_structure
from debye.structure.read import read_structure
from debye.structure.structure import Crystal, EntityKind, Entry, Structure
from debye.structure.write import write_structure

ROUNDING = 2e-3
"""Å². Float32 through some layers, at 30 Å²."""
CONSTANT = "train_mean"
"""Released model that says the same for every atom."""


@pytest.fixture(params=["tiny", *released_checkpoints()])
def any_predictor(request, predictor) -> Predictor:
    """The small untrained model, and every released one."""
    if request.param == "tiny":
        return predictor
    return Predictor.from_checkpoint(request.param, precision="float32")


@pytest.fixture(scope="module")
def crystal_structure(benchmark_data: Path) -> Structure:
    """1TAL: altlocs, insertion codes, sulfate ions, waters, a crystal."""
    return read_structure(benchmark_data / "formats" / "1tal.pdb")


@pytest.fixture(params=["peptide", "crystal"])
def structure(request, peptide) -> Structure:
    if request.param == "crystal":
        return request.getfixturevalue("crystal_structure")
    return replace(peptide, b_iso=np.linspace(10, 90, len(peptide), dtype=np.float32))


def b_of(predictor: Predictor, structure: Structure, **settings) -> np.ndarray:
    return predictor.predict_structure(structure, **settings).b_predicted


def test_prediction_is_finite_with_bounds_around_it(any_predictor, structure):
    prediction = any_predictor.predict_structure(structure)
    rows = prediction.has_prediction
    assert rows.sum() + sum(prediction.dropped.values()) == len(structure)
    assert (prediction.b_predicted[rows] >= 1.0).all()
    assert (prediction.b_lower[rows] <= prediction.b_predicted[rows]).all()
    assert (prediction.b_predicted[rows] <= prediction.b_upper[rows]).all()
    assert (np.ptp(prediction.b_predicted[rows]) > 1.0) == (any_predictor.model_name != CONSTANT)
    assert not np.isfinite(prediction.b_lower[~rows]).any()


def test_the_b_column_does_not_matter(any_predictor, structure):
    rng = np.random.default_rng(0)
    expected = b_of(any_predictor, structure)
    for column in (
        rng.uniform(1, 200, len(structure)),
        np.zeros(len(structure)),
        np.full(len(structure), np.nan),
    ):
        changed = replace(structure, b_iso=column.astype(np.float32), u_aniso=None)
        np.testing.assert_array_equal(b_of(any_predictor, changed), expected)


def test_the_order_of_atoms_does_not_matter(any_predictor, structure):
    order = np.random.default_rng(1).permutation(len(structure))
    shuffled = b_of(any_predictor, structure.take(order))
    np.testing.assert_allclose(shuffled, b_of(any_predictor, structure)[order], atol=ROUNDING)


def test_hydrogens_do_not_matter(any_predictor, structure):
    rows = np.flatnonzero((structure.atom_name == "CA") | (structure.atom_name == "CB"))
    doubled = structure.take(np.concatenate([np.arange(len(structure)), rows]))
    atoms, extra = len(structure), len(rows)
    added = replace(
        doubled,
        element=np.concatenate([structure.element, np.full(extra, "H")]),
        atom_name=np.concatenate([structure.atom_name, np.full(extra, "HA")]),
        position=doubled.position + np.where(np.arange(atoms + extra) < atoms, 0, 0.6)[:, None],
        record=np.arange(atoms + extra, dtype=np.int32),
    )
    added = replace(added, position=added.position.astype(np.float32))
    prediction = any_predictor.predict_structure(added)
    assert prediction.dropped["hydrogens"] >= extra
    np.testing.assert_allclose(
        prediction.b_predicted[:atoms], b_of(any_predictor, structure), atol=ROUNDING
    )


def test_chain_names_do_not_matter(any_predictor, structure):
    renamed = replace(
        structure,
        chain=np.char.add("x", structure.chain),
        chain_label=np.char.add("y", structure.chain_label),
        residue_number=structure.residue_number + 1000,
    )
    np.testing.assert_allclose(
        b_of(any_predictor, renamed), b_of(any_predictor, structure), atol=ROUNDING
    )


def test_the_pose_does_not_matter(any_predictor, structure):
    free = replace(structure, crystal=None)
    random = np.random.default_rng(2).normal(size=(3, 3))
    rotation, _ = np.linalg.qr(random)
    moved = free.position.astype(np.float64) @ rotation.T + [40.0, -7.0, 3.0]
    np.testing.assert_allclose(
        b_of(any_predictor, replace(free, position=moved.astype(np.float32))),
        b_of(any_predictor, free),
        # Coordinates themselves round to 4e-6 Å when they move, and a neighbor at 5 Å may come or go.
        atol=0.05,
    )


def test_a_lattice_translation_does_not_matter(any_predictor, crystal_structure):
    a = crystal_structure.crystal.cell[0]
    moved = crystal_structure.position + np.array([a, 0, 0], np.float32)
    np.testing.assert_allclose(
        b_of(any_predictor, replace(crystal_structure, position=moved)),
        b_of(any_predictor, crystal_structure),
        atol=0.05,
    )


@pytest.mark.parametrize("suffix", ["cif", "cif.gz", "pdb", "pdb.gz"])
def test_the_format_does_not_matter(any_predictor, peptide, tmp_path, suffix):
    path = write_structure(peptide, tmp_path / f"x.{suffix}")
    expected = any_predictor.predict(write_structure(peptide, tmp_path / "first.cif"))
    np.testing.assert_allclose(
        any_predictor.predict(path).b_predicted, expected.b_predicted, atol=ROUNDING
    )


def test_formats_of_one_entry_agree(any_predictor, benchmark_data, tmp_path):
    formats = benchmark_data / "formats"
    text = any_predictor.predict(formats / "200l.cif")
    binary = any_predictor.predict(formats / "200l.bcif")
    np.testing.assert_allclose(binary.b_predicted, text.b_predicted, atol=ROUNDING)
    as_pdb = any_predictor.predict(text.write(tmp_path / "200l.pdb"))
    np.testing.assert_allclose(as_pdb.b_predicted, text.b_predicted, atol=ROUNDING)


def test_the_same_atoms_from_all_archives_get_the_same_rows(predictor, benchmark_data):
    prediction = predictor.predict(benchmark_data / "formats" / "1tal.pdb")
    waters = prediction.structure.entity_kind == EntityKind.WATER
    assert not prediction.has_prediction[waters].any()
    assert prediction.dropped["waters"] == waters.sum()
    assert prediction.dropped["altlocs"] > 0


def test_the_crystal_matters_and_can_be_switched_off(predictor, crystal_structure):
    on = predictor.predict_structure(crystal_structure, crystal="on")
    auto = predictor.predict_structure(crystal_structure)
    off = predictor.predict_structure(crystal_structure, crystal="off")
    np.testing.assert_array_equal(on.b_predicted, auto.b_predicted)
    assert np.nanmax(np.abs(on.b_predicted - off.b_predicted)) > 0.1
    assert on.crystal_problem is None
    assert off.crystal_problem == "switched off"


def test_off_equals_a_file_without_crystal(predictor, crystal_structure):
    np.testing.assert_array_equal(
        b_of(predictor, crystal_structure, crystal="off"),
        b_of(predictor, replace(crystal_structure, crystal=None)),
    )


def test_an_unusable_crystal_is_left_out_or_refused(predictor, peptide):
    dummy = replace(peptide, crystal=Crystal(cell=(1, 1, 1, 90, 90, 90), space_group="P 1"))
    prediction = predictor.predict_structure(dummy)
    assert "placeholder" in (prediction.crystal_problem or "")
    with pytest.raises(StructureError, match=r"the crystal cannot be used: .*placeholder"):
        predictor.predict_structure(dummy, crystal="on")


def test_a_crystal_that_clashes_is_left_out_or_refused(predictor, peptide):
    # A cell in which the chain overlaps with its own copies.
    wrong = replace(
        peptide, crystal=Crystal(cell=(12, 12, 30, 90, 90, 90), space_group="P 21 21 21")
    )
    prediction = predictor.predict_structure(wrong)
    assert prediction.crystal_problem
    with pytest.raises(StructureError, match="the crystal cannot be used"):
        predictor.predict_structure(wrong, crystal="on")


def test_resolution_from_user_file_or_nowhere(predictor, peptide):
    xray = replace(peptide, entry=Entry(method="X-RAY DIFFRACTION", resolution=2.0))
    microscopy = replace(peptide, entry=Entry(method="ELECTRON MICROSCOPY", resolution=3.5))
    assert predictor.predict_structure(xray).resolution == 2.0
    assert predictor.predict_structure(xray, resolution=1.2).resolution == 1.2
    assert predictor.predict_structure(microscopy).resolution is None
    assert np.ptp(b_of(predictor, xray) - b_of(predictor, peptide)) > 1e-6
    np.testing.assert_array_equal(b_of(predictor, microscopy), b_of(predictor, peptide))
    with pytest.raises(StructureError, match="a resolution of 200 Å"):
        predictor.predict_structure(xray, resolution=200)


def test_a_batch_gives_what_each_alone_gives(predictor, peptide):
    cut = peptide.take(np.arange(40))
    single = peptide.take(np.array([5]))
    batch = [prepare_structure(s, predictor.graph_config) for s in (peptide, cut, single)]
    for together, alone in zip(predictor.finish(batch), (peptide, cut, single), strict=True):
        np.testing.assert_allclose(together.b_predicted, b_of(predictor, alone), atol=ROUNDING)


def test_bfloat16_is_close_enough(any_predictor, structure):
    exact = any_predictor.predict_structure(structure).b_predicted
    any_predictor.precision = "bfloat16"
    try:
        rough = any_predictor.predict_structure(structure).b_predicted
    finally:
        any_predictor.precision = "float32"
    rows = np.isfinite(exact)
    if any_predictor.model_name == CONSTANT:
        assert rough[rows] == pytest.approx(exact[rows], rel=0.01)
        return
    # A twentieth of the spread, in Å² too: the model's own error is ten times larger.
    assert np.abs(rough - exact)[rows].mean() < 0.05 * np.std(exact[rows])
    assert rough[rows].std() == pytest.approx(exact[rows].std(), rel=0.06)
    # The profile, in standard deviations: the model's own error is ten times larger.
    profiles = [(b[rows] - b[rows].mean()) / b[rows].std() for b in (rough, exact)]
    assert np.abs(profiles[0] - profiles[1]).mean() < 0.03
    assert np.corrcoef(rough[rows], exact[rows])[0, 1] > 0.9995


def test_threads_are_given_back(predictor, peptide):
    before = torch.get_num_threads()
    predictor.predict_structure(peptide)
    assert torch.get_num_threads() == before


def test_only_waters_is_refused(predictor, peptide):
    waters = replace(peptide, entity_kind=np.full(len(peptide), EntityKind.WATER, np.int8))
    with pytest.raises(StructureError, match="can get a prediction"):
        predictor.predict_structure(waters)


def test_an_uncalibrated_checkpoint_has_no_bounds(tiny_checkpoint, peptide):
    predictor = Predictor.from_checkpoint(tiny_checkpoint)
    predictor.calibrations = {}
    prediction = predictor.predict_structure(peptide)
    assert not np.isfinite(prediction.b_lower).any()
    assert "5-95 %" not in prediction.summary()


def test_one_call_from_python(tiny_checkpoint, peptide_cif, peptide_pdb):
    prediction = debye.predict(peptide_cif, model=tiny_checkpoint)
    assert isinstance(prediction, debye.Prediction)
    assert len(prediction.to_dataframe()) == len(prediction.structure)
    with pytest.raises(CheckpointError, match="neither a released model nor a file"):
        debye.predict(peptide_cif, model="no_such_model")
    with pytest.raises(StructureError, match="no such file"):
        debye.predict("no/such/file.cif", model=tiny_checkpoint)
