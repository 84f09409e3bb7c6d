"""Which of several entries is taken, and that the reason is the true one."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from debye.dataset.search.entry_list import group_of, quality_order, select_entries
from debye.dataset.search.ligands import BoundComponent
from debye.dataset.search.rcsb import Entity, EntryMetadata, read_clusters
from debye.dataset.search.recipes import Choice, EntryFilter, ProteinGroup, SearchRecipe

BEST = EntryMetadata(
    id="1aaa", methods=("X-RAY DIFFRACTION",), resolution=1.5, r_free=0.2, polymers="Protein (only)",
    n_residues=100, n_atoms=900, released="2001-01-01", revised="2020-01-01",
    proteins=(Entity(id="1aaa_1", length=110),), components=(),
)  # fmt: skip


KINASE = ProteinGroup(name="kinase", pfam=("PF00069",), ec=("2.7.11",))


def entry(name: str, **changes: object) -> EntryMetadata:
    return replace(BEST, id=name, proteins=(Entity(id=f"{name}_1", length=110),), **changes)


WORSE = [
    entry("1aab", resolution=1.6, r_free=0.1),
    entry("1aac", r_free=0.25),
    entry("1aad", r_free=None),
    entry("1aae", n_residues=90),
    entry("1aaf", released="2002-01-01"),
    entry("1aag"),
]
CLUSTERS = {f"{each.id}_1": "family" for each in (BEST, *WORSE)}


@pytest.mark.parametrize("other", WORSE, ids=lambda each: each.id)
def test_each_tie_is_broken_by_the_next_criterion(other):
    assert quality_order(BEST) < quality_order(other)
    recipe = SearchRecipe(name="x")
    for pair in ((BEST, other), (other, BEST)):
        found = {each.id: each for each in select_entries(pair, recipe, CLUSTERS)}
        assert found["1aaa"].decision == "chosen"
        assert found[other.id].decision == "passed over"
        assert found[other.id].reason.startswith("number 2 of 2 in family, apo: 1aaa is better")


def test_the_order_of_the_candidates_does_not_matter():
    recipe = SearchRecipe(name="x", choose=Choice(per_cluster=2))
    lists = [
        [(each.id, each.decision, each.reason) for each in select_entries(order, recipe, CLUSTERS)]
        for order in itertools.islice(itertools.permutations((BEST, *WORSE)), 0, 5000, 500)
    ]
    assert all(each == lists[0] for each in lists)
    assert [name for name, decision, _ in lists[0] if decision == "chosen"] == ["1aaa", "1aag"]


def test_states_are_separate_only_if_the_recipe_says_so():
    bound = entry("1hol", resolution=1.0, components=(BoundComponent("ATP", 31),))
    clusters = CLUSTERS | {"1hol_1": "family"}
    for by_state, expected in ((True, ["1aaa", "1hol"]), (False, ["1hol"])):
        recipe = SearchRecipe(name="x", choose=Choice(by_state=by_state))
        found = select_entries((BEST, bound), recipe, clusters)
        assert [each.id for each in found if each.decision == "chosen"] == expected


def test_dates_are_inclusive():
    for day, fits in (("2001-01-01", True), ("2001-01-02", False)):
        entries = EntryFilter.model_validate({"released_from": day})
        (found,) = select_entries([BEST], SearchRecipe(name="x", entries=entries), {})
        assert (found.decision == "chosen") == fits
        assert fits or found.reason == "released 2001-01-01, before 2001-01-02"


def test_clusters_are_read_for_the_wanted_entities(tmp_path):
    path = tmp_path / "clusters.txt"
    path.write_text("MA_MABAK1_1 1ABC_1 2ABC_2 3ABC_1\n4ABC_1\n5ABC_1 6ABC_1\n")
    found = read_clusters(path, ["2abc_2", "4abc_1", "3abc_1", "9abc_1"])
    assert found == {"2abc_2": "1abc_1", "3abc_1": "1abc_1", "4abc_1": "4abc_1"}


def test_the_protein_that_the_search_found_decides_the_cluster():
    proteins = (Entity(id="1hit_1", length=300), Entity(id="1hit_2", length=90))
    found = replace(entry("1hit"), proteins=proteins)
    clusters = {"1hit_1": "large", "1hit_2": "small"}
    for hits, cluster in ((None, "large"), ({"1hit_2"}, "small")):
        (decision,) = select_entries([found], SearchRecipe(name="x"), clusters, hits)
        assert decision.cluster == cluster
        assert decision.clusters == ("large", "small")


def test_the_reason_is_the_true_one():
    kinases = SearchRecipe(name="x", groups=(KINASE,))
    short = replace(entry("1pep"), proteins=(Entity(id="1pep_1", length=12),))
    cases = [
        (BEST, SearchRecipe(name="x"), {"1old_1"}, "the search did not find its proteins"),
        (BEST, kinases, None, "no kinase of 40 residues or more, by its annotations"),
        (short, kinases, None, "the longest protein has 12 residues, fewer than 40"),
        (replace(BEST, proteins=()), kinases, None, "has no protein"),
    ]
    for facts, recipe, hits, reason in cases:
        (found,) = select_entries([facts], recipe, {}, hits)
        assert found.reason.startswith(reason)


def test_a_protein_of_unknown_group_may_be_of_each():
    sugar = ProteinGroup(name="sugar-kinase", ec=("2.7.1",))
    for groups, expected in (((KINASE,), "kinase"), ((KINASE, sugar), "kinase or sugar-kinase")):
        recipe = SearchRecipe(name="x", groups=groups)
        (found,) = select_entries([BEST], recipe, {}, {"1aaa_1"})
        assert found.group == expected


@pytest.mark.parametrize(
    ("pfam", "ec", "match", "expected"),
    [
        ("PF00069", "2.7.11", "both", "kinase"),
        ("PF00069", "", "both", ""),
        ("PF00069", "", "any", "kinase"),
        ("", "2.7.11", "any", "kinase"),
        ("PF1", "2.7", "any", ""),
    ],
)
def test_groups_match_by_family_and_class(pfam, ec, match, expected):
    protein = Entity(id="1abc_1", length=100, pfam=(pfam,), ec=(ec,))
    assert group_of(protein, [KINASE.model_copy(update={"match": match})]) == expected
