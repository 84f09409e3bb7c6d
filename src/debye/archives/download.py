"""Files over HTTP: patient with busy servers, and never a half or wrong file in its place."""

from __future__ import annotations

import gzip
import json
import os
import random
import ssl
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, NonNegativeFloat, PositiveFloat, PositiveInt

from debye.errors import DownloadError
from debye.version import library_version

if TYPE_CHECKING:
    import httpx

BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which another attempt may succeed."""
ABSENT = frozenset({400, 404, 410, 422})
"""Answers that mean there is no such entry; AlphaFold DB says 400 or 422 to impossible ones."""
USER_AGENT = f"debye/{library_version()}"


class RemoteSettings(BaseModel, frozen=True, extra="forbid"):
    """Where structures come from and how patient to be."""

    models_url: str = "https://models.rcsb.org"
    """Serves ``/<id>.bcif.gz``; environment variable ``DEBYE_MODELS_URL``."""
    files_url: str = "https://files.rcsb.org"
    """Serves ``/download/<id>.cif.gz``; environment variable ``DEBYE_FILES_URL``."""
    alphafold_url: str = "https://alphafold.ebi.ac.uk"
    """Serves ``/api/prediction/<accession>``; environment variable ``DEBYE_ALPHAFOLD_URL``."""
    search_url: str = "https://search.rcsb.org"
    """Serves ``/rcsbsearch/v2/query``; environment variable ``DEBYE_SEARCH_URL``."""
    data_url: str = "https://data.rcsb.org"
    """Serves ``/graphql`` and ``/rest/v1/holdings``; environment variable ``DEBYE_DATA_URL``."""
    clusters_url: str = "https://cdn.rcsb.org"
    """Serves ``/resources/sequence/clusters``; environment variable ``DEBYE_CLUSTERS_URL``."""
    attempts: PositiveInt = 5
    """How often a request is tried when the server is busy or the line breaks."""
    timeout: PositiveFloat = 20.0
    """Seconds without a byte before an attempt is given up."""
    deadline: PositiveFloat = 600.0
    """Seconds that one attempt may take in all, however slowly the bytes drip."""
    first_wait: NonNegativeFloat = 0.5
    """Seconds before the second attempt; doubles with every further one, half of it at random."""
    longest_wait: NonNegativeFloat = 60.0
    """Seconds between attempts, unless the server asks for more with Retry-After."""
    longest_rest: NonNegativeFloat = 3600.0
    """Seconds; if a server asks for more with Retry-After, the run ends."""
    rests: PositiveInt = 50
    """How often a request heeds a Retry-After; such attempts do not count among the others."""

    @classmethod
    def from_environment(cls) -> RemoteSettings:
        """Read the base addresses from the environment, for mirrors and proxies of the archives."""
        fields = [name for name in cls.model_fields if name.endswith("_url")]
        found = {name: os.environ.get(f"DEBYE_{name.upper()}", "") for name in fields}
        return cls.model_validate({name: value for name, value in found.items() if value})


class Absent(Exception):
    """The server has no such file; another attempt is useless."""


class Unusable(Exception):
    """The server did not deliver a usable file in any attempt."""


class Retry(Exception):
    """This attempt failed, another may not; ``wait`` is what the server asks for, seconds."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class _NoContent(Exception):
    """The server understood the question, and there is nothing to answer."""


