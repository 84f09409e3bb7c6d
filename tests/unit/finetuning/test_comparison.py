"""Before and after: paired differences, and scores that survive a file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from debye.scores.evaluation import BootstrapConfig

from debye.finetuning.comparison import Scored, change_table, compare, member_table
from debye.scores.scores import score_structure
from debye.scores.values import StructureValues
from debye.structure.structure import EntityKind


def values(name: str, noise: float, seed: int) -> StructureValues:
    random = np.random.default_rng(seed)
    deposited = random.gamma(4.0, 5.0, 90).astype(np.float32)
    predicted = deposited + random.normal(0, noise, 90).astype(np.float32)
    return StructureValues(
        id=name,
        deposited=deposited,
        predicted=predicted.astype(np.float32),
        entity_kind=np.full(90, EntityKind.PROTEIN, np.int8),
        is_backbone=np.arange(90) % 2 == 0,
        residue_name=np.full(90, "ALA"),
        residue_index=(np.arange(90) // 6).astype(np.int32),
        chain_index=np.zeros(90, np.int32),
    )


def scored(model: str, crystal: bool, noise: float) -> list[Scored]:
    return [
        Scored(
            model=model,
            crystal=crystal,
            scores=tuple(score_structure(values(f"m{number}", noise, number))),
        )
        for number in range(6)
    ]


@pytest.fixture(scope="module")
def comparison():
    rows = [
        *scored("before", True, 9.0),
        *scored("after", True, 3.0),
        *scored("before", False, 9.0),
        *scored("after", False, 9.0),
    ]
    return compare("members", "a test", rows, [], BootstrapConfig(repeats=200))


def test_the_change_is_after_minus_before_for_each_crystal(comparison):
    gain = comparison.change("pearson_mean")
    assert gain.estimate > 0.02
    assert gain.interval.low > 0
    assert comparison.change("mae_mean").estimate < -3
    assert comparison.change("pearson_mean", crystal=False).estimate == 0
    assert gain.structures == 6


def test_tables_show_sign_and_interval(comparison):
    table = change_table([comparison])
    on, off = table.rows
    assert on[:2] == ("members", "on")
    assert on[4].startswith("+")
    assert on[8].startswith("-")
    assert off[4] == "0.000"
    assert on[-1] == "6"
    assert [row[0] for row in member_table(comparison).rows] == [f"m{n}" for n in range(6)]


def test_scores_survive_a_file(comparison):
    for row in scored("before", True, 5.0):
        back = Scored.from_dict(json.loads(json.dumps(row.to_dict())))
        assert back.model == row.model
        assert repr(back.scores) == repr(row.scores)  # NaN differs from itself
