"""Published figures on the 364 Cα set come out of this code; the folds of the 346 list are what they say."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from debye.data.calpha_set import read_calpha_set, superset_ids
from debye.evaluation.metrics import pearson
from debye.models.baselines.elastic_network import gaussian_network

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def proteins(benchmark_data):
    return read_calpha_set(benchmark_data / "set364")


def test_gaussian_network_reaches_its_published_figure(proteins):
    """0.565 at 7 Å (Park, Jernigan & Wu 2013; Opron, Xia & Wei 2014), mean per-protein r."""
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
    with open(ROOT / "benchmarks" / "calpha_346_folds.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["id"] for row in rows) == superset_ids(benchmark_data / "set364")
    assert {int(row["fold"]) for row in rows} == set(range(10))
    folds: dict[str, set[str]] = {}
    for row in rows:
        folds.setdefault(row["group"], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())
