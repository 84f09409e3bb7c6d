"""Boosted trees learn from features, differ by seed, and travel in checkpoints."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
import torch

from debye.errors import ConfigError
from debye.graph.build import build_graph
from debye.models.base import Sample
from debye.models.baselines.gradient_boosting import (
    GradientBoosting,
    GradientBoostingConfig,
    Reservoir,
)
from debye.models.catalog import build_model
from debye.models.checkpoint import CheckpointHeader
from debye.targets.b_factor import B_FACTOR
from debye.testing.models import check_model, check_saved_and_loaded
from debye.testing.peptide import build_peptide

GRAPH = {
    "radius": "none",
    "node_categories": ["locant"],
    "node_scalars": ["contact_number_5"],
    "structure_scalars": ["log_atoms"],
}
SMALL = {"graph": GRAPH, "trees": 30, "leaves": 8, "least_atoms": 5, "learning_rate": 0.2}
CODES = torch.tensor([-1.0, 2.0, 0.5, 1.5, -0.5, 1.0, -1.5, 0.0, 1.2, 0.7, -2.0, 0.3, 1, 1, 1])


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Values that follow from the locant (by no order of its codes) and the contact number."""
    pytest.importorskip("lightgbm", reason="the extra peers is not installed")
    found = []
    for number, letters in enumerate(("ACDEFGHIKLMNPQRSTVWY", "YWVTSRQPNMLKIHGFEDCA", "MKTAYIAK")):
        graph = build_graph(
            build_peptide(letters, source=letters), GradientBoostingConfig(graph=GRAPH).graph
        )
        value = CODES[graph.categories[:, 0]] - graph.scalars[:, 0]
        value[::9] = torch.nan
        level = torch.tensor([[3.0 + 0.1 * number, 2.0]], dtype=torch.float64)
        found.append(Sample(graph, value, level))
    return found


def fitted(samples: list[Sample], **settings) -> GradientBoosting:
    model = GradientBoosting(GradientBoostingConfig.model_validate(SMALL | settings), (B_FACTOR,))
    model.fit(iter(samples))
    return model.eval()


def test_categories_are_split_as_categories():
    """One split tells odd codes from even ones: of numbers it takes one for each code."""
    pytest.importorskip("lightgbm", reason="the extra peers is not installed")
    letters = "ACDEFGHIKLMNPQRSTVWY"
    only = GRAPH | {"node_scalars": []}
    graph = build_graph(
        build_peptide(letters, source=letters), GradientBoostingConfig(graph=only).graph
    )
    value = (graph.categories[:, 0] % 2).float()
    level = torch.tensor([[3.0, 2.0]], dtype=torch.float64)
    # LightGBM takes no category of fewer than 100 atoms for itself.
    sample = Sample(graph, value, level)
    model = fitted([sample] * 100, trees=1, leaves=2, learning_rate=1.0, share=1.0)
    found = torch.corrcoef(torch.stack([model(graph).first.value, value]))[0, 1]
    assert found > 0.99


def test_learns_what_categories_and_numbers_say(samples):
    model = fitted(samples[:2])
    graph = samples[2].graph
    truth = CODES[graph.categories[:, 0]] - graph.scalars[:, 0]
    found = torch.corrcoef(torch.stack([model(graph).first.value, truth]))[0, 1]
    assert found > 0.8


def test_few_structures_have_the_mean_level(samples):
    level = fitted(samples)(samples[0].graph).first.log_mean_sd
    torch.testing.assert_close(level, torch.tensor([[3.1, 2.0]]))


def test_contract_of_a_fitted_model(samples):
    model = fitted(samples)
    check_model(model, samples[0].graph, samples[1].graph)
    settings = GradientBoostingConfig.model_validate(SMALL).model_dump(mode="json")
    header = CheckpointHeader(name="a", model="gradient_boosting", config=settings)
    check_saved_and_loaded(model, header, samples[0].graph)


def test_seeds_differ_and_repeat(samples):
    graph = samples[0].graph
    first, again, other = (fitted(samples, seed=seed)(graph).first.value for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_nothing_to_fit_to(samples):
    model = GradientBoosting(GradientBoostingConfig(), (B_FACTOR,))
    with pytest.raises(ConfigError, match="nothing to fit to"):
        model.fit([])
    blank = Sample(
        samples[0].graph, torch.full_like(samples[0].value, torch.nan), samples[0].log_mean_sd
    )
    with pytest.raises(ConfigError, match="nothing to fit to"):
        model.fit([blank])


def test_without_lightgbm_the_extra_is_named(monkeypatch):
    model = build_model("gradient_boosting")
    usual = builtins.__import__

    def refuse(name, *rest, **named):
        if name == "lightgbm":
            raise ImportError(name)
        return usual(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"pip install 'debye\[peers\]'"):
        model.fit([])  # type: ignore[operator]


def test_reservoir_is_bounded_and_even():
    rows = Reservoir(100, np.random.default_rng(0))
    for start in range(0, 1000, 50):
        value = np.arange(start, start + 50, dtype=np.float32)
        rows.add(value[:, None], value)
        assert sum(len(value) for _, value, _ in rows._held) <= 250
    features, value = rows.drawn()
    assert len(np.unique(value)) == 100
    np.testing.assert_array_equal(features[:, 0], value)
    assert 400 < value.mean() < 600
