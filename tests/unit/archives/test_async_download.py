"""Downloads at the same time: patience, and what is told apart from a full disk."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from servers.archive import ArchiveServer, Fault, running

from debye.archives.async_download import AsyncDownloader, SavedFile
from debye.archives.download import RemoteSettings, Unusable

QUICK = RemoteSettings(attempts=3, timeout=3.0, first_wait=0.02, longest_wait=0.05)


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with running() as archive:
        archive.files |= {f"/{name}": name.encode() for name in "abcd"}
        yield archive


def save(
    server: ArchiveServer, folder: Path, names: str, settings: RemoteSettings = QUICK
) -> list[SavedFile]:
    """Download some files at the same time, the others once the first was told to rest."""

    async def run() -> list[SavedFile]:
        async with AsyncDownloader(settings, len(names), folder) as downloader:

            async def one(name: str) -> SavedFile:
                async with asyncio.timeout(10):
                    while name != names[0] and not downloader.pause.until:
                        await asyncio.sleep(0.005)
                target = folder / "done" / name
                return await downloader.save(f"{server.url}/{name}", target, lambda *_: None)

            return await asyncio.gather(*map(one, names))

    return asyncio.run(run())


def test_no_connection_asks_while_one_was_told_to_wait(server, tmp_path):
    server.fail("/a", Fault(status=429, headers={"Retry-After": "1"}))
    save(server, tmp_path, "abcd")
    (first, path), *others = server.times
    assert path == "/a"
    assert sorted(name for _, name in others) == ["/a", "/b", "/c", "/d"]
    assert all(moment - first >= 0.99 for moment, _ in others)


def test_an_attempt_ends_at_the_deadline(server, tmp_path):
    hasty = QUICK.model_copy(update={"deadline": 0.2, "attempts": 2})
    server.files["/a"] = b"a" * 100
    server.fail("/a", *[Fault(drip=0.05)] * 2)
    start = time.monotonic()
    with pytest.raises(Unusable, match=r"not complete after 0\.2 s, in the last of 2 attempts"):
        save(server, tmp_path, "a", hasty)
    assert time.monotonic() - start < 3
    assert not list(tmp_path.iterdir())


def test_an_error_of_tls_is_no_full_disk(server, tmp_path, monkeypatch):
    real, calls = httpx.Response.aiter_bytes, []

    async def broken(response: httpx.Response, *_: object) -> AsyncIterator[bytes]:
        calls.append(response)
        async for piece in real(response):
            yield piece
            if len(calls) == 1:
                raise ssl.SSLError(1, "bad record mac")

    monkeypatch.setattr(httpx.Response, "aiter_bytes", broken)
    (saved,) = save(server, tmp_path, "a")
    assert saved.path.read_bytes() == b"a"
    assert server.requests == {"/a": 2}
