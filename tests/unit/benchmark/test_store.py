"""Evaluation of models on a store, with models simple enough to know what must come out."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from debye.benchmark.store import (
    EvaluationConfig,
    disturb,
    evaluate_store,
    load_models,
    model_views,
    predict_entry,
)
from debye.dataset.batches.graph_cache import GraphBuilder
from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.errors import CheckpointError, ConfigError, StoreError, StructureError
from debye.graph.config import GraphConfig
from debye.models.base import BaselineModel
from debye.models.checkpoint import Checkpoint, CheckpointHeader
from debye.prediction.predictor import Predictor
from debye.scores.scores import by_run
from debye.scores.summary import measure, primary_scores
from debye.structure.structure import Crystal, Entry
from debye.structure.write import write_structure
from debye.targets.b_factor import B_FACTOR
from debye.testing.peptide import build_peptide

SEQUENCES = {"1aaa": "MKWHEFRGPYCITLSDNQVA", "1bbb": "DEKRHNQSTY" * 3, "1ccc": "LLKKLLKKLLEE"}


class Slope(BaselineModel):
    """Rises along the chain, and with every symmetry mate in reach; its level follows the resolution."""

    def __init__(
        self, *, crystal: bool = True, slope: float = 0.1, fail: str = "", has_level: bool = True
    ) -> None:
        graph = GraphConfig(
            node_categories=(),
            node_scalars=(),
            structure_scalars=("resolution", "resolution_known"),
            crystal=crystal,
        )
        super().__init__(SimpleNamespace(graph=graph), (B_FACTOR,))
        self.slope, self.fail, self.has_level = slope, fail, has_level

    def forward(self, graph):
        if self.fail in graph.source:
            raise StructureError(self.fail, problem="too hard", remedy="Give up")
        mates = torch.bincount(graph.edge_index[1][graph.edge_mate], minlength=graph.n_atoms)
        level = torch.stack(
            [
                3.0 + 0.1 * graph.structure_scalars[:, 0],
                torch.full((graph.n_structures,), 1.5),
            ],
            dim=1,
        )
        value = self.slope * graph.residue_index - 0.05 * mates
        return self.output(value, level if self.has_level else None)


def predictor_of(name="slope", **settings) -> Predictor:
    header = CheckpointHeader(name=name, model=name, config={})
    return Predictor(Checkpoint(Slope(**settings).eval(), header, "test"), precision="float32")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Three peptides in small cells; B rises along the chain, one atom has none."""
    folder = tmp_path_factory.mktemp("run")
    generator = np.random.default_rng(1)
    rows = []
    for number, (entry_id, sequence) in enumerate(SEQUENCES.items()):
        structure = build_peptide(sequence, source=entry_id)
        b = 15 + 0.4 * structure.residue_index + generator.gamma(4.0, 1.5, len(structure))
        b[5] = 0.0
        extent = np.ptp(structure.position, axis=0)
        structure = replace(
            structure,
            b_iso=np.round(b, 2).astype(np.float32),
            crystal=Crystal(
                cell=(*(float(x) for x in np.round(extent - 2, 2)), 90.0, 90.0, 90.0),
                space_group="P 1",
            ),
            entry=Entry(id=entry_id, method="X-RAY DIFFRACTION", resolution=1.4 + 0.4 * number),
        )
        place = folder / "structures" / entry_id[1:3]
        place.mkdir(parents=True)
        write_structure(structure, place / f"{entry_id}.cif")
        rows.append({"id": entry_id, "split": "test", "cluster": f"c{number}", "group": "made"})
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return build_store(folder / "index.csv", folder / "structures", folder / "store")


def run(store, *predictors, **settings):
    """Scores of protein atoms by model and crystal, and the failures."""
    models = [(predictor.model_name, predictor) for predictor in predictors]
    (found,) = evaluate_store(store, "test", models, config=EvaluationConfig(**settings))
    scores = primary_scores(found.scores)
    return {(model, crystal): rows for model, crystal, rows in by_run(scores)}, found.failures


def mean(scores, name="pearson_mean") -> float:
    return float(measure(scores, name)[0])


def test_scores_are_those_of_predicting_each_structure(store):
    predictor = predictor_of()
    found, failures = run(store, predictor)
    assert failures == []
    assert list(found) == [("slope", "on"), ("slope", "off")]
    for (_, crystal), scores in found.items():
        for row, score in enumerate(scores.itertuples()):
            structure = store.structure("test", row)
            alone = predictor.predict_structure(structure, crystal=crystal).b_predicted
            usable = store.labels("test", row, B_FACTOR).usable
            expected = np.corrcoef(alone[usable], structure.b_iso[usable])[0, 1]
            assert score.pearson == pytest.approx(expected, abs=1e-6)
            assert score.mae == pytest.approx(
                np.abs(alone[usable] - structure.b_iso[usable]).mean(), rel=1e-5
            )
            assert (score.masked, score.atoms) == (1, len(structure) - 1)
            assert score.has_crystal == (crystal == "on")


def test_crystal_on_and_off_differ(store):
    on, off = run(store, predictor_of())[0].values()
    assert mean(on) != mean(off)
    assert (on["has_crystal"].sum(), off["has_crystal"].sum()) == (3, 0)


def test_facts_of_the_store_reach_the_scores(store):
    score = next(iter(run(store, predictor_of())[0].values())).iloc[1]
    assert (score["id"], score["cluster"], score["group"]) == ("1bbb", "c1", "made")
    assert score["resolution"] == pytest.approx(1.8)


