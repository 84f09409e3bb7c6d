"""The loss and its parts against closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from outputs import b_labels

from debye.dataset.batches.loader import graph_items
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.graph import join
from debye.targets.b_factor import relative_trust
from debye.targets.losses import (
    MONITORS,
    Items,
    LossConfig,
    LossTerms,
    TargetLabels,
    TargetOutput,
    absolute_error,
    pointwise,
    structure_correlation,
    within_structures,
)
from debye.targets.target import Per


class Sample(NamedTuple):
    """Labels of two structures, and the atoms that they belong to."""

    labels: TargetLabels
    items: Items

    def output(self, value: torch.Tensor) -> TargetOutput:
        """Return these values, with the expected error 1 and the right mean and sd."""
        return TargetOutput(
            value=value,
            log_error=torch.zeros_like(value),
            log_mean_sd=self.labels.log_mean_sd.clone(),
        )

    def loss(self, output: TargetOutput, **config: float) -> LossTerms:
        """Return the loss that B-factors have."""
        return within_structures(output, self.labels, self.items, LossConfig(**config))


@pytest.fixture(scope="module")
def batch(peptide) -> Sample:
    graph = build_graph(peptide, GraphConfig())
    both = join([graph, graph])
    generator = torch.Generator().manual_seed(1)
    value = torch.randn(both.n_atoms, generator=generator)
    weight = (torch.rand(both.n_atoms, generator=generator) > 0.2).float()
    labels = b_labels(value, weight, torch.tensor([[3.0, 2.0], [3.5, 2.5]]))
    return Sample(labels, graph_items(both, Per.ATOM))


def test_correlation_equals_numpy_and_ignores_unweighted_atoms(batch):
    generator = torch.Generator().manual_seed(2)
    predicted = batch.labels.value + torch.randn(batch.labels.value.shape, generator=generator)
    index = batch.items.structure_index
    found = structure_correlation(predicted, batch.labels.value, batch.labels.weight, index, 2)
    for number in range(2):
        used = ((index == number) & (batch.labels.weight > 0)).numpy()
        expected = np.corrcoef(predicted.numpy()[used], batch.labels.value.numpy()[used])[0, 1]
        assert found[number].item() == pytest.approx(expected, abs=1e-5)
    spoiled = torch.where(batch.labels.weight > 0, predicted, 1e3)
    again = structure_correlation(spoiled, batch.labels.value, batch.labels.weight, index, 2)
    torch.testing.assert_close(found, again, atol=1e-4, rtol=0)


def test_a_perfect_prediction_has_the_least_loss(batch):
    perfect = batch.loss(batch.output(batch.labels.value))
    assert perfect.huber.item() == 0
    assert perfect.correlation.item() == pytest.approx(1, abs=1e-4)
    assert perfect.level.item() == 0
    worse = batch.loss(batch.output(batch.labels.value * 0.5))
    worst = batch.loss(batch.output(-batch.labels.value))
    assert perfect.total < worse.total < worst.total


def test_the_expected_error_is_learnt_without_moving_the_values(batch):
    value = torch.zeros_like(batch.labels.value, requires_grad=True)
    error = torch.zeros_like(batch.labels.value, requires_grad=True)
    output = TargetOutput(value=value, log_error=error)
    batch.loss(output, correlation=0.0).spread.backward()
    assert value.grad is None or not value.grad.any()
    expected = (1 - batch.labels.value.abs()) * batch.labels.weight / batch.labels.weight.sum()
    torch.testing.assert_close(error.grad, expected)


def test_constant_predictions_give_finite_gradients(batch):
    value = torch.zeros_like(batch.labels.value, requires_grad=True)
    batch.loss(TargetOutput(value=value)).total.backward()
    assert torch.isfinite(value.grad).all()


def test_structures_with_few_labels_do_not_count_in_the_correlation(batch):
    weight = batch.labels.weight.clone()
    first = torch.nonzero(batch.items.structure_index == 0).flatten()
    weight[first[5:]] = 0
    few = batch._replace(labels=replace(batch.labels, weight=weight))
    predicted = torch.where(
        batch.items.structure_index == 1, batch.labels.value, -batch.labels.value
    )
    assert few.loss(few.output(predicted)).correlation > 0.99


@pytest.mark.parametrize("wrong", [(3.0, 2.4), (2.8, 2.0), (3.3, 1.7)])
def test_a_wrong_mean_or_sd_is_part_of_the_error(batch, wrong):
    """It is |predicted B - deposited B| over the predicted standard deviation."""
    value = 0.5 * batch.labels.value
    predicted = torch.tensor([wrong, batch.labels.log_mean_sd[1].tolist()])
    output = TargetOutput(value=value, log_mean_sd=predicted)
    index = batch.items.structure_index
    mean, deviation = predicted.exp()[index].T
    true_mean, true_deviation = batch.labels.log_mean_sd.exp()[index].T
    expected = (mean + deviation * value - true_mean - true_deviation * batch.labels.value).abs()
    found = absolute_error(output, *batch)
    torch.testing.assert_close(found, expected / deviation, atol=1e-4, rtol=1e-4)
    alone = absolute_error(TargetOutput(value=value), *batch)
    torch.testing.assert_close(found[index == 1], alone[index == 1], atol=1e-4, rtol=1e-4)
    assert (found - alone)[index == 0].abs().max() > 0.1


def test_absurd_errors_means_and_sds_give_finite_gradients(batch):
    atoms = len(batch.labels.value)
    value = torch.zeros(atoms, requires_grad=True)
    error = torch.full((atoms,), -200.0, requires_grad=True)
    log_mean_sd = torch.full((2, 2), 500.0, requires_grad=True)
    output = TargetOutput(value=value, log_error=error, log_mean_sd=log_mean_sd)
    batch.loss(output).total.backward()
    for leaf in (value, error, log_mean_sd):
        assert bool(torch.isfinite(leaf.grad).all())


def test_poor_data_count_less_also_alone_in_their_batch(batch):
    output = batch.output(torch.zeros_like(batch.labels.value))
    losses = {}
    for resolution in (1.0, 2.0, 3.5):
        trust = torch.full((2,), relative_trust(resolution))
        told = batch._replace(labels=replace(batch.labels, trust=trust))
        losses[resolution] = float(told.loss(output, quality=1.0).total)
        plain = float(told.loss(output).total)
    assert losses[1.0] > losses[2.0] > losses[3.5] > 0.0
    assert losses[2.0] == pytest.approx(plain)


def test_atoms_of_ligands_count_as_often_as_asked(batch):
    is_polymer = batch.items.is_polymer.clone()
    is_polymer[3:9] = False
    mixed = batch._replace(items=batch.items._replace(is_polymer=is_polymer))
    output = batch.output(batch.labels.value + 0.5)
    plain, three = (mixed.loss(output, ligands=weight) for weight in (1.0, 3.0))
    ligands = batch.labels.weight[3:9].sum()
    assert ligands > 0
    ratio = ((batch.labels.weight.sum() + 2 * ligands) / batch.labels.weight.sum()).item()
    assert three.huber.item() == pytest.approx(ratio * plain.huber.item(), rel=1e-5)
    assert three.spread.item() == pytest.approx(ratio * plain.spread.item(), rel=1e-5)
    assert three.correlation == plain.correlation
    assert three.level == plain.level
    assert plain == batch.loss(output)


def test_a_pointwise_loss_counts_every_labelled_item_alike(batch):
    generator = torch.Generator().manual_seed(3)
    value = batch.labels.value + 2 * torch.randn(batch.labels.value.shape, generator=generator)
    log_error = 0.3 * torch.randn(value.shape, generator=generator)
    output = TargetOutput(value=value, log_error=log_error)
    config = LossConfig(huber_delta=0.7, spread=0.2)
    found = pointwise(output, batch.labels, batch.items, config)
    used = batch.labels.weight.numpy() > 0
    error = np.abs((value - batch.labels.value).double().numpy())[used]
    huber = np.where(error <= 0.7, 0.5 * error**2, 0.7 * (error - 0.35)).mean()
    log = log_error.double().numpy()[used]
    likelihood = (error * np.exp(-log) + log).mean()
    assert found.huber.item() == pytest.approx(huber, rel=1e-5)
    assert found.spread.item() == pytest.approx(likelihood, rel=1e-5)
    assert found.total.item() == pytest.approx(huber + 0.2 * likelihood, rel=1e-5)
    assert found.correlation.item() == found.level.item() == 0.0


def test_a_pointwise_loss_reads_no_unlabelled_item_and_no_mean_and_sd(batch):
    value = torch.where(batch.labels.weight > 0, batch.labels.value + 0.5, 1e4)
    plain = pointwise(TargetOutput(value=value), batch.labels, batch.items, LossConfig())
    assert plain.total.item() == pytest.approx(0.125, rel=1e-4)
    leveled = TargetOutput(value=value, log_mean_sd=torch.full((2, 2), 9.0))
    assert pointwise(leveled, batch.labels, batch.items, LossConfig()) == plain


def parts_of(labels: TargetLabels, items: Items, output: TargetOutput) -> list[tuple]:
    """Return the two structures as batches of one."""
    parts = []
    for number in range(2):
        rows = items.structure_index == number
        part = b_labels(
            labels.value[rows], labels.weight[rows], labels.log_mean_sd[number : number + 1]
        )
        own = Items(
            items.structure_index[rows] * 0, 1, items.is_polymer[rows], items.is_protein[rows]
        )
        parts.append((TargetOutput(value=output.value[rows]), part, own))
    return parts


def noisy(batch: Sample) -> TargetOutput:
    """Return values that are right in the first structure but for noise, and far off in the second."""
    generator = torch.Generator().manual_seed(4)
    noise = torch.randn(batch.labels.value.shape, generator=generator)
    factor = torch.tensor([0.5, 3.0])[batch.items.structure_index]
    return TargetOutput(value=batch.labels.value + factor * noise + factor)


def test_pooled_r_over_batches_is_that_of_all_their_labelled_items(batch):
    monitor, output = MONITORS["pooled_r"], noisy(batch)
    split = parts_of(batch.labels, batch.items, output)
    found = monitor.figure(sum(monitor.sums(*part) for part in split))
    used = batch.labels.weight.numpy() > 0
    expected = np.corrcoef(output.value.numpy()[used], batch.labels.value.numpy()[used])[0, 1]
    assert found == pytest.approx(expected, abs=1e-6)
    assert found == pytest.approx(
        monitor.figure(monitor.sums(output, batch.labels, batch.items)), abs=1e-9
    )


def test_pooled_r_of_too_few_or_equal_values_is_zero(batch):
    monitor = MONITORS["pooled_r"]
    none = replace(batch.labels, weight=torch.zeros_like(batch.labels.weight))
    flat = replace(batch.labels, value=torch.ones_like(batch.labels.value))
    for labels in (none, flat):
        assert monitor.figure(monitor.sums(noisy(batch), labels, batch.items)) == 0.0


def test_structure_r_is_the_mean_over_structures_of_their_protein_items(batch):
    monitor, output = MONITORS["structure_r"], noisy(batch)
    is_protein = batch.items.is_protein.clone()
    is_protein[:9] = False
    items = batch.items._replace(is_protein=is_protein)
    split = parts_of(batch.labels, items, output)
    found = monitor.figure(sum(monitor.sums(*part) for part in split))
    each = []
    for number in range(2):
        used = (is_protein & (items.structure_index == number)).numpy()
        used &= batch.labels.weight.numpy() > 0
        each.append(np.corrcoef(output.value.numpy()[used], batch.labels.value.numpy()[used])[0, 1])
    assert each[0] > each[1] + 0.1
    assert found == pytest.approx(np.mean(each), abs=1e-5)


def test_structure_r_leaves_out_structures_with_few_labels(batch):
    monitor, output = MONITORS["structure_r"], noisy(batch)
    weight = batch.labels.weight.clone()
    second = torch.nonzero(batch.items.structure_index == 1).flatten()
    weight[second[5:]] = 0
    few = replace(batch.labels, weight=weight)
    first, _ = parts_of(batch.labels, batch.items, output)
    found = monitor.figure(monitor.sums(output, few, batch.items))
    assert found == pytest.approx(monitor.figure(monitor.sums(*first)), abs=1e-6)
    none = replace(few, weight=torch.zeros_like(weight))
    assert monitor.figure(monitor.sums(output, none, batch.items)) == 0.0
