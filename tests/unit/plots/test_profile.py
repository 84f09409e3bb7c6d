"""The picture holds what it should; whether it is good to look at is for eyes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from outputs import b_prediction, of_rows, with_b

from debye.plots.profile import plot_profile, save_profile
from debye.prediction.prediction import Prediction
from debye.structure.structure import EntityKind, Entry


@pytest.fixture
def prediction(peptide) -> Prediction:
    b = np.linspace(20, 40, len(peptide), dtype=np.float32)
    structure = replace(peptide, b_iso=b + 3, entry=Entry(id="1abc"))
    return b_prediction(structure, b, b - 5, b + 10)


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
    cut = of_rows(prediction, rows)
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
    figure = plot_profile(of_rows(prediction, rows, many))
    assert len(figure.subfigs[0].axes) == 4
    assert "2 more chains" in figure.subfigs[0].axes[0].get_title(loc="left")


@pytest.mark.parametrize("case", ["ligand only", "one atom", "no bounds", "constant"])
def test_odd_structures_can_be_drawn(prediction, tmp_path, case):
    structure = prediction.structure
    columns = {name: getattr(prediction.b_values, name) for name in ("predicted", "lower", "upper")}
    if case == "ligand only":
        kind = np.full(len(structure), EntityKind.LIGAND, np.int8)
        structure = replace(structure, entity_kind=kind)
    elif case == "one atom":
        structure = structure.take(np.array([0]))
        columns = {name: values[:1] for name, values in columns.items()}
    elif case == "no bounds":
        columns |= {name: np.full_like(columns[name], np.nan) for name in ("lower", "upper")}
    else:
        columns = {name: np.full_like(values, 20.0) for name, values in columns.items()}
    path = save_profile(with_b(prediction, structure, **columns), tmp_path / "x.png")
    assert path.read_bytes().startswith(b"\x89PNG")
