"""Optimizers: who steps what, and that a state which was saved goes on as if nothing had happened."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from debye.training.config import TrainingConfig
from debye.training.module import SMALLEST_SIDE, Together, make_optimizer


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Embedding(7, 32), nn.Linear(32, 48), nn.SiLU(), nn.Linear(48, 32), nn.Linear(32, 2)
    )


def loss(model: nn.Module) -> Tensor:
    return (model(torch.arange(7)) - torch.arange(14.0).view(7, 2) / 7).square().mean()


def take_steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()


def test_muon_steps_the_matrices_between_hidden_layers_and_nothing_else() -> None:
    model = network()
    optimizer = make_optimizer(model, TrainingConfig(optimizer="muon"))
    assert isinstance(optimizer, Together)
    muon = [p for group in optimizer.parts[0].param_groups for p in group["params"]]
    assert [tuple(p.shape) for p in muon] == [(48, 32), (32, 48)]
    every = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(every) == sorted(map(id, model.parameters()))


def test_a_step_of_muon_is_orthogonal_and_of_the_size_of_one_of_adamw() -> None:
    model = network()
    before = model[1].weight.detach().clone()
    config = TrainingConfig(optimizer="muon", learning_rate=1e-2, weight_decay=0.0)
    take_steps(model, make_optimizer(model, config), 1)
    step = before - model[1].weight.detach()
    # Of rank 7 at most, as there are 7 inputs: its singular values are alike or (almost) zero.
    singular = torch.linalg.svdvals(step)
    assert singular[6] > 0.4 * singular[0]
    rms = step.square().mean().sqrt().item()
    assert 0.2 * config.learning_rate * (7 / 32) ** 0.5 == pytest.approx(rms, rel=0.3)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_it_learns_and_vectors_are_not_decayed(name: str) -> None:
    model = network()
    optimizer = make_optimizer(model, TrainingConfig(optimizer=name, weight_decay=0.1))
    for group in optimizer.param_groups:
        decays = {p.ndim >= 2 for p in group["params"]}
        assert decays <= {group["weight_decay"] > 0}
    first = loss(model).item()
    take_steps(model, optimizer, 30)
    assert loss(model).item() < 0.5 * first


def test_a_saved_state_goes_on_to_the_same_weights() -> None:
    config = TrainingConfig(optimizer="muon")
    model = network()
    optimizer = make_optimizer(model, config)
    take_steps(model, optimizer, 3)
    other, state = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    resumed = make_optimizer(other, config)
    resumed.load_state_dict(state)
    for group in resumed.param_groups:
        group["lr"] *= 2  # reaches the parts: they share their groups, after loading too
    for group in optimizer.param_groups:
        group["lr"] *= 2
    take_steps(model, optimizer, 3)
    take_steps(other, resumed, 3)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_schedule_reaches_both_parts() -> None:
    optimizer = make_optimizer(network(), TrainingConfig(optimizer="muon", learning_rate=4e-3))
    assert isinstance(optimizer, Together)
    LambdaLR(optimizer, lambda _: 0.25)
    rates = {group["lr"] for part in optimizer.parts for group in part.param_groups}
    assert rates == {1e-3}


def test_frozen_parameters_are_left_out() -> None:
    model = network()
    model[1].requires_grad_(False)
    optimizer = make_optimizer(model, TrainingConfig(optimizer="muon"))
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert id(model[1].weight) not in stepped
    assert min(model[4].weight.shape) < SMALLEST_SIDE
