"""Train variants of a recipe under one budget and table what each is worth on the validation split.

Usage: ``python scripts/ablate.py recipes/ablations/waller.toml --data stores/pdb -o runs/ablations``. The file names the
recipe, settings of all runs, and the variants (each a list of ``section.key=value``). Every run has one core to
itself; finished runs are kept, so that a stopped table goes on. Writes ``ablations.csv`` into the folder of the runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COLUMNS = ("val_r", "val_r_crystal", "val_r_isolated")


def run_variant(name: str, settings: list[str], plan: dict, data: Path, out: Path) -> None:
    """Train one variant in a process of its own, unless it is finished; a stopped one starts anew."""
    folder = out / name
    result = folder / "result.json"
    if result.exists():
        return
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    command = [sys.executable, __file__, "--one", plan["recipe"], "--data", str(data)]
    command += ["-o", str(folder), *(f"--set={text}" for text in [*plan["settings"], *settings])]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=os.environ | threads, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{name} failed:\n{done.stderr[-2000:]}", file=sys.stderr)


def train_one(recipe: Path, settings: list[str], data: Path, out: Path) -> None:
    """Train one variant in this process and leave its figures in ``result.json``."""
    from debye.data.store import Store
    from debye.training.config import read_recipe
    from debye.training.fit import fit

    store = Store.open(data)
    fit(read_recipe(recipe, settings), store, out, accelerator="cpu", devices=1, progress=False)
    with open(out / "logs" / "version_1" / "metrics.csv") as file:
        last = [row for row in csv.DictReader(file) if row.get("val_r")][-1]
    figures = {name: float(last[name]) for name in COLUMNS}
    temporary = out / "result.json.tmp"
    temporary.write_text(json.dumps({"settings": settings, "store": store.digest, **figures}))
    temporary.replace(out / "result.json")


def write_table(variants: dict[str, list[str]], out: Path) -> None:
    """Write and print the figures of all finished runs, the difference to the first one last."""
    found = {
        name: json.loads((out / name / "result.json").read_text())
        for name in variants
        if (out / name / "result.json").exists()
    }
    with open(out / "ablations.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["variant", "settings", *COLUMNS, "store"])
        for name, row in found.items():
            figures = [f"{row[column]:.4f}" for column in COLUMNS]
            writer.writerow([name, "; ".join(variants[name]), *figures, row["store"]])
            print(f"{name:24s}", *figures)


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--one", action="store_true", help="the plan is a recipe: train it, here")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    given = parser.parse_args()
    if given.one:
        train_one(given.plan, given.settings, given.data, given.output)
        return
    plan = tomllib.loads(given.plan.read_text())
    given.output.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        for name, settings in plan["variants"].items():
            pool.submit(run_variant, name, settings, plan, given.data, given.output)
    write_table(plan["variants"], given.output)


if __name__ == "__main__":
    main()
