"""The loss and its parts against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from outputs import b_labels

from debye.dataset.batches.loader import graph_items
from debye.graph.build import build_graph
from debye.graph.config import GraphConfig
from debye.graph.graph import join
from debye.structure.structure import EntityKind
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
    predicted = torch.where(batch.items.structure_index == 1, batch.labels.value, -batch.labels.value)
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
    kind = batch.graph.entity_kind.clone()
    kind[3:9] = EntityKind.LIGAND
    mixed = replace(batch, graph=replace(batch.graph, entity_kind=kind))
    output = output_for(batch, batch.labels.value + 0.5)
    plain, three = (loss_terms(output, mixed, LossConfig(ligands=weight)) for weight in (1.0, 3.0))
    ligands = batch.labels.weight[3:9].sum()
    assert ligands > 0
    ratio = ((batch.labels.weight.sum() + 2 * ligands) / batch.labels.weight.sum()).item()
    assert three.huber.item() == pytest.approx(ratio * plain.huber.item(), rel=1e-5)
    assert three.spread.item() == pytest.approx(ratio * plain.spread.item(), rel=1e-5)
    assert three.correlation == plain.correlation
    assert three.level == plain.level
    assert plain == loss_terms(output, batch, LossConfig())
