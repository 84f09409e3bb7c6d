"""MMseqs2, found on PATH: clusters, all-against-all searches and profile searches of protein chains.

Steinegger & Söding (2017), doi:10.1038/nbt.3988; clustering: Steinegger & Söding (2018),
doi:10.1038/s41467-018-04964-5.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from debye.errors import ConfigError, StoreError

PROGRAM = "mmseqs"
MEMORY = "2G"
"""Memory that the index of the target sequences may take; MMseqs2 splits it if it needs more."""
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
        """Of either sequence, whichever is more."""
        return max(self.query_coverage, self.target_coverage)


def find_mmseqs() -> str:
    """Return the path of MMseqs2.

    Raises:
        ConfigError: it is not on PATH; says how to get it.
    """
    path = shutil.which(PROGRAM)
    if path is None:
        raise ConfigError(
            PROGRAM,
            problem="MMseqs2 is not on PATH, and sequences are compared by it",
            remedy="Install it (Debian and Ubuntu: apt-get install mmseqs2; "
            "conda install -c conda-forge -c bioconda mmseqs2; Homebrew: brew install mmseqs2)",
        )
    return path


def mmseqs_version() -> str:
    """Return what ``mmseqs version`` prints."""
    return _run("version").strip()


def cluster(
    sequences: Mapping[str, str],
    *,
    identity: float,
    coverage: float,
    sensitivity: float,
    threads: int = 1,
) -> dict[str, str]:
    """Return the name of the representative of each sequence's cluster.

    Args:
        sequences: Sequence by name (no white space in it).
        identity: Smallest share of identical residues.
        coverage: Smallest share of both sequences that is aligned.
        sensitivity: Of the prefilter, 1 to 8.
        threads: Threads.
    """
    if not sequences:
        return {}
    with _folder() as folder:
        fasta = _write(sequences, folder / "in.fasta")
        _run(
            *("easy-cluster", fasta, folder / "out", folder / "tmp"),
            *("--min-seq-id", identity, "-c", coverage, "--cov-mode", 0, "-s", sensitivity),
            *("--cluster-reassign", 1, *_limits(threads)),
        )
        with open(folder / "out_cluster.tsv", encoding="utf-8") as file:
            pairs = [line.rstrip("\n").split("\t") for line in file]
    return {member: representative for representative, member in pairs}


def search(
    queries: Mapping[str, str],
    targets: Mapping[str, str],
    *,
    identity: float = 0.0,
    coverage: float,
    largest_evalue: float,
    sensitivity: float = 7.5,
    iterations: int = 1,
    threads: int = 1,
) -> list[Hit]:
    """Return all similar pairs, sorted, also those of a sequence with itself.

    Args:
        queries: Sequence by name.
        targets: The same.
        identity: Smallest share of identical residues.
        coverage: Smallest share that is aligned of either sequence, whichever is more.
        largest_evalue: Expected hits by chance.
        sensitivity: Of the prefilter, 1 to 8.
        iterations: With more than 1 the hits of each round make the profile of the next.
        threads: Threads.
    """
    if not queries or not targets:
        return []
    most = min(len(targets), MOST_HITS)
    profile = ("--num-iterations", iterations, "--e-profile", largest_evalue)
    with _folder() as folder:
        _run(
            *("easy-search", _write(queries, folder / "query.fasta")),
            *(_write(targets, folder / "target.fasta"), folder / "hits.tsv", folder / "tmp"),
            *("--min-seq-id", identity, "-e", largest_evalue, "-s", sensitivity, "-a"),
            *("--max-seqs", max(most, 300), *(profile if iterations > 1 else ())),
            *("--format-output", "query,target,fident,qcov,tcov,evalue", *_limits(threads)),
        )
        with open(folder / "hits.tsv", encoding="utf-8", newline="") as file:
            found = list(_hits(csv.reader(file, delimiter="\t")))
    return sorted(hit for hit in found if hit.coverage >= coverage)


def _hits(rows: Iterable[list[str]]) -> Iterator[Hit]:
    for query, target, identity, query_coverage, target_coverage, evalue in rows:
        yield Hit(
            query=query,
            target=target,
            identity=float(identity),
            query_coverage=float(query_coverage),
            target_coverage=float(target_coverage),
            evalue=float(evalue),
        )


def _limits(threads: int) -> tuple[object, ...]:
    return ("--threads", threads, "--split-memory-limit", MEMORY, "-v", 1)


def _write(sequences: Mapping[str, str], path: Path) -> Path:
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f">{name}\n{sequence}\n" for name, sequence in sequences.items())
    return path


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="debye-mmseqs-") as folder:
        yield Path(folder)


def _run(*words: object) -> str:
    command = [find_mmseqs(), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise StoreError(
            f"{PROGRAM} {words[0]}",
            problem=f"ended with code {done.returncode}: {' / '.join(said[-3:]) or 'no message'}",
            remedy="Check the free disk space and memory, and the version (14 is known to work)",
        )
    return done.stdout
