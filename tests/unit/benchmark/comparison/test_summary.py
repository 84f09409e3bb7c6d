"""What the report says follows from the rows of the runs."""

from __future__ import annotations

import math

from debye.benchmark.comparison.results import Results
from debye.benchmark.comparison.summary import Overview, Spread


def row(contender: str, run: str, value: float | None, **more) -> dict:
    facts = {"contender": contender, "run": run, "kind": "seed", "status": "done"}
    place = {"split": "val", "crystal": "on", "atom_class": "protein", "stratum": "all"}
    return facts | place | {"reads_crystal": True, "pearson_mean": value, "structures": 4} | more


def pair(contender: str, run: str, number: int) -> dict:
    names = {"id1": f"a{number}", "chain1": "A", "id2": f"b{number}", "chain2": "A"}
    return names | {"contender": contender, "run": run, "predictor": contender, "pearson": 0.5}


def test_means_are_over_runs_and_the_best_trained_model_comes_first():
    rows = [row("weak", str(seed), 0.1 * seed) for seed in (1, 2, 3)]
    rows += [row("strong", "1", 0.8), row("fixed", "1", 0.9, kind="fixed")]
    rows += [
        row("weak", "1", 0.9, kind="search", split=None),
        row("gone", "1", None, status="failed"),
    ]
    overview = Overview(Results(rows, [], []), ["fixed", "weak", "gone", "strong"])
    assert overview.contenders == ["strong", "weak", "fixed"]
    spread = overview.spread("weak", "val", "pearson_mean")
    assert math.isclose(spread.mean, 0.2)
    assert math.isclose(spread.sd, 0.1)
    assert spread.runs == 3
    assert math.isnan(overview.spread("strong", "val", "pearson_mean").sd)
    assert math.isnan(overview.spread("weak", "test", "pearson_mean").mean)
    assert [each["contender"] for each in overview.failed] == ["gone"]
    assert len(overview.trials) == 1


def test_one_run_without_the_figure_leaves_no_mean():
    assert math.isnan(Spread.of([0.5, math.nan]).mean)


def test_pairs_that_a_run_lacks_are_left_out():
    pairs = [pair("a", "1", 0), pair("a", "1", 1), pair("b", "1", 1), pair("b", "1", 2)]
    pairs += [pair("b", "1", 3), pair("a", "1", 3) | {"pearson": None}]
    pairs += [pair("constant", "1", number) | {"pearson": None} for number in range(3)]
    pairs += [pair("a", "1", number) | {"predictor": "crystal"} for number in range(4)]
    pairs += [pair("b", "1", number) | {"predictor": "crystal"} for number in range(3)]
    rows = [row("a", "1", 0.5), row("b", "1", 0.5)]
    overview = Overview(Results(rows, [], pairs), ["a", "b"])
    assert {each["id1"] for each in overview.pairs} == {"a1"}
