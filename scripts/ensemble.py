"""Score the mean of several models beside each of them: what one model distilled from them could reach at best.

Usage: ``python scripts/ensemble.py CHECKPOINT CHECKPOINT ... --data stores/pdb --split val``. Prints the mean per-structure
r over the protein atoms, with the crystal and with the crystal hidden, of every model and of the mean of their
predictions, each standardized within the structure.
"""

from __future__ import annotations

import argparse

import numpy as np

from debye.benchmark.store import RunConfig, load_models, plan_runs, predict_entry
from debye.dataset.store.store import Store
from debye.scores.metrics import pearson
from debye.structure.structure import EntityKind
from debye.targets.b_factor import B_FACTOR

FEWEST_ATOMS = 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="released names or checkpoints")
    parser.add_argument("--data", required=True, help="data store")
    parser.add_argument("--split", default="val")
    given = parser.parse_args()
    store, runs = Store.open(given.data), plan_runs(load_models(given.models), "both")
    found: dict[tuple[str, bool], list[float]] = {}
    for row in range(len(store.entries(given.split))):
        structure = store.structure(given.split, row)
        scored = store.labels(given.split, row, B_FACTOR).usable & (
            structure.entity_kind == EntityKind.PROTEIN
        )
        if scored.sum() < FEWEST_ATOMS:
            continue
        together = {True: np.zeros(scored.sum()), False: np.zeros(scored.sum())}
        for run, (values, failure) in zip(
            runs, predict_entry(store, given.split, row, runs, RunConfig()), strict=True
        ):
            if failure:
                raise RuntimeError(f"{failure.id}: {failure.reason}")
            predicted = values.predicted[scored].astype(float)
            together[run.crystal] += (predicted - predicted.mean()) / predicted.std()
            r = pearson(predicted, structure.b_iso[scored])
            found.setdefault((run.name, run.crystal), []).append(r)
        for crystal, mean in together.items():
            r = pearson(mean, structure.b_iso[scored])
            found.setdefault(("mean of all", crystal), []).append(r)
    print("| model | crystal | hidden |\n| --- | --- | --- |")
    for name in dict.fromkeys(name for name, _ in found):
        print(
            f"| {name} | {np.nanmean(found[name, True]):.4f} | {np.nanmean(found[name, False]):.4f} |"
        )


if __name__ == "__main__":
    main()
