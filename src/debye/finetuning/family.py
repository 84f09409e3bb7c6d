"""Fine-tuning on the crystals of one protein, with an estimate for a further crystal of it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from debye.benchmark.store import EntryFailure
from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.errors import StoreError
from debye.files import replacing, write_json
from debye.finetuning.context import Overlap, TuningRun
from debye.finetuning.division import Fold, fingerprint, group_copies, make_folds
from debye.finetuning.report import BeforeAfter, TuningResult, score_both, write_report
from debye.models.checkpoint import load_checkpoint
from debye.prediction.calibrate import Residuals, find_residuals
from debye.prediction.inputs import expand_inputs
from debye.scores.tables import write_table

SPLIT = "family"
"""Split of a store that is made from a folder."""
MEANING = """\
Each structure is predicted by a model fine-tuned on other structures only ({}). The change estimates the gain \
for a further crystal of the same protein, not for other proteins; intervals are over these structures, which \
resemble each other."""


class Members(NamedTuple):
    """Structures of one family in a store."""

    store: Store
    split: str
    ids: tuple[str, ...]
    """Entries with usable labels."""
    refused: Mapping[str, str]
    """Other structures, with reasons."""


class LeftOut(NamedTuple):
    """Results of one fold on its left-out members."""

    scores: pd.DataFrame
    failures: list[EntryFailure]
    residuals: Mapping[str, Residuals]


def gather_members(
    run: TuningRun, data: Path, split: str = "train", ids: Collection[str] = ()
) -> Members:
    """Open a store, or make one from a folder of structure files, and check every structure.

    Args:
        run: The store that is made lies in its folder.
        data: Store or folder.
        split: Split of a store; a folder has none.
        ids: Entries, or file names without suffix; empty: all.

    Raises:
        StoreError: neither a store nor a folder with structures, or no such split.
    """
    wanted = {name.lower() for name in ids}
    if (data / "manifest.json").is_file():
        store = Store.open(data)
    else:
        store, split = _store_of(data, run.out, wanted), SPLIT
    refused = {
        failure["id"]: failure["reason"]
        for failure in store.failures
        if failure["split"] == split and (not wanted or failure["id"] in wanted)
    }
    unusable = run.unusable(store, split)
    known = [entry.id for entry in store.entries(split)]
    chosen = [name for name in known if not wanted or name in wanted]
    refused |= {name: unusable[name] for name in sorted(set(chosen) & unusable.keys())}
    missing = sorted(wanted.difference(known, refused))
    refused |= dict.fromkeys(missing, f"not found in {data}")
    return Members(store, split, tuple(name for name in chosen if name not in unusable), refused)


def finetune_family(run: TuningRun, members: Members, *, resume: bool = False) -> TuningResult:
    """Fine-tune on all members, and estimate the gain by leaving each of them out once.

    Every training takes the same number of epochs and keeps the last one: nothing is chosen with a left-out
    member. Copies of one structure are left out together. The bounds of the final model come from the
    left-out predictions. An interrupted run resumes in its fold and epoch.

    Raises:
        ConfigError: fewer than two different structures, or the folder holds another fine-tuning.
    """
    store, split, ids, refused = members
    prints = [fingerprint(store, split, store.row(split, name)) for name in ids]
    groups = group_copies(ids, prints)
    folds = make_folds(groups, run.config.folds, run.config.seed)
    overlap = run.overlap(prints, ids)
    run.claim(store, {"split": split, "ids": ids}, resume)
    parts = []
    for number, fold in enumerate(folds, start=1):
        run.on_message(f"{number} of {len(folds)}: without {', '.join(fold.left_out)}")
        parts.append(_run_fold(run, members, fold, overlap))
    run.on_message(f"all {len(ids)} structures")
    if not run.is_trained:
        recipe = run.recipe({"split": split, "only": ids}, overlap, choose=False)
        run.fit(recipe, store, run.out)
    after = run.calibrate(part.residuals for part in parts)
    how = f"{len(folds)} parts, each left out once"
    how = "leave-one-out" if len(folds) == len(groups) else how
    copies = [", ".join(group) for group in groups if len(group) > 1]
    notes = [f"Copies of one structure, left out together: {names}" for names in copies]
    result = TuningResult(
        checkpoint=run.checkpoint,
        trained_on=ids,
        new=BeforeAfter(
            title="left-out members",
            meaning=MEANING.format(how),
            scores=pd.concat([part.scores for part in parts], ignore_index=True),
            failures=[failure for part in parts for failure in part.failures],
            bootstrap=run.bootstrap,
            target=run.targets[0],
        ),
        old=run.forgetting(after, overlap),
        notes=(*notes, *run.old_notes(overlap)),
        refused=refused,
    )
    files = write_report(result, run.facts(store, ids), run.out)
    return replace(result, files=tuple(files))


def _run_fold(run: TuningRun, members: Members, fold: Fold, overlap: Overlap) -> LeftOut:
    """Train without some members and predict them; a finished fold is read from its folder."""
    folder, (store, split, *_) = run.out / "folds" / fold.name, members
    done = folder / "left_out.json"
    if not done.exists():
        recipe = run.recipe({"split": split, "only": fold.train}, overlap, choose=False)
        path = run.fit(recipe, store, folder).checkpoint
        after = run.predictor(path)
        scored, failures = score_both(store, split, fold.left_out, run.predictor(), after)
        rows = [store.row(split, name) for name in fold.left_out]
        checkpoint = load_checkpoint(path, device=run.device)
        residuals = find_residuals(checkpoint, store, split, rows, device=run.device)
        columns = {
            f"{target}.{name}": column
            for target, found in residuals.items()
            for name, column in found._asdict().items()
        }
        with replacing(folder / "residuals.npz") as partial:
            np.savez_compressed(partial, **columns)
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


def _store_of(data: Path, out: Path, wanted: Collection[str]) -> Store:
    """Copy the files of a folder under the names that a store needs, and build it."""
    if not data.is_dir():
        remedy = "Give a folder of structure files, or a store made by `debye data build`"
        raise StoreError(str(data), "neither a data store nor a folder", remedy)
    inputs, failures = expand_inputs([data], exclude=out)
    if failures:
        raise failures[0]
    names = {item.name: item.stem.lower() for item in inputs}
    names = {path: name for path, name in names.items() if not wanted or name in wanted}
    if not names:
        problem = f"no file is called {', '.join(sorted(wanted))}"
        raise StoreError(str(data), problem, "Give names of files without their suffix")
    structures = out / "structures"
    structures.mkdir(parents=True, exist_ok=True)
    with open(out / "index.csv", "w", newline="", encoding="utf-8") as file:
        rows = [(name, SPLIT, SPLIT) for name in names.values()]
        csv.writer(file).writerows([("id", "split", "cluster"), *rows])
    for path, name in names.items():
        # copy2 keeps the time: the same files make the same plan when the run is resumed.
        shutil.copy2(Path(path), structures / f"{name}{_suffix(path)}")
    return build_store(out / "index.csv", structures, out / "store")


def _suffix(name: str) -> str:
    """Return the suffix of a file in the folder of a store.

    Example:
        >>> [_suffix(name) for name in ("a.CIF", "b.mmcif.gz", "c.ent", "d.bcif.gz")]
        ['.cif', '.cif.gz', '.ent', '.bcif.gz']
    """
    lower = name.lower().replace(".mmcif", ".cif")
    zipped = ".gz" if lower.endswith(".gz") else ""
    return Path(lower.removesuffix(".gz")).suffix + zipped
