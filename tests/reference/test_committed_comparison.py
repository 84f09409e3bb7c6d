"""The committed comparison: its report is what its tables say, recomputed from them by other code."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from debye.benchmark.comparison.results import FILES
from debye.plots.comparison import draw_comparison
from debye.reports.comparison import write_report

COMMITTED = Path(__file__).parents[2] / "docs" / "results" / "comparison"
LEARNED = 10


def read_table(title: str) -> pd.DataFrame:
    """Cells of one table of the report, by model."""
    _, _, after = (COMMITTED / "report.md").read_text().partition(f"\n### {title}\n\n")
    lines = after.partition("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return pd.DataFrame(rows[2:], columns=rows[0]).set_index(rows[0][0])


def test_the_report_is_made_of_the_tables_beside_it(tmp_path: Path):
    for name in ("plan.json", "data.csv", *FILES):
        shutil.copyfile(COMMITTED / name, tmp_path / name)
    write_report(tmp_path, draw_comparison)
    assert (tmp_path / "report.md").read_text() == (COMMITTED / "report.md").read_text()


@pytest.mark.parametrize("split", ["val", "test", "kinase"])
def test_correlations_follow_from_those_of_each_structure(split: str):
    structures = pd.read_parquet(COMMITTED / "per_structure.parquet")
    shown = read_table("CC, per structure")
    learned = shown[shown["runs"] == "3"]
    assert len(learned) >= LEARNED
    for name, cells in learned.iterrows():
        place = (structures["split"] == split) & (structures["crystal"] == cells["mates"])
        rows = structures[place & (structures["contender"] == name)]
        runs = rows.groupby("run")["pearson"].mean()
        assert cells[split] == f"{runs.mean():.3f} ± {runs.std():.3f}"


def test_predicted_structures_have_rows_of_models_and_of_plddt():
    rows = pd.read_csv(COMMITTED / "predicted.csv")
    best = rows[rows["best_match"] == 1]
    shown = read_table("Predicted structures")
    for name in ("pLDDT, Phenix", "weighted_contact_number", "meta_gnn"):
        runs = best[best["predictor"] == name].groupby("run")["pearson"].mean()
        spread = f" ± {runs.std():.3f}" if len(runs) > 1 else ""
        assert shown.loc[name, "r, best match"] == f"{runs.mean():.3f}{spread}"
    assert np.isfinite(float(shown.loc["−pLDDT", "r, best match"]))


def test_baselines_are_there_and_the_all_atom_network_is_one():
    shown = read_table("CC, per structure")
    assert {"gnm_atoms", "anm", "gradient_boosting", "locant_element_mean"} <= set(shown.index)
    assert (shown["runs"] == "1").sum() >= 8
