from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from outputs import of_rows, with_b

from debye.errors import StructureError
from debye.prediction.prediction import Prediction, residue_table, residue_text
from debye.prediction.table import RESIDUE_NAMES, PredictedValues
from debye.structure.structure import BKind, Entry
from debye.targets.target import LabelSource, Per, Target

HEADER = (
    "model,chain,residue_number,insertion_code,residue_name,atom_name,altloc,element,"
    "b_predicted,b_lower,b_upper,b_deposited"
)


def renamed(prediction: Prediction, **columns: np.ndarray) -> Prediction:
    return replace(prediction, structure=replace(prediction.structure, **columns))


def test_csv_is_as_promised(prediction: Prediction, tmp_path: Path):
    prediction.write(tmp_path / "x.csv")
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
    odd.write(tmp_path / "x.csv")
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
    other.write(tmp_path / "x.csv")
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


def made(name: str, per: Per, predicted: np.ndarray) -> PredictedValues:
    source = LabelSource(name=name)
    target = Target(name=name, unit="e", summary="Made.", per=per, source=source, decimals=1)
    value = predicted.astype(np.float32)
    return PredictedValues(target=target, predicted=value, lower=value - 1, upper=value + 1)


def with_further(prediction: Prediction) -> Prediction:
    """Add values of residues and of the structure."""
    size = made("size", Per.RESIDUE, np.arange(13) - 4.26)
    whole = made("whole", Per.STRUCTURE, np.array([7.0]))
    return replace(prediction, values={**prediction.values, "size": size, "whole": whole})


def test_each_kind_of_value_has_a_table(prediction: Prediction):
    several = with_further(prediction)
    assert several.levels == (Per.ATOM, Per.RESIDUE, Per.STRUCTURE)
    residues = several.to_dataframe(Per.RESIDUE)
    assert list(residues) == [*RESIDUE_NAMES, "size_predicted", "size_lower", "size_upper"]
    assert residues["size_predicted"][:2].tolist() == [-4.3, -3.3]
    assert residues["residue_number"].tolist() == list(range(1, 14))
    whole = several.to_dataframe(Per.STRUCTURE)
    assert whole.to_dict("list") == {
        "entry": ["peptide"], "whole_predicted": [7.0], "whole_lower": [6.0], "whole_upper": [8.0],
    }  # fmt: skip
    assert list(several.to_dataframe()) == HEADER.split(",")


def test_values_of_residues_and_structures_go_to_files_of_their_own(
    prediction: Prediction, tmp_path: Path
):
    several = with_further(prediction)
    several.write(tmp_path / "x.csv")
    assert {path.name for path in tmp_path.iterdir()} == {
        "x.csv", "x.residue.csv", "x.structure.csv",
    }  # fmt: skip
    assert len(pd.read_csv(tmp_path / "x.residue.csv")) == 13
    alone = replace(several, values={"size": several.values["size"]})
    alone.write(tmp_path / "y.csv")
    assert len(pd.read_csv(tmp_path / "y.csv")) == 13
    assert not (tmp_path / "y.residue.csv").exists()


def test_residues_of_a_target_per_residue_have_its_values(prediction: Prediction):
    size = with_further(prediction).values["size"]
    table = residue_table(replace(prediction, values={"size": size}))
    np.testing.assert_allclose(table.predicted, size.predicted, rtol=1e-6)
    np.testing.assert_allclose(table.upper, size.upper, rtol=1e-6)
    assert np.isnan(table.observed).all()
    assert table.atoms.sum() == len(prediction.structure)


def test_a_structure_has_no_residue_table(prediction: Prediction):
    whole = with_further(prediction).values["whole"]
    with pytest.raises(StructureError, match="whole has no values of residues"):
        residue_table(replace(prediction, values={"whole": whole}))


def test_a_long_table_has_a_line_for_every_atom_in_order(prediction: Prediction, tmp_path: Path):
    rows = np.resize(np.arange(len(prediction.structure)), 4000)
    of_rows(prediction, rows).write(tmp_path / "x.csv")
    found = pd.read_csv(tmp_path / "x.csv", keep_default_na=False, na_values={"b_predicted": [""]})
    np.testing.assert_allclose(found["b_predicted"], prediction.b_predicted[rows], atol=0.0051)
    assert found["atom_name"].tolist() == prediction.structure.atom_name[rows].tolist()
