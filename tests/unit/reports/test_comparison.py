"""Figures by model, tables and facts of the report follow from the rows of the runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from debye.benchmark.comparison.results import COLUMNS, MeanSd, Overview, Results
from debye.reports.comparison import hardware_text, source_text, time_text
from debye.reports.comparison_tables import (
    class_table,
    compared_figures,
    data_table,
    difference_table,
    failure_table,
    figure_table,
    predicted_table,
)
from debye.scores.summary import Difference
from debye.targets.b_factor import B_FACTOR

CC, MAE, _, _ = compared_figures(B_FACTOR)


def run(contender: str, run: str, value: float = np.nan, **more) -> dict:
    """One run with its figure on val."""
    facts = {"contender": contender, "run": run, "kind": "seed", "status": "done"}
    place = {"split": "val", "crystal": "on", "atom_class": "protein", "stratum": "all"}
    measures = {"pearson_mean": value, "mae_mean": value, "oracle_mae_mean": 9.0}
    counts = {"structures": 4, "atoms": 4000}
    return facts | place | counts | measures | {"reads_crystal": True, "reason": ""} | more


def overview(
    rows: list[dict], names: list[str], pairs: Sequence[dict] = (), predicted: Sequence[dict] = ()
) -> Overview:
    runs = (
        pd.DataFrame(rows).reindex(columns=list(COLUMNS[0])).drop_duplicates(["contender", "run"])
    )
    done = [row for row in rows if row["status"] == "done" and row["kind"] != "search"]
    tables = (done, [], pairs, predicted)
    others = [
        pd.DataFrame(list(table), columns=None if table else pd.Index(columns))
        for table, columns in zip(tables, COLUMNS[1:], strict=True)
    ]
    return Overview(Results(runs, *others), names)


def pair(contender: str, run: str, number: int, r: float = 0.5, predictor: str = "") -> dict:
    names = {"id1": f"a{number}", "chain1": "A", "id2": f"b{number}", "chain2": "A"}
    labels = {"contender": contender, "run": run, "predictor": predictor or contender}
    return names | labels | {"pearson": r}


def test_means_are_over_runs_and_the_best_trained_model_comes_first():
    rows = [run("weak", str(seed), 0.1 * seed) for seed in (1, 2, 3)]
    rows += [run("strong", "1", 0.8), run("fixed", "1", 0.9, kind="fixed")]
    rows += [run("weak", "search", 0.9, kind="search"), run("gone", "1", status="failed")]
    made = overview(rows, ["fixed", "weak", "gone", "strong"])
    assert made.contenders == ["strong", "weak", "fixed"]
    found = made.mean_sd("weak", "val", "pearson_mean")
    assert math.isclose(found.mean, 0.2)
    assert math.isclose(found.sd, 0.1)
    assert found.runs == 3
    assert math.isnan(made.mean_sd("strong", "val", "pearson_mean").sd)
    assert math.isnan(made.mean_sd("weak", "test", "pearson_mean").mean)
    assert made.failed["contender"].tolist() == ["gone"]
    assert len(made.trials) == 1


def test_one_run_without_the_figure_leaves_no_mean():
    assert math.isnan(MeanSd.of([0.5, math.nan]).mean)


def test_pairs_that_a_run_lacks_are_left_out():
    pairs = [pair("a", "1", 0), pair("a", "1", 1), pair("b", "1", 1), pair("b", "1", 2)]
    pairs += [pair("b", "1", 3), pair("a", "1", 3, np.nan)]
    pairs += [pair("constant", "1", number, np.nan) for number in range(3)]
    pairs += [pair("a", "1", number, predictor="crystal") for number in range(4)]
    pairs += [pair("b", "1", number, predictor="crystal") for number in range(3)]
    made = overview([run("a", "1", 0.5), run("b", "1", 0.5)], ["a", "b"], pairs)
    assert set(made.pairs["id1"]) == {"a1"}


def test_a_figure_is_the_mean_of_the_runs_and_the_oracle_comes_last():
    made = overview([run("a", "1", 0.5), run("a", "2", 0.6), run("b", "1")], ["a", "b"])
    table = figure_table(made, MAE)
    assert table.header == ("model", "runs", "mates", "val")
    assert table.rows[0] == ("a", "2", "on", "0.55 ± 0.07")
    assert table.rows[1] == ("b", "1", "on", "–")
    assert table.rows[2] == ("each structure's own mean", "", "", "9.00")
    assert "does not predict the level" in table.note
    assert "one value for all atoms" in figure_table(made, CC).note


def test_classes_say_on_how_many_structures_and_atoms_they_rest():
    rows = [run("a", "1", 0.5), run("a", "1", 0.25, atom_class="ligand", structures=2, atoms=1234)]
    table = class_table(overview(rows, ["a"]), "val", CC)
    assert "ligand (2; 1,234)" in table.header
    assert "metal and other ions (0; 0)" in table.header
    assert table.rows[0][table.header.index("ligand (2; 1,234)")] == "0.250"


def test_differences_say_on_how_many_structures_each_rests():
    found = [
        (
            "a",
            "val",
            *Difference(measure, "protein", "a", "b", count, 0, 0.25, -1.0, 1.0, -1.0, 1.0),
        )
        for measure, count in (("pearson_mean", 0), ("mae_mean", 5), ("rrse_mean", 6))
    ]
    differences = pd.DataFrame(found, columns=["contender", "split", *Difference._fields])
    runs = [run("a", "1", 0.5), run("a", "2", 0.7), run("b", "1", 0.5), run("b", "2", 0.5)]
    table = difference_table(overview(runs, ["a", "b"]), differences, "b", "val", B_FACTOR)
    (cells,) = table.rows
    assert len(set(table.header)) == len(table.header) == len(cells)
    shown = dict(zip(table.header, cells, strict=True))
    counts = [shown[f"structures ({name})"] for name in ("CC", "MAE", "RRSE")]
    assert counts == ["0", "5", "6"]
    assert (shown["CC"], shown["95 %, clusters"]) == ("+0.250", "-1.000 to 1.000")
    assert shown["standard error, runs"] == "0.100"  # sd 0.141 of two runs, and none


def test_the_table_of_data_says_whose_edges_are_counted():
    data = {"split": "val", "role": "scored", "structures": 2, "residues": 9, "atoms": 70}
    data |= {"edges": 500, "mean_resolution": 1.5, "mean_b": 20.0, "std_b": None}
    assert "of the first trained recipe," in data_table(pd.DataFrame([data]), B_FACTOR).note
    table = data_table(pd.DataFrame([data | {"edges_of": "gcn"}]), B_FACTOR)
    assert "of gcn," in table.note
    assert table.rows[0][2:7] == ("2", "9", "70", "500", "35")
    assert table.rows[0][-1] == "20.0 ± –"


def test_a_failure_has_a_name_for_each_column():
    table = failure_table(overview([run("a", "1", status="failed", reason="x\ny")], ["a"]))
    assert all(table.header)
    assert "| a | seed 1 | failed | x y |" in table.markdown()


def test_different_states_of_the_source_are_named():
    runs = pd.DataFrame({"version": "0.1.0", "source": ["abc", "abc", "def"]})
    assert source_text(runs[:2]) == "0.1.0, source files `abc`"
    assert "different states of the source files: `abc` (2 runs), `def` (1 run)" in source_text(
        runs
    )
    versions = pd.DataFrame({"version": ["0.2.0", "0.1.0"], "source": "abc"})
    assert source_text(versions).startswith("0.1.0 and 0.2.0")


def test_hardware_is_that_of_each_run():
    runs = pd.DataFrame({"hardware": "chip, 2 cores", "jobs": [2, 1.0], "device": ["cpu", "cuda"]})
    assert hardware_text(runs) == [
        "chip, 2 cores; 2 runs at a time, each in one thread, on cpu",
        "chip, 2 cores; 1 run at a time, each in one thread, on cuda",
    ]


def test_time_has_attempts_and_preparation_in_it_or_says_not():
    runs = [(100.0, 300.0), (200.0, 300.0)]
    assert time_text(runs, [(0.0, 50.0)]) == (
        "7.5 min by the clock, 10.0 min of runs, 50 s of graphs built beforehand"
    )
    assert time_text(runs, None).endswith("runs that were killed, are not included")


def match(
    predictor: str, run: str, file: str, best: int, r: float = np.nan, contender: str = ""
) -> dict:
    place = {"file": file, "entry": "1abc", "chain": "A", "best_match": best, "pearson": r}
    return {"contender": contender or predictor, "run": run, "predictor": predictor} | place


def test_predicted_structures_that_one_model_cannot_do_are_left_out_for_all():
    found = [match("a", each, "x", 1, r) for each, r in (("1", 0.5), ("2", 0.7))]
    found += [match("a", "1", "y", 1, 0.9), match("a", "2", "y", 1)]
    found += [match("a", each, "z", 0, 0.1) for each in ("1", "2")]
    found += [match("b", "1", file, int(file != "z"), 0.3) for file in "xyz"]
    found += [match("constant", "1", file, int(file != "z")) for file in "xyz"]
    found += [match(label, "1", "x", 1, 0.2, "a") for label in ("−pLDDT", "pLDDT, Phenix")]
    names = ["a", "b", "constant"]
    rows = [run("a", each, 0.5) for each in ("1", "2")] + [
        run(name, "1", 0.5) for name in names[1:]
    ]
    table = predicted_table(overview(rows, names, predicted=found))
    assert table is not None
    assert "all 2 matches" in table.header[-1]
    assert table.rows == (
        ("pLDDT, Phenix", "0.200", "0.200", "1", "0.200"),
        ("−pLDDT", "0.200", "0.200", "1", "0.200"),
        ("a", "0.600 ± 0.141", "0.600", "1", "0.350 ± 0.071"),
        ("b", "0.300", "0.300", "1", "0.300"),
        ("constant", "–", "–", "0", "–"),
    )


def test_each_structure_is_averaged_over_runs_and_missing_if_a_run_lacks_it():
    rows = [run("a", "1", 0.5), run("a", "2", 0.5)]
    made = overview(rows, ["a"])
    names = ("contender", "run", "split", "crystal", "id", "cluster")
    table = pd.DataFrame(
        [
            dict(zip(names, ("a", each, "val", "on", name, "c"), strict=True), pearson=r)
            for each, name, r in (
                ("1", "y", 0.2),
                ("1", "x", 0.4),
                ("2", "y", np.nan),
                ("2", "x", 0.6),
            )
        ]
    ).reindex(columns=list(COLUMNS[2]))
    made = Overview(Results(made.done, made._summaries, table, made.pairs, made.predicted), ["a"])
    found = made.per_structure("a", "val")
    assert found["id"].tolist() == ["x", "y"]
    assert found["pearson"].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
