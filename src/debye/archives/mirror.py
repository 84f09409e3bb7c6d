"""A list of identifiers → a mirror folder, ``<id[1:3]>/<id>.bcif.gz``, which a later run completes.

At any time, also after a kill, a file of the mirror is complete and the right entry. A journal knows what is done, so
a restart looks at the sizes of the files, not at their content, and requests nothing that is there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, PositiveInt

from debye.archives.catalog import NOT_AN_IDENTIFIER, find_identifier, read_ids
from debye.archives.download_journal import HIDDEN, DownloadJournal, Record
from debye.archives.http import HttpClient, RemoteSettings
from debye.archives.mirror_entry import EntryFetcher
from debye.archives.mirror_report import ReportFiles, report_files, write_reports
from debye.errors import DebyeError, DownloadError


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
        settings: How many at a time, and which.
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
