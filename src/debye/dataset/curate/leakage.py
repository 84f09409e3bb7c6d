"""Leakage: training chains that are similar to chains of the other splits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from debye.dataset.curate.build_recipe import LeakageConfig
from debye.dataset.curate.clusters import Chains
from debye.dataset.curate.mmseqs import Hit, SearchLimits, SequenceComparison
from debye.errors import StoreError
from debye.files import write_csv

SHOWN = 5
"""Pairs in an error message."""


class LeakageError(StoreError):
    """Training chains are similar to chains of another split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A training entry, and the chain of another split that it is most similar to."""

    train: str
    train_chain: str
    split: str
    """Of the other entry."""
    other: str
    other_chain: str
    identity: float
    coverage: float
    """Of either chain, whichever is larger."""
    evalue: float
    matches: int
    """Entries of other splits with a similar chain."""
    outcome: str = "remains"
    """``remains``, or ``excluded`` from training."""

    def __str__(self) -> str:
        return (
            f"{self.train}_{self.train_chain} ~ {self.other}_{self.other_chain} ({self.split}): "
            f"{self.identity:.0%} identity over {self.coverage:.0%}"
        )


def find_leaks(
    train: Collection[str],
    others: Mapping[str, str],
    chains: Chains,
    config: LeakageConfig,
    comparison: SequenceComparison,
) -> list[Leak]:
    """Return the training entries with a chain similar to one of another split, worst first.

    Equal sequences always match. The search runs in both directions, because its prefilter is not symmetric.

    Args:
        train: Entries of training.
        others: Split of every other entry.
        chains: Chains of all of them.
        config: What counts as similar.
        comparison: Searches for similar chains.
    """
    ours, theirs = chains.of(train), chains.of(others)
    limits = SearchLimits(
        identity=config.identity,
        coverage=config.coverage,
        largest_evalue=config.largest_evalue,
        sensitivity=config.sensitivity,
    )
    same = {"identity": 1.0, "query_coverage": 1.0, "target_coverage": 1.0, "evalue": 0.0}
    hits = [Hit(query=name, target=name, **same) for name in ours if name in theirs]
    hits += comparison.search(ours, theirs, limits)
    hits += [hit.reversed() for hit in comparison.search(theirs, ours, limits)]
    return _worst_leaks(hits, chains.places(sorted(train)), chains.places(sorted(others)), others)


def check_leaks(leaks: Sequence[Leak], report: Path, config: LeakageConfig) -> None:
    """Stop if a training entry is similar to an entry of another split.

    Raises:
        LeakageError: names the worst pairs, and the report of all.
    """
    remaining = [leak for leak in leaks if leak.outcome == "remains"]
    if remaining:
        worst = "; ".join(map(str, remaining[:SHOWN]))
        count = (
            "1 training entry has"
            if len(remaining) == 1
            else f"{len(remaining)} training entries have"
        )
        raise LeakageError(
            str(report),
            f"{count} a chain of >= {config.identity:.0%} identity over >= {config.coverage:.0%} of a chain in "
            f"another split. Worst: {worst}",
            "Move or leave out the entries in the report, or set leakage.on_match = 'exclude' in the recipe",
        )


def write_leaks(leaks: Sequence[Leak], path: Path) -> None:
    """Write the report as a CSV file."""
    write_csv(path, [column.name for column in fields(Leak)], [astuple(leak) for leak in leaks])


def _worst_leaks(
    hits: Sequence[Hit],
    ours: Mapping[str, list[tuple[str, str]]],
    theirs: Mapping[str, list[tuple[str, str]]],
    split: Mapping[str, str],
) -> list[Leak]:
    """Expand hits of sequences to entries; keep the worst of each training entry."""
    worst: dict[str, tuple[float, float, str, Hit]] = {}
    matches: dict[str, set[str]] = {}
    for hit in hits:
        for entry, chain in ours[hit.query]:
            matches.setdefault(entry, set()).update(other for other, _ in theirs[hit.target])
            rank = (hit.identity, hit.coverage, chain, hit)
            if entry not in worst or rank > worst[entry]:
                worst[entry] = rank
    found = []
    for entry, (identity, coverage, chain, hit) in worst.items():
        other, other_chain = theirs[hit.target][0]
        found.append(
            Leak(
                train=entry,
                train_chain=chain,
                split=split[other],
                other=other,
                other_chain=other_chain,
                identity=identity,
                coverage=coverage,
                evalue=hit.evalue,
                matches=len(matches[entry]),
            )
        )
    return sorted(found, key=lambda leak: (-leak.identity, -leak.coverage, leak.train))
