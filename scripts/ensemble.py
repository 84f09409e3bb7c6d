"""Score several models and the mean of their predictions, which a model distilled from them could reach at best.

Usage: ``python scripts/ensemble.py CHECKPOINT CHECKPOINT ... --data stores/pdb --split val``. Prints the mean per-structure
r over the protein atoms, with the crystal and with the crystal hidden, of every model and of the mean of their
predictions, each standardized within the structure.
"""

from __future__ import annotations

import argparse

import numpy as np

from debye.benchmark.store import EvaluationConfig, load_models, model_views, predict_entry
from debye.dataset.store.store import Store
from debye.scores.metrics import pearson, z_scores
from debye.structure.structure import EntityKind

FEWEST_ATOMS = 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="released names or checkpoints")
    parser.add_argument("--data", required=True, help="data store")
    parser.add_argument("--split", default="val")
    given = parser.parse_args()
    store, views = Store.open(given.data), model_views(load_models(given.models), "both")
    found: dict[tuple[str, str], list[float]] = {}
    for row in range(len(store.entries(given.split))):
        together: dict[str, np.ndarray] = {}
        outcomes = predict_entry(store, given.split, row, views, EvaluationConfig())
        for view, (values, failure) in zip(views, outcomes, strict=True):
            if failure:
                raise RuntimeError(f"{failure.id}: {failure.reason}")
            scored = np.isfinite(values.true) & (values.entity_kind == EntityKind.PROTEIN)
            if scored.sum() < FEWEST_ATOMS:
                continue
            true, predicted = values.true[scored], values.predicted[scored].astype(float)
            together[view.crystal] = together.get(view.crystal, 0.0) + z_scores(predicted)
            found.setdefault((view.name, view.crystal), []).append(pearson(predicted, true))
        for crystal, mean in together.items():
            found.setdefault(("mean of all", crystal), []).append(pearson(mean, true))
    print("| model | crystal | hidden |\n| --- | --- | --- |")
    for name in dict.fromkeys(name for name, _ in found):
        print(
            f"| {name} | {np.nanmean(found[name, 'on']):.4f} | {np.nanmean(found[name, 'off']):.4f} |"
        )


if __name__ == "__main__":
    main()
