"""What a folder of downloads holds and where each file is from, in a small database.

A database, not a list in memory: an entry is looked up in microseconds, memory does not grow with the folder, and a
killed process leaves every finished entry recorded and no half of one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from debye.errors import DownloadError

Status = Literal["stored", "stale", "superseded", "withdrawn", "absent", "failed"]
"""``stale``: stored, but it could not be refreshed; ``superseded``: another entry took its place; ``withdrawn``: nothing
did; ``absent``: never there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of one identifier."""

    id: str
    status: Status
    file: str = ""
    """Path within the folder."""
    bytes: int = 0
    sha256: str = ""
    source: str = ""
    """Address that the file came from; empty for files that were there before."""
    entry: str = ""
    """Of a superseded entry: the one that is stored in its place."""
    problem: str = ""
    date: str = ""
    """UTC; of a stale entry when its file was stored."""

    def values(self) -> list[str | int]:
        """Return the fields in the order of :data:`NAMES`."""
        return [
            getattr(self, name) for name in NAMES
        ]  # astuple copies each value, at ten times the cost

    def is_in(self, folder: Path) -> bool:
        """Tell whether a file is recorded, and still in its folder with the size that it had."""
        if self.status not in ("stored", "stale"):
            return False
        try:
            return (folder / self.file).stat().st_size == self.bytes
        except OSError:
            return False


NAMES = tuple(field.name for field in fields(Record))


class Journal:
    """One record for each identifier; use it in a ``with`` statement."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            self.database = sqlite3.connect(path, isolation_level=None)  # each record by itself
        try:
            self._prepare()
        except DownloadError:
            self.database.close()
            raise

    def _prepare(self) -> None:
        columns = ", ".join(f'"{name}"' for name in NAMES)
        with self._explained():
            # A crash of the process loses nothing; a power failure at most the last records, which are made anew.
            self.database.execute("PRAGMA journal_mode = WAL")
            self.database.execute("PRAGMA synchronous = NORMAL")
            self.database.execute(
                f'CREATE TABLE IF NOT EXISTS records ({columns}, PRIMARY KEY ("id")) WITHOUT ROWID'
            )
            self.database.execute(
                "CREATE TABLE IF NOT EXISTS refreshes (list PRIMARY KEY, started) WITHOUT ROWID"
            )
            self.database.execute(
                "CREATE TEMP TABLE claims (entry PRIMARY KEY, id, split) WITHOUT ROWID"
            )
            self.database.execute("CREATE TEMP TABLE marks (id PRIMARY KEY) WITHOUT ROWID")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def get(self, identifier: str) -> Record | None:
        """Look up an identifier."""
        with self._explained():
            rows = self.database.execute("SELECT * FROM records WHERE id = ?", (identifier,))
            return next(map(_record, rows), None)

    def put(self, record: Record) -> None:
        """Record what became of an identifier, in place of what was recorded before."""
        values = record.values()
        marks = ", ".join("?" * len(values))
        with self._explained():
            self.database.execute(f"INSERT OR REPLACE INTO records VALUES ({marks})", values)

    def mark(self, identifier: str) -> bool:
        """Mark an identifier until the journal is closed; returns whether it had no mark yet."""
        with self._explained():
            done = self.database.execute("INSERT OR IGNORE INTO marks VALUES (?)", (identifier,))
            return done.rowcount == 1

    def claim(self, entry: str, identifier: str, split: str) -> None:
        """Give an entry to a row of the list until the journal is closed, unless another one has it."""
        with self._explained():
            values = (entry, identifier, split)
            self.database.execute("INSERT OR IGNORE INTO claims VALUES (?, ?, ?)", values)

    def owner(self, entry: str) -> tuple[str, str]:
        """Return identifier and split of the row that claimed an entry."""
        with self._explained():
            rows = self.database.execute("SELECT id, split FROM claims WHERE entry = ?", (entry,))
            return next(rows)

    def stored(self) -> Iterator[Record]:
        """Yield the records of all stored files, by path."""
        with self._explained():
            rows = self.database.execute(
                "SELECT * FROM records WHERE status IN ('stored', 'stale') ORDER BY file"
            )
            yield from map(_record, rows)

    def begin_refresh(self, listed: str) -> str:
        """Return when the refresh of a list began: now, or before it was stopped.

        Args:
            listed: Digest of the list; another list is refreshed on its own.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._explained():
            self.database.execute("INSERT OR IGNORE INTO refreshes VALUES (?, ?)", (listed, now))
            rows = self.database.execute("SELECT started FROM refreshes WHERE list = ?", (listed,))
            return next(rows)[0]

    def end_refresh(self, listed: str) -> None:
        """Record that all of a list was dealt with."""
        with self._explained():
            self.database.execute("DELETE FROM refreshes WHERE list = ?", (listed,))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DownloadError(
                str(self.path),
                problem=f"the journal cannot be used ({error})",
                remedy="Free some space and run again; a damaged journal may be deleted, "
                "the files are then checked and taken over",
            ) from error


def _record(row: tuple) -> Record:
    return Record(**dict(zip(NAMES, row, strict=True)))
