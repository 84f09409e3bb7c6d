from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from outputs import with_b

from debye.prediction.prediction import Prediction
from debye.prediction.residues import residue_table, residue_text
from debye.prediction.table import write_csv
from debye.structure.structure import BKind, Entry
from debye.targets.target import Per

HEADER = (
    "model,chain,residue_number,insertion_code,residue_name,atom_name,altloc,element,"
    "b_predicted,b_lower,b_upper,b_deposited"
)


def renamed(prediction: Prediction, **columns: np.ndarray) -> Prediction:
    return replace(prediction, structure=replace(prediction.structure, **columns))


def test_csv_is_as_promised(prediction: Prediction, tmp_path: Path):
    write_csv(prediction, Per.ATOM, tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines[0] == HEADER
    assert lines[1] == "1,A,1,,MET,N,,N,22,17,32,20"
    assert lines[-1].endswith(",,,40"), "an atom without a prediction keeps its line"
    assert len(lines) == 1 + len(prediction.structure)


def test_odd_names_survive(prediction: Prediction, tmp_path: Path):
    atoms = len(prediction.structure)
    names = prediction.structure.atom_name.astype("<U5").copy()
    names[0], names[1] = 'O5"', "C1,'"
    odd = renamed(
        prediction,
        atom_name=names,
        chain=np.full(atoms, "NA"),
        insertion_code=np.where(np.arange(atoms) == 2, "B", ""),
        residue_number=np.where(np.arange(atoms) == 2, -5, 7).astype(np.int32),
    )
    write_csv(odd, Per.ATOM, tmp_path / "x.csv")
    with open(tmp_path / "x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["atom_name"] for row in rows[:2]] == ['O5"', "C1,'"]
    assert rows[2]["insertion_code"] == "B"
    assert rows[2]["residue_number"] == "-5"
    assert {row["chain"] for row in rows} == {"NA"}


@pytest.mark.parametrize(
    "entry", [Entry(is_predicted=True), Entry(b_kind=BKind.NOT_CRYSTALLOGRAPHIC)]
)
def test_a_column_that_holds_no_b_is_not_passed_off_as_one(prediction, entry, tmp_path: Path):
    other = renamed(prediction, entry=entry)
    write_csv(other, Per.ATOM, tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()[1:]
    assert all(line.endswith(",") for line in lines)


def test_parquet_csv_and_dataframe_agree(prediction: Prediction, tmp_path: Path):
    frame = prediction.to_dataframe()
    prediction.write(tmp_path / "x.csv")
    prediction.write(tmp_path / "x.parquet")
    text = pd.read_csv(tmp_path / "x.csv", keep_default_na=False, na_values={"b_predicted": [""]})
    stored = pd.read_parquet(tmp_path / "x.parquet")
    assert list(frame) == list(text) == list(stored) == HEADER.split(",")
    for name in ("b_predicted", "b_lower"):
        np.testing.assert_array_equal(stored[name], frame[name])
    np.testing.assert_array_equal(text["b_predicted"], frame["b_predicted"])
    assert stored["chain"].tolist() == text["chain"].tolist() == frame["chain"].tolist()


def test_residue_means(prediction: Prediction):
    table = residue_table(prediction)
    structure = prediction.structure
    assert len(table.atoms) == 13
    second = structure.residue_index == 1
    assert table.predicted[1] == pytest.approx(prediction.b_predicted[second].mean(), rel=1e-6)
    assert table.observed[1] == pytest.approx(structure.b_iso[second].mean(), rel=1e-6)
    last = structure.residue_index == 12
    assert table.atoms[12] == last.sum() - 1
    assert table.predicted[12] == pytest.approx(np.nanmean(prediction.b_predicted[last]), rel=1e-6)


def test_residues_without_prediction_are_left_out(prediction: Prediction):
    b = prediction.b_predicted.copy()
    b[prediction.structure.residue_index == 4] = np.nan
    table = residue_table(with_b(prediction, predicted=b))
    assert len(table.atoms) == 12
    assert 4 not in prediction.structure.residue_index[table.first_atom]


def test_residue_text_has_a_line_a_residue(prediction: Prediction):
    lines = residue_text(prediction).splitlines()
    assert len(lines) == 14
    assert lines[1].split()[:4] == ["A", "MET", "1", "8"]
