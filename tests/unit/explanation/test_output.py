"""Text, table and copy: the numbers of the explanation, with a warning that they are not B-factors."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from debye.errors import ConfigError, StructureError
from debye.explanation.case import make_case
from debye.explanation.explanation import (
    atom_effects,
    explain_case,
    explanation_text,
    write_copy,
    write_table,
)
from debye.structure.read import read_source, read_structure
from debye.structure.write import write_structure


@pytest.fixture(scope="module")
def explanation(counting, in_crystal):
    return explain_case(make_case(counting, in_crystal, "A:5"))


def test_the_table_shows_the_largest_and_counts_the_rest(explanation):
    lines = explanation_text(explanation, top=3).splitlines()
    assert lines[0] == "A:GLU5 of peptide · counting · crystal contacts used · resolution 1.70 Å"
    assert lines[1].startswith(f"B {explanation.case.predicted:.1f} Å² predicted, ")
    largest = explanation.contributions[0]
    assert lines[4].split()[:2] == [f"{largest.effect:+.2f}", str(largest.neighbor.residue)]
    assert lines[7].strip().startswith(f"and {len(explanation.contributions) - 3} more")
    assert lines[-1].split()[0] == f"{explanation.features[-1].effect:+.2f}"


def test_a_lone_residue_has_no_neighbors(counting, in_crystal):
    alone = replace(in_crystal.take(in_crystal.residue_index == 4), crystal=None)
    text = explanation_text(explain_case(make_case(counting, alone, "A:5")), top=5)
    assert "(none within 8 Å)" in text
    assert "no crystal contacts (no unit cell in file)" in text


def test_the_csv_holds_every_effect(explanation, tmp_path):
    path = write_table(explanation, tmp_path / "new" / "effects.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    neighbors = [row for row in rows if row["kind"] != "feature"]
    assert [float(row["effect"]) for row in neighbors] == pytest.approx(
        [item.effect for item in explanation.contributions], abs=1e-3
    )
    assert {row["name"] for row in rows if row["kind"] == "feature"} == {
        item.name for item in explanation.features
    }
    assert all((row["operation"] != "") == (row["kind"] == "symmetry mate") for row in neighbors)


def test_the_copy_holds_effects_on_the_atoms_of_neighbors_and_says_so(
    counting, in_crystal, tmp_path
):
    source = read_source(write_structure(in_crystal, tmp_path / "in.cif"))
    found = explain_case(make_case(counting, source.structure, "A:5", source_file=source))
    path = write_copy(found, tmp_path / "out.cif")
    assert path.read_text().startswith("# debye explain: B_iso_or_equiv is NO B-factor here.")
    written = read_structure(path)
    np.testing.assert_allclose(written.b_iso, atom_effects(found), atol=0.006)
    effect = {
        item.neighbor.residue.index: item.effect
        for item in found.contributions
        if not item.neighbor.operation
    }
    for index in range(13):
        assert np.allclose(
            written.b_iso[written.residue_index == index], effect.get(index, 0.0), atol=0.006
        )
    assert min(effect.values()) < -0.5
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".")] == []


def test_a_structure_made_in_memory_can_be_written(explanation, tmp_path):
    written = read_structure(write_copy(explanation, tmp_path / "out.cif"))
    np.testing.assert_allclose(written.b_iso, atom_effects(explanation), atol=0.006)


def test_copies_that_would_mislead_or_destroy_are_refused(counting, in_crystal, tmp_path):
    source = read_source(write_structure(in_crystal, tmp_path / "in.cif"))
    found = explain_case(make_case(counting, source.structure, "A:5", source_file=source))
    with pytest.raises(StructureError, match=r"Name it \.cif"):
        write_copy(found, tmp_path / "out.pdb")
    with pytest.raises(StructureError, match="would replace the input"):
        write_copy(found, source.path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"method": "guess"}, "Choose from occlusion, gradients"), ({"reach": 0.0}, "a reach of 0 Å")],
)
def test_wrong_settings_are_explained(counting, in_crystal, settings, message):
    with pytest.raises(ConfigError, match=message):
        explain_case(make_case(counting, in_crystal, "A:5"), **settings)
