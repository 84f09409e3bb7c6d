from __future__ import annotations

from dataclasses import replace

import pytest
from homologs import GOOD

from debye.dataset.curate.build_recipe import FilterConfig, SplitConfig
from debye.dataset.curate.scan import Candidate, refusals
from debye.dataset.curate.splits import draw_groups, limit_entries


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
    found = [text for text, _ in refusals(replace(GOOD, **change), FilterConfig())]
    assert len(found) == (reason is not None)
    assert all(text.startswith(reason or "") for text in found)


def entries(count: int) -> list[Candidate]:
    return [replace(GOOD, id=f"{number:04d}") for number in range(count)]


def test_whole_groups_are_drawn_in_the_shares_of_the_recipe() -> None:
    many = entries(400)
    groups = {entry.id: many[number // 2 * 2].id for number, entry in enumerate(many)}
    config = SplitConfig(validation=0.1, test=0.2)
    drawn = draw_groups(many, groups, config, seed=1)
    counts = [list(drawn.values()).count(name) for name in ("train", "val", "test")]
    assert counts == [140, 20, 40]
    assert drawn == draw_groups(reversed(many), groups, config, seed=1)
    assert drawn != draw_groups(many, groups, config, seed=2)


def test_only_fit_and_small_groups_are_drawn_for_evaluation() -> None:
    many = [
        replace(entry, resolution=2.6 if number % 2 else 1.5, has_crystal=number % 3 != 0)
        for number, entry in enumerate(entries(60))
    ]
    groups = {entry.id: entry.id if number > 30 else "0000" for number, entry in enumerate(many)}
    drawn = draw_groups(many, groups, SplitConfig(validation=0.5, test=0.5), seed=1)
    held_out = {name for name, split in drawn.items() if split != "train"}
    assert held_out == {
        entry.id for entry in many[31:] if entry.resolution == 1.5 and entry.has_crystal
    }


def test_the_best_resolved_entries_of_a_cluster_are_taken() -> None:
    many = [replace(entry, resolution=3.0 - number / 10) for number, entry in enumerate(entries(6))]
    many[2] = replace(many[2], resolution=None)
    split = {
        entry.id: "val" if number == 5 or number == 1 else "train"
        for number, entry in enumerate(many)
    }
    groups = dict.fromkeys(split, "0000")
    clusters = {name: ["c"] for name in split}
    left_out = limit_entries(
        many, split, groups, clusters, SplitConfig(train_per_cluster=2, evaluation_resolution=None)
    )
    assert left_out == {
        "0000": "train has 2 of its cluster",
        "0001": "val has 1 of its cluster",
        "0002": "train has 2 of its cluster",
    }
