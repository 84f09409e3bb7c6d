"""Fine-tuning on many new entries, with held-out entries to choose the epoch and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from debye.dataset.store.store import Store, StoreEntry
from debye.errors import ConfigError
from debye.finetuning.context import Overlap, TuningRun
from debye.finetuning.division import divide, halve, join_groups
from debye.finetuning.duplicate_entries import Fingerprint, fingerprints, group_copies
from debye.finetuning.members import unusable_entries
from debye.finetuning.report import BeforeAfter, TuningResult, score_both, write_report
from debye.models.checkpoint import load_checkpoint
from debye.prediction.calibrate import find_residuals, write_calibration
from debye.prediction.predictor import Predictor
from debye.training.config import Recipe

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


@dataclass(frozen=True, slots=True)
class Parts:
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
    run.claim(store, {"train": parts.train, "choose": parts.choose, "report": parts.report}, resume)
    path = run.out / f"{run.name}.safetensors"
    if not path.exists() or load_checkpoint(path).header.calibration is None:
        run.on_message(f"training on {len(parts.train[1])} entries")
        run.fit(_recipe(run, store, parts, overlap), store, run.out)
        split, ids = parts.choose
        rows = [store.row(split, name) for name in ids]
        checkpoint = load_checkpoint(path, device=run.device)
        write_calibration(path, [find_residuals(checkpoint, store, split, rows, device=run.device)])
    after = Predictor.from_checkpoint(path, device=run.device)
    run.on_message(f"new entries held out: {len(parts.report[1])}")
    scored, failures = score_both(store, *parts.report, run.start_predictor(), after)
    meaning = (
        "New entries used neither for training nor to choose the epoch "
        f"({len(parts.train[1])} for training, {len(parts.choose[1])} to choose the epoch)."
    )
    result = TuningResult(
        checkpoint=path,
        trained_on=parts.train[1],
        new=BeforeAfter(
            title="new, held out",
            meaning=meaning,
            scores=scored,
            failures=failures,
            bootstrap=run.bootstrap,
            target=run.targets[0],
        ),
        old=tuple(run.forgetting(after, overlap)),
        notes=(*parts.notes, *run.old_notes(overlap)),
        refused=unusable_entries(store, splits.train, run.targets, run.config.min_usable),
    )
    files = write_report(result, run.facts(store, parts.train[1]), run.out)
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
    forbidden = _keys(choose, prints) | _keys(report, prints) | _old_validation(run)
    kept = _without_copies(train, prints[splits.train], forbidden)
    if not kept or not choose[1] or not report[1]:
        raise ConfigError(
            "finetune",
            f"{len(kept)} entries for training, {len(choose[1])} to choose the epoch, "
            f"{len(report[1])} for the report",
            "Give more entries with usable labels, or other splits",
        )
    notes = _notes(store, (splits.train, kept), report, len(train) - len(kept))
    return overlap, Parts((splits.train, kept), choose, report, notes)


def _assign(
    run: TuningRun, store: Store, splits: NewSplits, prints: dict[str, Prints]
) -> tuple[tuple[str, ...], Part, Part]:
    """Return the ids for training, and the parts that choose the epoch and that are reported."""
    config, usable = run.config, {}
    for split, own in prints.items():
        refused = unusable_entries(store, split, run.targets, config.min_usable)
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


def _recipe(run: TuningRun, store: Store, parts: Parts, overlap: Overlap) -> Recipe:
    split, train = parts.train
    chosen = set(train)
    without = tuple(entry.id for entry in store.entries(split) if entry.id not in chosen)
    entries = {
        "split": split,
        "without": without,
        "validation_split": parts.choose[0],
        "validation_only": parts.choose[1],
    }
    return run.recipe(entries, overlap, choose=True)


def _groups(store: Store, split: str, ids: Sequence[str], prints: Prints) -> list[list[str]]:
    """Return the entries that stay together: those of one cluster, and copies."""
    cluster = {entry.id: entry.cluster or f"\0{entry.id}" for entry in store.entries(split)}
    clusters: dict[str, list[str]] = {}
    for name in ids:
        clusters.setdefault(cluster[name], []).append(name)
    return join_groups(list(clusters.values()), group_copies(ids, [prints[name] for name in ids]))


def _keys(part: Part, prints: dict[str, Prints]) -> set[str]:
    return {key for name in part[1] for key in prints[part[0]][name]}


def _without_copies(ids: Sequence[str], prints: Prints, forbidden: set[str]) -> tuple[str, ...]:
    return tuple(name for name in ids if not forbidden.intersection(prints[name]))


def _old_validation(run: TuningRun) -> set[str]:
    """Return the digests of the old validation, which is never used for training."""
    if run.old is None:
        return set()
    return set().union(*fingerprints(run.old.store, run.old.val_split).values())


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
