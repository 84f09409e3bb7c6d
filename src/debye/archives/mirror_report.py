"""What a mirror has of a list: a report, checksums, and an index to build a store from."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from debye.archives.catalog import find_identifier, read_ids
from debye.archives.download_journal import NAMES, STATUSES, DownloadJournal, Record
from debye.errors import ConfigError, DownloadError
from debye.files import replacing


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Files about a mirror."""

    report: Path
    """``fetch_report.csv``: the :class:`~debye.archives.download_journal.Record` of every identifier of the list."""
    checksums: Path
    """``SHA256SUMS``, for ``sha256sum --check``."""
    index: Path
    """``index.csv``: the entries of the list that have an experimental structure, by what is stored."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A row of the list."""

    row: dict[str, str]
    record: Record
    entry: str
    """Experimental structure that is stored for it; empty if there is none."""
    split: str

    @property
    def is_direct(self) -> bool:
        """Whether the row names this entry, not an obsolete one that it replaced."""
        return self.entry == self.record.id


Claims = dict[str, tuple[str, str]]
"""By entry: identifier and split of the row that gets it."""


def report_files(ids: Path, mirror: Path, reports: Path | None = None) -> ReportFiles:
    """Return where the files about a mirror lie; report and index may have a folder of their own.

    Raises:
        ConfigError: The list is one of these files.
    """
    folder = reports or mirror
    files = ReportFiles(folder / "fetch_report.csv", mirror / "SHA256SUMS", folder / "index.csv")
    for path in (files.report, files.checksums, files.index):
        if path.resolve() == ids.resolve():
            raise ConfigError(
                str(ids),
                "is both the list and a file that this run writes",
                "Give the list that the mirror was made from, or a copy elsewhere",
            )
    return files


def write_reports(
    ids: Path, files: ReportFiles, journal: DownloadJournal, split: str
) -> dict[str, int]:
    """Write report, checksums and index; returns how many rows have which status.

    ``split`` is that of rows that give none.

    Raises:
        ConfigError: Two rows give one entry different splits. The index is not written then, the others are.
    """
    claims: Claims = {}
    statuses: Counter[str] = Counter()
    for listed in _listed(ids, journal, split):
        statuses[listed.record.status] += 1
        owner, _ = claims.get(listed.entry, ("", ""))
        # A row that names the entry goes before one that names an obsolete entry, else the first row.
        if listed.entry and (not owner or (listed.is_direct and owner != listed.entry)):
            claims[listed.entry] = (listed.record.id, listed.split)

    with _written(files.report) as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(NAMES)
        for listed in _listed(ids, journal, split):
            lines.writerow(_explained(listed, claims).values())
    with _written(files.checksums) as file:
        file.writelines(f"{each.sha256}  {each.file}\n" for each in journal.stored())
    with _written(files.index) as file:
        _write_index(file, ids, journal, split, claims)
    return {status: statuses[status] for status in STATUSES}


def _listed(ids: Path, journal: DownloadJournal, split: str) -> Iterator[_Listed]:
    for row in read_ids(ids):
        identifier = find_identifier(row["id"])
        name = identifier.name if identifier else row["id"]
        record = journal.get(name) or Record(id=name, status="failed", problem="not processed")
        entry = ""
        if record.status in ("stored", "stale", "superseded"):
            is_predicted = identifier and identifier.archive.is_predicted
            entry = "" if is_predicted else record.entry or record.id
        yield _Listed(row, record, entry, row.get("split") or split)


def _explained(listed: _Listed, claims: Claims) -> Record:
    """Return the record; if another row of the list got the entry, it says so."""
    owner, split = claims.get(listed.entry, (listed.record.id, listed.split))
    if owner == listed.record.id:
        return listed.record
    said = f"left out of the index: the list has {owner} too"
    said += f", in split {split}, not {listed.split}" if split != listed.split else ""
    return replace(listed.record, problem="; ".join(filter(None, (listed.record.problem, said))))


def _write_index(
    file: TextIO, ids: Path, journal: DownloadJournal, split: str, claims: Claims
) -> None:
    """Write a row for each entry."""
    rows: csv.DictWriter | None = None
    written: set[str] = set()
    for listed in _listed(ids, journal, split):
        if rows is None:
            names = list(dict.fromkeys([*listed.row, "split", "asked_for"]))
            rows = csv.DictWriter(file, names, lineterminator="\n")
            rows.writeheader()
        entry, name = listed.entry, listed.record.id
        if not entry:
            continue
        owner, its_split = claims[entry]
        yields = name != owner == entry  # an obsolete entry, to a row that names its successor
        if its_split != listed.split and not yields:
            raise ConfigError(
                f"{ids}: {entry}",
                f"{owner} puts it into split {its_split}, {name} into {listed.split}",
                "Leave one of the two rows out, and run again: the files are kept",
            )
        if owner == name and entry not in written:
            written.add(entry)
            # What a list says of an obsolete entry is not true of its successor.
            known = listed.row if listed.is_direct else {}
            wanted = listed.row.get("asked_for") or name
            rows.writerow(known | {"id": entry, "split": listed.split, "asked_for": wanted})


@contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    with (
        replacing(path, DownloadError) as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        yield file
