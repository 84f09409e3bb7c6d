"""Fine-tuning on the crystals of one protein, with an estimate for a further crystal of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from debye.benchmark.store import EntryFailure
from debye.files import replacing, write_json
from debye.finetuning.context import Overlap, TuningRun
from debye.finetuning.division import Fold, make_folds
from debye.finetuning.duplicate_entries import fingerprint, group_copies
from debye.finetuning.members import Members
from debye.finetuning.report import BeforeAfter, TuningResult, score_both, write_report
from debye.models.checkpoint import load_checkpoint
from debye.prediction.calibrate import Residuals, find_residuals, write_calibration
from debye.prediction.predictor import Predictor
from debye.scores.tables import write_table


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Results of one fold on its left-out members."""

    scores: pd.DataFrame
    failures: list[EntryFailure]
    residuals: Mapping[str, Residuals]


def finetune_family(run: TuningRun, members: Members, *, resume: bool = False) -> TuningResult:
    """Fine-tune on all members, and estimate the gain by leaving each of them out once.

    Every training takes the same number of epochs and keeps the last one: nothing is chosen with a left-out
    member. Copies of one structure are left out together. The bounds of the final model come from the
    left-out predictions. An interrupted run resumes in its fold and epoch.

    Raises:
        ConfigError: fewer than two different structures, or the folder holds another fine-tuning.
    """
    store, split = members.store, members.split
    rows = {entry.id: row for row, entry in enumerate(store.entries(split))}
    prints = [fingerprint(store, split, rows[name]) for name in members.ids]
    groups = group_copies(members.ids, prints)
    folds = make_folds(groups, run.config.folds, run.config.seed)
    overlap = run.overlap(prints, members.ids)
    run.claim(store, {"split": split, "ids": members.ids}, resume)
    left_out = []
    for number, fold in enumerate(folds, start=1):
        run.on_message(f"{number} of {len(folds)}: without {', '.join(fold.left_out)}")
        left_out.append(_run_fold(run, members, fold, overlap))
    run.on_message(f"all {len(members.ids)} structures")
    checkpoint = _fit_all(run, members, overlap, [part.residuals for part in left_out])
    after = Predictor.from_checkpoint(checkpoint, device=run.device)
    result = TuningResult(
        checkpoint=checkpoint,
        trained_on=members.ids,
        new=BeforeAfter(
            title="left-out members",
            meaning=_meaning(folds, groups),
            scores=pd.concat([part.scores for part in left_out], ignore_index=True),
            failures=[failure for part in left_out for failure in part.failures],
            bootstrap=run.bootstrap,
            target=run.targets[0],
        ),
        old=tuple(run.forgetting(after, overlap)),
        notes=(*_copy_notes(groups), *run.old_notes(overlap)),
        refused=members.refused,
    )
    files = write_report(result, run.facts(store, members.ids), run.out)
    return replace(result, files=tuple(files))


def _run_fold(run: TuningRun, members: Members, fold: Fold, overlap: Overlap) -> LeftOut:
    """Train without some members and predict them; a finished fold is read from its folder."""
    folder = run.out / "folds" / fold.name
    done = folder / "left_out.json"
    if not done.exists():
        recipe = run.recipe({"split": members.split, "only": fold.train}, overlap, choose=False)
        checkpoint = run.fit(recipe, members.store, folder).checkpoint
        after = Predictor.from_checkpoint(checkpoint, device=run.device)
        scored, failures = score_both(
            members.store, members.split, fold.left_out, run.start_predictor(), after
        )
        rows = [members.store.row(members.split, name) for name in fold.left_out]
        residuals = find_residuals(
            load_checkpoint(checkpoint, device=run.device),
            members.store,
            members.split,
            rows,
            device=run.device,
        )
        _write_residuals(folder / "residuals.npz", residuals)
        write_table(folder / "scores.parquet", scored)
        write_json(done, [asdict(failure) for failure in failures], indent=None)
        for leftover in folder.glob("*.ckpt"):
            leftover.unlink()
    columns_of: dict[str, dict[str, np.ndarray]] = {}
    with np.load(folder / "residuals.npz") as columns:
        for name in columns.files:
            target, _, column = name.partition(".")
            columns_of.setdefault(target, {})[column] = columns[name]
    return LeftOut(
        scores=pd.read_parquet(folder / "scores.parquet"),
        failures=[EntryFailure(**failure) for failure in json.loads(done.read_text())],
        residuals={target: Residuals(**found) for target, found in columns_of.items()},
    )


def _fit_all(
    run: TuningRun, members: Members, overlap: Overlap, residuals: Sequence[Mapping[str, Residuals]]
) -> Path:
    """Train on all members; the bounds are those of the left-out predictions."""
    path = run.out / f"{run.name}.safetensors"
    if not path.exists() or load_checkpoint(path).header.calibration == {}:
        recipe = run.recipe({"split": members.split, "only": members.ids}, overlap, choose=False)
        run.fit(recipe, members.store, run.out)
        write_calibration(path, residuals)
    return path


def _meaning(folds: Sequence[Fold], groups: Sequence[Sequence[str]]) -> str:
    how = (
        "leave-one-out" if len(folds) == len(groups) else f"{len(folds)} parts, each left out once"
    )
    return (
        f"Each structure is predicted by a model fine-tuned on other structures only ({how}). The change "
        "estimates the gain for a further crystal of the same protein, not for other proteins; intervals are "
        "over these structures, which resemble each other."
    )


def _copy_notes(groups: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"Copies of one structure, left out together: {', '.join(group)}"
        for group in groups
        if len(group) > 1
    ]


def _write_residuals(path: Path, residuals: Mapping[str, Residuals]) -> None:
    columns = {
        f"{target}.{name}": column
        for target, found in residuals.items()
        for name, column in found._asdict().items()
    }
    with replacing(path) as partial:
        np.savez_compressed(partial, **columns)