class Downloader:
    """Keeps one connection pool; use it in a ``with`` statement."""

    def __init__(self, settings: RemoteSettings) -> None:
        import httpx  # a tenth of a second that only downloads should pay

        self.settings = settings
        self.client = httpx.Client(
            verify=ssl_context(),
            timeout=settings.timeout,
            follow_redirects=True,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )
        self.random = random.Random()
        self.pause = Pause(settings, self.random)

    def __enter__(self) -> Downloader:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def json(self, url: str, question: Any = None) -> Any:
        """Return the JSON document that a server answers; to a question also None, "no content".

        Args:
            url: Address.
            question: Posted as JSON; None: the document is only asked for.
        """

        def attempt() -> Any:
            try:
                return parse_json(b"".join(self._stream(url, question)))
            except _NoContent:
                return None

        return self._patiently(url, attempt)

    def save(
        self, url: str, path: Path, check: Callable[[Path, str], str | None] | None = None
    ) -> Path:
        """Download a file to ``path``, which appears only when complete and checked.

        Args:
            url: Address.
            path: Where the file shall lie.
            check: Says what is wrong with the file, given its name once it is in place;
                :func:`body_problem`, for structures, if not given.
        """
        problem_of = check or body_problem

        def attempt() -> Path:
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with temporary.open("xb") as file:
                    for piece in self._stream(url):
                        file.write(piece)
                if problem := problem_of(temporary, path.name):
                    raise Retry(problem)
                return temporary.replace(path)
            except OSError as error:
                raise DownloadError(
                    str(path),
                    problem=f"the download cannot be stored: {error.strerror or error}",
                    remedy="Free some space or choose another cache folder",
                ) from error
            finally:
                temporary.unlink(missing_ok=True)

        return self._patiently(url, attempt)

    def _patiently(self, url: str, attempt: Any) -> Any:
        """Try until it works, the attempts are used up, or there is no such file."""
        tries = Tries(url, self.settings, self.random)
        while True:
            while (wait := self.pause.left()) > 0:
                time.sleep(wait)
            try:
                return attempt()
            except Retry as error:
                wait = tries.wait_after(error)
                if error.wait is not None:
                    self.pause.extend(wait)
                else:
                    time.sleep(wait)

    def _stream(self, url: str, question: Any = None) -> Iterator[bytes]:
        """Yield the body of an answer; a problem that may pass raises ``Retry``."""
        import httpx

        stop = time.monotonic() + self.settings.deadline
        method = "GET" if question is None else "POST"
        try:
            with self.client.stream(method, url, json=question) as response:
                if question is not None and response.status_code == 204:
                    raise _NoContent
                if question is not None and response.status_code == 400:
                    raise Unusable(f"HTTP 400: {response.read()[:500].decode(errors='replace')}")
                check_status(response)
                # A .gz file is stored as it is, even if the server calls gzip the encoding.
                is_gzip = response.url.path.endswith(".gz")
                for piece in response.iter_raw() if is_gzip else response.iter_bytes():
                    yield piece
                    if time.monotonic() > stop:
                        raise Retry(f"not complete after {self.settings.deadline:g} s")
        # httpx lets errors of TLS in the middle of a body through as they are.
        except (httpx.TransportError, httpx.DecodingError, OSError) as error:
            raise Retry(f"{type(error).__name__}: {error}") from error
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise Unusable(f"{type(error).__name__}: {error}") from error


@cache
def ssl_context() -> ssl.SSLContext:
    """One for all clients: reading the certificates takes longer than a download."""
    import httpx

    return httpx.create_ssl_context()


