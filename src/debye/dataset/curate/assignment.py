"""What became of each entry, as a table: its split, or why it is in none."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pydantic import TypeAdapter

from debye.dataset.curate.candidates import Candidate
from debye.files import write_csv


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The split of one entry, or the reason why it is in none."""

    id: str
    state: str = ""
    """``apo`` or ``holo``."""
    split: str = ""
    """Empty: none."""
    representative: bool = False
    """Whether it is the best-resolved entry of its cluster in its split."""
    cluster: str = ""
    """Of its longest chain."""
    clusters: tuple[str, ...] = ()
    """Of all its chains."""
    group: str = ""
    """Entries that share clusters, directly or through others; never in two drawn splits."""
    resolution: float | None = None
    """Å."""
    n_protein_residues: int = 0
    n_atoms: int = 0
    mean_b: float = 0.0
    """Å²."""
    reason: str = ""
    """Why it is in no split; empty if it is in one."""
    detail: str = ""
    """The value behind the reason, further reasons, and the evidence for the family."""
    digest: str = ""
    """SHA-256 of its arrays and facts in the store."""
    revised: str = ""
    """Date of the last revision that was considered, if the index has a column ``revised``."""

    def with_facts(self, entry: Candidate) -> Assignment:
        """Return a copy with the facts of the entry's file."""
        return replace(
            self,
            state=entry.state,
            resolution=entry.resolution,
            n_protein_residues=entry.n_protein_residues,
            n_atoms=entry.n_atoms,
            mean_b=entry.mean_b,
        )


_ROW = TypeAdapter(Assignment)


def count_reasons(assignments: Iterable[Assignment]) -> dict[str, int]:
    """Return how many entries are in no split, by reason, most frequent first."""
    found = Counter(item.reason for item in assignments if item.reason)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def write_assignments(assignments: Iterable[Assignment], path: Path) -> None:
    """Write a CSV file with a line an entry."""
    names = [column.name for column in fields(Assignment)]
    write_csv(path, names, ([_text(getattr(item, name)) for name in names] for item in assignments))


def read_assignments(path: Path) -> list[Assignment]:
    """Read what :func:`write_assignments` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{name: text for name, text in row.items() if text} for row in csv.DictReader(file)]
    return [
        _ROW.validate_python({**row, "clusters": row.get("clusters", "").split()}) for row in rows
    ]


def _text(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return " ".join(value) if isinstance(value, tuple) else value
