"""A list of identifiers → a mirror folder, ``<id[1:3]>/<id>.bcif.gz``, that a later run completes.

At any time, killed or not, a file of the folder is whole and the right entry. What is done is known from a journal,
so that a restart looks at the sizes of the files, not at their content, and asks the servers for nothing that is there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, PositiveInt

from debye.archives.async_download import AsyncDownloader
from debye.archives.download import RemoteSettings
from debye.archives.fetch_entry import HIDDEN, EntryFetcher, digest_of, new_record
from debye.archives.fetch_report import Files, refuse_output_as_list, write_reports
from debye.archives.id_list import read_ids
from debye.archives.journal import Journal
from debye.archives.remote import Identifier, parse_identifier
from debye.errors import DebyeError, DownloadError


class FetchSettings(BaseModel, frozen=True, extra="forbid"):
    """How many files are fetched, and what counts as there."""

    connections: PositiveInt = 8
    """Downloads at a time."""
    verify: bool = False
    """Compare checksums of what is there, not only sizes."""
    refresh: bool = False
    """Download also what is there, as for revised entries; the old file stays until the new one is in place. A refresh
    that was stopped goes on where it was, if the list is the same."""
    split: str = "train"
    """In the index, of entries that the list puts into none."""
    failures_in_a_row: PositiveInt = 50
    """Entries that the servers fail to deliver, one after another, before the run ends: they are down."""


@dataclass(slots=True)
class FetchProgress:
    """How far a run is."""

    total: int
    done: int = 0
    """Identifiers that are dealt with, present ones included."""
    fetched: int = 0
    """Files that were downloaded."""
    bytes: int = 0
    """Of these files."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What a run did."""

    progress: FetchProgress
    statuses: dict[str, int]
    """How many identifiers of the list are now stored, stale, superseded, withdrawn, absent and failed."""
    seconds: float
    files: Files

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
    progress: Callable[[FetchProgress], None] | None = None,
) -> FetchResult:
    """Download every entry of a list that the folder lacks, and report on all of the list.

    Obsolete entries are followed to what replaced them. An entry that cannot be had is reported, and the rest goes on.

    Args:
        ids: See :func:`debye.archives.id_list.read_ids`; PDB identifiers and AlphaFold DB entries.
        folder: The mirror; made if absent, completed if not.
        settings: How many at a time, and what counts as there.
        remote: Addresses and patience; from the environment if not given.
        reports: Folder for report and index, so that those of the mirror stay; the mirror if not given.
        progress: Called after every identifier.

    Raises:
        DownloadError: The disk is full, the servers are down, or another run uses the folder.
        ConfigError: The list cannot be read, is a file that the run writes, or puts an entry into two splits.
    """
    started = time.monotonic()
    settings = settings or FetchSettings()
    refuse_output_as_list(ids, folder, reports)
    remote = remote or RemoteSettings.from_environment()
    state = FetchProgress(total=sum(1 for _ in read_ids(ids)))
    listed = digest_of(ids)

    async def run(journal: Journal) -> None:
        partial = folder / HIDDEN / "partial"
        async with AsyncDownloader(remote, settings.connections, partial) as downloader:
            since = journal.begin_refresh(listed) if settings.refresh else ""
            fetcher = EntryFetcher(folder, journal, downloader, since, settings.verify)
            await _Run(fetcher, settings, state, progress or (lambda _: None)).everything(ids)
            if settings.refresh:
                journal.end_refresh(listed)

    with _own(folder), Journal(folder / HIDDEN / "journal.sqlite") as journal:
        try:
            asyncio.run(run(journal))
        except BaseException as error:
            with suppress(OSError, DebyeError):  # what ended the run is the error to show
                write_reports(ids, folder, journal, settings.split, reports)
            if isinstance(error, ExceptionGroup):
                raise _first(error) from error
            raise
        files, statuses = write_reports(ids, folder, journal, settings.split, reports)
    return FetchResult(state, statuses, time.monotonic() - started, files)


@dataclass(slots=True)
class _Run:
    """A fixed number of workers, and a list that is read no faster than they work."""

    fetcher: EntryFetcher
    settings: FetchSettings
    progress: FetchProgress
    tell: Callable[[FetchProgress], None]
    busy: set[str] = field(default_factory=set)
    """What is being fetched right now: a list may name an entry twice."""
    failed_in_a_row: int = 0

    async def everything(self, ids: Path) -> None:
        """Hand what is missing to the workers."""
        queue: asyncio.Queue[Identifier | None] = asyncio.Queue(self.settings.connections)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.settings.connections):
                group.create_task(self.work(queue))
            for number, row in enumerate(read_ids(ids)):
                if number % 256 == 0:
                    await asyncio.sleep(0)  # the workers' turn, also where everything is present
                identifier = self.parsed(row["id"])
                if identifier is None or self.is_present(identifier):
                    self.count()
                else:
                    self.busy.add(identifier.name)
                    await queue.put(identifier)
            for _ in range(self.settings.connections):
                await queue.put(None)

    async def work(self, queue: asyncio.Queue[Identifier | None]) -> None:
        """Take identifiers until there are no more."""
        while (identifier := await queue.get()) is not None:
            record = await self.fetcher.settle(identifier)
            self.fetcher.journal.put(record)
            self.busy.discard(identifier.name)
            self.count()
            failed = record.status in ("failed", "stale")
            self.failed_in_a_row = self.failed_in_a_row + 1 if failed else 0
            if self.failed_in_a_row >= self.settings.failures_in_a_row:
                raise DownloadError(
                    record.id,
                    problem=f"{self.failed_in_a_row} entries in a row could not be downloaded, "
                    f"the last because of {record.problem}",
                    remedy="Check the network and run again: what is complete is kept",
                )

    def parsed(self, text: str) -> Identifier | None:
        """Read an identifier; what is none is recorded as such."""
        try:
            return parse_identifier(text)
        except DownloadError as error:
            self.fetcher.journal.put(new_record(text, "failed", problem=error.problem))
            return None

    def is_present(self, identifier: Identifier) -> bool:
        """Tell without reading a file whether an entry, or its successor, is there or on its way."""
        return identifier.name in self.busy or self.fetcher.is_settled(identifier.name)

    def count(self) -> None:
        self.progress.done += 1
        self.progress.fetched, self.progress.bytes = self.fetcher.fetched, self.fetcher.bytes
        self.tell(self.progress)


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Hold a folder against other runs, and remove what a killed run left half-done."""
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
            problem="another run downloads into this folder",
            remedy="Wait for it, or choose another folder",
        ) from None
    except OSError as error:
        lock.release()
        raise DownloadError(
            str(folder),
            problem=f"the folder cannot be used ({error.strerror or error})",
            remedy="Free some space or choose another folder",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _first(group: ExceptionGroup) -> Exception:
    """Return the error to show of those that ended the workers; bugs before errors of use."""
    errors: list[Exception] = []
    for error in group.exceptions:
        errors.append(_first(error) if isinstance(error, ExceptionGroup) else error)
    return next((error for error in errors if not isinstance(error, DebyeError)), errors[0])
