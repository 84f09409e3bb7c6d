"""Atoms and seconds of a training that was stopped and resumed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("lightning")
from debye.training import module
from debye.training.module import TrainingCost


def test_a_resumed_training_goes_on_counting(monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 1.0, 3.0, 100.0, 104.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    batch = SimpleNamespace(graph=SimpleNamespace(n_atoms=50))

    def step(cost: TrainingCost) -> None:
        cost.on_train_batch_end(None, None, None, batch, 0)  # type: ignore[arg-type]

    first = TrainingCost()
    first.on_train_epoch_start(None, None)  # type: ignore[arg-type]
    step(first)
    step(first)
    assert (first.atoms, first.seconds) == (100, 3.0)
    second = TrainingCost()
    second.load_state_dict(first.state_dict())
    second.on_train_epoch_start(None, None)  # type: ignore[arg-type]
    step(second)
    assert (second.atoms, second.seconds) == (150, 7.0)
