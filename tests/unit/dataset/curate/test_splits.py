"""Every rule of the splits, with a table of similar sequences in place of MMseqs2."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from homologs import GOOD, SimilarityTable

from debye.dataset.curate.build_recipe import BuildRecipe, FamilyConfig
from debye.dataset.curate.candidates import (
    Assignment,
    Candidate,
    read_assignments,
    refusals,
    write_assignments,
)
from debye.dataset.curate.splits import AssignedSplits, assign_splits, draw, draw_groups


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"resolution": 3.1}, "resolution worse"),
        ({"resolution": None}, "resolution not stated"),
        ({"n_protein_residues": 39}, "fewer than 40 protein residues"),
        ({"n_atoms": 299}, "fewer than 300 atoms"),
        ({"n_atoms": 30_001}, "more than 30000 atoms"),
        ({"n_models": 2}, "several models"),
        ({"missing_copies": 1}, "copies by noncrystallographic symmetry"),
        ({"b_reasons": ("one value per residue",)}, "B: one value per residue"),
        ({"constant_share": 0.3}, "more than 20% of the residues have one B-factor"),
        ({"b_deviation": 1.9}, "standard deviation of B"),
        ({"zero_share": 0.03}, "more than 2% of the atoms have B = 0"),
        ({"mean_b": 2.9}, "mean B outside"),
        ({"mean_b": 121.0}, "mean B outside"),
    ],
)
def test_filter(change: dict, reason: str | None) -> None:
    found = [text for text, _ in refusals(replace(GOOD, **change), recipe())]
    assert len(found) == (reason is not None)
    assert all(text.startswith(reason or "") for text in found)


def test_b_factors_are_judged_only_if_they_are_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = replace(GOOD, b_reasons=("no value",), mean_b=0.0, b_deviation=0.0, zero_share=1.0)
    assert len(refusals(poor, recipe())) == 4
    assert len(refusals(poor, recipe(target="b_factor_log"))) == 4
    from debye.targets.b_factor import B_FACTOR
    from debye.targets.catalog import TARGETS
    from debye.targets.target import LabelSource

    exposure = replace(B_FACTOR, name="exposure", source=LabelSource(name="exposure"))
    monkeypatch.setattr(TARGETS, "find", {"exposure": exposure}.__getitem__)
    assert refusals(poor, recipe(target="exposure")) == []


def recipe(**settings: object) -> BuildRecipe:
    """All groups are test, if they may be."""
    defaults = {
        "name": "test",
        "clusters": {"fewest_residues": 1},
        "splits": {"validation": 0, "test": 1},
    }
    return BuildRecipe.model_validate(defaults | settings)


def entry(name: str, *chains: str, resolution: float = 2.8, **facts: object) -> Candidate:
    """A candidate that by its resolution can only be in training, unless another one is given."""
    observed = dict(zip("ABCD", chains, strict=False))
    return replace(GOOD, id=name, observed=observed, resolution=resolution, **facts)


def outcome(found: AssignedSplits) -> dict[str, str]:
    return {name: item.split or item.reason for name, item in found.assignments.items()}


ALIKE = SimilarityTable(("a", "b", 0.6), ("b", "c", 0.5), ("x", "y", 0.4))


def test_every_candidate_is_in_a_split_or_has_a_reason() -> None:
    found = assign_splits(
        [
            entry("1low", "a", resolution=3.5, n_atoms=20),
            entry("1aaa", "a"),
            entry("1non"),
            entry("1tst", "x", resolution=1.5),
        ],
        recipe(),
        ALIKE,
        failures=[{"id": "1bad", "split": "", "reason": "not a structure"}],
    )
    assert outcome(found) == {
        "1aaa": "train",
        "1bad": "file could not be read",
        "1low": "resolution worse than 3.0 Å",
        "1non": "no chain that is in a cluster",
        "1tst": "test",
    }
    assert list(found.assignments) == sorted(found.assignments)
    assert found.assignments["1low"].detail == "3.5 Å; fewer than 300 atoms (20)"
    assert found.refused["1bad"] == "file could not be read: not a structure"
    assert found.assignments["1aaa"].n_atoms == GOOD.n_atoms


def test_linked_entries_are_one_group_and_in_one_split() -> None:
    """1two has chains of two clusters, so all of them are one group; its best entry is fit for a test."""
    entries = [
        entry("1aaa", "a"),
        entry("1bbb", "b", resolution=1.5),
        entry("1two", "b", "x"),
        entry("1xxx", "y", resolution=2.0),
    ]
    splits = {"test": 1, "validation": 0, "evaluation_per_group": 5}
    found = assign_splits(entries, recipe(splits=splits), ALIKE)
    assert outcome(found) == {
        "1aaa": "not fit for test: resolution, crystal or header",
        "1bbb": "test",
        "1two": "not fit for test: resolution, crystal or header",
        "1xxx": "test",
    }
    assert {item.group for item in found.assignments.values()} == {"1aaa"}
    assert found.assignments["1two"].clusters == ("1aaa_A", "1two_B")
    again = assign_splits(entries[::-1], recipe(splits=splits), ALIKE)
    assert again.assignments == found.assignments


def test_members_go_to_their_split_and_what_is_linked_to_them_to_none(tmp_path: Path) -> None:
    (tmp_path / "domain.fasta").write_text(">domain\nKKK\n")
    family = FamilyConfig(sequences=tmp_path / "domain.fasta", title_words=("kinase",))
    entries = [
        entry("1mem", "x"),
        entry("1lnk", "y", "a"),
        entry("1far", "a"),
        entry("1lik", "q", title="Inhibitor of a kinase"),
        entry("1fre", "z"),
    ]
    compare = SimilarityTable(("x", "y", 0.4), profile=["x"])
    found = assign_splits(entries, recipe(family=family), compare)
    assert outcome(found) == {
        "1mem": "kinase",
        "1lnk": "shares a cluster with kinase",
        "1far": "shares a cluster with kinase",
        "1lik": "like kinase, but no member",
        "1fre": "train",
    }
    assert found.assignments["1mem"].detail.startswith("profile: chain A, domain, e = 1.0e-09")
    assert found.assignments["1lik"].detail == "title: kinase"


def test_the_best_resolved_entries_of_a_cluster_are_taken() -> None:
    entries = [
        entry(f"{n}aaa", "a", resolution=resolution)
        for n, resolution in enumerate([2.9, 2.6, 2.7, 2.8])
    ]
    found = assign_splits(entries, recipe(splits={"train_per_cluster": 2}), ALIKE)
    full = "train has 2 of its cluster"
    assert outcome(found) == {"0aaa": full, "1aaa": "train", "2aaa": "train", "3aaa": full}
    best = [name for name, item in found.assignments.items() if item.representative]
    assert best == ["1aaa"]
    evaluation = [replace(each, resolution=(each.resolution or 0) - 1) for each in entries]
    found = assign_splits(evaluation, recipe(), ALIKE)
    assert [name for name, item in found.assignments.items() if item.split] == ["1aaa"]
    assert found.refused["0aaa"] == "test has 1 of its cluster"


class Leaky(SimilarityTable):
    """Clusters need coverage of both chains, searches of either: no two sequences are in one cluster here."""

    def cluster(self, sequences, *, identity, coverage, sensitivity):
        return {name: name for name in sequences}


def test_training_entries_that_are_similar_to_a_test_entry_are_excluded() -> None:
    entries = [entry("1tst", "x", resolution=1.5), entry("1trn", "y"), entry("1fre", "a")]
    found = assign_splits(entries, recipe(), Leaky(("x", "y", 0.4)))
    assert outcome(found) == {
        "1tst": "test", "1trn": "similar to an entry of test", "1fre": "train",
    }  # fmt: skip
    (leak,) = found.leaks
    assert (leak.train, leak.other, leak.outcome) == ("1trn", "1tst", "excluded")
    assert found.assignments["1trn"].detail == "1trn_A ~ 1tst_A (test): 40% identity over 100%"
    strict = recipe(leakage={"on_match": "fail"})
    (leak,) = assign_splits(entries, strict, Leaky(("x", "y", 0.4))).leaks
    assert leak.outcome == "remains"
    loose = recipe(leakage={"identity": 0.5})
    assert not assign_splits(entries, loose, Leaky(("x", "y", 0.4))).leaks


def test_given_splits_are_kept_but_checked() -> None:
    entries = [
        entry("1aaa", "a"),
        entry("1bbb", "b"),
        entry("1xxx", "x"),
        entry("1low", "z", n_atoms=1),
    ]
    given = {"1aaa": "own", "1bbb": "train", "1low": "train"}
    found = assign_splits(entries, recipe(), ALIKE, given=given)
    assert outcome(found) == {
        "1aaa": "own",
        "1bbb": "similar to an entry of own",
        "1xxx": "the index puts it in no split",
        "1low": "fewer than 300 atoms",
    }


STORED = (
    Assignment(id="0trn", split="train", cluster="t", group="0trn"),
    Assignment(id="0tst", split="test", cluster="s", group="0tst"),
    Assignment(id="0kin", split="kinase", cluster="k", group="0kin"),
    Assignment(id="0out", reason="several models"),
)
SEQUENCES = {"0trn": {"A": "t"}, "0tst": {"A": "s"}, "0kin": {"A": "k"}}
NEAR = (("t1", "t", 0.9), ("t2", "t1", 0.5), ("s1", "s", 0.8), ("k1", "k", 0.7), ("n1", "n2", 0.6))
FAMILY = FamilyConfig(title_words=("kinase",), members=("title",))


def append(
    new: Iterable[Candidate],
    *pairs: tuple[str, str, float],
    stored: Iterable[Assignment] = STORED,
    **settings: object,
) -> AssignedSplits:
    splits = {"validation": 0, "test": 1, "evaluation_per_group": 2}
    rules = recipe(**({"family": FAMILY, "splits": splits} | settings))
    table = SimilarityTable(*NEAR, *pairs)
    return assign_splits(list(new), rules, table, existing=stored, sequences=SEQUENCES)


def test_new_entries_join_the_split_of_what_they_are_similar_to() -> None:
    found = append(
        [
            entry("1trn", "t1", resolution=1.5),
            entry("1far", "t2"),
            entry("1tst", "s1", resolution=1.5),
            entry("1tsu", "s1"),
            entry("1kin", "k1"),
            entry("1low", "s1", n_models=2),
        ]
    )
    assert outcome(found) == {
        "1trn": "train",
        "1far": "train",
        "1tst": "test",
        "1tsu": "not fit for test: resolution, crystal or header",
        "1kin": "shares a cluster with kinase",
        "1low": "several models",
    }
    names = {name: (item.cluster, item.group) for name, item in found.assignments.items()}
    assert names["1trn"] == names["1far"] == ("t", "0trn")
    assert names["1tst"] == ("s", "0tst")
    assert not any(item.representative for item in found.assignments.values())


def test_an_entry_that_links_two_splits_is_in_none_and_links_nothing_else() -> None:
    found = append(
        [entry("1two", "t1", "s1"), entry("1one", "o"), entry("1trn", "t2")], ("o", "s1", 0.5)
    )
    assert outcome(found) == {"1two": "links test and train", "1one": "train", "1trn": "train"}
    chain = append([entry("1aaa", "t1", "n1"), entry("1bbb", "s1", "n2")])
    assert set(outcome(chain).values()) == {"links test and train"}


def test_what_is_similar_to_nothing_is_drawn_by_whole_groups_whatever_else_comes() -> None:
    new = [
        entry("1new", "n1", resolution=1.5),
        entry("1nex", "n2", resolution=1.6),
        *(entry(f"2{n:03d}", f"m{n}", resolution=1.5) for n in range(200)),
    ]
    splits = {"validation": 0.2, "test": 0.3, "evaluation_per_group": 2}
    found = append(new, splits=splits)
    assert found.assignments["1new"].split == found.assignments["1nex"].split
    assert found.assignments["1nex"].cluster == "1new_A"
    for item in found.assignments.values():
        number = draw(1, item.group)
        expected = "val" if number < 0.2 else "test" if number < 0.5 else "train"
        assert item.split == expected
        alone = append([each for each in new if each.id == item.id], splits=splits)
        if item.id != "1nex":
            assert alone.assignments[item.id].split == expected


def test_new_members_of_the_family() -> None:
    found = append(
        [
            entry("1kin", "k1", title="A kinase"),
            entry("1kno", "t1", title="A kinase of training"),
            entry("1own", "n1", title="Another kinase"),
            entry("1lnk", "n2"),
        ]
    )
    assert outcome(found) == {
        "1kin": "kinase",
        "1kno": "of kinase, but similar to training",
        "1own": "kinase",
        "1lnk": "shares a cluster with kinase",
    }
    assert found.assignments["1kno"].detail == "0trn"
    kin, own = found.assignments["1kin"], found.assignments["1own"]
    assert (kin.cluster, kin.representative) == ("k", False)
    assert (own.cluster, own.representative) == ("1lnk_A", True)


def test_full_clusters_of_the_store_take_no_more() -> None:
    more = (*STORED, *(Assignment(id=f"0tr{n}", split="train", cluster="t") for n in range(2)))
    found = append([entry("1trn", "t1")], stored=more)
    assert outcome(found) == {"1trn": "train has 3 of its cluster"}
    full = append([entry("1tst", "s1", resolution=1.5)], splits={"evaluation_per_group": 1})
    assert outcome(full) == {"1tst": "test has 1 of its cluster"}


def test_revisions_stay_where_they_were() -> None:
    same = append([entry("0trn", "t2", resolution=1.0)]).assignments["0trn"]
    assert (same.split, same.cluster, same.resolution) == ("train", "t", 1.0)
    crossed = append([entry("0tst", "t1")])
    assert crossed.assignments["0tst"] == STORED[1]
    assert crossed.refused == {"0tst": "revision is similar to an entry of another split"}


def test_an_entry_that_was_refused_before_gets_another_chance() -> None:
    assert outcome(append([entry("0out", "t1")])) == {"0out": "train"}


class LateLeak(SimilarityTable):
    """Finds nothing until the check for leakage, as a search with another prefilter may."""

    searches = 0

    def search(self, queries, targets, limits):
        self.searches += 1
        return super().search(queries, targets, limits) if self.searches > 2 else []


def test_of_a_leak_the_new_entry_is_excluded() -> None:
    new = [entry("1trn", "p"), entry("1tst", "q", resolution=1.5), entry("1fre", "z")]
    table = LateLeak(("p", "s", 0.4), ("q", "t", 0.5))
    found = assign_splits(new, recipe(), table, existing=STORED, sequences=SEQUENCES)
    assert outcome(found) == {
        "1trn": "similar to an entry of test",
        "1tst": "similar to an entry of train",
        "1fre": "train",
    }
    assert [leak.outcome for leak in found.leaks] == ["excluded", "excluded"]


def entries(count: int) -> list[Candidate]:
    return [replace(GOOD, id=f"{number:04d}") for number in range(count)]


def test_whole_groups_are_drawn_in_the_shares_of_the_recipe() -> None:
    many = entries(400)
    groups = {each.id: many[number // 2 * 2].id for number, each in enumerate(many)}
    rules = recipe(splits={"validation": 0.1, "test": 0.2})
    drawn = draw_groups(many, groups, rules)
    counts = [list(drawn.values()).count(name) for name in ("train", "val", "test")]
    assert counts == [140, 20, 40]
    assert drawn == draw_groups(reversed(many), groups, rules)
    assert drawn != draw_groups(many, groups, rules.model_copy(update={"seed": 2}))


def test_only_fit_and_small_groups_are_drawn_for_evaluation() -> None:
    many = [
        replace(each, resolution=2.6 if number % 2 else 1.5, has_crystal=number % 3 != 0)
        for number, each in enumerate(entries(60))
    ]
    groups = {each.id: each.id if number > 30 else "0000" for number, each in enumerate(many)}
    drawn = draw_groups(many, groups, recipe(splits={"validation": 0.5, "test": 0.5}))
    held_out = {name for name, split in drawn.items() if split != "train"}
    assert held_out == {
        each.id for each in many[31:] if each.resolution == 1.5 and each.has_crystal
    }


def test_assignments_survive_their_table(tmp_path: Path) -> None:
    found = [
        Assignment(
            id="1abc", state="apo", split="train", representative=True, cluster="c", clusters=("c", "d"),
            group="1abc", resolution=1.85, n_protein_residues=100, n_atoms=800, mean_b=20.125, digest="0",
        ),
        Assignment(id="1def", reason="several models", detail='2, "a"', revised="2026-01-31"),
    ]  # fmt: skip
    write_assignments(found, tmp_path / "entries.csv")
    assert read_assignments(tmp_path / "entries.csv") == found
    assert (
        (tmp_path / "entries.csv").read_text().splitlines()[1].startswith("1abc,apo,train,1,c,c d,")
    )
