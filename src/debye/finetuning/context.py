"""State of a fine-tuning: start model, old data and folder, with the checks against leakage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from debye.dataset.store.store import Store
from debye.finetuning.config import FinetuneConfig, StartModel, tuning_recipe
from debye.finetuning.duplicate_entries import Fingerprint, find_copies
from debye.finetuning.report import FEW, BeforeAfter, score_both
from debye.prediction.predictor import Predictor
from debye.reports.document import counted
from debye.scores.bootstrap import BootstrapConfig
from debye.targets.target import Target
from debye.training.config import Recipe
from debye.training.fit import FitResult, claim_folder, fit


@dataclass(frozen=True, slots=True)
class OldData:
    """The store that the start model was trained on."""

    store: Store
    split: str = "train"
    """Used for rehearsal."""
    val_split: str = "val"
    """Used to measure forgetting, never for training."""


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
    def name(self) -> str:
        """Name of the new checkpoint."""
        return self.out.name

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

    def claim(self, store: Store, entries: dict[str, Any], resume: bool) -> None:
        """Claim the folder; that of another fine-tuning is an error."""
        described = {
            "start": {"name": self.start.header.name, "sha256": self.start.sha256},
            "config": self.config.model_dump(mode="json"),
            "store": store.digest,
            "entries": entries,
            "old": None
            if self.old is None
            else [self.old.store.digest, self.old.split, self.old.val_split],
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
        return tuning_recipe(self.name, self.start, self.config, entries, choose=choose)

    def fit(self, recipe: Recipe, store: Store, folder: Path) -> FitResult:
        """Train, or resume the training."""
        old = self.old.store if self.old is not None and recipe.rehearsal is not None else None
        return fit(
            recipe,
            store,
            folder,
            rehearsal=old,
            resume=True,
            accelerator=self.accelerator,
            devices=1,
            progress=False,
        )

    def start_predictor(self) -> Predictor:
        """Return the start model."""
        return Predictor.from_checkpoint(self.start.checkpoint, device=self.device)

    def overlap(self, prints: Sequence[Fingerprint], ids: Sequence[str]) -> Overlap:
        """Find copies of new entries in the old data, by fingerprint or id."""
        if self.old is None:
            return Overlap()
        return Overlap(
            old_train=find_copies(prints, self.old.store, self.old.split, ids),
            old_val=find_copies(prints, self.old.store, self.old.val_split, ids),
        )

    def forgetting(self, after: Predictor, overlap: Overlap) -> list[BeforeAfter]:
        """Compare start model and new model on old validation entries that are not copies of new ones."""
        if self.old is None:
            return []
        split = self.old.val_split
        ids = [entry.id for entry in self.old.store.entries(split)]
        ids = [name for name in ids if name not in overlap.old_val]
        self.on_message(f"old validation: {len(ids)} entries of {split}")
        scored, failures = score_both(self.old.store, split, ids, self.start_predictor(), after)
        meaning = (
            "Validation entries of the start model; a loss is what fine-tuning made it forget."
        )
        return [
            BeforeAfter(
                title="old validation",
                meaning=meaning,
                scores=scored,
                failures=failures,
                bootstrap=self.bootstrap,
                target=self.targets[0],
            )
        ]

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
            notes.append(
                "Copies of new structures were left out of the old validation: "
                f"{', '.join(overlap.old_val)}"
            )
        return notes


@dataclass(frozen=True, slots=True)
class Overlap:
    """Entries of the old data that are copies of new ones."""

    old_train: tuple[str, ...] = ()
    old_val: tuple[str, ...] = ()
