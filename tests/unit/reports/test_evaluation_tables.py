from __future__ import annotations

import numpy as np
import pytest
from debye.reports.evaluation_tables import (
    TextTable,
    breakdown_table,
    correlation_table,
    difference_table,
    error_breakdown_table,
    error_table,
    pooled_table,
    span,
    worst_table,
)
from debye.scores.evaluation import BootstrapConfig, difference, evaluate

from debye.scores.bootstrap import Interval

QUICK = BootstrapConfig(repeats=50)


@pytest.fixture(scope="module")
def evaluations(many_values):
    return [
        evaluate(many_values, model=name, crystal=crystal, bootstrap=QUICK)
        for name, crystal in (("a", True), ("a", False), ("b|c", True))
    ]


@pytest.mark.parametrize("make", [correlation_table, error_table, pooled_table])
def test_comparisons_have_one_row_an_evaluation(evaluations, make):
    table = make(evaluations)
    assert [row[:2] for row in table.rows] == [("a", "on"), ("a", "off"), ("b|c", "on")]


@pytest.mark.parametrize(
    "make",
    [
        correlation_table,
        error_table,
        pooled_table,
        breakdown_table,
        error_breakdown_table,
        worst_table,
    ],
)
def test_rows_are_as_long_as_the_header(evaluations, make):
    table = make(evaluations)
    assert table.rows
    assert {len(row) for row in table.rows} == {len(table.header)}


def test_every_pooled_number_has_the_oracle_beside_it(evaluations):
    header = pooled_table(evaluations).header
    for name in ("r, raw B", "MAE / Å²", "MAPE / %", "RRSE"):
        assert header[header.index(name) + 1] == "oracle"


def test_numbers_are_those_of_the_summary(evaluations):
    table = correlation_table(evaluations)
    column = table.header.index("mean r")
    assert table.rows[0][column] == f"{evaluations[0].summary().estimates['pearson_mean']:.3f}"


def test_worst_rows_start_with_the_lowest(evaluations):
    table = worst_table(evaluations[:1], count=4)
    assert [row[2] for row in table.rows] == [score.id for score in evaluations[0].worst(4)]


def test_differences_name_both_sides(evaluations):
    table = difference_table([difference(evaluations[1], evaluations[0])])
    assert table.rows[0][:2] == ("a, crystal off", "a, crystal on")


def test_markdown_escapes_and_aligns():
    lines = TextTable("T", ("x", "y"), (("b|c", "1"),), note="Why.").markdown().splitlines()
    assert lines == ["## T", "", "| x | y |", "| --- | ---: |", "| b\\|c | 1 |", "", "Why."]


def test_missing_intervals_are_dashes():
    assert span(None) == span(Interval(np.nan, np.nan)) == "–"
    assert span(Interval(0.1, 0.25), 2) == "0.10 to 0.25"


def test_a_cell_of_several_lines_stays_one_row_of_markdown():
    table = TextTable("a", ("run", "reason"), (("1", "needs a | b\nor c"), ("2", "")), 2)
    lines = table.markdown().splitlines()
    assert lines[2:] == [
        "| run | reason |",
        "| --- | --- |",
        r"| 1 | needs a \| b or c |",
        "| 2 |  |",
    ]