def test_a_hidden_resolution_changes_the_level_only(store):
    given, unknown = (
        run(store, predictor_of(), crystal="off", resolution=use)[0]["slope", "off"]
        for use in ("given", "unknown")
    )
    np.testing.assert_allclose(given["pearson"], unknown["pearson"], atol=1e-6)
    # The stratum is a fact about the structure; it does not hide with the feature.
    assert given["stratum"].tolist() == unknown["stratum"].tolist()
    assert (np.abs(given["mean_predicted"] - unknown["mean_predicted"]) > 0.01).all()


def test_noise_has_its_size_and_is_the_same_for_an_entry_and_a_seed(peptide):
    moved = disturb(peptide, 0.2)
    shift = moved.position - peptide.position
    assert shift.std() == pytest.approx(0.2, rel=0.15)
    assert abs(shift.mean()) < 0.05
    np.testing.assert_array_equal(disturb(peptide, 0.2).position, moved.position)
    assert (disturb(peptide, 0.2, seed=1).position != moved.position).any()
    assert (disturb(replace(peptide, source="b"), 0.2).position != moved.position).any()
    assert disturb(peptide, 0.0) is peptide


def test_noisy_structures_are_predicted_as_if_they_were_read_so(store):
    predictor = predictor_of()
    for (_, crystal), scores in run(store, predictor, noise=0.3, noise_seed=4)[0].items():
        for row, r in enumerate(scores["pearson"]):
            moved = disturb(store.structure("test", row), 0.3, 4)
            alone = predictor.predict_structure(moved, crystal=crystal).b_predicted
            usable = store.labels("test", row, B_FACTOR).usable
            expected = np.corrcoef(alone[usable], moved.b_iso[usable])[0, 1]
            assert r == pytest.approx(expected, abs=1e-6)


def test_models_that_use_no_mates_have_one_row(store):
    found, _ = run(store, predictor_of(), predictor_of("alone", crystal=False))
    assert list(found) == [("slope", "on"), ("slope", "off"), ("alone", "off")]


def test_a_model_without_a_level_is_scored_by_its_profile(store):
    found, failures = run(store, predictor_of(), predictor_of("flat", has_level=False))
    assert failures == []
    assert mean(found["flat", "on"]) == pytest.approx(mean(found["slope", "on"]), abs=1e-5)
    assert np.isnan(mean(found["flat", "on"], "mae_mean"))
    assert np.isnan(mean(found["flat", "on"], "pooled_pearson"))


def test_a_constant_model_is_undefined_everywhere(store):
    scores = run(store, predictor_of(slope=0.0), crystal="off")[0]["slope", "off"]
    assert len(scores) == 3
    assert scores["pearson"].isna().all()
    assert np.isfinite(mean(scores, "mae_mean"))


@pytest.mark.parametrize("problem", ["error", "nan"])
def test_an_entry_that_fails_is_counted_and_the_others_go_on(store, problem):
    settings = {"fail": "1bbb"} if problem == "error" else {"slope": float("nan")}
    found, failures = run(store, predictor_of(**settings), predictor_of("good"))
    lost = 1 if problem == "error" else 3
    assert len(failures) == 2 * lost
    assert {failure.model for failure in failures} == {"slope"}
    assert ("too hard" if problem == "error" else "finite") in failures[0].reason
    scores = found["slope", "on"]
    assert (len(scores), scores["pearson"].isna().sum()) == (3, lost)
    assert scores["unpredicted"].sum() > 0
    assert found["good", "on"]["pearson"].notna().all()


def test_progress_counts_entries(store):
    seen = []
    evaluate_store(
        store,
        "test",
        [("m", predictor_of())],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_models_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="more than one model is called slope"):
        model_views([("slope", predictor_of()), ("slope", predictor_of())], "both")


def test_no_model_is_refused(store):
    with pytest.raises(ConfigError, match="no model"):
        evaluate_store(store, "test", [])


def test_an_unknown_split_is_refused(store):
    with pytest.raises(StoreError, match="no split is called 'tset'"):
        evaluate_store(store, "tset", [("m", predictor_of())])


@pytest.mark.parametrize("settings", [{"crystal": "auto"}, {"resolution": "2.0"}, {"noise": -0.1}])
def test_unknown_settings_are_refused(settings):
    with pytest.raises(ValidationError, match=next(iter(settings))):
        EvaluationConfig(**settings)


def test_an_unknown_model_is_refused():
    with pytest.raises(CheckpointError, match="metagnn"):
        load_models(["metagnn"])


@pytest.mark.parametrize("resolution", ["given", "unknown"])
def test_graphs_that_were_built_before_give_the_same_predictions(store, resolution) -> None:
    predictor = predictor_of()
    views = model_views([("slope", predictor)], "both")
    config = EvaluationConfig(resolution=resolution)
    asked = []

    class Source(GraphBuilder):
        def graph(self, row):
            asked.append(row)
            return super().graph(row)

    sources = {predictor.graph_config: Source(store, "test", predictor.graph_config)}
    for row in range(len(store.entries("test"))):
        anew = predict_entry(store, "test", row, views, config)
        before = predict_entry(store, "test", row, views, config, sources)
        for (first, _), (second, _) in zip(anew, before, strict=True):
            np.testing.assert_allclose(first.predicted, second.predicted, atol=1e-5)
            assert first.has_crystal == second.has_crystal
    assert len(asked) == 2 * len(store.entries("test"))
    asked.clear()
    list(predict_entry(store, "test", 0, views, EvaluationConfig(noise=0.1), sources))
    assert not asked, "atoms that were moved need other graphs"
