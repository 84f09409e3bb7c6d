from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from debye.benchmark.store import EntryFailure
from debye.reports.document import Provenance
from debye.reports.evaluation import evaluation_document
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.scores import score_structure, score_table
from debye.scores.summary import primary_summaries, summarize
from debye.scores.tables import rows_where
from debye.targets.catalog import find_target
from debye.targets.target import Per

SOURCE = Provenance(
    version="9.9",
    data="store",
    digest="abc123",
    split="test",
    command="debye evaluate m",
    settings={"resolution": "given"},
)


TARGET = find_target("b_factor")
BOOTSTRAP = BootstrapConfig(repeats=50, seed=3)


@pytest.fixture(scope="module")
def scores(many_values, make_values) -> pd.DataFrame:
    structures = [*many_values, make_values(77, predicted=np.full(60, 30, np.float32))]
    tables = [
        score_table(map_scores(structures), model=model, crystal=crystal)
        for model, crystal in (("m", "on"), ("m", "off"), ("b|c", "on"))
    ]
    return pd.concat(tables, ignore_index=True)


def text_tables(document):
    return [table for each in document.sections for table in (*each.tables, *each.details)]


def map_scores(structures):
    return [score for values in structures for score in score_structure(values)]


@pytest.fixture(scope="module")
def document(scores):
    failures = [EntryFailure("m", "on", "s077", "broken")]
    return evaluation_document(scores, TARGET, SOURCE, BOOTSTRAP, failures)


@pytest.fixture(scope="module")
def tables(document):
    return {table.title.partition(",")[0]: table for table in text_tables(document)}


@pytest.fixture(scope="module")
def written(document, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "deep" / "er"
    return {path.name: path for path in document.write(folder)}


def test_every_file_is_written(written):
    assert set(written) == {"report.md", "summary.csv", "per_structure.csv", "report.json"}
    assert all(path.stat().st_size for path in written.values())


def test_markdown_tells_where_the_numbers_come_from(written):
    text = written["report.md"].read_text()
    for fact in ("`test`", "`b_factor`", "abc123", "9.9", "`debye evaluate m`", "s077: broken"):
        assert fact in text
    assert "50 draws, seed 3" in text
    assert "counted as undefined" in text
    assert "values of at least 1 Å²" in text


def test_summary_rows_carry_estimates_and_both_intervals(written, scores):
    rows = list(csv.DictReader(written["summary.csv"].read_text().splitlines()))
    summaries = summarize(scores, BOOTSTRAP)
    assert len(rows) == len(summaries)
    first = rows[0]
    assert (first["model"], first["crystal"], first["atom_class"]) == ("m", "on", "protein")
    estimate = summaries["pearson_mean"][0]
    assert float(first["pearson_mean"]) == pytest.approx(estimate, abs=1e-5)
    low, high = float(first["pearson_mean_cluster_low"]), float(first["pearson_mean_cluster_high"])
    assert low < estimate < high


def test_structure_rows_leave_undefined_cells_empty(written):
    rows = list(csv.DictReader(written["per_structure.csv"].read_text().splitlines()))
    protein = [row for row in rows if row["atom_class"] == "protein"]
    assert len(protein) == 3 * 25
    assert {row["id"] for row in protein if row["pearson"] == ""} == {"s077"}
    assert all(row["mae"] for row in protein)


def test_json_is_strict_and_has_what_the_tables_lack(written):
    def refuse(text):
        raise AssertionError(f"{text} is not JSON")

    data = json.loads(written["report.json"].read_text(), parse_constant=refuse)
    assert data["provenance"]["digest"] == "abc123"
    assert data["bootstrap"] == {"repeats": 50, "seed": 3, "level": 0.95}
    assert data["undefined"][0] == {"model": "m", "crystal": "on", "id": "s077"}
    assert data["failures"][0]["reason"] == "broken"
    assert data["differences"][0]["estimate"] == 0
    assert data["measures"]["mae_mean"] == "mean over structures of MAE, Å²"


def test_single_models_have_no_differences(scores):
    alone = evaluation_document(rows_where(scores, model="b|c"), TARGET, SOURCE, BOOTSTRAP)
    assert "Differences" not in alone.markdown()


@pytest.mark.parametrize(
    "title", ["Correlation per structure", "Errors per structure", "Pooled over atoms"]
)
def test_comparisons_have_one_row_a_model_and_crystal(tables, title):
    assert [row[:2] for row in tables[title].rows] == [("m", "on"), ("m", "off"), ("b|c", "on")]


def test_rows_are_as_long_as_the_header(tables):
    assert len(tables) == 7
    for table in tables.values():
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_every_pooled_number_is_followed_by_the_oracle(tables):
    header = tables["Pooled over atoms"].header
    for name in ("r, raw values", "MAE / Å²", "MAPE / %", "RRSE"):
        assert header[header.index(name) + 1] == "oracle"


def test_numbers_are_those_of_the_summary(tables, scores):
    table = tables["Correlation per structure"]
    estimate = primary_summaries(summarize(scores, BOOTSTRAP))["pearson_mean"].iloc[0]
    assert table.rows[0][table.header.index("mean r")] == f"{estimate:.3f}"


def test_worst_rows_start_with_the_lowest(tables, scores):
    own = rows_where(scores, model="m", crystal="on", atom_class="protein")
    lowest = own.dropna(subset=["pearson"]).sort_values("pearson")["id"].tolist()[:10]
    assert [row[2] for row in tables["Worst 10 structures"].rows[:10]] == lowest


def test_differences_name_both_sides(tables):
    assert tables["Differences"].rows[0][:2] == ("m, crystal off", "m, crystal on")


def test_a_target_without_unit_per_structure_has_tables_of_its_own(make_values):
    target = replace(
        find_target("b_factor_raw"),
        name="count",
        unit="",
        per=Per.STRUCTURE,
        loss="pointwise",
        monitor="pooled_r",
        in_b_column=False,
        percent_floor=None,
    )
    values = [
        make_values(
            seed, 1, true=np.float32([seed]), predicted=np.float32([seed + 1]), target=target
        )
        for seed in range(1, 5)
    ]
    scores = score_table(map_scores(values), model="m", crystal="off")
    found = evaluation_document(scores, target, SOURCE, BOOTSTRAP)
    titles = [table.title for table in text_tables(found)]
    assert titles[:2] == ["Errors per structure, structures", "Pooled over structures, structures"]
    assert "MAE" in text_tables(found)[0].header
    assert "Percentage errors" not in found.markdown()
