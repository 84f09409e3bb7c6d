"""Train variants of a recipe under one budget and table what each is worth on the validation split.

Usage: ``python scripts/ablate.py recipes/ablations/waller.toml --data stores/pdb -o runs/ablations``. The file names the
recipe, settings of all runs, and the variants (each a list of ``section.key=value``). Every run has one core to
itself; finished runs of the same recipe, settings and store are kept, so that a stopped table goes on. Writes
``ablations.csv`` into the folder of the runs: figures, and their differences to the first variant. Exits with 1 when a
variant failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from debye.files import write_text

if TYPE_CHECKING:
    from debye.dataset.store.store import Store
    from debye.training.config import Recipe

LOGGED = ("val_r", "val_r_crystal", "val_r_isolated")
COLUMNS = (*LOGGED, "val_r_noise")
NOISE = 0.2
"""Å, on every coordinate of the validation split, without mates: about what predicted structures are off by."""


def describe(recipe: Recipe, settings: list[str], store: Store) -> dict[str, Any]:
    """Return what a result depends on: it is kept only where all of this is the same."""
    return {
        "recipe": recipe.model_dump(mode="json"),
        "settings": settings,
        "store": store.digest,
        "noise": NOISE,
    }


def read_result(folder: Path, described: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result of a finished run of this description; None where there is none."""
    from debye.training.fit import completed

    path = folder / "result.json"
    found = completed(json.loads(path.read_text())) if path.exists() else {}
    same = all(found.get(key) == value for key, value in described.items())
    return found if same and found.keys() >= set(COLUMNS) else None


def run_variant(plan: dict, settings: list[str], described: dict, data: Path, folder: Path) -> str:
    """Train one variant in a process of its own, unless it is finished; a stopped one starts anew.

    Returns:
        Why it failed, the end of what it said; empty where it did not.
    """
    if read_result(folder, described):
        return ""
    if folder.exists():
        shutil.rmtree(folder)
    command = [sys.executable, __file__, "--one", plan["recipe"], "--data", str(data)]
    command += ["-o", str(folder), *(f"--set={text}" for text in settings)]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=os.environ | threads, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return done.stderr[-2000:] or f"exit status {done.returncode}"
    return "" if read_result(folder, described) else "recipe or store changed while it ran"


def train_one(path: Path, settings: list[str], data: Path, out: Path) -> None:
    """Train one variant in this process and leave its figures in ``result.json``."""
    from debye.dataset.store.store import Store
    from debye.training.config import read_recipe
    from debye.training.fit import fit

    store, recipe = Store.open(data), read_recipe(path, settings)
    result = fit(recipe, store, out, accelerator="cpu", devices=1, progress=False)
    figures = {**logged_figures(out), "val_r_noise": noisy_figure(result.checkpoint, recipe, store)}
    described = describe(recipe, settings, store) | figures
    write_text(out / "result.json", json.dumps(described, indent=1))


def logged_figures(out: Path) -> dict[str, float]:
    """Return the figures of the last validation of a run."""
    (path,) = out.glob("logs/*/metrics.csv")
    last = pd.read_csv(path).dropna(subset=["val_r"]).iloc[-1]
    return {name: float(last[name]) for name in LOGGED}


def noisy_figure(checkpoint: Path, recipe: Recipe, store: Store) -> float:
    """Return the mean r over validation structures whose atoms were moved, without mates.

    As ``debye evaluate --crystal off --noise`` has it: over protein atoms, of the checkpoint that was kept.
    """
    from debye.benchmark.store import EvaluationConfig, evaluate_store, load_models
    from debye.scores.summary import PRIMARY_MEASURE, measure, primary_scores

    scored, *_ = evaluate_store(
        store,
        recipe.data.validation_split,
        load_models([str(checkpoint)]),
        config=EvaluationConfig(crystal="off", noise=NOISE),
    )
    for failure in scored.failures:
        raise RuntimeError(f"{failure.id}: {failure.reason}")
    return float(measure(primary_scores(scored.scores), PRIMARY_MEASURE)[0])


def write_table(results: dict[str, dict[str, Any]], first: str, out: Path) -> None:
    """Write and print the figures of all finished runs, and their differences to the first variant."""
    rows = []
    for name, row in results.items():
        figures = {key: f"{row[key]:.4f}" for key in COLUMNS}
        differences = {f"{key}_difference": "" for key in COLUMNS}
        if first in results:
            differences = {
                f"{key}_difference": f"{row[key] - results[first][key]:+.4f}" for key in COLUMNS
            }
        print(f"{name:24s}", *figures.values(), *differences.values())
        labels = {"variant": name, "settings": "; ".join(row["settings"])}
        rows.append(labels | figures | differences | {"store": row["store"]})
    write_text(out / "ablations.csv", pd.DataFrame(rows).to_csv(index=False))


def run_plan(path: Path, data: Path, out: Path, jobs: int) -> bool:
    """Run what is missing, write the table, and return whether every variant has a result."""
    from debye.dataset.store.store import Store
    from debye.errors import DebyeError
    from debye.training.config import read_recipe

    plan, store = tomllib.loads(path.read_text()), Store.open(data)
    out.mkdir(parents=True, exist_ok=True)
    described, problems, futures = {}, {}, {}
    with ThreadPoolExecutor(jobs) as pool:
        for name, own in plan["variants"].items():
            settings = [*plan.get("settings", []), *own]
            try:
                recipe = read_recipe(Path(plan["recipe"]), settings)
            except DebyeError as error:
                problems[name] = str(error)
                continue
            described[name] = describe(recipe, settings, store)
            futures[name] = pool.submit(
                run_variant, plan, settings, described[name], data, out / name
            )
        for name, future in futures.items():
            try:
                problem = future.result()
            except Exception as error:  # one variant that cannot start must not cost the others
                problem = repr(error)
            if problem:
                problems[name] = problem
    found = {name: read_result(out / name, described[name]) for name in futures}
    results = {name: result for name, result in found.items() if result is not None}
    write_table(results, next(iter(plan["variants"])), out)
    for name, problem in problems.items():
        print(f"{name} failed:\n{problem}", file=sys.stderr)
    return not problems


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one", action="store_true", help="the plan is a recipe: train it, here")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    given = parser.parse_args()
    if given.one:
        train_one(given.plan, given.settings, given.data, given.output)
    elif not run_plan(given.plan, given.data, given.output, given.jobs):
        sys.exit(1)


if __name__ == "__main__":
    main()
