"""Comparison of protein sequences: what a comparison must answer, and MMseqs2, found on PATH, which answers it.

Steinegger & Söding (2017), doi:10.1038/nbt.3988; clustering: Steinegger & Söding (2018),
doi:10.1038/s41467-018-04964-5.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

from debye.errors import ConfigError, StoreError

PROGRAM = "mmseqs"
MEMORY = "2G"
"""Memory for the index of the target sequences; MMseqs2 splits the index if it needs more."""
MOST_HITS = 100_000
"""Hits per query that are kept before alignment."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Hit:
    """Two similar sequences."""

    query: str
    target: str
    identity: float
    """Of the aligned residues, 0 to 1."""
    query_coverage: float
    target_coverage: float
    evalue: float

    @property
    def coverage(self) -> float:
        """The larger of the two coverages."""
        return max(self.query_coverage, self.target_coverage)

    def reversed(self) -> Hit:
        """Return the hit with query and target exchanged."""
        return Hit(
            query=self.target,
            target=self.query,
            identity=self.identity,
            query_coverage=self.target_coverage,
            target_coverage=self.query_coverage,
            evalue=self.evalue,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """When two sequences count as similar."""

    coverage: float
    """Smallest share of either sequence that is aligned."""
    largest_evalue: float
    """Expected number of chance hits."""
    identity: float = 0.0
    """Smallest share of identical residues."""
    sensitivity: float = 7.5
    """Of the prefilter, 1 to 8."""
    iterations: int = 1
    """Rounds of a profile search; each round searches with the profile of the hits so far."""


class SequenceComparison(Protocol):
    """Which sequences are similar. Sequences come by name; names contain no white space."""

    def cluster(
        self, sequences: Mapping[str, str], *, identity: float, coverage: float, sensitivity: float
    ) -> dict[str, str]:
        """Return the name of the representative of each sequence's cluster; coverage is that of both sequences."""
        ...

    def search(
        self, queries: Mapping[str, str], targets: Mapping[str, str], limits: SearchLimits
    ) -> list[Hit]:
        """Return the similar pairs of a query and a target, sorted; a sequence is similar to itself."""
        ...


@dataclass(frozen=True, slots=True)
class MMseqs2:
    """The :class:`SequenceComparison` of MMseqs2.

    Raises:
        ConfigError: MMseqs2 is not on PATH.
        StoreError: MMseqs2 failed.
    """

    threads: int = 1

    def cluster(
        self, sequences: Mapping[str, str], *, identity: float, coverage: float, sensitivity: float
    ) -> dict[str, str]:
        """See :meth:`SequenceComparison.cluster`."""
        if not sequences:
            return {}
        with tempfile.TemporaryDirectory(prefix="debye-mmseqs-") as name:
            folder = Path(name)
            _run(
                *("easy-cluster", _write(sequences, folder / "in.fasta"), folder / "out"),
                *(folder / "tmp", "--min-seq-id", identity, "-c", coverage, "--cov-mode", 0),
                *("-s", sensitivity, "--cluster-reassign", 1, *self._resources()),
            )
            return {member: first for first, member in _table(folder / "out_cluster.tsv")}

    def search(
        self, queries: Mapping[str, str], targets: Mapping[str, str], limits: SearchLimits
    ) -> list[Hit]:
        """See :meth:`SequenceComparison.search`."""
        if not queries or not targets:
            return []
        most = max(300, min(len(targets), MOST_HITS))
        evalue, rounds = limits.largest_evalue, limits.iterations
        profile = ("--num-iterations", rounds, "--e-profile", evalue) if rounds > 1 else ()
        with tempfile.TemporaryDirectory(prefix="debye-mmseqs-") as name:
            folder = Path(name)
            _run(
                *("easy-search", _write(queries, folder / "query.fasta")),
                *(_write(targets, folder / "target.fasta"), folder / "hits.tsv", folder / "tmp"),
                *("--min-seq-id", limits.identity, "-e", evalue, "-s", limits.sensitivity, "-a"),
                *("--max-seqs", most, *profile),
                *("--format-output", "query,target,fident,qcov,tcov,evalue", *self._resources()),
            )
            numbers = [field.name for field in fields(Hit)][2:]
            found = [
                Hit(query=query, target=target, **dict(zip(numbers, map(float, rest), strict=True)))
                for query, target, *rest in _table(folder / "hits.tsv")
            ]
        return sorted(hit for hit in found if hit.coverage >= limits.coverage)

    def _resources(self) -> tuple[object, ...]:
        return ("--threads", self.threads, "--split-memory-limit", MEMORY, "-v", 1)


def find_mmseqs() -> str:
    """Return the path of MMseqs2.

    Raises:
        ConfigError: it is not on PATH; says how to get it.
    """
    path = shutil.which(PROGRAM)
    if path is None:
        raise ConfigError(
            PROGRAM,
            "MMseqs2 is not on PATH, and sequences are compared by it",
            "Install it (Debian and Ubuntu: apt-get install mmseqs2; "
            "conda install -c conda-forge -c bioconda mmseqs2; Homebrew: brew install mmseqs2)",
        )
    return path


def mmseqs_version() -> str:
    """Return what ``mmseqs version`` prints."""
    return _run("version").strip()


def _write(sequences: Mapping[str, str], path: Path) -> Path:
    lines = (f">{name}\n{sequence}\n" for name, sequence in sequences.items())
    path.write_text("".join(lines), encoding="ascii")
    return path


def _table(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def _run(*words: object) -> str:
    command = [find_mmseqs(), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise StoreError(
            f"{PROGRAM} {words[0]}",
            f"ended with code {done.returncode}: {' / '.join(said[-3:]) or 'no message'}",
            "Check the free disk space and memory, and the version (14 is known to work)",
        )
    return done.stdout
