"""Does training know the test set? All chains of training against all chains of the other splits."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from debye.dataset.curate.build_recipe import LeakageConfig
from debye.dataset.curate.clusters import Chains
from debye.dataset.curate.mmseqs import Hit, search
from debye.errors import StoreError

SHOWN = 5
"""Pairs that an error message lists."""


class LeakageError(StoreError):
    """Training holds chains that are similar to chains of another split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """An entry of training, and the chain of another split that it is most similar to."""

    train: str
    train_chain: str
    split: str
    """Where the other entry is."""
    other: str
    other_chain: str
    identity: float
    coverage: float
    """Of either chain, whichever is more."""
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
    *,
    threads: int = 1,
) -> list[Leak]:
    """Return the entries of training with a chain similar to one of another split, worst first.

    Equal sequences always match. Others are searched in both directions, because the prefilter of a search is not
    symmetric.

    Args:
        train: Entries of training.
        others: Split of every other entry.
        chains: Chains of all of them.
        config: What counts as similar.
        threads: Threads.
    """
    known, asked = chains.of(train), chains.of(others)

    def similar(queries: Mapping[str, str], targets: Mapping[str, str]) -> list[Hit]:
        return search(
            queries,
            targets,
            identity=config.identity,
            coverage=config.coverage,
            largest_evalue=config.largest_evalue,
            sensitivity=config.sensitivity,
            threads=threads,
        )

    hits = [_equal(name) for name in known if name in asked]
    hits += similar(known, asked)
    hits += [_turned(hit) for hit in similar(asked, known)]
    return _leaks(hits, chains.places(sorted(train)), chains.places(sorted(others)), others)


def check_leaks(leaks: Sequence[Leak], report: Path, config: LeakageConfig) -> None:
    """Stop if an entry of training is similar to one of another split.

    Raises:
        LeakageError: says which are the worst, and where all are.
    """
    remaining = [leak for leak in leaks if leak.outcome == "remains"]
    if remaining:
        worst = "; ".join(map(str, remaining[:SHOWN]))
        raise LeakageError(
            str(report),
            problem=f"{len(remaining)} entries of training have a chain of >= {config.identity:.0%} identity over "
            f">= {config.coverage:.0%} of a chain in another split. Worst: {worst}",
            remedy="Move or leave out the entries in the report, or set leakage.on_match = 'exclude' in the recipe",
        )


def write_leaks(leaks: Sequence[Leak], path: Path) -> None:
    """Write the report as CSV, through a temporary file."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Leak)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(leak) for leak in leaks)
    os.replace(temporary, path)


def _leaks(
    hits: Sequence[Hit],
    known: Mapping[str, list[tuple[str, str]]],
    asked: Mapping[str, list[tuple[str, str]]],
    split: Mapping[str, str],
) -> list[Leak]:
    """Expand hits of sequences to entries; keep the worst of each entry of training."""
    worst: dict[str, tuple[float, float, str, Hit]] = {}
    others: dict[str, set[str]] = {}
    for hit in hits:
        for entry, chain in known[hit.query]:
            others.setdefault(entry, set()).update(other for other, _ in asked[hit.target])
            rank = (hit.identity, hit.coverage, chain, hit)
            if entry not in worst or rank > worst[entry]:
                worst[entry] = rank
    found = []
    for entry, (identity, coverage, chain, hit) in worst.items():
        other, other_chain = asked[hit.target][0]
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
                matches=len(others[entry]),
            )
        )
    return sorted(found, key=lambda leak: (-leak.identity, -leak.coverage, leak.train))


def _equal(name: str) -> Hit:
    return Hit(
        query=name, target=name, identity=1.0, query_coverage=1.0, target_coverage=1.0, evalue=0.0
    )


def _turned(hit: Hit) -> Hit:
    return Hit(
        query=hit.target,
        target=hit.query,
        identity=hit.identity,
        query_coverage=hit.target_coverage,
        target_coverage=hit.query_coverage,
        evalue=hit.evalue,
    )
