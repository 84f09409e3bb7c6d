"""Fine-tuning on many new entries, with held-out entries to choose the epoch and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from debye.dataset.store.store import Store, StoreEntry
from debye.errors import ConfigError
from debye.finetuning.context import Overlap, TuningRun
from debye.finetuning.division import (
    Fingerprint,
    divide,
    fingerprints,
    group_copies,
    halve,
    join_groups,
)
from debye.finetuning.report import TuningResult, write_report
from debye.models.checkpoint import load_checkpoint
from debye.prediction.calibrate import find_residuals

Part = tuple[str, tuple[str, ...]]
"""A split and some of its entries, by id."""
Prints = dict[str, Fingerprint]
"""Fingerprints of a split's entries, by id."""


@dataclass(frozen=True, slots=True)
class NewSplits:
    """Splits of the new store."""

    train: str = "train"
    val: str | None = None
    """Held out: half of its clusters chooses the epoch and half is reported, unless ``report`` is named.
    None: clusters of ``train`` are held out."""
    report: str | None = None
    """Only reported; then all of ``val`` chooses the epoch."""


class Parts(NamedTuple):
    """The use of each new entry."""

    train: Part
    choose: Part
    report: Part
    notes: tuple[str, ...] = ()


def finetune_entries(
    run: TuningRun, store: Store, splits: NewSplits, *, resume: bool = False
) -> TuningResult:
    """Fine-tune on the new entries of a store with early stopping; report on held-out ones.

    Raises:
        ConfigError: too few clusters to hold some out, or the folder holds another fine-tuning.
        StoreError: no such split.
    """
    overlap, parts = divide_entries(run, store, splits)
    train, choose, report, notes = parts
    run.claim(store, {"train": train, "choose": choose, "report": report}, resume)
    residuals = []
    if not run.is_trained:
        run.on_message(f"training on {len(train[1])} entries")
        split, chosen = train[0], set(train[1])
        without = tuple(entry.id for entry in store.entries(split) if entry.id not in chosen)
        validation = {"validation_split": choose[0], "validation_only": choose[1]}
        entries = {"split": split, "without": without, **validation}
        run.fit(run.recipe(entries, overlap, choose=True), store, run.out)
        rows = [store.row(choose[0], name) for name in choose[1]]
        trained = load_checkpoint(run.checkpoint, device=run.device)
        residuals.append(find_residuals(trained, store, choose[0], rows, device=run.device))
    after = run.calibrate(residuals)
    run.on_message(f"new entries held out: {len(report[1])}")
    counts = f"{len(train[1])} for training, {len(choose[1])} to choose the epoch"
    meaning = f"New entries used neither for training nor to choose the epoch ({counts})."
    result = TuningResult(
        checkpoint=run.checkpoint,
        trained_on=train[1],
        new=run.compare("new, held out", meaning, store, report, after),
        old=run.forgetting(after, overlap),
        notes=(*notes, *run.old_notes(overlap)),
        refused=run.unusable(store, splits.train),
    )
    files = write_report(result, run.facts(store, train[1]), run.out)
    return replace(result, files=tuple(files))


def divide_entries(run: TuningRun, store: Store, splits: NewSplits) -> tuple[Overlap, Parts]:
    """Give each new entry one use, so that clusters and copies are never divided between two.

    Raises:
        ConfigError: too few clusters, or no entry for one of the uses.
        StoreError: no such split.
    """
    names = dict.fromkeys([splits.train, *filter(None, (splits.val, splits.report))])
    prints = {name: fingerprints(store, name) for name in names}
    everything = {name: found for split in prints.values() for name, found in split.items()}
    overlap = run.overlap(list(everything.values()), list(everything))
    train, choose, report = _assign(run, store, splits, prints)
    choose = choose[0], _without_copies(choose[1], prints[choose[0]], _keys(report, prints))
    forbidden = _keys(choose, prints) | _keys(report, prints)
    if run.old is not None:  # the old validation is never used for training
        forbidden.update(*fingerprints(run.old.store, run.old.val_split).values())
    kept = _without_copies(train, prints[splits.train], forbidden)
    if not kept or not choose[1] or not report[1]:
        uses = f"{len(choose[1])} to choose the epoch, {len(report[1])} for the report"
        remedy = "Give more entries with usable labels, or other splits"
        raise ConfigError("finetune", f"{len(kept)} entries for training, {uses}", remedy)
    notes = _notes(store, (splits.train, kept), report, len(train) - len(kept))
    return overlap, Parts((splits.train, kept), choose, report, notes)


def _assign(
    run: TuningRun, store: Store, splits: NewSplits, prints: dict[str, Prints]
) -> tuple[tuple[str, ...], Part, Part]:
    """Return the ids for training, and the parts that choose the epoch and that are reported."""
    config, usable = run.config, {}
    for split, own in prints.items():
        refused = run.unusable(store, split)
        usable[split] = tuple(name for name in own if name not in refused)
    held_from = splits.val or splits.train
    groups = _groups(store, held_from, usable[held_from], prints[held_from])
    train = usable[splits.train]
    if splits.val is None:
        train, choose, report = divide(groups, config.hold_out, config.seed)
    elif splits.report is None:
        choose, report = halve(groups, config.seed)
    else:
        choose, report = usable[splits.val], ()
    if splits.report is None:
        return train, (held_from, choose), (held_from, report)
    return train, (held_from, choose + report), (splits.report, usable[splits.report])


def _groups(store: Store, split: str, ids: Sequence[str], prints: Prints) -> list[list[str]]:
    """Return the entries that stay together: those of one cluster, and copies."""
    clusters: dict[str, list[str]] = {}
    for entry in _entries_of(store, (split, tuple(ids))):
        clusters.setdefault(entry.cluster or f"\0{entry.id}", []).append(entry.id)
    return join_groups(list(clusters.values()), group_copies(ids, [prints[name] for name in ids]))


def _keys(part: Part, prints: dict[str, Prints]) -> set[str]:
    return {key for name in part[1] for key in prints[part[0]][name]}


def _without_copies(ids: Sequence[str], prints: Prints, forbidden: set[str]) -> tuple[str, ...]:
    return tuple(name for name in ids if not forbidden.intersection(prints[name]))


def _notes(store: Store, train: Part, report: Part, dropped: int) -> tuple[str, ...]:
    """Return notes on entries left out of the training, and on reported entries that are easier than others."""
    notes = []
    if dropped:
        notes.append(
            f"{dropped} entries were left out of the training: copies of held-out ones or of the old validation"
        )
    clusters = {entry.cluster for entry in _entries_of(store, train)} - {""}
    shared = [entry.id for entry in _entries_of(store, report) if entry.cluster in clusters]
    if shared:
        notes.append(
            f"{len(shared)} of the {len(report[1])} reported entries share a sequence cluster with training "
            f"entries and are easier than new proteins: {', '.join(shared[:10])}"
        )
    return tuple(notes)


def _entries_of(store: Store, part: Part) -> list[StoreEntry]:
    wanted = set(part[1])
    return [entry for entry in store.entries(part[0]) if entry.id in wanted]
