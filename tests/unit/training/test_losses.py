"""The loss and its parts against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from debye.dataset.batches.loader import Batch, data_quality
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.graph import join
from debye.models.base import ModelOutput
from debye.structure.structure import EntityKind
from debye.training.config import LossConfig
from debye.training.losses import absolute_error, loss_terms, structure_correlation


@pytest.fixture(scope="module")
def batch(peptide) -> Batch:
    graph = build_graph(peptide, GraphConfig())
    both = join([graph, graph])
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(both.n_atoms, generator=generator)
    weight = (torch.rand(both.n_atoms, generator=generator) > 0.2).float()
    level = torch.tensor([[3.0, 2.0], [3.5, 2.5]])
    quality = torch.ones(2)
    return Batch(graph=both, target=target, weight=weight, level=level, quality=quality)


def output_for(batch: Batch, profile: torch.Tensor) -> ModelOutput:
    return ModelOutput(
        profile=profile, log_spread=torch.zeros_like(profile), level=batch.level.clone()
    )


def test_correlation_equals_numpy_and_ignores_unweighted_atoms(batch):
    generator = torch.Generator().manual_seed(2)
    predicted = batch.target + torch.randn(batch.target.shape, generator=generator)
    index = batch.graph.structure_index
    found = structure_correlation(predicted, batch.target, batch.weight, index, 2)
    for number in range(2):
        used = ((index == number) & (batch.weight > 0)).numpy()
        expected = np.corrcoef(predicted.numpy()[used], batch.target.numpy()[used])[0, 1]
        assert found[number].item() == pytest.approx(expected, abs=1e-5)
    spoiled = torch.where(batch.weight > 0, predicted, 1e3)
    again = structure_correlation(spoiled, batch.target, batch.weight, index, 2)
    torch.testing.assert_close(found, again, atol=1e-4, rtol=0)


def test_a_perfect_prediction_has_the_least_loss(batch):
    config = LossConfig()
    perfect = loss_terms(output_for(batch, batch.target), batch, config)
    assert perfect.huber.item() == 0
    assert perfect.correlation.item() == pytest.approx(1, abs=1e-4)
    assert perfect.level.item() == 0
    worse = loss_terms(output_for(batch, batch.target * 0.5), batch, config)
    worst = loss_terms(output_for(batch, -batch.target), batch, config)
    assert perfect.total < worse.total < worst.total


def test_the_spread_is_learnt_without_moving_the_profile(batch):
    profile = torch.zeros_like(batch.target, requires_grad=True)
    spread = torch.zeros_like(batch.target, requires_grad=True)
    output = ModelOutput(profile=profile, log_spread=spread)
    loss_terms(output, batch, LossConfig(correlation=0.0)).spread.backward()
    assert profile.grad is None or not profile.grad.any()
    expected = (1 - batch.target.abs()) * batch.weight / batch.weight.sum()
    torch.testing.assert_close(spread.grad, expected)


def test_constant_predictions_give_finite_gradients(batch):
    profile = torch.zeros_like(batch.target, requires_grad=True)
    loss_terms(ModelOutput(profile=profile), batch, LossConfig()).total.backward()
    assert torch.isfinite(profile.grad).all()


def test_structures_with_few_labels_do_not_count_in_the_correlation(batch):
    weight = batch.weight.clone()
    first = torch.nonzero(batch.graph.structure_index == 0).flatten()
    weight[first[5:]] = 0
    few = replace(batch, weight=weight)
    predicted = torch.where(batch.graph.structure_index == 1, batch.target, -batch.target)
    assert loss_terms(output_for(few, predicted), few, LossConfig()).correlation > 0.99


@pytest.mark.parametrize("wrong", [(3.0, 2.4), (2.8, 2.0), (3.3, 1.7)])
def test_a_wrong_level_is_part_of_the_error(batch, wrong):
    """In Å², whatever both levels are: |predicted B - deposited B| over the predicted deviation."""
    profile = 0.5 * batch.target
    predicted = torch.tensor([wrong, batch.level[1].tolist()])
    output = ModelOutput(profile=profile, level=predicted)
    index = batch.graph.structure_index
    mean, deviation = predicted.exp()[index].T
    true_mean, true_deviation = batch.level.exp()[index].T
    expected = (mean + deviation * profile - true_mean - true_deviation * batch.target).abs()
    found = absolute_error(output, batch)
    torch.testing.assert_close(found, expected / deviation, atol=1e-4, rtol=1e-4)
    alone = absolute_error(ModelOutput(profile=profile), batch)
    torch.testing.assert_close(found[index == 1], alone[index == 1], atol=1e-4, rtol=1e-4)
    assert (found - alone)[index == 0].abs().max() > 0.1


def test_absurd_spreads_and_levels_give_finite_gradients(batch):
    atoms = batch.graph.n_atoms
    profile = torch.zeros(atoms, requires_grad=True)
    spread = torch.full((atoms,), -200.0, requires_grad=True)
    level = torch.full((2, 2), 500.0, requires_grad=True)
    output = ModelOutput(profile=profile, log_spread=spread, level=level)
    loss_terms(output, batch, LossConfig()).total.backward()
    for leaf in (profile, spread, level):
        assert bool(torch.isfinite(leaf.grad).all())


def test_poor_data_count_less_also_alone_in_their_batch(batch):
    output = output_for(batch, torch.zeros_like(batch.target))
    losses = {}
    for resolution in (1.0, 2.0, 3.5):
        quality = torch.full((2,), data_quality(resolution))
        told = replace(batch, quality=quality)
        losses[resolution] = float(loss_terms(output, told, LossConfig(quality=1.0)).total)
        plain = float(loss_terms(output, told, LossConfig()).total)
    assert losses[1.0] > losses[2.0] > losses[3.5] > 0.0
    assert losses[2.0] == pytest.approx(plain)


def test_atoms_of_ligands_count_as_often_as_asked(batch):
    kind = batch.graph.entity_kind.clone()
    kind[3:9] = EntityKind.LIGAND
    mixed = replace(batch, graph=replace(batch.graph, entity_kind=kind))
    output = output_for(batch, batch.target + 0.5)
    plain, three = (loss_terms(output, mixed, LossConfig(ligands=weight)) for weight in (1.0, 3.0))
    ligands = batch.weight[3:9].sum()
    assert ligands > 0
    ratio = ((batch.weight.sum() + 2 * ligands) / batch.weight.sum()).item()
    assert three.huber.item() == pytest.approx(ratio * plain.huber.item(), rel=1e-5)
    assert three.spread.item() == pytest.approx(ratio * plain.spread.item(), rel=1e-5)
    assert three.correlation == plain.correlation
    assert three.level == plain.level
    assert plain == loss_terms(output, batch, LossConfig())
