"""What a folder of downloads holds for a list: a report, checksums, and an index to build a store from."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from debye.data.id_list import read_ids
from debye.data.journal import NAMES, Journal, Record
from debye.errors import DownloadError
from debye.structure.remote import parse_identifier


@dataclass(frozen=True, slots=True)
class Files:
    """What is written about a folder of downloads, into it."""

    report: Path
    """``fetch_report.csv``: the :class:`~debye.data.journal.Record` of every identifier of the list."""
    checksums: Path
    """``SHA256SUMS``, for ``sha256sum --check``."""
    index: Path
    """``index.csv``: the rows of the list that have a file, under the identifier of what is stored."""


def write_reports(ids: Path, folder: Path, journal: Journal) -> tuple[Files, dict[str, int]]:
    """Write the report, the checksums and the index; returns how many rows have which status.

    In the index, obsolete entries go by the name of what replaced them, with a column ``asked_for``; an entry that two
    rows lead to has one row. All is written row by row.
    """
    files = Files(folder / "fetch_report.csv", folder / "SHA256SUMS", folder / "index.csv")
    statuses: Counter[str] = Counter()
    with _written(files.report) as report, _written(files.index) as index:
        lines = csv.writer(report, lineterminator="\n")
        lines.writerow(NAMES)
        rows: csv.DictWriter | None = None
        for row, record in _records(ids, journal):
            statuses[record.status] += 1
            lines.writerow(record.values())
            if rows is None:
                rows = csv.DictWriter(index, [*row, "asked_for"], lineterminator="\n")
                rows.writeheader()
            entry = record.entry or record.id
            if record.status in ("stored", "stale", "superseded") and journal.mark(entry):
                rows.writerow(row | {"id": entry, "asked_for": record.id})
    with _written(files.checksums) as file:
        for record in journal.stored():
            file.write(f"{record.sha256}  {record.file}\n")
    order = ("stored", "stale", "superseded", "withdrawn", "absent", "failed")
    return files, {status: statuses[status] for status in order}


def _records(ids: Path, journal: Journal) -> Iterator[tuple[dict[str, str], Record]]:
    for row in read_ids(ids):
        try:
            name = parse_identifier(row["id"]).name
        except DownloadError:
            name = row["id"]
        record = journal.get(name)
        yield row, record or Record(id=name, status="failed", problem="not dealt with")


@contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    """Open a file that takes its place when it is whole."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
