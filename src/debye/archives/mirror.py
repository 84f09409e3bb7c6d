"""A list of identifiers → a mirror folder, ``<id[1:3]>/<id>.bcif.gz``, which a later run completes.

At any time, also after a kill, a file of the mirror is complete and the right entry. A journal knows what is done, so
a restart looks at the sizes of the files, not at their content, and requests nothing that is there.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout
from pydantic import BaseModel, PositiveInt

from debye.archives.archive import Identifier
from debye.archives.catalog import NOT_AN_IDENTIFIER, find_identifier, read_ids
from debye.archives.download_journal import HIDDEN, DownloadJournal, Record, Status
from debye.archives.fetch import download, local_files
from debye.archives.http import Absent, HttpClient, RemoteSettings, Unusable
from debye.archives.mirror_report import ReportFiles, report_files, write_reports
from debye.errors import DebyeError, DownloadError


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

        ``before`` names the obsolete entries that led here.
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
        """Return the record of a file that is there or is downloaded now."""
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
            source=saved.url, problem=problem
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


class FetchSettings(BaseModel, frozen=True, extra="forbid"):
    """How many files are downloaded at a time, and which."""

    connections: PositiveInt = 8
    """Downloads at a time."""
    verify: bool = False
    """Compare checksums of the files that are there, not only sizes."""
    refresh: bool = False
    """Download also files that are there, as for revised entries; the old file stays until the new one is in place. A
    refresh that was stopped resumes, if the list is the same."""
    split: str = "train"
    """In the index, of rows that give none."""
    failures_in_a_row: PositiveInt = 50
    """Entries that the servers fail to deliver, one after another, before the run ends: they are down."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What a run did."""

    fetched: int
    """Files that were downloaded."""
    bytes: int
    """Of these files."""
    statuses: dict[str, int]
    """Identifiers of the list by :data:`~debye.archives.download_journal.Status`."""
    seconds: float
    files: ReportFiles

    @property
    def missing(self) -> int:
        """Identifiers of the list without a file."""
        return sum(self.statuses[status] for status in ("withdrawn", "absent", "failed"))


def fetch_list(
    ids: Path,
    folder: Path,
    settings: FetchSettings | None = None,
    remote: RemoteSettings | None = None,
    *,
    reports: Path | None = None,
    progress: Callable[..., object] | None = None,
    on_index: Callable[[Path], None] | None = None,
) -> FetchResult:
    """Download every entry of a list that a mirror lacks, and report on the whole list.

    Obsolete entries are replaced by their successors. An entry that is not available is reported, and the run continues.

    Args:
        ids: See :func:`debye.archives.catalog.read_ids`.
        folder: The mirror; made if absent, completed if not.
        remote: Addresses and patience; from the environment if not given.
        reports: Folder for report and index, so that those of the mirror stay; the mirror if not given.
        progress: Called with the numbers of identifiers that are processed and in the list, and with ``files`` and
            ``MB`` that were downloaded.
        on_index: Called with the path of the index once it is written.

    Raises:
        DownloadError: The disk is full, the servers are down, or another run uses the folder.
        ConfigError: The list cannot be read, is a file that the run writes, or puts an entry into two splits.
    """
    started = time.monotonic()
    settings = settings or FetchSettings()
    files = report_files(ids, folder, reports)
    total = sum(1 for _ in read_ids(ids))
    listed = hashlib.sha256(ids.read_bytes()).hexdigest()

    def report() -> dict[str, int]:
        statuses = write_reports(ids, files, journal, settings.split)
        if on_index:
            on_index(files.index)
        return statuses

    def show(done: int) -> None:
        if progress:
            progress(done, total, files=fetcher.fetched, MB=fetcher.bytes / 1e6)

    with _own(folder), DownloadJournal(folder) as journal, HttpClient(remote) as client:
        since = journal.begin_refresh(listed) if settings.refresh else ""
        fetcher = EntryFetcher(folder, journal, client, since, settings.verify)
        try:
            _fetch_all(ids, fetcher, settings, show)
        except BaseException:
            with suppress(OSError, DebyeError):  # what ended the run is the error to show
                report()
            raise
        if settings.refresh:
            journal.end_refresh(listed)
        statuses = report()
    seconds = time.monotonic() - started
    return FetchResult(fetcher.fetched, fetcher.bytes, statuses, seconds, files)


def _fetch_all(
    ids: Path, fetcher: EntryFetcher, settings: FetchSettings, show: Callable[[int], None]
) -> None:
    """Fetch what is missing, in threads; the list is read no faster than they work."""
    busy: dict[Future[Record], str] = {}
    done = failed_in_a_row = 0

    def collect(most: int) -> None:
        """Wait until at most ``most`` entries are being fetched."""
        nonlocal done, failed_in_a_row
        while len(busy) > most:
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                del busy[future]
                record = future.result()
                done += 1
                show(done)
                has_failed = record.status in ("failed", "stale")
                failed_in_a_row = failed_in_a_row + 1 if has_failed else 0
                if failed_in_a_row >= settings.failures_in_a_row:
                    raise DownloadError(
                        record.id,
                        f"{failed_in_a_row} entries in a row could not be downloaded, the last because of "
                        f"{record.problem}",
                        "Check the network and run again: what is complete is kept",
                    )

    pool = ThreadPoolExecutor(settings.connections)
    try:
        for row in read_ids(ids):
            identifier = find_identifier(row["id"])
            if identifier is None:
                record = Record(id=row["id"], status="failed", problem=NOT_AN_IDENTIFIER)
                fetcher.journal.put(record)
            # A list may name an entry twice.
            elif identifier.name not in busy.values() and not fetcher.is_done(identifier.name):
                busy[pool.submit(fetcher.fetch, identifier)] = identifier.name
                collect(most=2 * settings.connections)
                continue
            done += 1
            show(done)
        collect(most=0)
    except BaseException:
        fetcher.client.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Lock a mirror against other runs, and remove what a killed run left half-done."""
    hidden = folder / HIDDEN
    lock = FileLock(hidden / "lock", timeout=0)
    try:
        (hidden / "partial").mkdir(parents=True, exist_ok=True)
        lock.acquire()
        for path in (hidden / "partial").iterdir():
            path.unlink()
    except Timeout:
        raise DownloadError(
            str(folder),
            "another run downloads into this folder",
            "Wait for it, or choose another folder",
        ) from None
    except OSError as error:
        lock.release()
        raise DownloadError(
            str(folder),
            f"the folder cannot be used ({error.strerror or error})",
            "Free some space or choose another folder",
        ) from error
    try:
        yield
    finally:
        lock.release()
