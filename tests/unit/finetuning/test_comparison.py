"""Before and after: paired differences and their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from debye.finetuning.report import BeforeAfter, change_table, member_table
from debye.scores.bootstrap import BootstrapConfig
from debye.scores.scores import score_structure, score_table
from debye.scores.strata import StructureValues
from debye.structure.structure import EntityKind
from debye.targets.catalog import find_target


def values(name: str, noise: float, seed: int) -> StructureValues:
    random = np.random.default_rng(seed)
    true = random.gamma(4.0, 5.0, 90).astype(np.float32)
    predicted = true + random.normal(0, noise, 90).astype(np.float32)
    return StructureValues(
        id=name,
        target=find_target("b_factor"),
        true=true,
        predicted=predicted.astype(np.float32),
        entity_kind=np.full(90, EntityKind.PROTEIN, np.int8),
        is_backbone=np.arange(90) % 2 == 0,
        residue_name=np.full(90, "ALA"),
        residue_index=(np.arange(90) // 6).astype(np.int32),
        chain_index=np.zeros(90, np.int32),
    )


def scored(model: str, crystal: str, noise: float) -> pd.DataFrame:
    scores = [
        score
        for number in range(6)
        for score in score_structure(values(f"m{number}", noise, number))
    ]
    return score_table(scores, model=model, crystal=crystal)


@pytest.fixture(scope="module")
def comparison() -> BeforeAfter:
    rows = [
        scored("before", "on", 9.0),
        scored("after", "on", 3.0),
        scored("before", "off", 9.0),
        scored("after", "off", 9.0),
    ]
    return BeforeAfter(
        title="members",
        meaning="a test",
        scores=pd.concat(rows),
        bootstrap=BootstrapConfig(repeats=200),
    )


def test_the_change_is_after_minus_before_for_each_crystal(comparison):
    gain = comparison.change("pearson_mean")
    assert gain.estimate > 0.02
    assert gain.interval_low > 0
    assert comparison.change("mae_mean").estimate < -3
    assert comparison.change("pearson_mean", "off").estimate == 0
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
