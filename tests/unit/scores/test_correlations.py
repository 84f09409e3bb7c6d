from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from debye.scores.evaluation import BootstrapConfig

from debye.reports.evaluation import EntryFailure, Provenance
from debye.scores.bootstrap import Interval
from debye.scores.correlations import CorrelationReport, GroupMean, Predictions

REFERENCE = GroupMean(
    model="other", crystal="", group="x", items=3, undefined=0, mean=0.9, median=0.95,
    interval=Interval(0.8, 0.99),
)  # fmt: skip


def make(**changes) -> CorrelationReport:
    columns = {
        "name": "things",
        "title": "Things",
        "note": "What a thing is.",
        "items": tuple({"id": f"i{number}", "size": 0.1 * number} for number in range(4)),
        "clusters": ("a", "a", "b", "c"),
        "groups": {"every": np.ones(4, bool), "some": np.array([True, False, True, False])},
        "rows": (
            Predictions(model="m", crystal="on", pearson=np.array([0.2, 0.4, 0.9, np.nan])),
            Predictions(model="ceiling", crystal="", pearson=np.array([0.5, 0.5, 0.5, 0.5])),
        ),
        "bootstrap": BootstrapConfig(repeats=200),
        "provenance": Provenance(
            version="9", data="store", digest="abc", split="s", command="debye", settings={"k": "v"}
        ),
    }
    return CorrelationReport(**(columns | changes))


def test_means_leave_out_and_count_what_is_not_defined():
    report = make()
    every, some = (report.mean(report.rows[0], group) for group in report.groups)
    assert (every.mean, every.median) == (pytest.approx(0.5), pytest.approx(0.4))
    assert (every.items, every.undefined) == (4, 1)
    assert (some.mean, some.undefined) == (pytest.approx(0.55), 0)


def test_intervals_draw_whole_clusters():
    rows = (Predictions(model="m", crystal="", pearson=np.array([0.0, 0.0, 1.0, 1.0])),)
    apart, together = (
        make(rows=rows, clusters=clusters).means()[0].interval
        for clusters in (("a", "b", "c", "d"), ("a", "a", "b", "b"))
    )
    assert (together.low, together.high) == (0.0, 1.0)
    assert apart.low >= together.low
    none = make(rows=rows, bootstrap=BootstrapConfig(repeats=0)).means()[0].interval
    assert np.isnan(none.low)


def test_the_table_counts_items_and_ends_with_the_references():
    table = make(references=(REFERENCE,)).comparison()[0]
    assert table.header[2] == "mean r, every (4)"
    assert table.header[-1] == "some (2)"
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert [row[0] for row in table.rows] == ["m", "ceiling", "other"]
    assert table.rows[0][2] == "0.500"
    assert table.rows[2][2:5] == ("0.900", "0.800 to 0.990", "0.950")
    assert table.rows[2][-1] == "–"


def test_files_hold_every_item_and_mean(tmp_path):
    failure = EntryFailure(model="m", crystal=True, id="i3", reason="broken")
    paths = make(failures=(failure,)).write(tmp_path / "deep")
    assert [path.name for path in paths] == ["things.md", "things.csv", "things.json"]
    text = paths[0].read_text()
    for fact in ("# Things", "abc", "k: v", "i3: broken", "What a thing is."):
        assert fact in text
    rows = list(csv.DictReader(paths[1].read_text().splitlines()))
    assert len(rows) == 8
    assert rows[1] == {"model": "m", "crystal": "on", "id": "i1", "size": "0.1", "pearson": "0.4"}
    assert rows[3]["pearson"] == ""
    data = json.loads(paths[2].read_text())
    assert [(row["model"], row["group"]) for row in data["means"]] == [
        ("m", "every"), ("m", "some"), ("ceiling", "every"), ("ceiling", "some")
    ]  # fmt: skip
