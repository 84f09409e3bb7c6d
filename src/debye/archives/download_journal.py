"""Which files a mirror has and where each is from, in a small database.

An entry is looked up in microseconds, memory does not grow with the mirror, and a killed process leaves every finished
entry recorded and no half of one.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from debye.errors import DownloadError
from debye.files import write_text

HIDDEN = ".fetch"
"""Folder, in a mirror, of the journal, the lock, and the partial and rejected files."""

Status = Literal["stored", "stale", "superseded", "withdrawn", "absent", "failed"]
"""``stale``: stored, but it could not be refreshed; ``superseded``: another entry replaced it; ``withdrawn``: nothing
replaced it; ``absent``: it was never there."""
STATUSES = get_args(Status)


def now() -> str:
    """Return the time, UTC, as the journal writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of one identifier."""

    id: str
    status: Status
    file: str = ""
    """Path within the mirror."""
    bytes: int = 0
    sha256: str = ""
    source: str = ""
    """Address that the file came from; empty for files that were there before."""
    entry: str = ""
    """Of a superseded entry: the one that is stored instead."""
    problem: str = ""
    date: str = field(default_factory=now)
    """UTC; of a stale entry when its file was stored."""

    def values(self) -> list[Any]:
        """Return the fields in the order of :data:`NAMES`; ``astuple`` takes ten times as long."""
        return [getattr(self, name) for name in NAMES]

    def is_in(self, mirror: Path) -> bool:
        """Say whether a file is recorded and still there with its size."""
        if self.status not in ("stored", "stale"):
            return False
        try:
            return (mirror / self.file).stat().st_size == self.bytes
        except OSError:
            return False


NAMES = tuple(each.name for each in fields(Record))


class DownloadJournal:
    """One record for each identifier of a mirror, shared by threads; use it in a ``with`` statement."""

    def __init__(self, mirror: Path) -> None:
        self.path = mirror / HIDDEN / "journal.sqlite"
        self.lock = threading.Lock()
        columns = ", ".join(f'"{name}"' for name in NAMES)
        with self._explained():
            self.database = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False
            )
        try:
            # A crash of the process loses nothing, a power failure at most the last records, which are made again.
            for statement in (
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = NORMAL",
                f'CREATE TABLE IF NOT EXISTS records ({columns}, PRIMARY KEY ("id")) WITHOUT ROWID',
                "CREATE TABLE IF NOT EXISTS refreshes (list PRIMARY KEY, started) WITHOUT ROWID",
            ):
                self._run(statement)
        except DownloadError:
            self.database.close()
            raise

    def __enter__(self) -> DownloadJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def get(self, identifier: str) -> Record | None:
        """Look up an identifier."""
        rows = self._run("SELECT * FROM records WHERE id = ?", identifier)
        return _record(rows[0]) if rows else None

    def put(self, record: Record) -> None:
        """Record what became of an identifier; replaces its record."""
        marks = ", ".join("?" * len(NAMES))
        self._run(f"INSERT OR REPLACE INTO records VALUES ({marks})", *record.values())

    def stored(self) -> Iterator[Record]:
        """Yield the records of all stored files, by path."""
        statement = "SELECT * FROM records WHERE status IN ('stored', 'stale') ORDER BY file"
        with self._explained():
            yield from map(_record, self.database.execute(statement))

    def begin_refresh(self, listed: str) -> str:
        """Return when the refresh of a list, given its digest, began: now, or before it was stopped."""
        self._run("INSERT OR IGNORE INTO refreshes VALUES (?, ?)", listed, now())
        return self._run("SELECT started FROM refreshes WHERE list = ?", listed)[0][0]

    def end_refresh(self, listed: str) -> None:
        """Record that a list is refreshed."""
        self._run("DELETE FROM refreshes WHERE list = ?", listed)

    def _run(self, statement: str, *values: Any) -> list[tuple]:
        with self.lock, self._explained():
            return self.database.execute(statement, values).fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DownloadError(
                str(self.path),
                f"the journal cannot be used ({error})",
                "Free some space and run again; a damaged journal may be deleted, the files are then checked again",
            ) from error


def _record(row: tuple) -> Record:
    return Record(**dict(zip(NAMES, row, strict=True)))


def outdated(revised: Mapping[str, str], mirror: Path) -> set[str]:
    """Return which entries of a mirror are missing, or older than a revision.

    A download does not say which revision it is, but one made after a search found a revision is that revision or a
    later one. So the mirror notes when each revision was first wanted, and what a killed run downloaded counts.

    ``revised`` has the date of the wanted revision, by entry.
    """
    notes = mirror / HIDDEN / "revisions.json"
    try:
        wanted: dict[str, list[str]] = json.loads(notes.read_text())
    except (OSError, ValueError):
        wanted = {}  # then everything is downloaded again
    for name, revision in revised.items():
        if name not in wanted or not revision or wanted[name][0] != revision:
            wanted[name] = [revision, now()]
    write_text(notes, json.dumps(wanted), DownloadError)
    found = set()
    with DownloadJournal(mirror) as journal:
        for name in revised:
            record = journal.get(name)
            # Without a source the file was there before, in an unknown revision.
            is_new = record is not None and record.source and record.date >= wanted[name][1]
            if record is None or not is_new or not record.is_in(mirror):
                found.add(name)
    return found
