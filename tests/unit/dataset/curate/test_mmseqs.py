from __future__ import annotations

from dataclasses import replace

import pytest
from homologs import random_sequence, relative

from debye.dataset.curate.mmseqs import MMseqs2, SearchLimits
from debye.errors import StoreError

pytestmark = pytest.mark.slow
LIMITS = SearchLimits(coverage=0.5, largest_evalue=1e-3)
ONE, TWO = random_sequence(1), random_sequence(2)


def test_relatives_are_found_and_strangers_are_not(mmseqs: str) -> None:
    near = relative(ONE, 3)
    hits = MMseqs2().search({"one": ONE, "two": TWO}, {"near": near}, LIMITS)
    assert [(hit.query, hit.target) for hit in hits] == [("one", "near")]
    same = sum(a == b for a, b in zip(ONE, near, strict=True)) / len(ONE)
    assert hits[0].identity == pytest.approx(same, abs=0.08)
    assert hits[0].coverage > 0.9


def test_clusters_need_coverage_of_both(mmseqs: str) -> None:
    sequences = {
        "one": ONE,
        "near": relative(ONE, 3),
        "two": TWO,
        "long": TWO + random_sequence(4, 200),
    }
    found = MMseqs2().cluster(sequences, identity=0.3, coverage=0.5, sensitivity=7.5)
    assert found["one"] == found["near"]
    assert len({found["one"], found["two"], found["long"]}) == 3


def test_a_failure_says_what_mmseqs_said(mmseqs: str) -> None:
    assert MMseqs2().cluster({}, identity=0.3, coverage=0.5, sensitivity=7.5) == {}
    with pytest.raises(StoreError, match="ended with code"):
        MMseqs2().search({"a": ONE}, {"b": ONE}, replace(LIMITS, sensitivity=-1))
