"""Published figures on the 364 Cα set come out of this code; the folds of the 346 list are what they say."""

from __future__ import annotations

import csv
import re
from importlib import util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from calpha_set import read_calpha_set, superset_ids

from debye.models.baselines.elastic_network import gaussian_network
from debye.scores.metrics import pearson

ROOT = Path(__file__).parents[2]
FOLDS = ROOT / "benchmarks" / "calpha_346_folds.csv"
RESULTS = ROOT / "docs" / "results" / "calpha_346"


@pytest.fixture(scope="module")
def proteins(benchmark_data):
    return read_calpha_set(benchmark_data / "set364")


def test_gaussian_network_reaches_its_published_figure(proteins):
    """0.565 at 7 Å (Opron, Xia & Wei 2014, J. Chem. Phys. 140, 234105), mean per-protein r."""
    assert len(proteins) == 364
    found = []
    for protein in proteins:
        value = gaussian_network(protein.position, 7.0)
        found.append(pearson(np.where(np.isnan(value), np.nanmax(value), value), protein.b_iso))
    assert np.mean(found) == pytest.approx(0.565, abs=0.01)


def test_inverse_weighted_contact_number(proteins):
    """0.62; Lin et al. (2008) and Halle (2002) report 0.6 and above for such measures of packing."""
    found = []
    for protein in proteins:
        square = ((protein.position[:, None] - protein.position[None]) ** 2).sum(axis=2)
        np.fill_diagonal(square, np.inf)
        found.append(pearson(1 / (1 / square).sum(axis=1), protein.b_iso))
    assert np.mean(found) == pytest.approx(0.62, abs=0.01)


def test_folds_hold_every_protein_of_the_list_and_no_group_twice(benchmark_data):
    with open(FOLDS, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["id"] for row in rows) == superset_ids(benchmark_data / "set364")
    assert {int(row["fold"]) for row in rows} == set(range(10))
    folds: dict[str, set[str]] = {}
    for row in rows:
        folds.setdefault(row["group"], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())


@pytest.fixture(scope="module")
def calpha_folds() -> ModuleType:
    """``benchmarks/calpha_folds.py``, which is no part of the package."""
    spec = util.spec_from_file_location("calpha_folds", FOLDS.with_name("calpha_folds.py"))
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_similar_proteins_are_in_two_folds(calpha_folds, mmseqs, benchmark_data):
    del mmseqs  # found on PATH
    fold = pd.read_csv(FOLDS, dtype={"id": str}).set_index("id")["fold"].to_dict()
    listed = read_calpha_set(benchmark_data / "set364", list(fold))
    assert calpha_folds.straddling(listed, fold) == []
    # Folds that part two crystals of oxytocin are found out, which MMseqs2 alone cannot do.
    torn = fold | {"1XY1": (fold["1XY2"] + 1) % 10}
    assert ("1XY1", "1XY2") in calpha_folds.straddling(listed, torn)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("XYIQNCPLG", "YIQNCPLG", True),
        ("GAIIGL", "NKGAII", True),
        ("GAIIGL", "M" * 40 + "GAII", False),
        ("MCCNPACAGC", "K" * 90 + "CCNPA", True),
        ("MCCNPACAGC", "K" * 90 + "CCNP", False),
        ("K" * 40, "K" * 40, False),
    ],
)
def test_peptides_that_share_a_stretch(calpha_folds, one, other, shared):
    assert calpha_folds.share_a_stretch(one, other) is shared
    assert calpha_folds.share_a_stretch(other, one) is shared


def test_the_report_of_the_346_list_is_that_of_its_table():
    table = pd.read_csv(RESULTS / "results.csv", dtype={"id": str, "group": str})
    report = (RESULTS / "report.md").read_text(encoding="utf-8")
    printed = dict(re.findall(r"^\| (.+?) \| ([0-9.]+)", report, re.MULTILINE))
    seeds = [name for name in table if name.startswith("seed ")]
    mean = table[[*seeds, "all seeds", "gnm", "1/WCN"]].mean()
    assert len(seeds) == 3
    for name in seeds:
        assert printed[f"graph network, {name}"] == f"{mean[name]:.3f}"
    assert printed["graph network, mean of the runs"] == f"{mean[seeds].mean():.3f}"
    assert printed["graph network, mean profile of all seeds"] == f"{mean['all seeds']:.3f}"
    assert printed["1/WCN, nothing learned"] == f"{mean['1/WCN']:.3f}"
    assert printed["GNM at 7 Å, nothing learned"] == f"{mean['gnm']:.3f}"
    gain = mean[seeds].mean() - mean["1/WCN"]
    assert f"gains **{gain:.3f} (" in report
    assert gain > 0
    folds = pd.read_csv(FOLDS, dtype={"id": str, "group": str})
    in_order = table.sort_values("id", ignore_index=True)
    for name in ("id", "group", "fold"):
        assert in_order[name].tolist() == folds[name].tolist()
