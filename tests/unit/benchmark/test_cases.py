"""Atoms and values of a picture, from files, pairs of files and stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debye.benchmark.cases import (
    StructureCase,
    cases_from_files,
    cases_from_pairs,
    cases_from_store,
)
from debye.dataset.store.build import build_store
from debye.errors import ConfigError, StoreError, StructureError
from debye.structure.structure import EntityKind, Entry, Structure
from debye.structure.write import write_structure

MODEL = "meta_gnn"


def write(structure: Structure, path: Path, b: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_structure(structure if b is None else replace(structure, b_iso=b), path)


@pytest.fixture
def crystal_file(in_crystal, tmp_path) -> Path:
    return write(in_crystal, tmp_path / "crystal.cif")


def test_a_file_is_predicted_and_keeps_its_deposited_b(crystal_file, in_crystal):
    (case,), failures = cases_from_files([crystal_file], MODEL)
    assert not failures
    assert (case.name, case.model_name) == ("1aaa", MODEL)
    np.testing.assert_allclose(case.deposited, in_crystal.b_iso, atol=0.006)
    assert np.isfinite(case.predicted).all()


def test_waters_and_second_conformers_are_not_drawn(in_crystal, tmp_path):
    name = in_crystal.residue_name.copy()
    name[-3:] = "HOH"
    wet = replace(in_crystal, residue_name=name, is_hetero=name == "HOH")
    (case,), _ = cases_from_files([write(wet, tmp_path / "wet.cif")], MODEL)
    assert len(case.structure) == len(in_crystal) - 3
    assert "HOH" not in case.structure.residue_name


def test_a_predicted_model_has_no_deposited_b(in_crystal, tmp_path):
    model = replace(in_crystal, entry=Entry(id="AF-P69905-F1"), crystal=None)
    paths = [write(model, tmp_path / "model.cif"), write(in_crystal, tmp_path / "crystal.cif")]
    (predicted, crystal), failures = cases_from_files(paths, MODEL)
    assert not failures
    assert predicted.structure.entry.is_predicted
    assert not predicted.has_deposited
    assert np.isfinite(predicted.predicted).all()
    assert crystal.has_deposited


def test_pairs_are_matched_by_name_whatever_the_order(in_crystal, crystal_file, tmp_path):
    b = np.linspace(50, 20, len(in_crystal)).astype(np.float32)
    other = replace(in_crystal, b_iso=b).take(np.arange(len(b))[::-1])
    (case,), failures = cases_from_pairs([crystal_file], [write(other, tmp_path / "other.cif")])
    assert not failures
    np.testing.assert_allclose(case.predicted, b, atol=0.006)
    assert case.title() == "1aaa · 1.70 Å · r -1.00 · MAE 15.0 Å²".replace(
        "15.0", f"{np.abs(b - in_crystal.b_iso).mean():.1f}"
    )


def test_atoms_that_the_other_file_lacks_have_no_prediction(in_crystal, crystal_file, tmp_path):
    short = write(in_crystal.take(np.arange(20)), tmp_path / "short.cif")
    (case,), _ = cases_from_pairs([crystal_file], [short])
    assert np.isfinite(case.predicted).sum() == 20


def test_another_protein_is_refused_and_the_rest_goes_on(in_crystal, crystal_file, tmp_path):
    stranger = replace(in_crystal, chain=np.full(len(in_crystal), "Z"))
    other = write(stranger, tmp_path / "stranger.cif")
    cases, failures = cases_from_pairs([crystal_file, crystal_file], [other, crystal_file])
    assert len(cases) == 1
    assert "stranger.cif: none of" in str(failures[0])


def test_each_structure_needs_its_predicted_file(crystal_file):
    with pytest.raises(ConfigError, match="1 structures, but 2 files with predicted B"):
        cases_from_pairs([crystal_file], [crystal_file, crystal_file])


def test_a_bad_file_does_not_stop_the_rest(crystal_file, tmp_path):
    bad = tmp_path / "bad.cif"
    bad.write_text("data_x\n")
    cases, failures = cases_from_files([bad, crystal_file, tmp_path / "absent.cif"], MODEL)
    assert [case.name for case in cases] == ["1aaa"]
    assert len(failures) == 2


def test_one_picture_has_an_end(crystal_file):
    with pytest.raises(ConfigError, match="25 structures in one picture"):
        cases_from_pairs([crystal_file] * 25, [crystal_file] * 25)


def test_metrics_of_the_title_are_those_of_protein_atoms(in_crystal):
    kind = in_crystal.entity_kind.copy()
    kind[:5] = EntityKind.LIGAND
    wild = in_crystal.b_iso + 2
    wild[:5] = 900
    case = StructureCase(
        name="1aaa",
        structure=replace(in_crystal, entity_kind=kind),
        deposited=in_crystal.b_iso,
        predicted=wild,
        model_name="",
    )
    assert case.title() == "1aaa · 1.70 Å · r 1.00 · MAE 2.0 Å²"


def test_a_case_checks_its_arrays(in_crystal):
    none = np.full(len(in_crystal), np.nan, np.float32)
    with pytest.raises(StructureError, match="no atom has a predicted B"):
        StructureCase(name="x", structure=in_crystal, deposited=none, predicted=none, model_name="")
    with pytest.raises(StructureError, match="deposited has shape"):
        StructureCase(
            name="x", structure=in_crystal, deposited=none[:3], predicted=none, model_name=""
        )


@pytest.fixture
def store(in_crystal, tmp_path):
    folder = tmp_path / "files"
    for name in ("1aaa", "1aab"):
        entry = replace(in_crystal.entry, id=name)
        write(replace(in_crystal, entry=entry), folder / f"{name}.cif")
    index = tmp_path / "index.csv"
    index.write_text("id,split\n1aaa,train\n1aab,test\n")
    return build_store(index, folder, tmp_path / "store", splits=(), workers=1)


def test_entries_of_a_store(store):
    cases, failures = cases_from_store(store, MODEL, entries=["1AAB", "9xyz", "1aaa"])
    assert [case.name for case in cases] == ["1aab", "1aaa"]
    assert [str(failure).startswith(str(store.path)) for failure in failures] == [True]
    assert "no entry '9xyz'" in str(failures[0])


def test_a_split_alone_is_all_of_it_and_limits_entries(store):
    assert [case.name for case in cases_from_store(store, MODEL, split="test")[0]] == ["1aab"]
    cases, failures = cases_from_store(store, MODEL, split="test", entries=["1aaa"])
    assert not cases
    assert isinstance(failures[0], StoreError)
    with pytest.raises(ConfigError, match="no entry of the store is named"):
        cases_from_store(store, MODEL)


def test_a_model_of_normalized_b_cannot_be_drawn(store):
    cases, failures = cases_from_store(store, "weighted_contact_number", split="test")
    assert not cases
    assert "normalized B only, without Å²" in str(failures[0])
