"""Contents of the picture; how it looks is for eyes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from outputs import b_prediction

from debye.plots.profile import plot_profile, save_profile
from debye.prediction.prediction import PredictedValues, Prediction
from debye.structure.structure import EntityKind, Entry, Structure
from debye.targets.target import LabelSource, Target


def predicted(structure: Structure, b: np.ndarray, width: float | None = 5.0) -> Prediction:
    """B-factors of a structure with bounds, or without them."""
    half = np.full_like(b, np.nan if width is None else width)
    return b_prediction(structure, b, lower=b - half, upper=b + 2 * half)


@pytest.fixture
def prediction(peptide) -> Prediction:
    b = np.linspace(20, 40, len(peptide), dtype=np.float32)
    return predicted(replace(peptide, b_iso=b + 3, entry=Entry(id="1abc")), b)


def lines_of(prediction: Prediction) -> dict[str, np.ndarray]:
    panel = plot_profile(prediction).subfigs[0].axes[0]
    return {line.get_label(): np.asarray(line.get_ydata()) for line in panel.get_lines()}


def test_lines_are_the_residue_means(prediction):
    lines = lines_of(prediction)
    index = prediction.structure.residue_index
    means = [prediction.b_predicted[index == i].mean() for i in range(13)]
    np.testing.assert_allclose(lines["predicted"], means, rtol=1e-5)
    np.testing.assert_allclose(lines["deposited"], np.array(means) + 3, rtol=1e-5)


def test_no_deposited_line_without_deposited_b(prediction):
    predicted = replace(prediction.structure, entry=Entry(is_predicted=True))
    assert set(lines_of(replace(prediction, structure=predicted))) == {"predicted"}


def test_a_missing_residue_breaks_the_line(prediction):
    rows = np.flatnonzero(prediction.structure.residue_index != 6)
    cut = predicted(prediction.structure.take(rows), prediction.b_predicted[rows])
    drawn = lines_of(cut)["predicted"]
    assert np.flatnonzero(np.isnan(drawn)).tolist() == [6]


def test_a_jump_in_the_numbering_alone_does_not_break_it(prediction):
    number = prediction.structure.residue_number.copy()
    number[prediction.structure.residue_index > 6] += 100
    jumped = replace(prediction.structure, residue_number=number)
    assert np.isfinite(lines_of(replace(prediction, structure=jumped))["predicted"]).all()


def test_more_chains_than_panels_are_counted(prediction):
    structure, atoms = prediction.structure, len(prediction.structure)
    rows = np.tile(np.arange(atoms), 6)
    copies = np.repeat(np.arange(6), atoms)
    many = structure.take(rows)
    many = replace(
        many,
        chain=np.array([*"ABCDEF"])[copies],
        position=many.position + 30.0 * copies[:, None].astype(np.float32),
        residue_index=(many.residue_index + 13 * copies).astype(np.int32),
    )
    figure = plot_profile(predicted(many, prediction.b_predicted[rows]))
    assert len(figure.subfigs[0].axes) == 4
    assert "2 more chains" in figure.subfigs[0].axes[0].get_title(loc="left")


@pytest.mark.parametrize("case", ["ligand only", "one atom", "no bounds", "constant"])
def test_odd_structures_can_be_drawn(prediction, tmp_path, case):
    structure, b, width = prediction.structure, prediction.b_predicted, 5.0
    if case == "ligand only":
        kind = np.full(len(structure), EntityKind.LIGAND, np.int8)
        structure = replace(structure, entity_kind=kind)
    elif case == "one atom":
        structure, b = structure.take(np.array([0])), b[:1]
    elif case == "no bounds":
        width = None
    else:
        b = np.full_like(b, 20.0)
    path = save_profile(predicted(structure, b, width), tmp_path / "x.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_other_targets_have_their_names_and_may_be_negative(prediction):
    charge = Target(name="charge", unit="e", source=LabelSource(name="charge"), summary="Charge.")
    q = np.linspace(-1, 1, len(prediction.structure), dtype=np.float32)
    values = PredictedValues(target=charge, predicted=q, lower=q - 0.5, upper=q + 0.5)
    figure = plot_profile(replace(prediction, values={"charge": values}))
    left, right = figure.subfigs
    assert left.get_supylabel() == "charge, residue mean (e)"
    assert left.axes[0].get_ylim()[0] < -1
    assert right.axes[-1].get_ylabel() == "Predicted charge (e)"
    assert {line.get_label() for line in left.axes[0].get_lines()} == {"predicted"}
