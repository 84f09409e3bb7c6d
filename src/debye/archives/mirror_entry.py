"""What becomes of one identifier: its file is there, is downloaded, is another entry's, or is not available."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from weakref import WeakValueDictionary

from debye.archives.archive import Identifier
from debye.archives.download_journal import HIDDEN, DownloadJournal, Record, Status
from debye.archives.fetch import download, local_files
from debye.archives.http import Absent, HttpClient, Unusable


@dataclass(slots=True)
class EntryFetcher:
    """Fetches entries into a mirror, one in each thread, and counts what it downloads."""

    folder: Path
    journal: DownloadJournal
    client: HttpClient
    refresh_since: str = ""
    """Download also files that are there, unless they were stored after this time, UTC; empty: do not."""
    verify: bool = False
    """Compare checksums, also of what replaced an obsolete entry."""
    fetched: int = 0
    """Files that were downloaded."""
    bytes: int = 0
    """Of these files."""
    locks: WeakValueDictionary[str, threading.Lock] = field(default_factory=WeakValueDictionary)
    """An entry may be wanted by its own name and, at the same time, by that of an obsolete one."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Of the counts and of the locks."""

    def fetch(self, identifier: Identifier, before: tuple[str, ...] = ()) -> Record:
        """Get the file of an entry into the mirror, or find out why there is none, and record it.

        Args:
            identifier: The entry.
            before: Obsolete entries that led here.
        """
        known = self.journal.get(identifier.name)
        try:
            record = self._stored(identifier, known)
        except Absent as error:
            record = self._successor(identifier, str(error), before)
        except Unusable as error:
            record = Record(id=identifier.name, status="failed", problem=str(error))
        except OSError as error:
            problem = f"{error.filename or 'a file'} cannot be used ({error.strerror or error})"
            record = Record(id=identifier.name, status="failed", problem=problem)
        if record.status in ("failed", "absent") and known and known.is_in(self.folder):
            problem = f"could not be refreshed: {record.problem}"
            record = replace(known, status="stale", problem=problem)
        self.journal.put(record)
        return record

    def is_done(self, name: str) -> bool:
        """Say without reading a file whether nothing is left to do for an entry, or what replaced it."""
        record = self.journal.get(name)
        if record is not None and self._is_recent(record) and record.status == "superseded":
            record = self.journal.get(record.entry)
        if record is None or not self._is_recent(record):
            return False
        if record.status in ("withdrawn", "absent"):
            return bool(self.refresh_since)  # every run tries them again, but a refresh only once
        return record.status == "stored" and record.is_in(self.folder)

    def _is_recent(self, record: Record) -> bool:
        return not self.verify and record.date > self.refresh_since

    def _stored(self, identifier: Identifier, known: Record | None) -> Record:
        """Return the record of a file that is there or is downloaded now.

        Raises:
            Absent: The archive does not have the entry.
            Unusable: It did not deliver it.
        """
        name = identifier.name
        with self.lock:
            mine = self.locks.setdefault(name, threading.Lock())
        with mine:
            if not self.refresh_since and (record := self._check_local(identifier, known)):
                return record
            partial = self.folder / HIDDEN / "partial"
            saved, problem = download(identifier, self.folder, self.client, partial)
            self._delete_files(identifier, kept=saved.path)
        with self.lock:
            self.fetched += 1
            self.bytes += saved.bytes
        file = saved.path.relative_to(self.folder).as_posix()
        return Record(
            id=name, status="stored", file=file, bytes=saved.bytes, sha256=saved.sha256,
            source=saved.url, problem=problem,
        )  # fmt: skip

    def _check_local(self, identifier: Identifier, known: Record | None) -> Record | None:
        """Return the record of a file that is there: one in the journal has its checksum, others the right content.

        A wrong file is moved away: left in its place, it could be preferred to what is downloaded.
        """
        archive, entry = identifier.archive, identifier.name
        for path in list(local_files(identifier, self.folder)):
            name = path.relative_to(self.folder).as_posix()
            if known is not None and known.status in ("stored", "stale") and known.file == name:
                if _digest(path) == known.sha256:
                    if known.status == "stale":
                        continue  # right, but outdated: it stays until there is a better one
                    return known
            elif archive.check(path, path.name, archive.entry_id(entry)) is None:
                size = path.stat().st_size
                return Record(
                    id=entry, status="stored", file=name, bytes=size, sha256=_digest(path)
                )
            # It may be the user's only copy.
            rejected = self.folder / HIDDEN / "rejected" / name
            rejected.parent.mkdir(parents=True, exist_ok=True)
            path.replace(rejected)
        return None

    def _delete_files(self, identifier: Identifier, kept: Path | None = None) -> None:
        """Delete the files of an entry, except one."""
        for path in list(local_files(identifier, self.folder)):
            if path != kept:
                path.unlink()

    def _successor(self, identifier: Identifier, problem: str, before: tuple[str, ...]) -> Record:
        """Store what replaced an entry that the archive no longer has.

        Of several successors the first available one is stored; the record names all.
        """
        archive, name = identifier.archive, identifier.name
        try:
            successors = archive.successors and archive.successors(archive, name, self.client)
        except Unusable as error:
            return Record(id=name, status="failed", problem=f"{problem}; {error}")
        if successors is None:
            return Record(id=name, status="absent", problem=problem)
        said = f"obsolete, replaced by {', '.join(successors) or 'nothing'}"
        before = (*before, name)
        found: list[Record] = []
        for successor in successors:
            if successor in before:
                continue  # two entries cannot replace each other
            record = self.journal.get(successor)
            if record is None or not self.is_done(successor):
                record = self.fetch(Identifier(archive, successor), before)
            if record.status in ("stored", "stale", "superseded"):
                entry = record.entry or record.id
                self._delete_files(identifier)
                return Record(id=name, status="superseded", entry=entry, problem=said)
            found.append(record)
        # Another run may help if a server failed, and only then.
        is_failed = any(record.status == "failed" for record in found)
        status: Status = "failed" if is_failed else "withdrawn"
        if status == "withdrawn":
            self._delete_files(identifier)
        details = [said, *(f"{record.id}: {record.problem}" for record in found)]
        return Record(id=name, status=status, problem="; ".join(details))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
