"""Many files over HTTP at once, with the manners of :mod:`debye.archives.download`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from debye.archives.download import (
    USER_AGENT,
    Pause,
    RemoteSettings,
    Retry,
    Tries,
    Unusable,
    check_status,
    parse_json,
    ssl_context,
)
from debye.errors import DownloadError

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that is in place."""

    path: Path
    bytes: int
    sha256: str


class AsyncDownloader:
    """Keeps the connections of many downloads; use it in an ``async with`` statement.

    When a server asks to wait, no download begins before that time: the limit is that of the client, not of a file.
    """

    def __init__(self, settings: RemoteSettings, connections: int, partial: Path) -> None:
        import httpx

        self.settings = settings
        self.partial = partial
        self.random = random.Random()
        self.pause = Pause(settings, self.random)
        self.client = httpx.AsyncClient(
            verify=ssl_context(),
            # A task waits for its turn outside; inside the pool there is a connection for each.
            timeout=httpx.Timeout(settings.timeout, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=True,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> AsyncDownloader:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def json(self, url: str) -> Any:
        """Return the parsed JSON document at an address."""

        async def attempt() -> Any:
            async with aclosing(self._stream(url)) as pieces:
                return parse_json(b"".join([piece async for piece in pieces]))

        return await self._patiently(url, attempt)

    async def save(
        self, url: str, path: Path, check: Callable[[Path, str], str | None]
    ) -> SavedFile:
        """Download a file to ``path``, which appears only when complete, checked and on the disk.

        Args:
            url: Address.
            path: Where the file shall lie; the folder of partial files must be on the same disk.
            check: Says what is wrong with the file, given its name once it is in place.
        """

        async def attempt() -> SavedFile:
            temporary = self.partial / f"{path.name}.{uuid.uuid4().hex[:8]}"
            try:
                size, digest = await self._store(url, temporary)
                if problem := await asyncio.to_thread(check, temporary, path.name):
                    raise Retry(problem)
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(path)
            except OSError as error:
                raise DownloadError(
                    str(path),
                    problem=f"the download cannot be stored: {error.strerror or error}",
                    remedy="Free some space and run again: what is complete is kept",
                ) from error
            finally:
                temporary.unlink(missing_ok=True)
            return SavedFile(path, size, digest)

        return await self._patiently(url, attempt)

    async def _store(self, url: str, temporary: Path) -> tuple[int, str]:
        """Write what a server sends piece by piece; returns size and SHA-256."""
        digest = hashlib.sha256()
        with temporary.open("xb") as file:
            async with aclosing(self._stream(url)) as pieces:
                async for piece in pieces:
                    file.write(piece)
                    digest.update(piece)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
            return file.tell(), digest.hexdigest()

    async def _patiently(self, url: str, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        """Try until it works, the attempts are used up, or there is no such file."""
        tries = Tries(url, self.settings, self.random)
        while True:
            while (wait := self.pause.left()) > 0:
                await asyncio.sleep(wait)
            try:
                async with asyncio.timeout(self.settings.deadline):
                    return await attempt()
            except TimeoutError:
                failure = Retry(f"not complete after {self.settings.deadline:g} s")
            except Retry as error:
                failure = error
            wait = tries.wait_after(failure)
            if failure.wait is not None:
                self.pause.extend(wait)
            else:
                await asyncio.sleep(wait)

    async def _stream(self, url: str) -> AsyncGenerator[bytes]:
        """Yield the body of an answer; a problem that may pass raises ``Retry``."""
        import httpx

        try:
            async with self.client.stream("GET", url) as response:
                check_status(response)
                # A .gz file is stored as it is, even if the server calls gzip the encoding.
                is_gzip = response.url.path.endswith(".gz")
                async for piece in response.aiter_raw() if is_gzip else response.aiter_bytes():
                    yield piece
        # httpx lets errors of TLS in the middle of a body through as they are.
        except (httpx.TransportError, httpx.DecodingError, OSError) as error:
            raise Retry(f"{type(error).__name__}: {error}") from error
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise Unusable(f"{type(error).__name__}: {error}") from error
