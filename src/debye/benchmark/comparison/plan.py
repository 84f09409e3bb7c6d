"""What the report says of a comparison as a whole: ``plan.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from debye.files import write_text
from debye.version import library_version

if TYPE_CHECKING:
    from debye.benchmark.comparison.compare import Comparison

PLAN_FILE = "plan.json"


def write_plan(comparison: Comparison, preparation: Sequence[tuple[float, float]]) -> None:
    """Write command, data, samples and budget into the folder of a comparison.

    Args:
        comparison: As it was asked for.
        preparation: Start and duration of each time that graphs were built beforehand, s.
    """
    samples, config = comparison.samples, comparison.config
    plan = {
        "contenders": [each.name for each in comparison.contenders],
        "reference": comparison.reference,
        "command": comparison.command,
        "preparation": preparation,
        "version": library_version(),
        "data": comparison.store.path.name,
        "digest": comparison.store.digest,
        "seeds": config.seeds,
        "share": config.share,
        "limit": config.limit,
        "draw_seed": config.draw_seed,
        "settings": config.settings,
        "jobs": comparison.jobs,
        "device": config.device,
        "is_subset": samples.is_subset,
        "train_split": samples.train_split,
        "train_entries": len(samples.train),
        "train_split_entries": len(comparison.store.entries(samples.train_split)),
        "left_out": samples.left_out,
        "val_sample": len(samples.val),
        "val_sample_scored": sum(
            name in samples.val for name in samples.scored.get(samples.val_split, ())
        ),
        "pairs": f"{len(comparison.chosen_pairs)} of {comparison.pairs.name}"
        if comparison.pairs
        else None,
        "predicted": comparison.predicted_facts,
        "scored": {name: len(ids) for name, ids in samples.scored.items()},
    }
    write_text(comparison.out / PLAN_FILE, json.dumps(plan, indent=1))
