"""Fine-tuning on many new entries: train, choose the epoch, and report on what neither has seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

from debye.data.store import Store
from debye.errors import ConfigError
from debye.finetuning.comparison import compare, score_both
from debye.finetuning.context import Overlap, TuningRun
from debye.finetuning.copies import Fingerprint, fingerprint, group_copies
from debye.finetuning.division import divide, halve, join_groups
from debye.finetuning.members import why_unusable
from debye.finetuning.report import TuningResult, write_report
from debye.models.checkpoint import load_checkpoint
from debye.prediction.predictor import Predictor
from debye.prediction.release import find_residuals, write_calibration
from debye.training.config import Recipe

Part = tuple[str, tuple[str, ...]]
"""A split and some of its entries, by id."""


@dataclass(frozen=True, slots=True)
class NewSplits:
    """Splits of the new store."""

    train: str = "train"
    val: str | None = None
    """Held out; one half of its clusters chooses the epoch, the other is reported, unless ``report`` is
    named. None: clusters of ``train`` are held out."""
    report: str | None = None
    """Reported alone; then all of ``val`` chooses the epoch."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What each new entry is used for."""

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
        run.say(f"training on {len(parts.train[1])} entries")
        run.fit(_recipe(run, store, parts, overlap), store, run.out)
        split, ids = parts.choose
        rows = [store.row(split, name) for name in ids]
        checkpoint = load_checkpoint(path, device=run.device)
        write_calibration(path, [find_residuals(checkpoint, store, split, rows, device=run.device)])
    after = Predictor.from_checkpoint(path, device=run.device)
    run.say(f"new entries held out: {len(parts.report[1])}")
    scored, failures = score_both(store, *parts.report, run.start_predictor(), after)
    meaning = (
        "New entries that were neither trained on nor looked at to choose the epoch "
        f"({len(parts.train[1])} were trained on, {len(parts.choose[1])} chose the epoch)."
    )
    result = TuningResult(
        checkpoint=path,
        trained_on=parts.train[1],
        new=compare("new, held out", meaning, scored, failures, run.bootstrap),
        old=tuple(run.forgetting(after, overlap)),
        notes=(*parts.notes, *run.old_notes(overlap)),
        refused={
            entry.id: why_unusable(entry)
            for entry in store.entries(splits.train)
            if entry.n_usable < run.config.min_usable
        },
    )
    return replace(result, files=tuple(write_report(result, run, store)))


def divide_entries(run: TuningRun, store: Store, splits: NewSplits) -> tuple[Overlap, Parts]:
    """Decide what each new entry is used for, so that no cluster and no copy is used for two things."""
    names = dict.fromkeys([splits.train, *filter(None, (splits.val, splits.report))])
    prints = {name: _prints(store, name) for name in names}
    everyone = [found for split in prints.values() for found in split.values()]
    overlap = run.overlap_of(everyone, [name for split in prints.values() for name in split])
    usable = {
        split: [
            entry.id for entry in store.entries(split) if entry.n_usable >= run.config.min_usable
        ]
        for split in names
    }
    if splits.val is None:
        found = divide(
            _groups(store, splits.train, usable, prints), run.config.hold_out, run.config.seed
        )
        train, choose, report = found.train, found.choose, found.report
        choose_split = report_split = splits.train
        if splits.report is not None:
            choose, report, report_split = (
                choose + report,
                tuple(usable[splits.report]),
                splits.report,
            )
    else:
        choose_split, train = splits.val, tuple(usable[splits.train])
        if splits.report is None:
            choose, report = halve(_groups(store, splits.val, usable, prints), run.config.seed)
            report_split = splits.val
        else:
            choose, report = tuple(usable[splits.val]), tuple(usable[splits.report])
            report_split = splits.report
    held_out = {
        key
        for split, ids in ((choose_split, choose), (report_split, report))
        for name in ids
        for key in prints[split][name]
    }
    forbidden = {*held_out, *_old_validation(run)}
    kept = tuple(name for name in train if not forbidden.intersection(prints[splits.train][name]))
    if not kept or not choose or not report:
        raise ConfigError(
            "finetune",
            problem=f"{len(kept)} entries to train on, {len(choose)} to choose the epoch, "
            f"{len(report)} to report",
            remedy="Give more entries with usable B-factors, or other splits",
        )
    notes = _notes(store, splits.train, kept, report_split, report, len(train) - len(kept))
    return overlap, Parts(
        (splits.train, kept), (choose_split, choose), (report_split, report), notes
    )


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


def _prints(store: Store, split: str) -> dict[str, Fingerprint]:
    return {
        entry.id: fingerprint(store, split, row) for row, entry in enumerate(store.entries(split))
    }


def _groups(
    store: Store,
    split: str,
    usable: dict[str, list[str]],
    prints: dict[str, dict[str, Fingerprint]],
) -> list[list[str]]:
    """Return the usable entries that must stay together: of one cluster, or copies of each other."""
    ids = usable[split]
    cluster = {entry.id: entry.cluster or f"\0{entry.id}" for entry in store.entries(split)}
    clusters: dict[str, list[str]] = {}
    for name in ids:
        clusters.setdefault(cluster[name], []).append(name)
    copies = group_copies(ids, [prints[split][name] for name in ids])
    return join_groups(list(clusters.values()), [group for group in copies if len(group) > 1])


def _old_validation(run: TuningRun) -> set[str]:
    """Return the digests of the old validation, which is never trained on."""
    if run.old is None:
        return set()
    found = _prints(run.old.store, run.old.val_split)
    return {key for pair in found.values() for key in pair}


def _notes(
    store: Store,
    train_split: str,
    train: tuple[str, ...],
    report_split: str,
    report: tuple[str, ...],
    dropped: int,
) -> tuple[str, ...]:
    notes = []
    if dropped:
        notes.append(
            f"{dropped} entries to train on were left out: copies of held-out ones or of the old validation"
        )
    chosen = set(train)
    trained = {
        entry.cluster
        for entry in store.entries(train_split)
        if entry.id in chosen and entry.cluster
    }
    reported = set(report)
    shared = [
        entry.id
        for entry in store.entries(report_split)
        if entry.id in reported and entry.cluster in trained
    ]
    if shared:
        notes.append(
            f"{len(shared)} of the {len(report)} reported entries share a sequence cluster with training "
            f"entries, so that they are easier than new proteins: {', '.join(shared[:10])}"
        )
    return tuple(notes)
