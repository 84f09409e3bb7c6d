"""One document, written as Markdown, HTML, CSV, Parquet and JSON."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from debye.reports.document import Document, Picture, Section, TextTable, cell, span

TABLE = pd.DataFrame({"name": ["a", "b"], "count": [1200, 3], "r": [0.25, np.nan]})


def make(**changes) -> Document:
    columns = (("model", "name", ""), ("atoms", "count", ","), ("r", "r", "+2"))
    table = TextTable.of("Numbers", TABLE, columns, note="Why < how.")
    settings = {
        "title": "A `report`",
        "facts": {"command": "`debye x`"},
        "sections": (
            Section("First", pictures=(Picture("bars", "Bars.", b"png"),), tables=(table,)),
            Section(details=(table,)),
            Section("Rules", lines=("one",)),
        ),
        "tables": {"data.csv": TABLE, "data.parquet": TABLE},
        "record": {"r": float("nan"), "rows": TABLE},
    }
    return Document(**(settings | changes))


def test_cells_are_written_by_their_format():
    assert make().sections[0].tables[0].rows == (("a", "1,200", "+0.25"), ("b", "3", "–"))


def test_headings_follow_the_sections():
    lines = [line for line in make().markdown().splitlines() if line.startswith(("#", "- ", "!"))]
    assert lines == [
        "# A `report`", "- command: `debye x`", "## First", "![Bars.](figures/bars.png)",
        "### Numbers", "## Numbers", "## Rules", "- one",
    ]  # fmt: skip


def test_files_are_those_of_the_document(tmp_path):
    paths = make(has_page=True, stem="x").write(tmp_path / "new")
    names = {path.name for path in paths}
    assert names == {"x.md", "x.html", "x.json", "data.csv", "data.parquet"}
    assert (tmp_path / "new" / "figures" / "bars.png").read_bytes() == b"png"
    assert json.loads((tmp_path / "new" / "x.json").read_text())["r"] is None
    assert (tmp_path / "new" / "data.csv").read_text() == "name,count,r\na,1200,0.25\nb,3,\n"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "new" / "data.parquet"), TABLE)
    assert make(record=None).write(tmp_path / "less")[0].name == "report.md"


def test_the_page_escapes_text_and_needs_no_other_file():
    page = make().html()
    assert "<code>debye x</code>" in page
    assert "Why &lt; how." in page
    assert "data:image/png;base64," in page


def test_markdown_escapes_and_aligns():
    lines = TextTable("T", ("x", "y"), (("b|c", "1"),), note="Why.").markdown().splitlines()
    assert lines == ["## T", "", "| x | y |", "| --- | ---: |", "| b\\|c | 1 |", "", "Why."]


def test_missing_intervals_are_dashes():
    assert span(np.nan, np.nan) == "–"
    assert span(0.1, 0.25, 2) == "0.10 to 0.25"
    assert cell({"r": 0.5}, "r", "~3") == "–"


def test_a_cell_of_several_lines_stays_one_row_of_markdown():
    table = TextTable("a", ("run", "reason"), (("1", "needs a | b\nor c"), ("2", "")), 2)
    lines = table.markdown().splitlines()
    assert lines[2:] == [
        "| run | reason |",
        "| --- | --- |",
        r"| 1 | needs a \| b or c |",
        "| 2 |  |",
    ]
