"""A list of identifiers → a mirror folder, ``<id[1:3]>/<id>.bcif.gz``, that a later run completes.

At any time, killed or not, a file of the folder is whole and the right entry. What is done is known from a journal,
so that a restart looks at the sizes of the files, not at their content, and asks the servers for nothing that is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, PositiveInt

from debye.data.async_download import AsyncDownloader
from debye.data.entry_check import entry_problem
from debye.data.fetch_report import Files, write_reports
from debye.data.id_list import read_ids
from debye.data.journal import Journal, Record, Status
from debye.data.rcsb import parse_successors
from debye.errors import DebyeError, DownloadError
from debye.structure.download import Absent, RemoteSettings, Unusable
from debye.structure.remote import (
    Identifier,
    alphafold_listing,
    alphafold_sources,
    entry_folder,
    local_files,
    parse_identifier,
    pdb_sources,
)

HIDDEN = ".fetch"
"""Folder of the journal, the lock and the partial files."""


class FetchSettings(BaseModel, frozen=True, extra="forbid"):
    """How many files are fetched, and what counts as there."""

    connections: PositiveInt = 8
    """Downloads at a time."""
    verify: bool = False
    """Compare checksums of what is there, not only sizes."""
    refresh: bool = False
    """Download also what is there, as for revised entries; the old file stays until the new one is in place."""
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
    """How many identifiers of the list are now stored, superseded, withdrawn, absent and failed."""
    seconds: float
    files: Files

    @property
    def missing(self) -> int:
        """Identifiers of the list without a file."""
        return sum(self.statuses.values()) - self.statuses["stored"] - self.statuses["superseded"]


def fetch_list(
    ids: Path,
    folder: Path,
    settings: FetchSettings | None = None,
    remote: RemoteSettings | None = None,
    *,
    progress: Callable[[FetchProgress], None] | None = None,
) -> FetchResult:
    """Download every entry of a list that the folder lacks, and report on all of the list.

    Obsolete entries are followed to what replaced them. An entry that cannot be had is reported, and the rest goes on.

    Args:
        ids: See :func:`debye.data.id_list.read_ids`; PDB identifiers and AlphaFold DB entries.
        folder: The mirror; made if absent, completed if not.
        settings: How many at a time, and what counts as there.
        remote: Addresses and patience; from the environment if not given.
        progress: Called after every identifier.

    Raises:
        DownloadError: The disk is full, the servers are down, or another run uses the folder.
        ConfigError: The list cannot be read.
    """
    started = time.monotonic()
    state = FetchProgress(total=sum(1 for _ in read_ids(ids)))
    with _own(folder), Journal(folder / HIDDEN / "journal.sqlite") as journal:
        run = _Run(
            folder,
            journal,
            settings or FetchSettings(),
            remote or RemoteSettings.from_environment(),
            state,
            progress or (lambda _: None),
        )
        try:
            asyncio.run(run.everything(ids))
        except ExceptionGroup as group:
            raise _first(group) from group
        files, statuses = write_reports(ids, folder, journal)
    return FetchResult(state, statuses, time.monotonic() - started, files)


@dataclass(slots=True)
class _Run:
    """One run over one folder."""

    folder: Path
    journal: Journal
    settings: FetchSettings
    remote: RemoteSettings
    progress: FetchProgress
    tell: Callable[[FetchProgress], None]
    busy: set[str] = field(default_factory=set)
    """What is being fetched right now: a list may name an entry twice."""
    failed_in_a_row: int = 0

    async def everything(self, ids: Path) -> None:
        """Hand what is missing to a fixed number of workers; the list is read no faster than they work."""
        queue: asyncio.Queue[Identifier | None] = asyncio.Queue(self.settings.connections)
        partial = self.folder / HIDDEN / "partial"
        async with (
            AsyncDownloader(self.remote, self.settings.connections, partial) as downloader,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self.settings.connections):
                group.create_task(self.work(queue, downloader))
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

    async def work(
        self, queue: asyncio.Queue[Identifier | None], downloader: AsyncDownloader
    ) -> None:
        """Take identifiers until there are no more."""
        while (identifier := await queue.get()) is not None:
            record = await self.settle(identifier, downloader)
            self.journal.put(record)
            self.busy.discard(identifier.name)
            self.count()
            self.failed_in_a_row = self.failed_in_a_row + 1 if record.status == "failed" else 0
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
            self.journal.put(_record(text, "failed", problem=error.problem))
            return None

    def is_present(self, identifier: Identifier) -> bool:
        """Tell without reading a file whether an entry, or its successor, is there or on its way."""
        if identifier.name in self.busy:
            return True
        record = self.journal.get(identifier.name)
        if record is not None and record.status == "superseded":
            record = self.journal.get(record.entry)
        if record is None or record.status != "stored" or self.settings.verify:
            return False
        return not self.settings.refresh and self.has_size(record)

    def has_size(self, record: Record) -> bool:
        try:
            return (self.folder / record.file).stat().st_size == record.bytes
        except OSError:
            return False

    def count(self) -> None:
        self.progress.done += 1
        self.tell(self.progress)

    async def settle(
        self, identifier: Identifier, downloader: AsyncDownloader, before: tuple[str, ...] = ()
    ) -> Record:
        """Find out what becomes of an identifier: its file is there, is downloaded, or cannot be had.

        Args:
            identifier: Asked for.
            downloader: Fetches it.
            before: Obsolete entries that led here.
        """
        if not self.settings.refresh:
            known = self.journal.get(identifier.name)
            record = await asyncio.to_thread(self.check_local, identifier, known)
            if record is not None:
                return record
        try:
            sources = await self.sources(identifier, downloader)
            return await self.download(identifier, sources, downloader)
        except Absent as error:
            return await self.follow(identifier, str(error), downloader, before)
        except Unusable as error:
            return _record(identifier.name, "failed", problem=str(error))

    def check_local(self, identifier: Identifier, known: Record | None) -> Record | None:
        """Take over a file that is there: one that was recorded by its checksum, others by their content."""
        for path in local_files(identifier, self.folder):
            name = path.relative_to(self.folder).as_posix()
            if known is not None and known.status == "stored" and known.file == name:
                if _digest(path) == known.sha256:
                    return known
            elif entry_problem(path, path.name, identifier.name) is None:
                return _record(
                    identifier.name, "stored", file=name, size=path.stat().st_size,
                    sha256=_digest(path),
                )  # fmt: skip
        return None

    async def sources(self, identifier: Identifier, downloader: AsyncDownloader) -> list[str]:
        """List the addresses of an entry, the preferred one first."""
        if identifier.archive == "pdb":
            return pdb_sources(identifier, self.remote)
        models = await downloader.json(alphafold_listing(identifier, self.remote))
        return alphafold_sources(identifier, models)

    async def download(
        self, identifier: Identifier, sources: list[str], downloader: AsyncDownloader
    ) -> Record:
        """Store the entry from the first address that serves it.

        Raises:
            Absent: No address has it.
            Unusable: One might have it, but did not deliver.
        """
        problems: list[tuple[str, Exception]] = []
        for url in sources:
            target = self.folder / entry_folder(identifier) / url.rsplit("/", 1)[-1]
            try:
                saved = await downloader.save(
                    url, target, lambda path, name: entry_problem(path, name, identifier.name)
                )
            except (Absent, Unusable) as error:
                problems.append((url, error))
                continue
            self.progress.fetched += 1
            self.progress.bytes += saved.bytes
            return _record(
                identifier.name,
                "stored",
                file=target.relative_to(self.folder).as_posix(),
                size=saved.bytes,
                sha256=saved.sha256,
                source=url,
                problem="; ".join(f"{url}: {error}" for url, error in problems),
            )
        text = "; ".join(f"{url}: {error}" for url, error in problems)
        absent = all(isinstance(error, Absent) for _, error in problems)
        raise Absent(text) if absent else Unusable(text)

    async def follow(
        self,
        identifier: Identifier,
        problem: str,
        downloader: AsyncDownloader,
        before: tuple[str, ...],
    ) -> Record:
        """Fetch what replaced an entry that the archive does not have any more."""
        if identifier.archive != "pdb":
            return _record(identifier.name, "absent", problem=problem)
        url = (
            f"{self.remote.data_url.rstrip('/')}/rest/v1/holdings/removed/{identifier.name.upper()}"
        )
        try:
            successors = parse_successors(await downloader.json(url))
        except Absent:
            return _record(identifier.name, "absent", problem=problem)
        except Unusable as error:
            return _record(identifier.name, "failed", problem=f"{problem}; {url}: {error}")
        if not successors:
            return _record(identifier.name, "withdrawn", problem="obsolete, nothing replaced it")
        before = (*before, identifier.name)
        new = [name for name in successors if name not in before]
        return await self.replace_by(identifier, new, downloader, before)

    async def replace_by(
        self,
        identifier: Identifier,
        successors: list[str],
        downloader: AsyncDownloader,
        before: tuple[str, ...],
    ) -> Record:
        """Store the first successor that can be had; the others are named in the record."""
        said = f"obsolete, replaced by {', '.join(successors)}"
        problems = []
        for name in successors:
            known = self.journal.get(name)
            if known is None or known.status != "stored" or not self.has_size(known):
                known = await self.settle(Identifier("pdb", name), downloader, before)
                self.journal.put(known)
            if known.status == "stored":
                return _record(identifier.name, "superseded", entry=name, problem=said)
            if known.status == "superseded":
                return _record(identifier.name, "superseded", entry=known.entry, problem=said)
            problems.append(f"{name}: {known.problem}")
        return _record(identifier.name, "failed", problem=f"{said}; {'; '.join(problems)}")


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Hold a folder against other runs, and remove what a killed run left half-done."""
    hidden = folder / HIDDEN
    try:
        (hidden / "partial").mkdir(parents=True, exist_ok=True)
        with FileLock(hidden / "lock", timeout=0):
            for path in (hidden / "partial").iterdir():
                path.unlink()
            yield
    except Timeout:
        raise DownloadError(
            str(folder),
            problem="another run downloads into this folder",
            remedy="Wait for it, or choose another folder",
        ) from None
    except OSError as error:
        raise DownloadError(
            str(folder),
            problem=f"the folder cannot be used ({error.strerror or error})",
            remedy="Free some space or choose another folder",
        ) from error


def _first(group: ExceptionGroup) -> Exception:
    """Return the error to show of those that ended the workers; bugs before errors of use."""
    errors: list[Exception] = []
    for error in group.exceptions:
        errors.append(_first(error) if isinstance(error, ExceptionGroup) else error)
    return next((error for error in errors if not isinstance(error, DebyeError)), errors[0])


def _record(
    identifier: str,
    status: Status,
    *,
    file: str = "",
    size: int = 0,
    sha256: str = "",
    source: str = "",
    entry: str = "",
    problem: str = "",
) -> Record:
    return Record(
        id=identifier, status=status, file=file, bytes=size, sha256=sha256, source=source,
        entry=entry, problem=problem, date=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
