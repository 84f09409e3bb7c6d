from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from debye.scores.evaluation import BootstrapConfig, evaluate

from debye.reports.evaluation import EntryFailure, Provenance, make_report

SOURCE = Provenance(
    version="9.9",
    data="store",
    digest="abc123",
    split="test",
    command="debye evaluate m",
    settings={"resolution": "given"},
)


@pytest.fixture(scope="module")
def report(many_values, make_values):
    constant = make_values(77, predicted=np.full(60, 30, np.float32))
    structures = [*many_values, constant]
    config = BootstrapConfig(repeats=50, seed=3)
    return make_report(
        [
            evaluate(structures, model="m", crystal=crystal, bootstrap=config)
            for crystal in (True, False)
        ],
        SOURCE,
        [EntryFailure(model="m", crystal=True, id="s077", reason="broken")],
    )


@pytest.fixture(scope="module")
def written(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "deep" / "er"
    return {path.name: path for path in report.write(folder)}


def test_every_file_is_written(written):
    assert set(written) == {"report.md", "summary.csv", "per_structure.csv", "report.json"}
    assert all(path.stat().st_size for path in written.values())


def test_markdown_tells_where_the_numbers_come_from(written):
    text = written["report.md"].read_text()
    for fact in ("`test`", "abc123", "9.9", "`debye evaluate m`", "seed=3", "s077: broken"):
        assert fact in text
    assert "counted as undefined" in text


def test_summary_rows_carry_estimates_and_both_intervals(written, report):
    rows = list(csv.DictReader(written["summary.csv"].read_text().splitlines()))
    assert len(rows) == sum(len(e.summaries) for e in report.evaluations)
    first = rows[0]
    assert (first["model"], first["crystal"], first["atom_class"]) == ("m", "True", "protein")
    estimate = report.evaluations[0].summary().estimates["pearson_mean"]
    assert float(first["pearson_mean"]) == pytest.approx(estimate, abs=1e-5)
    low, high = float(first["pearson_mean_cluster_low"]), float(first["pearson_mean_cluster_high"])
    assert low < estimate < high


def test_structure_rows_leave_undefined_cells_empty(written):
    rows = list(csv.DictReader(written["per_structure.csv"].read_text().splitlines()))
    protein = [row for row in rows if row["atom_class"] == "protein"]
    assert len(protein) == 2 * 25
    assert {row["id"] for row in protein if row["pearson"] == ""} == {"s077"}
    assert all(row["mae"] for row in protein)


def test_json_is_strict_and_whole(written, report):
    def refuse(text):
        raise AssertionError(f"{text} is not JSON")

    data = json.loads(written["report.json"].read_text(), parse_constant=refuse)
    assert data["provenance"]["digest"] == "abc123"
    first = data["evaluations"][0]
    assert first["bootstrap"] == {"repeats": 50, "seed": 3, "level": 0.95}
    assert first["undefined"] == ["s077"]
    assert len(first["worst"]) == 10
    assert data["failures"][0]["reason"] == "broken"
    assert data["differences"][0]["estimate"] == 0
    assert set(first["summaries"][0]["estimates"]) == set(data["measures"])


def test_single_evaluations_have_no_differences(report):
    alone = make_report(report.evaluations[:1], SOURCE)
    assert alone.differences == ()
    assert "Differences" not in alone.markdown()
