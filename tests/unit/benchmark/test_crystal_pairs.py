"""Pairs of crystals: two copies of one peptide, whose B are known functions of each other."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from debye.benchmark.crystal_pairs import (
    CEILING,
    UNSEEN_CEILING,
    evaluate_pairs,
    pairs_of,
    read_pairs,
)
from debye.benchmark.predicted_models import (
    CONFIDENCE,
    PHENIX,
    StructureMatch,
    evaluate_predicted,
    phenix_b,
    read_matches,
    with_baselines,
)
from debye.benchmark.store import EvaluationConfig
from debye.dataset.store.build import build_store
from debye.dataset.store.store import Store
from debye.errors import ConfigError
from debye.graph.config import GraphConfig
from debye.models.base import BaselineModel
from debye.models.checkpoint import Checkpoint, CheckpointHeader, trained_splits
from debye.prediction.predictor import Predictor
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.scores import by_run
from debye.scores.summary import Correlations
from debye.scores.tables import rows_where
from debye.structure.structure import Entry
from debye.structure.write import write_structure
from debye.targets.b_factor import B_FACTOR
from debye.testing.peptide import build_peptide

SEQUENCE = "MKWHEFRGPYCITSLDNQVA"
ENTRIES = {"1aaa": ("test", 1.5, 0), "1bbb": ("replicate", 2.2, 1), "1ccc": ("train", 1.8, 2)}
QUICK = BootstrapConfig(repeats=20)


class Rise(BaselineModel):
    """Rises along the chain."""

    def __init__(self) -> None:
        graph = GraphConfig(radius=None, crystal=False, node_scalars=())
        super().__init__(SimpleNamespace(graph=graph), (B_FACTOR,))

    def forward(self, graph):
        level = torch.tensor([[3.0, 1.0]]).expand(graph.n_structures, 2)
        return self.output(graph.residue_index.float(), level)


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


def r_of(found: Correlations) -> dict[tuple[str, str], np.ndarray]:
    """Return r of every item by predictor and crystal."""
    return {
        (model, crystal): rows["pearson"].to_numpy()
        for model, crystal, rows in by_run(found.scores)
    }


def test_the_ceiling_is_the_correlation_of_the_shared_atoms(store, pairs, rise):
    report, failures = evaluate_pairs(store, pairs, [rise], bootstrap=QUICK)
    assert failures == []
    assert list(r_of(report)) == [(CEILING, ""), ("rise", "off"), ("rise", "other")]
    ceiling, model, crossed = r_of(report).values()
    for pair, atoms, r in zip(pairs, report.items["atoms"], ceiling, strict=True):
        first, second = shared_b(store, *pair.ids)
        assert atoms == len(first)
        assert r == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-6)
    assert {name: int(mask.sum()) for name, mask in report.groups.items()} == {
        "all pairs": 3, "same form": 1, "other form": 2, "1.5-2.0 Å": 1, "2.0-2.5 Å": 2
    }  # fmt: skip
    assert 0.5 < model.min() < model.max() < 1
    # Of one length the model says the same of both; the second crystal lacks two residues.
    assert crossed[1] == pytest.approx(model[1], abs=1e-6)
    assert crossed[0] != pytest.approx(model[0], abs=1e-5)


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
    report, _ = evaluate_pairs(store, pairs[:1], [("spy", spy)], bootstrap=QUICK)
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
    assert r_of(report)["spy", "other"][0] == pytest.approx(np.mean(found), abs=1e-6)
    plain, _ = evaluate_pairs(store, pairs[:1], [("spy", spy)], bootstrap=QUICK, from_other=False)
    assert [crystal for _, crystal in r_of(plain)] == ["", "off"]


def test_models_are_not_scored_on_what_they_were_trained_on(store, pairs, rise):
    """The third crystal is of ``train``: one pair of three is left to the model, and to its ceiling."""
    models = [rise, ("other", predictor_of("train"))]
    report, _ = evaluate_pairs(store, pairs, models, bootstrap=QUICK)
    every = rows_where(report.means(), group="all pairs").set_index(["model", "crystal"])
    assert every.index.tolist() == [
        *((CEILING, ""), (UNSEEN_CEILING, ""), ("rise", "off"), ("other", "off")),
        *(("rise", "other"), ("other", "other")),
    ]
    assert every["items"].tolist() == [3, 1, 1, 1, 1, 1]
    assert not every["undefined"].any()
    first = r_of(report)[CEILING, ""][0]
    assert every.loc[(UNSEEN_CEILING, ""), "mean"] == first != every.loc[(CEILING, ""), "mean"]
    assert "2 of 3 pairs have an entry in elsewhere, train" in report.note
    whole, _ = evaluate_pairs(store, pairs, [rise], bootstrap=QUICK)
    assert "trained on" not in whole.note
    assert [model for model, _ in r_of(whole)] == [CEILING, "rise", "rise"]


def test_what_is_left_out_is_in_no_table(store, pairs):
    report, _ = evaluate_pairs(store, pairs[1:], [("seen", predictor_of("train"))], bootstrap=QUICK)
    assert rows_where(report.means(), model="seen", group="all pairs")["items"].tolist() == [0, 0]
    assert report.table()["model"].tolist() == [CEILING, CEILING]


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
    report, _ = evaluate_pairs(store, pairs, splits=["test"], bootstrap=QUICK)
    assert report.items["id2"].tolist() == ["1bbb", "1ccc"]
    assert list(r_of(report)) == [(CEILING, "")]
    own = pairs_of(evaluate_pairs(store, pairs, bootstrap=QUICK)[0], {"test"})
    assert own is not None
    assert own.table().equals(report.table())
    assert pairs_of(report, {"kinase"}) is None


def test_pairs_that_cannot_be_scored_are_failures_and_the_others_go_on(store, pairs):
    lost = replace(pairs[0], ids=("1aaa", "9zzz"))
    empty = replace(pairs[0], chains=("A", "Q"))
    report, failures = evaluate_pairs(store, [lost, empty, pairs[1]], bootstrap=QUICK)
    assert len(report.items) == 1
    assert "not in the store: 9zzz" in failures[0].reason
    assert "not one protein" in failures[1].reason
    with pytest.raises(ConfigError, match="none of 1 pairs can be scored"):
        evaluate_pairs(store, [lost])


def test_tables_of_matches_with_the_older_column_can_be_read(tmp_path):
    path = tmp_path / "map.csv"
    for name in ("crystal_id", "kinase_id"):
        path.write_text(f"model_file,{name},chain,best_match\nm.cif,1abc,A,1\n")
        (match,) = read_matches(path)
        assert match == StructureMatch(file="m.cif", entry="1abc", chain="A", is_best=True)


def test_a_table_without_its_columns_is_refused(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("id1,chain1,id2\n1aaa,A,1bbb\n")
    with pytest.raises(ConfigError, match="no row with the columns chain2, same_space_group"):
        read_pairs(path)
    path.write_text("model_file,crystal_id,chain,best_match\n")
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
    StructureMatch(file="model.cif", entry="1aaa", chain="A", is_best=True),
    StructureMatch(file="model.cif", entry="1bbb", chain="A", is_best=False),
]


def test_predicted_structures_are_scored_with_confidence_and_packing(store, predicted, rise):
    models = with_baselines([rise])
    report, failures = evaluate_predicted(store, predicted, MATCHES, models, bootstrap=QUICK)
    assert failures == []
    r = {model: values for (model, _), values in r_of(report).items()}
    assert list(r) == ["rise", "weighted_contact_number", "contact_number", CONFIDENCE, PHENIX]
    assert {name: int(mask.sum()) for name, mask in report.groups.items()} == {
        "best match": 1, "all matches": 2
    }  # fmt: skip
    structure = store.structure("test", 0)
    expected = np.corrcoef(structure.residue_index, structure.b_iso)[0, 1]
    assert r["rise"][0] == pytest.approx(expected, abs=1e-5)
    assert r[CONFIDENCE][0] == pytest.approx(expected, abs=1e-5)
    number = structure.residue_index + 2
    phenix = np.corrcoef(phenix_b(98.0 - 2 * number), structure.b_iso)[0, 1]
    assert r[PHENIX][0] == pytest.approx(phenix, abs=1e-5)
    assert all(np.isfinite(values).all() for values in r.values())


def test_noise_moves_predicted_structures_by_the_name_of_their_file(
    store, predicted, rise, tmp_path
):
    (tmp_path / "model.cif").write_bytes((predicted / "model.cif").read_bytes())
    found = []
    for folder, config in (
        (predicted, EvaluationConfig()),
        (predicted, EvaluationConfig(noise=0.2)),
        (predicted, EvaluationConfig(noise=0.2, noise_seed=1)),
        (tmp_path, EvaluationConfig(noise=0.2)),
    ):
        report, _ = evaluate_predicted(
            store, folder, MATCHES, with_baselines([rise]), config=config, bootstrap=QUICK
        )
        found.append({model: values[0] for (model, _), values in r_of(report).items()})
    still, moved, other, elsewhere = (row["weighted_contact_number"] for row in found)
    assert len({still, moved, other}) == 3
    assert moved == elsewhere
    assert len({row[CONFIDENCE] for row in found}) == 1, "noise is in coordinates only"


def test_files_and_crystals_that_are_missing_are_failures(store, predicted, rise):
    lost = StructureMatch(file="lost.cif", entry="1aaa", chain="A", is_best=True)
    strange = StructureMatch(file="model.cif", entry="9zzz", chain="A", is_best=False)
    for bad in (lost, strange):
        report, failures = evaluate_predicted(store, predicted, [bad], [rise], bootstrap=QUICK)
        assert len(failures) == 1
        assert report.scores["pearson"].isna().all()


def test_a_missing_crystal_costs_its_own_match_only(store, predicted, rise):
    strange = StructureMatch(file="model.cif", entry="9zzz", chain="A", is_best=False)
    report, (failure,) = evaluate_predicted(
        store, predicted, [MATCHES[0], strange], [rise], bootstrap=QUICK
    )
    assert rows_where(report.scores, item=0)["pearson"].notna().all()
    assert rows_where(report.scores, item=1)["pearson"].isna().all()
    assert failure.id == "model.cif against 9zzz"
    assert "not in the store" in failure.reason


def test_the_ceiling_comes_out_as_published(benchmark_data):
    """The table was made independently; it counts all B, and B that are no target may differ."""
    from debye.structure.read import read_structure
    from debye.structure.select import select_atoms
    from debye.structure.sequences import match_chains

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
