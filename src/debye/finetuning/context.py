"""State of a fine-tuning: start model, old data and folder, with the checks against leakage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from debye.dataset.batches.loader import LoaderConfig, fewest_usable
from debye.dataset.store.store import Store, StoreEntry
from debye.finetuning.config import FinetuneConfig, StartModel, tuning_recipe
from debye.finetuning.division import Fingerprint, find_copies
from debye.finetuning.report import FEW, BeforeAfter, score_both
from debye.models.checkpoint import read_header
from debye.prediction.calibrate import Residuals, write_calibration
from debye.prediction.predictor import Predictor
from debye.reports.document import counted
from debye.scores.bootstrap import BootstrapConfig
from debye.targets.target import Per, Target
from debye.training.config import Recipe
from debye.training.fit import FitResult, claim_folder, fit


class OldData(NamedTuple):
    """The store that the start model was trained on."""

    store: Store
    split: str = "train"
    """Used for rehearsal."""
    val_split: str = "val"
    """Used to measure forgetting, never for training."""


class Overlap(NamedTuple):
    """Entries of the old data that are copies of new ones."""

    old_train: tuple[str, ...] = ()
    old_val: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TuningRun:
    """One fine-tuning and its folder."""

    start: StartModel
    config: FinetuneConfig
    out: Path
    old: OldData | None = None
    accelerator: str = "auto"
    on_message: Callable[[str], None] = field(default=lambda line: None)
    """Called with a line at each step."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """What the model predicts."""
        return self.start.header.find_targets()

    @property
    def device(self) -> str:
        """Device of predictions."""
        return "cuda" if self.accelerator != "cpu" and torch.cuda.is_available() else "cpu"

    @property
    def bootstrap(self) -> BootstrapConfig:
        """Settings of the intervals."""
        return BootstrapConfig(repeats=self.config.bootstrap, seed=self.config.seed)

    @property
    def checkpoint(self) -> Path:
        """The new checkpoint."""
        return self.out / f"{self.out.name}.safetensors"

    @property
    def is_trained(self) -> bool:
        """Whether the new checkpoint is there, with its bounds."""
        return self.checkpoint.exists() and bool(read_header(self.checkpoint).calibration)

    def claim(self, store: Store, entries: dict[str, Any], resume: bool) -> None:
        """Claim the folder; that of another fine-tuning is an error."""
        old = self.old and [self.old.store.digest, self.old.split, self.old.val_split]
        described = {
            "start": {"name": self.start.header.name, "sha256": self.start.sha256},
            "config": self.config.model_dump(mode="json"),
            "store": store.digest,
            "entries": entries,
            "old": old,
        }
        claim_folder(self.out / "finetune.json", described, resume)

    def facts(self, store: Store, trained_on: Sequence[str]) -> dict[str, str]:
        """Return what the report states about models and data; many entries are only counted."""
        number = counted(len(trained_on), "entry", "entries")
        few = f": {', '.join(trained_on)}" if len(trained_on) <= FEW else ""
        return {
            "start model": f"`{self.start.header.name}`, sha256 {self.start.sha256}",
            "new data": f"`{store.path.name}`, digest {store.digest}",
            "old data": f"digest {self.old.store.digest}" if self.old else "none",
            "trained on": number + few,
            "settings": f"`{self.config.model_dump(mode='json', exclude_none=True)}`",
        }

    def recipe(self, entries: dict[str, Any], overlap: Overlap, *, choose: bool) -> Recipe:
        """Return the recipe of one training, with old batches if there are old data."""
        if self.old is not None and self.config.rehearsal:
            entries = entries | {"old_split": self.old.split, "old_without": overlap.old_train}
        return tuning_recipe(self.out.name, self.start, self.config, entries, choose=choose)

    def fit(self, recipe: Recipe, store: Store, folder: Path) -> FitResult:
        """Train, or resume the training."""
        old = self.old.store if self.old is not None and recipe.rehearsal is not None else None
        settings = {"accelerator": self.accelerator, "devices": 1, "progress": False}
        return fit(recipe, store, folder, rehearsal=old, resume=True, **settings)

    def calibrate(self, residuals: Iterable[Mapping[str, Residuals]]) -> Predictor:
        """Give the new checkpoint its bounds, unless it has them, and return it as a predictor."""
        if not self.is_trained:
            write_calibration(self.checkpoint, residuals)
        return self.predictor(self.checkpoint)

    def predictor(self, checkpoint: str | Path | None = None) -> Predictor:
        """Return the model of a checkpoint; by default the start model."""
        return Predictor.from_checkpoint(checkpoint or self.start.checkpoint, device=self.device)

    def unusable(self, store: Store, split: str) -> dict[str, str]:
        """Return the entries with too few usable labels of every target, by id, with reasons.

        Raises:
            StoreError: no such split, or it has no labels of a target.
        """
        counts = [store.usable_counts(split, target) for target in self.targets]
        config = LoaderConfig(min_usable=self.config.min_usable)
        fewest = [fewest_usable(target, config) for target in self.targets]
        return {
            entry.id: "; ".join(map(_usable_text, [entry] * len(usable), self.targets, usable))
            for entry, *usable in zip(store.entries(split), *counts, strict=True)
            if all(count < least for count, least in zip(usable, fewest, strict=True))
        }

    def compare(
        self,
        title: str,
        meaning: str,
        store: Store,
        part: tuple[str, Sequence[str]],
        after: Predictor,
    ) -> BeforeAfter:
        """Compare start model and new model on some entries of a split."""
        scores, failures = score_both(store, *part, self.predictor(), after)
        return BeforeAfter(
            title=title,
            meaning=meaning,
            scores=scores,
            failures=failures,
            bootstrap=self.bootstrap,
            target=self.targets[0],
        )

    def overlap(self, prints: Sequence[Fingerprint], ids: Sequence[str]) -> Overlap:
        """Find copies of new entries in the old data, by fingerprint or id."""
        if self.old is None:
            return Overlap()
        splits = (self.old.split, self.old.val_split)
        return Overlap(*(find_copies(prints, self.old.store, split, ids) for split in splits))

    def forgetting(self, after: Predictor, overlap: Overlap) -> tuple[BeforeAfter, ...]:
        """Compare start model and new model on old validation entries that are not copies of new ones."""
        if self.old is None:
            return ()
        store, _, split = self.old
        ids = [entry.id for entry in store.entries(split) if entry.id not in overlap.old_val]
        self.on_message(f"old validation: {len(ids)} entries of {split}")
        meaning = (
            "Validation entries of the start model; a loss is what fine-tuning made it forget."
        )
        return (self.compare("old validation", meaning, store, (split, ids), after),)

    def old_notes(self, overlap: Overlap) -> list[str]:
        """Return notes about the old data and their overlap with the new entries."""
        if self.old is None:
            return [
                "Without old data (--old) there was no rehearsal, forgetting was not measured, and it is "
                "unknown whether the start model was trained on some of these structures"
            ]
        notes = []
        trained_on = self.start.header.training.get("store")
        if trained_on != self.old.store.digest:
            notes.append(
                f"The old store has the digest {self.old.store.digest[:16]}, but the start model was "
                f"trained on {str(trained_on)[:16]}: it may have seen other structures"
            )
        if overlap.old_train:
            notes.append(
                "The start model may have been trained on copies of these structures, which makes it look "
                f"better: {', '.join(overlap.old_train)} of {self.old.split}; they were not rehearsed"
            )
        if overlap.old_val:
            copies = ", ".join(overlap.old_val)
            notes.append(f"Copies of new structures were left out of the old validation: {copies}")
        return notes


def _usable_text(entry: StoreEntry, target: Target, usable: int) -> str:
    """Return the number of usable labels of a target, and the reasons of the others."""
    total = {Per.ATOM: entry.n_atoms, Per.RESIDUE: entry.n_residues}.get(target.per, 1)
    text = f"{usable} of {total} {target.per}s have a usable {target.title}"
    if not target.in_b_column:
        return text
    reasons = [f"{reason} ({count} atoms)" for reason, count in entry.unusable.items()]
    return f"{text}: {'; '.join(reasons) or 'too small'}"
