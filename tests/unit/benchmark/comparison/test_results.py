"""From the folders of runs to results.csv."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from debye.benchmark.comparison.results import collect_results, read_results
from debye.benchmark.comparison.runs import RunJob, write_failure
from debye.errors import ConfigError


def leave(folder: Path, kind: str, run: str, seed: int | None, **more) -> None:
    """Write what a run of contender a leaves."""
    place = folder / "runs" / "a" / (f"search-{run}" if kind == "search" else run)
    place.mkdir(parents=True)
    job = RunJob(contender="a", kind=kind, run=run, seed=seed, model="gcn", store="", digest="d")  # type: ignore[arg-type]
    job.write(place)
    if "reason" in more:
        write_failure(place, more["reason"], more.get("missing", False))
        return
    facts = {"contender": "a", "kind": kind, "run": run, "seed": seed, "settings": "", "val_r": 0.5}
    (place / "result.json").write_text(json.dumps({"facts": facts | more}))
    if kind != "search":
        (place / "summary.csv").write_text(
            "model,crystal,atom_class,stratum,structures,split,pearson_mean,mae_mean\n"
            "a,on,protein,all,3,val,0.25,\n"
        )


def test_runs_are_gathered_in_order_and_read_back(tmp_path: Path):
    for seed in (10, 2, 1):
        leave(tmp_path, "seed", str(seed), seed, source="abc")
    leave(tmp_path, "search", "1", 1)
    found = collect_results(tmp_path, ["a", "absent"], seeds=10)
    assert list(zip(found.runs["kind"], found.runs["run"], strict=True)) == [
        *(("search", "1"), ("seed", "1"), ("seed", "2"), ("seed", "10"))
    ]
    assert set(found.runs["status"]) == {"done"}
    assert set(found.runs["source"].dropna()) == {"abc"}
    assert found.runs["attempts"].isna().all()
    assert found.summaries["run"].tolist() == ["1", "2", "10"]
    row = found.summaries.iloc[0]
    assert (row["crystal"], row["pearson_mean"]) == ("on", 0.25)
    assert np.isnan(row["mae_mean"])
    again = read_results(tmp_path)
    pd.testing.assert_frame_equal(again.runs, found.runs)
    pd.testing.assert_frame_equal(again.summaries, found.summaries)


def test_seeds_that_are_not_asked_for_are_not_looked_at(tmp_path: Path):
    for seed in (1, 2, 3):
        leave(tmp_path, "seed", str(seed), seed)
    leave(tmp_path, "seed", "4", 4, reason="broken")
    found = collect_results(tmp_path, ["a"], seeds=2)
    assert found.runs["run"].tolist() == found.summaries["run"].tolist() == ["1", "2"]


def test_failures_and_what_is_not_installed_are_rows(tmp_path: Path):
    leave(tmp_path, "seed", "1", 1, reason="broken | in\ntwo lines")
    leave(tmp_path, "fixed", "2", None, reason="needs x", missing=True)
    found = collect_results(tmp_path, ["a"], seeds=3).runs
    assert found["status"].tolist() == ["failed", "skipped"]
    assert found["reason"].tolist() == ["broken | in\ntwo lines", "needs x"]


def test_a_folder_without_results_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"has no runs\.csv"):
        read_results(tmp_path / "nothing")


PREDICTED = "predictor,file,entry,chain,best_match,pearson\n"


def test_what_every_run_has_written_is_kept_once_and_chain_na_is_a_name(tmp_path: Path):
    for seed in (1, 2):
        leave(tmp_path, "seed", str(seed), seed)
        rows = f"a,m.cif,1abc,NA,1,0.5\npLDDT,m.cif,1abc,NA,1,\npLDDT,m.cif,2abc,A,0,0.{seed}\n"
        (tmp_path / "runs" / "a" / str(seed) / "predicted.csv").write_text(PREDICTED + rows)
    found = collect_results(tmp_path, ["a"], seeds=2).predicted
    rows = found[["predictor", "run", "chain", "pearson"]].fillna({"pearson": -1.0})
    assert list(rows.itertuples(index=False, name=None)) == [
        ("a", "1", "NA", 0.5),
        ("pLDDT", "1", "NA", -1.0),
        ("pLDDT", "1", "A", 0.1),
        ("a", "2", "NA", 0.5),
    ]
