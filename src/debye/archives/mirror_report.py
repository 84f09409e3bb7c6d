"""What a mirror has of a list: a report, checksums, and an index to build a store from."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from debye.archives.catalog import ARCHIVES, find_identifier, read_ids
from debye.archives.download_journal import NAMES, STATUSES, DownloadJournal, Record
from debye.errors import ConfigError, DownloadError
from debye.files import write_whole


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

    Args:
        ids: The list.
        files: Where they lie.
        journal: What is in the mirror.
        split: Of rows that give none.

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

    def write_report(path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(NAMES)
            for listed in _listed(ids, journal, split):
                lines.writerow(_explained(listed, claims).values())

    def write_checksums(path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{each.sha256}  {each.file}\n" for each in journal.stored())

    write_whole(files.report, write_report, DownloadError)
    write_whole(files.checksums, write_checksums, DownloadError)
    rows = _index_rows(ids, journal, split, claims)
    write_whole(files.index, lambda path: _write_index(path, rows), DownloadError)
    return {status: statuses[status] for status in STATUSES}


def _listed(ids: Path, journal: DownloadJournal, split: str) -> Iterator[_Listed]:
    for row in read_ids(ids):
        identifier = find_identifier(row["id"])
        name = identifier.name if identifier else row["id"]
        record = journal.get(name) or Record(id=name, status="failed", problem="not processed")
        entry = ""
        if record.status in ("stored", "stale", "superseded"):
            is_predicted = identifier and ARCHIVES[identifier.archive].is_predicted
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


def _index_rows(
    ids: Path, journal: DownloadJournal, split: str, claims: Claims
) -> Iterator[dict[str, str]]:
    """Yield a header of empty values, then a row for each entry."""
    written: set[str] = set()
    for number, listed in enumerate(_listed(ids, journal, split)):
        if number == 0:
            yield dict.fromkeys([*listed.row, "split", "asked_for"], "")
        entry, name = listed.entry, listed.record.id
        if not entry:
            continue
        owner, its_split = claims[entry]
        yields = listed.record.id != owner and owner == entry  # an obsolete entry, to a direct row
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
            yield known | {"id": entry, "split": listed.split, "asked_for": wanted}


def _write_index(path: Path, rows: Iterator[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        header = next(rows, {})
        lines = csv.DictWriter(file, list(header), lineterminator="\n")
        if header:
            lines.writeheader()
        lines.writerows(rows)
