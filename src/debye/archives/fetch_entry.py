"""What becomes of one identifier: its file is there, is downloaded, is another entry's, or cannot be had."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from debye.archives.async_download import AsyncDownloader
from debye.archives.download import Absent, Unusable
from debye.archives.entry_check import entry_problem
from debye.archives.journal import Journal, Record, Status
from debye.archives.remote import (
    Identifier,
    alphafold_listing,
    alphafold_sources,
    entry_folder,
    local_files,
    pdb_sources,
)
from debye.dataset.search.rcsb import holdings_url, parse_successors

HIDDEN = ".fetch"
"""Folder of the journal, the lock, and the partial and rejected files."""
REJECTED = "rejected"
"""Folder, in the hidden one, of files that were in the mirror and are not what their names say."""


@dataclass(slots=True)
class Breaker:
    """Leaves servers alone that fail again and again, where another one has the same entries."""

    most: int = 10
    """Failures in a row after which a server is left alone."""
    rest: float = 300.0
    """Seconds until it is tried again."""
    failures: Counter[str] = field(default_factory=Counter)
    """In a row, by address."""
    closed_until: dict[str, float] = field(default_factory=dict)

    def note(self, address: str, *, delivered: bool) -> None:
        """Note an answer, or that there was none after all attempts."""
        self.failures[address] = 0 if delivered else self.failures[address] + 1
        if self.failures[address] >= self.most:
            self.closed_until[address] = time.monotonic() + self.rest

    def problem(self, address: str) -> str | None:
        """Say why a server is not asked, or None."""
        if time.monotonic() < self.closed_until.get(address, 0.0):
            return f"not asked after {self.failures[address]} failures in a row"
        return None


@dataclass(slots=True)
class EntryFetcher:
    """Settles one identifier after another, many at a time, and counts what it downloads."""

    folder: Path
    journal: Journal
    downloader: AsyncDownloader
    refresh_since: str = ""
    """Download also what is there, unless it was stored after this time, UTC; empty: not what is there."""
    verify: bool = False
    """Compare checksums, also of what replaced an obsolete entry."""
    fetched: int = 0
    """Files that were downloaded."""
    bytes: int = 0
    """Of these files."""
    breaker: Breaker = field(default_factory=Breaker)
    locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """An entry may be asked for by its own name and, at the same time, by that of an obsolete one."""

    async def settle(self, identifier: Identifier, before: tuple[str, ...] = ()) -> Record:
        """Get the file of an entry into the folder, or find out why there is none.

        Args:
            identifier: Asked for.
            before: Obsolete entries that led here.
        """
        known = self.journal.get(identifier.name)
        lock = self.locks.setdefault(identifier.name, asyncio.Lock())
        try:
            async with lock:
                if not self.refresh_since:
                    record = await asyncio.to_thread(self._check_local, identifier, known)
                    if record is not None:
                        return record
                return await self._download(identifier, await self._sources(identifier))
        except Absent as error:
            record = await self._follow(identifier, str(error), before)
        except Unusable as error:
            record = new_record(identifier.name, "failed", problem=str(error))
        except OSError as error:
            problem = f"{error.filename or 'a file'} cannot be used ({error.strerror or error})"
            record = new_record(identifier.name, "failed", problem=problem)
        if record.status in ("failed", "absent") and known and self.is_stored(known):
            return replace(
                known, status="stale", problem=f"could not be refreshed: {record.problem}"
            )
        return record

    def is_settled(self, name: str) -> bool:
        """Tell without reading a file whether nothing is left to do for an entry, or what replaced it."""
        record = self.journal.get(name)
        if record is not None and self._is_recent(record) and record.status == "superseded":
            record = self.journal.get(record.entry)
        if record is None or not self._is_recent(record):
            return False
        if record.status in ("withdrawn", "absent"):
            return bool(
                self.refresh_since
            )  # every run asks for them again, but a refresh only once
        return record.status == "stored" and self.is_stored(record)

    def _is_recent(self, record: Record) -> bool:
        return not self.verify and record.date > self.refresh_since

    def is_stored(self, record: Record | None) -> bool:
        """Tell whether a file is recorded, and still there with the size that it had."""
        return record is not None and record.is_in(self.folder)

    def _check_local(self, identifier: Identifier, known: Record | None) -> Record | None:
        """Take over a file that is there: one that was recorded by its checksum, others by their content.

        What is not right is put aside: left in its place, it could be preferred to what is downloaded.
        """
        for path in list(local_files(identifier, self.folder)):
            name = path.relative_to(self.folder).as_posix()
            if known is not None and known.status in ("stored", "stale") and known.file == name:
                if digest_of(path) == known.sha256:
                    if known.status == "stale":
                        continue  # right, but outdated: it stays until there is a better one
                    return known
            elif entry_problem(path, path.name, identifier.name) is None:
                size, digest = path.stat().st_size, digest_of(path)
                return new_record(identifier.name, "stored", file=name, size=size, sha256=digest)
            self._reject(path)
        return None

    def _reject(self, path: Path) -> None:
        """Put a wrong file where nobody looks for entries; it may be the user's only copy."""
        rejected = self.folder / HIDDEN / REJECTED / path.relative_to(self.folder)
        rejected.parent.mkdir(parents=True, exist_ok=True)
        path.replace(rejected)

    def _delete_others(self, identifier: Identifier, kept: Path | None = None) -> None:
        """Delete the files of an entry that what was just learned outdates."""
        for path in list(local_files(identifier, self.folder)):
            if path != kept:
                path.unlink()

    async def _sources(self, identifier: Identifier) -> list[str]:
        """List the addresses of an entry, the preferred one first."""
        settings = self.downloader.settings
        if identifier.archive == "pdb":
            return pdb_sources(identifier, settings)
        models = await self.downloader.json(alphafold_listing(identifier, settings))
        return alphafold_sources(identifier, models)

    async def _download(self, identifier: Identifier, sources: list[str]) -> Record:
        """Store the entry from the first address that serves it.

        Raises:
            Absent: No address has it.
            Unusable: One might have it, but did not deliver.
        """
        check = partial(entry_problem, expected=identifier.name)
        problems: list[str] = []
        absent = True
        for url in sources:
            address = url.rsplit("/", 1)[0]
            if url != sources[-1] and (said := self.breaker.problem(address)):
                problems.append(f"{url}: {said}")
                absent = False
                continue
            target = self.folder / entry_folder(identifier) / url.rsplit("/", 1)[-1]
            try:
                saved = await self.downloader.save(url, target, check)
            except (Absent, Unusable) as error:
                problems.append(f"{url}: {error}")
                absent = absent and isinstance(error, Absent)
                self.breaker.note(address, delivered=isinstance(error, Absent))
                continue
            self.breaker.note(address, delivered=True)
            self._delete_others(identifier, target)
            self.fetched += 1
            self.bytes += saved.bytes
            return new_record(
                identifier.name,
                "stored",
                file=target.relative_to(self.folder).as_posix(),
                size=saved.bytes,
                sha256=saved.sha256,
                source=url,
                problem="; ".join(problems),
            )
        raise (Absent if absent else Unusable)("; ".join(problems))

    async def _follow(
        self, identifier: Identifier, problem: str, before: tuple[str, ...]
    ) -> Record:
        """Store what replaced an entry that the archive does not have any more.

        Of several successors the first that can be had is stored; all are named in the record.
        """
        name = identifier.name
        if identifier.archive != "pdb":
            return new_record(name, "absent", problem=problem)
        url = holdings_url(name, self.downloader.settings)
        try:
            successors = parse_successors(await self.downloader.json(url))
        except Absent:
            return new_record(name, "absent", problem=problem)
        except Unusable as error:
            return new_record(name, "failed", problem=f"{problem}; {url}: {error}")
        said = f"obsolete, replaced by {', '.join(successors) or 'nothing'}"
        before = (*before, name)
        found: list[Record] = []
        for successor in successors:
            if successor in before:
                continue  # two entries cannot replace each other
            record = self.journal.get(successor)
            if record is None or not self.is_settled(successor):
                record = await self.settle(Identifier("pdb", successor), before)
                self.journal.put(record)
            if record.status in ("stored", "stale", "superseded"):
                entry = record.entry or record.id
                self._delete_others(identifier)
                return new_record(name, "superseded", entry=entry, problem=said)
            found.append(record)
        # Another run may help where a server failed, and only there.
        status = "failed" if any(record.status == "failed" for record in found) else "withdrawn"
        if status == "withdrawn":
            self._delete_others(identifier)
        details = [said, *(f"{record.id}: {record.problem}" for record in found)]
        return new_record(name, status, problem="; ".join(details))


def new_record(
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
    """Return a record with the time of now."""
    return Record(
        id=identifier, status=status, file=file, bytes=size, sha256=sha256, source=source,
        entry=entry, problem=problem, date=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )  # fmt: skip


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
