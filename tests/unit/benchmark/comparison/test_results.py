"""From the folders of runs to results.csv."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from debye.benchmark.comparison.job import Job, write_failure
from debye.benchmark.comparison.results import collect_results, read_results
from debye.errors import ConfigError


def leave(folder: Path, kind: str, run: str, seed: int | None, **more) -> None:
    """Write what a run of contender a leaves."""
    place = folder / "runs" / "a" / (f"search-{run}" if kind == "search" else run)
    place.mkdir(parents=True)
    job = Job(contender="a", kind=kind, run=run, seed=seed, model="gcn", store="", digest="d")  # type: ignore[arg-type]
    (place / "job.json").write_text(job.model_dump_json())
    if "reason" in more:
        write_failure(place, more["reason"], more.get("missing", False))
        return
    facts = {"contender": "a", "kind": kind, "run": run, "seed": seed, "settings": "", "val_r": 0.5}
    summary = {"split": "val", "crystal": True, "atom_class": "protein", "stratum": "all"}
    summaries = [summary | {"structures": 3, "measures": {"pearson_mean": 0.25, "mae_mean": None}}]
    result = {"facts": facts | more, "summaries": [] if kind == "search" else summaries}
    (place / "result.json").write_text(json.dumps(result))


def test_runs_are_gathered_in_order_and_read_back(tmp_path: Path):
    for seed in (10, 2, 1):
        leave(tmp_path, "seed", str(seed), seed, source="abc")
    leave(tmp_path, "search", "1", 1)
    found = collect_results(tmp_path, ["a", "absent"], seeds=10)
    assert [(row["kind"], row["run"]) for row in found.rows] == [
        *(("search", "1"), ("seed", "1"), ("seed", "2"), ("seed", "10"))
    ]
    row = found.rows[1]
    assert (row["status"], row["crystal"], row["pearson_mean"]) == ("done", "on", 0.25)
    assert (row["mae_mean"], row["attempts"], row["source"]) == (None, None, "abc")
    assert read_results(tmp_path) == found


def test_seeds_that_are_not_asked_for_are_not_looked_at(tmp_path: Path):
    for seed in (1, 2, 3):
        leave(tmp_path, "seed", str(seed), seed)
    leave(tmp_path, "seed", "4", 4, reason="broken")
    found = collect_results(tmp_path, ["a"], seeds=2)
    assert [row["run"] for row in found.rows] == ["1", "2"]


def test_failures_and_what_is_not_installed_are_rows(tmp_path: Path):
    leave(tmp_path, "seed", "1", 1, reason="broken | in\ntwo lines")
    leave(tmp_path, "fixed", "2", None, reason="needs x", missing=True)
    found = collect_results(tmp_path, ["a"], seeds=3)
    assert [(row["status"], row["reason"]) for row in found.rows] == [
        ("failed", "broken | in\ntwo lines"),
        ("skipped", "needs x"),
    ]


def test_tables_of_an_older_version_can_be_read(tmp_path: Path):
    (tmp_path / "results.csv").write_text("contender,run,status\na,1,done\n")
    (row,) = read_results(tmp_path).rows
    assert (row["run"], row["source"], row["jobs"]) == ("1", None, None)
    with pytest.raises(ConfigError, match=r"has no results\.csv"):
        read_results(tmp_path / "nothing")


PREDICTED = "predictor,file,entry,chain,best_match,pearson\n"


def test_what_every_run_has_written_is_kept_once_and_chain_na_is_a_name(tmp_path: Path):
    for seed in (1, 2):
        leave(tmp_path, "seed", str(seed), seed)
        rows = f"a,m.cif,1abc,NA,1,0.5\npLDDT,m.cif,1abc,NA,1,\npLDDT,m.cif,2abc,A,0,0.{seed}\n"
        (tmp_path / "runs" / "a" / str(seed) / "predicted.csv").write_text(PREDICTED + rows)
    found = collect_results(tmp_path, ["a"], seeds=2).predicted
    assert [(row["predictor"], row["run"], row["chain"], row["pearson"]) for row in found] == [
        ("a", "1", "NA", 0.5),
        ("pLDDT", "1", "NA", None),
        ("pLDDT", "1", "A", 0.1),
        ("a", "2", "NA", 0.5),
    ]
