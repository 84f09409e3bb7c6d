"""Pairs of crystals: two copies of one peptide, whose B are known functions of each other."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from outputs import b_output

from debye.benchmark.crystal_pairs import CEILING, UNSEEN_CEILING, evaluate_pairs, read_pairs
from debye.benchmark.predicted_models import (
    CONFIDENCE,
    PHENIX,
    ModelMatch,
    evaluate_predicted,
    phenix_b,
    read_matches,
    with_baselines,
)
from debye.benchmark.store import RunConfig
from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.errors import ConfigError
from debye.graph.config import GraphConfig
from debye.models.base import AtomModel
from debye.models.checkpoint import Checkpoint, CheckpointHeader, trained_splits
from debye.prediction.predictor import Predictor
from debye.reports.evaluation import Provenance
from debye.scores.bootstrap import Interval
from debye.scores.correlations import GroupMean
from debye.scores.evaluation import BootstrapConfig
from debye.structure.structure import Entry
from debye.structure.write import write_structure
from debye.targets.b_factor import B_FACTOR
from debye.testing.peptide import build_peptide

SEQUENCE = "MKWHEFRGPYCITSLDNQVA"
ENTRIES = {"1aaa": ("test", 1.5, 0), "1bbb": ("replicate", 2.2, 1), "1ccc": ("train", 1.8, 2)}
PROVENANCE = Provenance(version="", data="s", digest="", split="", command="", settings={})
QUICK = BootstrapConfig(repeats=20)


class Rise(AtomModel):
    """Rises along the chain."""

    def __init__(self) -> None:
        super().__init__((B_FACTOR,))
        self.graph_config = GraphConfig(radius=None, crystal=False, node_scalars=())

    def forward(self, graph):
        log_mean_sd = torch.tensor([[3.0, 1.0]]).expand(graph.n_structures, 2)
        return b_output(graph.residue_index.float(), log_mean_sd=log_mean_sd)


@pytest.fixture(scope="module")
def rise() -> tuple[str, Predictor]:
    return "rise", predictor_of("elsewhere")


def predictor_of(split: str) -> Predictor:
    training = {"recipe": {"data": {"split": split}}}
    header = CheckpointHeader(name="rise", model="rise", config={}, training=training)
    return Predictor(Checkpoint(Rise().eval(), header, "test"), precision="float32")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Three crystals of one protein; the second lacks two residues, the third has a B of zero."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = []
    for entry_id, (split, resolution, seed) in ENTRIES.items():
        generator = np.random.default_rng(seed)
        structure = build_peptide(SEQUENCE, source=entry_id)
        b = 15 + structure.residue_index + generator.gamma(4.0, 1.5, len(structure))
        b[0] = 0.0 if entry_id == "1ccc" else b[0]
        structure = replace(
            structure,
            b_iso=np.round(b, 2).astype(np.float32),
            entry=Entry(id=entry_id, method="X-RAY DIFFRACTION", resolution=resolution),
        )
        if entry_id == "1bbb":
            structure = structure.take(~np.isin(structure.residue_index, [8, 9]))
        place = folder / "structures" / entry_id[1:3]
        place.mkdir(parents=True)
        write_structure(structure, place / f"{entry_id}.cif")
        rows.append(f"{entry_id},{split},c0\n")
    (folder / "index.csv").write_text("id,split,cluster\n" + "".join(rows))
    return build_store(folder / "index.csv", folder / "structures", folder / "store")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "pairs.csv"
    path.write_text(
        "id1,chain1,id2,chain2,same_space_group,pair_group,more\n"
        "1aaa,A,1bbb,A,1,p0,x\n1aaa,A,1ccc,A,0,p0,x\n1bbb,A,1ccc,A,0,p1,x\n"
    )
    return read_pairs(path)


def shared_b(store: Store, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """Deposited B of the atoms that two entries share, found by residue number and name."""
    found = []
    for entry_id in (first, second):
        split = ENTRIES[entry_id][0]
        row = store.row(split, entry_id)
        structure, usable = store.structure(split, row), store.labels(split, row, B_FACTOR).usable
        keys = zip(structure.residue_number.tolist(), structure.atom_name.tolist(), strict=True)
        found.append({k: b for k, b, ok in zip(keys, structure.b_iso, usable, strict=True) if ok})
    keys = [key for key in found[0] if key in found[1]]
    return np.array([found[0][k] for k in keys]), np.array([found[1][k] for k in keys])


def test_the_ceiling_is_the_correlation_of_the_shared_atoms(store, pairs, rise):
    report = evaluate_pairs(store, pairs, [rise], provenance=PROVENANCE, bootstrap=QUICK)
    assert report.failures == ()
    ceiling, model, crossed = report.rows
    assert [(row.model, row.crystal) for row in report.rows] == [
        (CEILING, ""),
        ("rise", "off"),
        ("rise", "other"),
    ]
    for pair, item, r in zip(pairs, report.items, ceiling.pearson, strict=True):
        first, second = shared_b(store, *pair.ids)
        assert item["atoms"] == len(first)
        assert r == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-6)
    assert {name: int(mask.sum()) for name, mask in report.groups.items()} == {
        "all pairs": 3, "same form": 1, "other form": 2, "1.5-2.0 Å": 1, "2.0-2.5 Å": 2
    }  # fmt: skip
    assert 0.5 < model.pearson.min() < model.pearson.max() < 1
    # Of one length the model says the same of both; the second crystal lacks two residues.
    assert crossed.pearson[1] == pytest.approx(model.pearson[1], abs=1e-6)
    assert crossed.pearson[0] != pytest.approx(model.pearson[0], abs=1e-5)


def test_from_the_other_crystal_a_model_sees_one_chain_as_if_it_were_predicted(store, pairs):
    seen = []

    class Spy(Rise):
        def forward(self, graph):
            seen.append(graph)
            return super().forward(graph)

    model = Spy().eval()
    facts = ("resolution_known", "other_coordinates")
    model.graph_config = model.graph_config.model_copy(update={"structure_scalars": facts})
    header = CheckpointHeader(name="spy", model="rise", config={})
    spy = Predictor(Checkpoint(model, header, "test"), precision="float32")
    report = evaluate_pairs(
        store, pairs[:1], [("spy", spy)], provenance=PROVENANCE, bootstrap=QUICK
    )
    told = {tuple(graph.structure_scalars[0].tolist()) for graph in seen}
    assert told == {(1.0, 0.0), (0.0, 1.0)}
    deposited = dict(zip(("1aaa", "1bbb"), shared_b(store, "1aaa", "1bbb"), strict=True))
    alone = [graph for graph in seen if graph.structure_scalars[0, 1] == 1]
    assert {graph.source[0] for graph in alone} == {"1aaa", "1bbb"}
    found = []
    for graph in alone:
        shown = graph.source[0]
        residue = graph.residue_index.numpy()
        kept = ~np.isin(residue, [8, 9]) if shown == "1aaa" else np.ones(len(residue), bool)
        wanted = deposited["1bbb" if shown == "1aaa" else "1aaa"]
        found.append(np.corrcoef(residue[kept], wanted)[0, 1])
    assert report.rows[-1].pearson[0] == pytest.approx(np.mean(found), abs=1e-6)
    plain = evaluate_pairs(
        store, pairs[:1], [("spy", spy)], provenance=PROVENANCE, bootstrap=QUICK, from_other=False
    )
    assert [row.crystal for row in plain.rows] == ["", "off"]


def test_models_are_not_scored_on_what_they_were_trained_on(store, pairs, rise):
    """The third crystal is of ``train``: one pair of three is left to the model, and to its ceiling."""
    models = [rise, ("other", predictor_of("train"))]
    report = evaluate_pairs(store, pairs, models, provenance=PROVENANCE, bootstrap=QUICK)
    every = {(row.model, row.crystal): report.mean(row, "all pairs") for row in report.rows}
    assert {key: (mean.items, mean.undefined) for key, mean in every.items()} == {
        (CEILING, ""): (3, 0), (UNSEEN_CEILING, ""): (1, 0), ("rise", "off"): (1, 0), ("other", "off"): (1, 0),
        ("rise", "other"): (1, 0), ("other", "other"): (1, 0),
    }  # fmt: skip
    means = {model: mean for (model, crystal), mean in every.items() if crystal in ("", "off")}
    assert means[UNSEEN_CEILING].mean == report.rows[0].pearson[0] != means[CEILING].mean
    assert "2 of 3 pairs have an entry in elsewhere, train" in report.note
    whole = evaluate_pairs(store, pairs, [rise], provenance=PROVENANCE, bootstrap=QUICK)
    assert "trained on" not in whole.note
    assert [row.model for row in whole.rows] == [CEILING, "rise", "rise"]


def test_what_is_left_out_is_in_no_table_and_no_file(store, pairs, tmp_path):
    report = evaluate_pairs(
        store, pairs[1:], [("seen", predictor_of("train"))], provenance=PROVENANCE, bootstrap=QUICK
    )
    assert report.mean(report.rows[-1], "all pairs").items == 0
    report.write(tmp_path)
    with (tmp_path / "pairs.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == [CEILING, CEILING]


def test_ancestors_and_rehearsals_count_as_training():
    parent = {"training": {"recipe": {"data": {"split": "old"}}}}
    recipe = {"data": {"split": "new"}, "rehearsal": {"split": "again"}}
    header = CheckpointHeader(
        name="a", model="waller", config={}, training={"recipe": recipe, "parent": parent}
    )
    assert trained_splits(header) == {"old", "new", "again"}
    baseline = CheckpointHeader(name="b", model="weighted_contact_number", config={})
    assert trained_splits(baseline) == frozenset()
    fitted = CheckpointHeader(name="c", model="train_mean", config={}, training={"recipe": {}})
    assert trained_splits(fitted) == {"train"}


def test_pairs_of_a_split_and_no_model(store, pairs):
    report = evaluate_pairs(store, pairs, provenance=PROVENANCE, splits=["test"], bootstrap=QUICK)
    assert [item["id2"] for item in report.items] == ["1bbb", "1ccc"]
    assert len(report.rows) == 1


def test_pairs_that_cannot_be_scored_are_failures_and_the_others_go_on(store, pairs):
    lost = replace(pairs[0], ids=("1aaa", "9zzz"))
    empty = replace(pairs[0], chains=("A", "Q"))
    report = evaluate_pairs(store, [lost, empty, pairs[1]], provenance=PROVENANCE, bootstrap=QUICK)
    assert len(report.items) == 1
    reasons = [failure.reason for failure in report.failures]
    assert "not in the store: 9zzz" in reasons[0]
    assert "not one protein" in reasons[1]
    with pytest.raises(ConfigError, match="none of 1 pairs can be scored"):
        evaluate_pairs(store, [lost], provenance=PROVENANCE)


def test_a_table_without_its_columns_is_refused(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("id1,chain1,id2\n1aaa,A,1bbb\n")
    with pytest.raises(ConfigError, match="no row with the columns chain2, same_space_group"):
        read_pairs(path)
    path.write_text("model_file,kinase_id,chain,best_match\n")
    with pytest.raises(ConfigError, match="no row"):
        read_matches(path)


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """A predicted structure that is less certain the further along the chain, with a second chain."""
    folder = tmp_path_factory.mktemp("predicted")
    structure = build_peptide("GS" + SEQUENCE, source="model")
    plddt = (98 - 2 * structure.residue_index).astype(np.float32)
    structure = replace(structure, b_iso=plddt, entry=Entry(id="model", is_predicted=True))
    write_structure(structure, folder / "model.cif")
    return folder


MATCHES = [
    ModelMatch(file="model.cif", entry="1aaa", chain="A", is_best=True),
    ModelMatch(file="model.cif", entry="1bbb", chain="A", is_best=False),
]


def test_predicted_structures_are_scored_beside_confidence_and_packing(store, predicted, rise):
    reference = GroupMean(
        model=CEILING, crystal="", group="all pairs", items=2, undefined=0, mean=0.8, median=0.8,
        interval=Interval(0.7, 0.9),
    )  # fmt: skip
    report = evaluate_predicted(
        store, predicted, MATCHES, with_baselines([rise]), provenance=PROVENANCE, bootstrap=QUICK,
        references=[reference],
    )  # fmt: skip
    assert report.failures == ()
    names = [row.model for row in report.rows]
    assert names == ["rise", "weighted_contact_number", "contact_number", CONFIDENCE, PHENIX]
    assert {name: int(mask.sum()) for name, mask in report.groups.items()} == {
        "best match": 1, "all matches": 2
    }  # fmt: skip
    r = {row.model: row.pearson for row in report.rows}
    structure = store.structure("test", 0)
    expected = np.corrcoef(structure.residue_index, structure.b_iso)[0, 1]
    assert r["rise"][0] == pytest.approx(expected, abs=1e-5)
    assert r[CONFIDENCE][0] == pytest.approx(expected, abs=1e-5)
    number = structure.residue_index + 2
    phenix = np.corrcoef(phenix_b(98.0 - 2 * number), structure.b_iso)[0, 1]
    assert r[PHENIX][0] == pytest.approx(phenix, abs=1e-5)
    assert all(np.isfinite(values).all() for values in r.values())
    assert report.comparison()[0].rows[-1][0] == CEILING


def test_noise_moves_predicted_structures_by_the_name_of_their_file(
    store, predicted, rise, tmp_path
):
    (tmp_path / "model.cif").write_bytes((predicted / "model.cif").read_bytes())
    found = []
    for folder, config in (
        (predicted, RunConfig()),
        (predicted, RunConfig(noise=0.2)),
        (predicted, RunConfig(noise=0.2, noise_seed=1)),
        (tmp_path, RunConfig(noise=0.2)),
    ):
        report = evaluate_predicted(
            store,
            folder,
            MATCHES,
            with_baselines([rise]),
            provenance=PROVENANCE,
            config=config,
            bootstrap=QUICK,
        )
        found.append({row.model: row.pearson[0] for row in report.rows})
    still, moved, other, elsewhere = (row["weighted_contact_number"] for row in found)
    assert len({still, moved, other}) == 3
    assert moved == elsewhere
    assert len({row[CONFIDENCE] for row in found}) == 1, "noise is in coordinates only"


def test_files_and_crystals_that_are_missing_are_failures(store, predicted, rise):
    lost = ModelMatch(file="lost.cif", entry="1aaa", chain="A", is_best=True)
    strange = ModelMatch(file="model.cif", entry="9zzz", chain="A", is_best=False)
    for bad in (lost, strange):
        report = evaluate_predicted(
            store, predicted, [bad], [rise], provenance=PROVENANCE, bootstrap=QUICK
        )
        assert len(report.failures) == 1
        assert np.isnan(report.rows[0].pearson).all()


def test_a_missing_crystal_costs_its_own_match_only(store, predicted, rise):
    strange = ModelMatch(file="model.cif", entry="9zzz", chain="A", is_best=False)
    report = evaluate_predicted(
        store, predicted, [MATCHES[0], strange], [rise], provenance=PROVENANCE, bootstrap=QUICK
    )
    assert np.isfinite([row.pearson[0] for row in report.rows]).all()
    assert np.isnan([row.pearson[1] for row in report.rows]).all()
    (failure,) = report.failures
    assert failure.id == "model.cif against 9zzz"
    assert "not in the store" in failure.reason


def test_the_ceiling_comes_out_as_published(benchmark_data):
    """The table was made independently; it counts all B, and B that are no target may differ."""
    from debye.structure.align import match_chains
    from debye.structure.read import read_structure
    from debye.structure.select import select_atoms

    with (benchmark_data / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))[::50]
    assert len(rows) >= 9
    for row in rows:
        sides = [
            select_atoms(
                read_structure(
                    benchmark_data / "structures" / row[key][1:3] / f"{row[key]}.bcif.gz"
                )
            )[0]
            for key in ("id1", "id2")
        ]
        match = match_chains(sides[0], row["chain1"], sides[1], row["chain2"])
        found = np.corrcoef(sides[0].b_iso[match.first], sides[1].b_iso[match.second])[0, 1]
        assert found == pytest.approx(float(row["pearson_r"]), abs=0.03)
        assert len(match) == pytest.approx(int(row["n_matched_atoms"]), rel=0.01)
