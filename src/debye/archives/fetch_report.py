"""What a folder of downloads holds for a list: a report, checksums, and an index to build a store from."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from debye.archives.id_list import read_ids
from debye.archives.journal import NAMES, Journal, Record
from debye.archives.remote import parse_identifier
from debye.dataset.search.search_record import copy_record
from debye.errors import ConfigError, DownloadError


@dataclass(frozen=True, slots=True)
class Files:
    """What is written about a folder of downloads, into it."""

    report: Path
    """``fetch_report.csv``: the :class:`~debye.archives.journal.Record` of every identifier of the list."""
    checksums: Path
    """``SHA256SUMS``, for ``sha256sum --check``."""
    index: Path
    """``index.csv``: the PDB entries of the list that have a file, under the identifier of what is stored."""


def output_files(folder: Path, reports: Path | None = None) -> Files:
    """Return where the files about a folder lie; report and index may have a folder of their own."""
    there = reports or folder
    return Files(there / "fetch_report.csv", folder / "SHA256SUMS", there / "index.csv")


def refuse_output_as_list(ids: Path, folder: Path, reports: Path | None = None) -> None:
    """Raise a ConfigError if the list is one of the files that a run writes."""
    files = output_files(folder, reports)
    for path in (files.report, files.checksums, files.index):
        if path.resolve() == ids.resolve():
            raise ConfigError(
                str(ids),
                problem="is both the list and a file that this run writes",
                remedy="Give the list that the folder was made from, or a copy elsewhere",
            )


def write_reports(
    ids: Path,
    folder: Path,
    journal: Journal,
    split: str = "train",
    reports: Path | None = None,
) -> tuple[Files, dict[str, int]]:
    """Write the report, the checksums and the index; returns how many rows have which status.

    The record of the search that made the list comes along with the index.

    Args:
        ids: The list.
        folder: The mirror.
        journal: What is in it.
        split: Of rows that give none.
        reports: Folder of report and index; the mirror if not given.

    Raises:
        ConfigError: Two rows give one entry different splits. The index is not written then, the others are.
    """
    files = output_files(folder, reports)
    statuses: Counter[str] = Counter()
    _claim(ids, journal, split)
    with _written(files.report) as report:
        lines = csv.writer(report, lineterminator="\n")
        lines.writerow(NAMES)
        for row, record in _records(ids, journal):
            statuses[record.status] += 1
            lines.writerow(_explained(row, record, journal, split).values())
    with _written(files.checksums) as file:
        for record in journal.stored():
            file.write(f"{record.sha256}  {record.file}\n")
    with _written(files.index) as index:
        _write_index(index, ids, journal, split)
    copy_record(ids, files.index)
    order = ("stored", "stale", "superseded", "withdrawn", "absent", "failed")
    return files, {status: statuses[status] for status in order}


def _claim(ids: Path, journal: Journal, split: str) -> None:
    """Note which row of the list gets an entry: one that names it goes before one that is obsolete."""
    for wanted in ("direct", "obsolete"):
        for row, record in _records(ids, journal):
            if _has_file(record) and (wanted == "direct") == (record.status != "superseded"):
                journal.claim(_entry(record), record.id, row.get("split") or split)


def _explained(row: dict[str, str], record: Record, journal: Journal, split: str) -> Record:
    """Say so in the report where another row of the list got the entry."""
    if not _has_file(record):
        return record
    owner, its_split = journal.owner(_entry(record))
    if owner == record.id:
        return record
    mine = row.get("split") or split
    said = f"left out of the index: the list has {owner} too"
    said += f", in split {its_split}, not {mine}" if its_split != mine else ""
    return replace(record, problem="; ".join(filter(None, (record.problem, said))))


def _write_index(file: TextIO, ids: Path, journal: Journal, split: str) -> None:
    """Write a row for each entry; what a list says of an obsolete entry is not true of its successor."""
    rows: csv.DictWriter | None = None
    for row, record in _records(ids, journal):
        if rows is None:
            names = list(dict.fromkeys([*row, "split", "asked_for"]))
            rows = csv.DictWriter(file, names, lineterminator="\n")
            rows.writeheader()
        if not _has_file(record):
            continue
        entry, mine = _entry(record), row.get("split") or split
        owner, its_split = journal.owner(entry)
        is_direct = record.status != "superseded"
        if its_split != mine and (owner == record.id or not (is_direct or owner == entry)):
            raise ConfigError(
                f"{ids}: {entry}",
                problem=f"{owner} puts it into split {its_split}, {record.id} into {mine}",
                remedy="Leave one of the two rows out, and run again: the files are kept",
            )
        if owner == record.id and journal.mark(entry):
            known = row if is_direct else {}
            asked = row.get("asked_for") or record.id
            rows.writerow({**known, "id": entry, "split": mine, "asked_for": asked})


def _has_file(record: Record) -> bool:
    """Whether an experimental structure is there: predicted models have no B-factors to build from."""
    is_there = record.status in ("stored", "stale", "superseded")
    return is_there and not record.id.startswith("AF-")


def _entry(record: Record) -> str:
    return record.entry or record.id


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