class Pause:
    """The rest that a server asked for: of all requests of a client, not only of the one that was told.

    Threads may share it. After the rest they start one by one, not at the same instant.
    """

    def __init__(self, settings: RemoteSettings, generator: random.Random) -> None:
        self.spread = min(settings.first_wait, settings.longest_wait)
        self.random = generator
        self.until = 0.0
        self.lock = threading.Lock()

    def extend(self, seconds: float) -> None:
        """Begin a rest, unless a longer one is on."""
        with self.lock:
            self.until = max(self.until, time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds to wait, with jitter; 0 where there is no rest."""
        left = self.until - time.monotonic()
        return left + self.random.uniform(0.0, self.spread) if left > 0 else 0.0


class Tries:
    """Counts the attempts of one request, and says how long to wait after each."""

    def __init__(self, url: str, settings: RemoteSettings, generator: random.Random) -> None:
        self.url = url
        self.settings = settings
        self.random = generator
        self.failures = 0
        self.rests = 0

    def wait_after(self, error: Retry) -> float:
        """Return the seconds to wait before the next attempt.

        Raises:
            Unusable: There is none.
            DownloadError: The server asks for more patience than is allowed.
        """
        if error.wait is None:
            self.failures += 1
        else:
            self.rests += 1
            self._refuse_long(error.wait)
        if self.failures >= self.settings.attempts or self.rests >= self.settings.rests:
            number = self.failures + self.rests
            raise Unusable(f"{error}, in the last of {number} attempts") from error
        return wait_before(self.failures + self.rests, error.wait, self.settings, self.random)

    def _refuse_long(self, seconds: float) -> None:
        if seconds > self.settings.longest_rest:
            moment = datetime.now(UTC) + timedelta(seconds=min(seconds, 1e9))
            raise DownloadError(
                self.url,
                problem=f"the server asks to wait until {moment:%Y-%m-%d %H:%M} UTC ({seconds:.0f} s)",
                remedy="Run again after that time: what is complete is kept",
            )


def wait_before(
    number: int, asked: float | None, settings: RemoteSettings, generator: random.Random
) -> float:
    """Return the seconds to wait before attempt ``number`` (1 is the second one).

    Doubling with jitter, and at least as long as the server asks: one that asks for no seconds is busy all the same.
    """
    wait = min(settings.first_wait * 2 ** min(number - 1, 30), settings.longest_wait)
    # Without jitter, clients that failed together come back together.
    return max(asked or 0.0, wait * generator.uniform(0.5, 1.0))


def parse_json(body: bytes) -> Any:
    """Return the document of an answer; what is no JSON, a busy server's page, may be better soon."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise Retry(f"the answer is no JSON: {body[:60]!r}") from error


def check_status(response: httpx.Response) -> None:
    """Sort the server's answer into good, absent, later and never."""
    status = response.status_code
    if status in ABSENT:
        raise Absent(f"HTTP {status}")
    if status in BUSY or status >= 500:
        raise Retry(f"HTTP {status}", retry_after(response.headers.get("Retry-After")))
    if status != 200:
        raise Unusable(f"HTTP {status}")


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date; None if it says nothing.

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


def body_problem(path: Path, name: str | None = None) -> str | None:
    """Say what is wrong with a structure file, or None: complete, and of the kind its name says.

    Args:
        path: File to check.
        name: Its name once it is in place, if it has another one now.
    """
    name = name or path.name
    data = path.read_bytes()
    if not data:
        return "the file is empty"
    start = data.lstrip()[:200].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"{", b"[")):
        return f"no structure file but {start[:40].decode(errors='replace')!r}"
    if name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            return f"truncated or damaged gzip ({error})"
    return _content_problem(data, Path(name.removesuffix(".gz")).suffix)


def _content_problem(data: bytes, suffix: str) -> str | None:
    """Compare a file with what its suffix promises."""
    if suffix == ".bcif":
        return _bcif_problem(data)
    if suffix == ".cif":
        is_cif = data.startswith(b"data_") or b"\ndata_" in data[:65_536]
        return None if is_cif and b"_atom_site." in data else "no mmCIF file with atoms"
    if suffix == ".pdb":
        return None if b"\nEND" in data[-4096:] else "no complete PDB file: END is missing"
    return f"unknown suffix {suffix!r}"


def _bcif_problem(data: bytes) -> str | None:
    """BinaryCIF is one whole MessagePack map that has data blocks."""
    import msgpack

    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        is_map = 0x80 <= data[0] <= 0x8F and b"dataBlocks" in data
        if is_map:
            unpacker.skip()
            return None
    except msgpack.OutOfData:
        return "truncated BinaryCIF"
    except ValueError as error:
        return f"damaged BinaryCIF ({error})"
    return f"no BinaryCIF: it starts with {data[:16]!r}"
