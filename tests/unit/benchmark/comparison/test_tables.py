"""The tables of the report and the facts above them."""

from __future__ import annotations

from debye.benchmark.comparison.correlation_tables import predicted_table
from debye.benchmark.comparison.provenance import _code, _hardware, _time
from debye.benchmark.comparison.summary import Overview
from debye.benchmark.comparison.tables import (
    QUANTITIES,
    class_table,
    data_table,
    difference_table,
    failure_table,
    quantity_table,
)
from debye.scores.evaluation import Difference

from debye.benchmark.comparison.results import Results
from debye.scores.bootstrap import Interval


def row(contender: str, run: str, value: float | None, **more) -> dict:
    facts = {"contender": contender, "run": run, "kind": "seed", "status": "done"}
    place = {"split": "val", "crystal": "on", "atom_class": "protein", "stratum": "all"}
    measures = {"pearson_mean": value, "mae_mean": value, "oracle_mae_mean": 9.0}
    counts = {"structures": 4, "atoms": 4000}
    return facts | place | counts | measures | {"reads_crystal": True} | more


def overview(rows: list[dict], names: list[str]) -> Overview:
    return Overview(Results(rows, [], []), names)


def test_a_figure_is_the_mean_of_the_runs_and_the_oracle_comes_last():
    rows = [row("a", "1", 0.5), row("a", "2", 0.6), row("b", "1", None)]
    made = overview(rows, ["a", "b"])
    table = quantity_table(made, QUANTITIES[1])
    assert table.header == ("model", "runs", "mates", "val")
    assert table.rows[0] == ("a", "2", "on", "0.55 ± 0.07")
    assert table.rows[1] == ("b", "1", "on", "–")
    assert table.rows[2] == ("each structure's own mean", "", "", "9.00")
    assert "no opinion on the level" in table.note
    assert "one value for all atoms" in quantity_table(made, QUANTITIES[0]).note


def test_classes_say_on_how_many_structures_and_atoms_they_rest():
    rows = [row("a", "1", 0.5)]
    rows += [row("a", "1", 0.25, atom_class="ligand", structures=2, atoms=1234)]
    table = class_table(overview(rows, ["a"]), "val", "pearson_mean", "CC", 3)
    assert "ligand (2; 1,234)" in table.header
    assert "metal and other ions (0; 0)" in table.header
    assert table.rows[0][table.header.index("ligand (2; 1,234)")] == "0.250"


def test_differences_say_on_how_many_structures_each_rests():
    interval = Interval(-1.0, 1.0)
    found = [
        Difference(
            measure=measure,
            atom_class="protein",
            first="a",
            second="b",
            structures=structures,
            left_out=0,
            estimate=0.25,
            interval=interval,
            cluster_interval=interval,
        )
        for measure, structures in (("pearson_mean", 0), ("mae_mean", 5), ("rrse_mean", 6))
    ]
    runs = [row("a", "1", 0.5), row("a", "2", 0.7), row("b", "1", 0.5), row("b", "2", 0.5)]
    made = overview(runs, ["a", "b"])
    table = difference_table(made, [("a", "val", each) for each in found], "b", "val")
    (cells,) = table.rows
    assert len(set(table.header)) == len(table.header) == len(cells)
    shown = dict(zip(table.header, cells, strict=True))
    counts = [shown[f"structures ({name})"] for name in ("CC", "MAE", "RRSE")]
    assert counts == ["0", "5", "6"]
    assert shown["standard error, runs"] == "0.100"  # sd 0.141 of two runs, and none


def test_the_table_of_data_says_whose_edges_are_counted():
    data = {"split": "val", "role": "scored", "structures": 2, "residues": 9, "atoms": 70}
    data |= {"edges": 500, "mean_resolution": 1.5, "mean_b": 20.0, "std_b": None}
    assert "of the first trained recipe," in data_table([data]).note
    table = data_table([data | {"edges_of": "gcn"}])
    assert "of gcn," in table.note
    assert table.rows[0][2:7] == ("2", "9", "70", "500", "35")


def test_a_failure_has_a_name_for_each_column():
    failed = row("a", "1", None, status="failed", reason="x\ny")
    table = failure_table(overview([failed], ["a"]))
    assert all(table.header)
    assert "| a | seed 1 | failed | x y |" in table.markdown()


def test_different_states_of_the_source_are_told():
    runs = [{"version": "0.1.0", "source": digest} for digest in ("abc", "abc", "def", None)]
    assert _code(runs[:2]) == "0.1.0, source files `abc`"
    assert _code(runs[3:]) == "0.1.0; of unknown source files"
    assert "different states of the source files: unknown (1 runs), `abc` (2 runs)" in _code(runs)
    versions = [{"version": name, "source": "abc"} for name in ("0.2.0", "0.1.0")]
    assert _code(versions).startswith("0.1.0 and 0.2.0")


def test_hardware_is_that_of_each_run():
    plan = {"jobs": 2, "device": "cpu"}
    run = {"hardware": "chip, 2 cores", "jobs": None, "device": None}
    assert _hardware(run, plan).startswith("chip, 2 cores; 2 runs at a time")
    assert _hardware(run | {"jobs": 1.0, "device": "cuda"}, plan).endswith(
        "1 runs at a time, each in one thread, on cuda"
    )


def test_time_has_attempts_and_preparation_in_it_or_says_not():
    runs = [(100.0, 300.0), (200.0, 300.0)]
    assert _time(runs, [(0.0, 50.0)]) == (
        "7.5 min by the clock, 10.0 min of runs, 50 s of graphs built beforehand"
    )
    assert _time(runs, None).endswith("runs that were killed, are not in it")


def match(
    predictor: str, run: str, file: str, best: int, r: float | None, contender: str = ""
) -> dict:
    place = {"file": file, "entry": "1abc", "chain": "A", "best_match": best, "pearson": r}
    return {"contender": contender or predictor, "run": run, "predictor": predictor} | place


def test_predicted_structures_that_one_model_cannot_do_are_left_out_for_all():
    found = [match("a", run, "x", 1, r) for run, r in (("1", 0.5), ("2", 0.7))]
    found += [match("a", "1", "y", 1, 0.9), match("a", "2", "y", 1, None)]
    found += [match("a", run, "z", 0, 0.1) for run in ("1", "2")]
    found += [match("b", "1", file, int(file != "z"), 0.3) for file in "xyz"]
    found += [match("constant", "1", file, int(file != "z"), None) for file in "xyz"]
    found += [match(label, "1", "x", 1, 0.2, "a") for label in ("−pLDDT", "pLDDT, Phenix")]
    names = ["a", "b", "constant"]
    rows = [row("a", run, 0.5) for run in ("1", "2")] + [row(name, "1", 0.5) for name in names[1:]]
    table = predicted_table(Overview(Results(rows, [], [], found), names))
    assert table is not None
    assert "all 2 matches" in table.header[-1]
    assert table.rows == (
        ("pLDDT, Phenix", "0.200", "0.200", "1", "0.200"),
        ("−pLDDT", "0.200", "0.200", "1", "0.200"),
        ("a", "0.600 ± 0.141", "0.600", "1", "0.350 ± 0.071"),
        ("b", "0.300", "0.300", "1", "0.300"),
        ("constant", "–", "–", "0", "–"),
    )
