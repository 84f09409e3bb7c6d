"""Cost of a training run: atoms and seconds, added up over interruptions."""

from __future__ import annotations

import time
from typing import Any

import lightning as L

from debye.dataset.batches.loader import Batch


class TrainingCost(L.Callback):
    """Counts atoms and seconds of all training steps, including the loading of batches.

    Validation, building of graphs and steps lost in a kill do not count.
    """

    def __init__(self) -> None:
        self.atoms = 0
        """Atoms in all batches so far, in this process."""
        self.seconds = 0.0
        self._mark = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count one step."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self._mark = now
        self.atoms += batch.graph.n_atoms

    def state_dict(self) -> dict[str, Any]:
        """Return the counts so far."""
        return {"atoms": self.atoms, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts of an interrupted run."""
        self.atoms, self.seconds = state_dict["atoms"], state_dict["seconds"]
