"""HTTP: one client that is patient with busy servers and stores only complete, checked files."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, NonNegativeFloat, PositiveFloat, PositiveInt

from debye.errors import DownloadError
from debye.files import replacing
from debye.version import library_version

if TYPE_CHECKING:
    import httpx

BUSY = frozenset({408, 425, 429})
"""Answers after which another attempt may succeed, besides 500 and above."""
ABSENT = frozenset({400, 404, 410, 422})
"""Answers that mean there is no such entry; AlphaFold DB answers 400 or 422 to impossible ones."""
AVOID_AFTER, AVOID_SECONDS = 10, 300.0
"""Files that a server fails to deliver in a row before another one, if there is one, is preferred; for how long, s."""

Answer = TypeVar("Answer")


class RemoteSettings(BaseModel, frozen=True, extra="forbid"):
    """Where the servers are and how patient the client is."""

    servers: dict[str, str] = {}
    """Base addresses in place of the usual ones, by the name of the server (see :class:`debye.archives.archive.Archive`
    and :mod:`debye.dataset.search.rcsb`)."""
    attempts: PositiveInt = 5
    """How often a request is tried when the server is busy or the connection breaks."""
    timeout: PositiveFloat = 20.0
    """Seconds without a byte after which an attempt ends."""
    deadline: PositiveFloat = 600.0
    """Seconds that one attempt may take in all, however slowly the bytes drip."""
    first_wait: NonNegativeFloat = 0.5
    """Seconds before the second attempt; doubles with every further one, half of it at random."""
    longest_wait: NonNegativeFloat = 60.0
    """Seconds between attempts, unless the server demands more with Retry-After."""
    longest_rest: NonNegativeFloat = 3600.0
    """Seconds; if a server demands more with Retry-After, the run ends."""
    rests: PositiveInt = 50
    """How often a request heeds a Retry-After; such attempts are counted separately."""
    largest: PositiveInt = 4_000_000_000
    """Bytes of one answer; larger ones are refused."""

    @classmethod
    def from_environment(cls, **settings: Any) -> RemoteSettings:
        """Take base addresses from the variables ``DEBYE_<SERVER>_URL``, for mirrors and proxies of the archives."""
        found = {
            match[1].lower(): value
            for name, value in os.environ.items()
            if value and (match := re.fullmatch(r"DEBYE_([A-Z0-9_]+)_URL", name))
        }
        return cls(servers=found, **settings)

    def address(self, server: str, usual: str) -> str:
        """Return the base address of a server, without a slash at its end."""
        return self.servers.get(server, usual).rstrip("/")


class Absent(Exception):
    """The server has no such file; another attempt is useless."""


class Unusable(Exception):
    """The server did not deliver a usable answer in any attempt."""


class Retry(Exception):
    """This attempt failed, another may succeed; ``wait`` is what the server demands, seconds."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class Stopped(Exception):
    """Another thread ended the work of the client."""


