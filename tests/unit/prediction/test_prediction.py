from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from outputs import with_b

from debye.errors import StructureError
from debye.prediction.prediction import Prediction
from debye.structure.read import read_source, read_structure


def test_summary_names_conditions_and_agreement(prediction: Prediction):
    text = prediction.summary()
    assert "\n" not in text
    for part in (
        f"{len(prediction.structure) - 1} atoms",
        "skipped: 1 altlocs",
        "resolution 1.80 Å",
        "crystal contacts used",
        "r = 1.00 with deposited B",
    ):
        assert part in text, text
    assert "switched off" in replace(prediction, crystal_problem="switched off").summary()
    assert "resolution unknown" in replace(prediction, resolution=None).summary()


def test_no_correlation_with_a_constant_or_absent_column(prediction: Prediction):
    for column in (
        np.full(len(prediction.structure), 20.0),
        np.full(len(prediction.structure), np.nan),
    ):
        structure = replace(prediction.structure, b_iso=column.astype(np.float32))
        other = replace(prediction, structure=structure)
        assert other.correlation() is None
        assert "r = " not in other.summary()


def test_wrong_length_is_refused(prediction: Prediction):
    with pytest.raises(StructureError, match="lower of b_factor has shape"):
        with_b(prediction, lower=np.zeros(3, np.float32))


@pytest.mark.parametrize("name", ["x.xyz", "x", "x.cif.gz"])
def test_unknown_format_is_refused(prediction: Prediction, tmp_path: Path, name: str):
    with pytest.raises(StructureError, match="Choose from cif, pdb, csv, parquet"):
        prediction.write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_explained(prediction: Prediction, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StructureError, match="cannot be written"):
        prediction.write(tmp_path / "file" / "x.csv")


def test_a_failed_write_leaves_the_old_file(prediction: Prediction, tmp_path: Path, monkeypatch):
    target = tmp_path / "x.csv"
    target.write_text("old")

    def fail(columns: dict[str, np.ndarray], path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("debye.prediction.prediction.write_csv", fail)
    with pytest.raises(StructureError, match="No space left"):
        prediction.write(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("suffix", ["cif", "pdb"])
def test_copies_hold_the_new_values(prediction, peptide_cif, tmp_path: Path, suffix: str):
    own = replace(prediction, source_file=read_source(peptide_cif))
    written = read_structure(own.write(tmp_path / f"x.{suffix}"))
    assert len(written) == len(prediction.structure)
    np.testing.assert_allclose(written.b_iso[:-1], prediction.b_predicted[:-1], atol=0.0051)


def test_structures_without_a_file_are_written_too(prediction: Prediction, tmp_path: Path):
    written = read_structure(prediction.write(tmp_path / "x.cif"))
    np.testing.assert_allclose(written.b_iso[:-1], prediction.b_predicted[:-1], atol=0.0051)
    assert written.b_iso[-1] == pytest.approx(40.0)


def test_the_input_is_never_replaced(prediction, peptide_cif: Path):
    before = peptide_cif.read_bytes()
    with pytest.raises(StructureError, match="would replace the input"):
        replace(prediction, source_file=read_source(peptide_cif)).write(peptide_cif)
    assert peptide_cif.read_bytes() == before
