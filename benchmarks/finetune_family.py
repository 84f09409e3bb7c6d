"""Gain of fine-tuning on left-out members of a family, and its loss elsewhere.

    python benchmarks/finetune_family.py STORE --model meta_gnn --group k031 -o runs/k031 [--resume]

Takes the entries of one group of a split (by default the kinase chains linked at >= 95 % identity), divides
them into four parts, fine-tunes four times without one of them and once on all, and prints mean
per-structure r and MAE of the left-out members before and after, with paired bootstrap intervals, and the
change on the validation split: the limit is a loss of 0.005. ``--resume`` resumes an interrupted run; the same seed
gives the same parts. The report is written to the folder. ``--list`` shows the groups.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from debye.config_files import apply_override
from debye.dataset.store.store import Store
from debye.finetuning.config import FinetuneConfig, open_start
from debye.finetuning.context import OldData, TuningRun
from debye.finetuning.family import finetune_family, gather_members
from debye.finetuning.report import TuningResult
from debye.reports.document import TextTable

FEWEST = 8
"""Crystals of a group that is worth dividing."""
LARGEST_LOSS = 0.005
"""Of mean per-structure r on the validation split."""


def groups_of(store: Store, split: str, column: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in store.entries(split):
        if name := entry.columns.get(column, ""):
            found.setdefault(name, []).append(entry.id)
    return {name: ids for name, ids in sorted(found.items()) if len(ids) >= FEWEST}


def show(table: TextTable) -> None:
    shown = Table(title=table.title, caption=table.note or None)
    for column, name in enumerate(table.header):
        shown.add_column(name, justify="left" if column < table.labels else "right")
    for row in table.rows:
        shown.add_row(*row)
    Console(width=180).print(shown)


def verdict(result: TuningResult) -> None:
    gain = result.new.change("pearson_mean")
    error = result.new.change("mae_mean")
    improves = gain.interval_low > 0 or error.interval_high < 0
    print(
        f"left-out members improve: {'yes' if improves else 'no'} (r {gain.estimate:+.4f}, "
        f"{gain.interval_low:+.4f} to {gain.interval_high:+.4f}; MAE {error.estimate:+.2f} Å², "
        f"{error.interval_low:+.2f} to {error.interval_high:+.2f})"
    )
    for comparison in result.old:
        for crystal in comparison.crystals:
            change = comparison.change("pearson_mean", crystal)
            kept = "yes" if change.estimate >= -LARGEST_LOSS else "no"
            print(
                f"{comparison.title} within {LARGEST_LOSS}, crystal "
                f"{crystal}: {kept} (r {change.estimate:+.4f}, "
                f"{change.interval_low:+.4f} to {change.interval_high:+.4f})"
            )


def main(options: argparse.Namespace) -> None:
    store = Store.open(options.store)
    groups = groups_of(store, options.split, options.column)
    if options.list or options.group not in groups:
        for name, ids in groups.items():
            clusters = Counter(
                entry.cluster for entry in store.entries(options.split) if entry.id in ids
            )
            print(f"{name}: {len(ids)} crystals, clusters {dict(clusters)}: {', '.join(ids)}")
        return
    settings: dict[str, object] = {"folds": options.folds}
    for text in options.set:
        apply_override(settings, text)
    run = TuningRun(
        start=open_start(options.model),
        config=FinetuneConfig.model_validate(settings),
        out=options.output,
        old=OldData(store),
        accelerator="cpu",
        on_message=print,
    )
    started = time.monotonic()
    members = gather_members(run, options.store, options.split, groups[options.group])
    result = finetune_family(run, members, resume=options.resume)
    for table in result.tables():
        show(table)
    verdict(result)
    print(f"{time.monotonic() - started:.0f} s; report in {options.output}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", default="waller")
    parser.add_argument("--split", default="kinase")
    parser.add_argument("--column", default="kinase95")
    parser.add_argument("--group", default="k031")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], help="e.g. epochs=20")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/family"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--list", action="store_true")
    main(parser.parse_args())