class _NoContent(Exception):
    """The server understood the question, and the answer is empty."""


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that is in place."""

    url: str
    path: Path
    bytes: int
    sha256: str


class HttpClient:
    """Connection pool that threads share; use it in a ``with`` statement.

    When a server demands a rest (Retry-After), no request of any thread starts before its end.
    """

    def __init__(self, settings: RemoteSettings | None = None) -> None:
        import httpx  # a tenth of a second that only downloads should pay

        self.settings = settings or RemoteSettings.from_environment()
        self.client = httpx.Client(
            verify=_ssl_context(),
            timeout=self.settings.timeout,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            follow_redirects=True,
            headers={"User-Agent": f"debye/{library_version()}", "Accept-Encoding": "identity"},
        )
        self.random = random.Random()
        self.rest_until = 0.0
        self.failures: Counter[str] = Counter()
        self.avoided_until: dict[str, float] = {}
        self.stopped = threading.Event()
        self.lock = threading.Lock()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def stop(self) -> None:
        """Let the requests of all threads end with :class:`Stopped`, at the next piece or wait."""
        self.stopped.set()

    def json(self, url: str, question: Any = None) -> Any:
        """Return the JSON document at an address.

        A question is posted as JSON; the answer to it may be None, "no content".

        Raises:
            Absent: There is no such document.
            Unusable: The server refused, or no attempt succeeded.
        """

        def attempt() -> Any:
            try:
                body = b"".join(self._stream(url, question))
                return json.loads(body)
            except _NoContent:
                return None
            except ValueError as error:  # the page of a busy server
                raise Retry(f"the answer is not JSON: {body[:60]!r}") from error

        return self._patiently(url, attempt)

    def save(
        self,
        url: str,
        path: Path,
        check: Callable[[Path, str], str | None],
        partial_folder: Path | None = None,
    ) -> SavedFile:
        """Download a file to ``path``, where it appears only when complete, checked and on the disk.

        Args:
            check: Returns the fault of a file, or None; gets its present path and its later name.
            partial_folder: Where the unfinished file lies, on the same disk; the folder of ``path`` if not given.

        Raises:
            Absent: There is no such file.
            Unusable: No attempt succeeded.
            DownloadError: The file cannot be stored, or the server demands too long a rest.
        """

        def attempt() -> SavedFile:
            digest = hashlib.sha256()
            with replacing(path, DownloadError, partial_folder) as part:
                with part.open("wb") as file:
                    for piece in self._stream(url):
                        file.write(piece)
                        digest.update(piece)
                    file.flush()
                    os.fsync(file.fileno())
                    size = file.tell()
                if problem := check(part, path.name):
                    raise Retry(problem)
            return SavedFile(url, path, size, digest.hexdigest())

        folder = url.rsplit("/", 1)[0]
        try:
            saved = self._patiently(url, attempt)
        except Unusable:
            with self.lock:
                self.failures[folder] += 1
                if self.failures[folder] >= AVOID_AFTER:
                    self.avoided_until[folder] = time.monotonic() + AVOID_SECONDS
            raise
        except Absent:
            self.failures[folder] = 0
            raise
        self.failures[folder] = 0
        return saved

    def avoidance(self, url: str) -> str | None:
        """Say why a server should not be used for a file now, because it failed again and again, or None."""
        folder = url.rsplit("/", 1)[0]
        if time.monotonic() < self.avoided_until.get(folder, 0.0):
            return f"not used after {self.failures[folder]} failures in a row"
        return None

    def _patiently(self, url: str, attempt: Callable[[], Answer]) -> Answer:
        """Try until it works, the attempts are used up, or there is no such file."""
        settings, failures, rests = self.settings, 0, 0
        while True:
            while (left := self.rest_until - time.monotonic()) > 0:
                # With jitter: threads must not all start at the same instant.
                self._sleep(left + self.random.uniform(0, settings.first_wait))
            try:
                return attempt()
            except Retry as error:
                if error.wait is None:
                    failures += 1
                else:
                    rests += 1
                    _refuse_long(url, error.wait, settings)
                if failures >= settings.attempts or rests >= settings.rests:
                    problem = f"{error}, in the last of {failures + rests} attempts"
                    raise Unusable(problem) from error
                wait = wait_before(failures + rests, error.wait, settings, self.random)
                if error.wait is None:
                    self._sleep(wait)
                else:
                    with self.lock:
                        self.rest_until = max(self.rest_until, time.monotonic() + wait)

    def _sleep(self, seconds: float) -> None:
        if self.stopped.wait(seconds):
            raise Stopped

    def _stream(self, url: str, question: Any = None) -> Iterator[bytes]:
        """Yield the body of an answer; a problem that may pass raises ``Retry``."""
        import httpx

        stop, size = time.monotonic() + self.settings.deadline, 0
        method = "GET" if question is None else "POST"
        try:
            with self.client.stream(method, url, json=question) as response:
                if question is not None and response.status_code == 204:
                    raise _NoContent
                if question is not None and response.status_code == 400:
                    raise Unusable(f"HTTP 400: {response.read()[:500].decode(errors='replace')}")
                _check_status(response)
                # A .gz file is stored as it is, even if the server calls gzip the encoding.
                is_gzip = response.url.path.endswith(".gz")
                for piece in response.iter_raw() if is_gzip else response.iter_bytes():
                    yield piece
                    size += len(piece)
                    if size > self.settings.largest:
                        raise Unusable(f"more than {self.settings.largest:,} bytes")
                    if time.monotonic() > stop:
                        raise Retry(f"not complete after {self.settings.deadline:g} s")
                    self._sleep(0)
        # httpx lets errors of TLS in the middle of a body through as they are.
        except (httpx.TransportError, httpx.DecodingError, OSError) as error:
            raise Retry(f"{type(error).__name__}: {error}") from error
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise Unusable(f"{type(error).__name__}: {error}") from error


@cache
def _ssl_context() -> ssl.SSLContext:
    """One for all clients: reading the certificates takes longer than a download."""
    import httpx

    return httpx.create_ssl_context()


def _refuse_long(url: str, seconds: float, settings: RemoteSettings) -> None:
    """Raise a DownloadError if a server demands a longer rest than is allowed."""
    if seconds > settings.longest_rest:
        moment = datetime.now(UTC) + timedelta(seconds=min(seconds, 1e9))
        raise DownloadError(
            url,
            f"the server asks to wait until {moment:%Y-%m-%d %H:%M} UTC ({seconds:.0f} s)",
            "Run again after that time: what is complete is kept",
        )


def wait_before(
    number: int, demanded: float | None, settings: RemoteSettings, generator: random.Random
) -> float:
    """Return the seconds to wait before attempt ``number`` (1 is the second one).

    The wait doubles, with jitter, and is at least what the server demands: one that demands 0 s is busy all the same.
    """
    wait = min(settings.first_wait * 2 ** min(number - 1, 30), settings.longest_wait)
    # Without jitter, clients that failed together come back together.
    return max(demanded or 0.0, wait * generator.uniform(0.5, 1.0))


def _check_status(response: httpx.Response) -> None:
    """Sort the server's answer into good, absent, later and never."""
    status = response.status_code
    if status in ABSENT:
        raise Absent(f"HTTP {status}")
    if status in BUSY or status >= 500:
        raise Retry(f"HTTP {status}", retry_after(response.headers.get("Retry-After")))
    if status != 200:
        raise Unusable(f"HTTP {status}")


def retry_after(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header demands, a number or a date; None if it has neither.

    Example:
        >>> retry_after("3"), retry_after("soon"), retry_after("Wed, 21 Oct 2015 07:28:00 GMT")
        (3.0, None, 0.0)
    """
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
