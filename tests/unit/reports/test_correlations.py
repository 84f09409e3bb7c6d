from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

from debye.benchmark.store import EntryFailure
from debye.reports.document import Provenance
from debye.reports.evaluation import correlation_document
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.summary import Correlations, predictor_rows
from debye.scores.tables import rows_where

PROVENANCE = Provenance(
    version="9", data="store", digest="abc", split="s", command="debye", settings={"k": "v"}
)
REFERENCE = pd.DataFrame(
    [
        {
            "model": "other", "crystal": "", "group": "x", "items": 3, "undefined": 0,
            "mean": 0.9, "median": 0.95, "low": 0.8, "high": 0.99,
        }
    ]
)  # fmt: skip
UNKNOWN = np.array([0.2, 0.4, 0.9, np.nan])
HALF = np.array([True, False, True, False])


def make(*rows: pd.DataFrame, **changes) -> Correlations:
    rows = rows or (
        predictor_rows("m", "on", UNKNOWN),
        predictor_rows("ceiling", "", np.full(4, 0.5)),
    )
    columns = {
        "name": "things",
        "title": "Things",
        "note": "What a thing is.",
        "items": pd.DataFrame([{"id": f"i{n}", "size": 0.1 * n} for n in range(4)]),
        "clusters": ("a", "a", "b", "c"),
        "groups": {"every": np.ones(4, bool), "some": HALF},
        "scores": pd.concat(rows, ignore_index=True),
        "bootstrap": BootstrapConfig(repeats=200),
    }
    return Correlations(**(columns | changes))


def test_means_leave_out_and_count_what_is_not_defined():
    means = rows_where(make().means(), model="m").set_index("group")
    assert means.loc["every", ["mean", "median"]].tolist() == pytest.approx([0.5, 0.4])
    assert means.loc["every", ["items", "undefined"]].tolist() == [4, 1]
    assert means.loc["some", "mean"] == pytest.approx(0.55)


def test_items_that_do_not_count_are_in_no_mean_and_no_file():
    found = make(predictor_rows("m", "", UNKNOWN, HALF), predictor_rows("n", "", UNKNOWN, ~HALF))
    assert found.means().query("group == 'every'")["items"].tolist() == [2, 2]
    assert found.table()["id"].tolist() == ["i0", "i2", "i1", "i3"]
    fewer = found.take(np.array([False, True, True, True]))
    assert fewer.table()[["model", "id", "pearson"]].values.tolist()[0] == ["m", "i2", 0.9]
    assert fewer.means().query("group == 'every'")["items"].tolist() == [1, 2]


def test_intervals_draw_whole_clusters():
    row = predictor_rows("m", "", np.array([0.0, 0.0, 1.0, 1.0]))
    apart, together = (
        make(row, clusters=clusters).means().iloc[0]
        for clusters in (("a", "b", "c", "d"), ("a", "a", "b", "b"))
    )
    assert (together["low"], together["high"]) == (0.0, 1.0)
    assert apart["low"] >= together["low"]
    none = make(row, bootstrap=BootstrapConfig(repeats=0)).means().iloc[0]
    assert np.isnan(none["low"])


def test_the_table_counts_items_and_ends_with_the_references():
    document = correlation_document(make(), PROVENANCE, references=REFERENCE)
    (table,) = document.sections[0].tables
    assert table.header[2] == "mean r, every (4)"
    assert table.header[-1] == "some (2)"
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert [row[0] for row in table.rows] == ["m", "ceiling", "other"]
    assert table.rows[0][2] == "0.500"
    assert table.rows[2][2:5] == ("0.900", "0.800 to 0.990", "0.950")
    assert table.rows[2][-1] == "–"


def test_files_hold_every_item_and_mean(tmp_path):
    failure = EntryFailure("m", "on", "i3", "broken")
    paths = correlation_document(make(), PROVENANCE, [failure]).write(tmp_path / "deep")
    assert {path.name for path in paths} == {"things.md", "things.csv", "things.json"}
    text = (tmp_path / "deep" / "things.md").read_text()
    for fact in ("# Things", "abc", "k: v", "i3: broken", "What a thing is."):
        assert fact in text
    rows = list(csv.DictReader((tmp_path / "deep" / "things.csv").read_text().splitlines()))
    assert len(rows) == 8
    assert rows[1] == {"model": "m", "crystal": "on", "id": "i1", "size": "0.1", "pearson": "0.4"}
    assert rows[3]["pearson"] == ""
    data = json.loads((tmp_path / "deep" / "things.json").read_text())
    assert [(row["model"], row["group"]) for row in data["means"]] == [
        ("m", "every"), ("m", "some"), ("ceiling", "every"), ("ceiling", "some")
    ]  # fmt: skip
