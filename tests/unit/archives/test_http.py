"""The client against a local server with faults: patience, rests, limits."""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from servers.archive import ArchiveServer, Fault, running

from debye.archives.http import (
    Absent,
    HttpClient,
    RemoteSettings,
    SavedFile,
    Stopped,
    Unusable,
    retry_after,
    wait_before,
)
from debye.errors import DownloadError

SETTINGS = RemoteSettings(attempts=3, timeout=3.0, first_wait=0.01, longest_wait=0.5)


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with running() as archive:
        archive.files |= {f"/{name}": b"%d" % number for number, name in enumerate("abcd")}
        archive.answers["/question"] = lambda body: (200, body)
        yield archive


def settings(**changes: object) -> RemoteSettings:
    return SETTINGS.model_copy(update=changes)


def save(
    server: ArchiveServer, folder: Path, remote: RemoteSettings = SETTINGS, name: str = "a"
) -> SavedFile:
    with HttpClient(remote) as client:
        return client.save(f"{server.url}/{name}", folder / name, lambda *_: None)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=503),
        Fault(status=429),
        Fault(reset=True),
        Fault(body=b"<p>"),
    ],
    ids=["500", "503", "429", "reset", "html"],
)
def test_two_faults_are_survived(server, fault):
    server.fail("/a", fault, fault)
    with HttpClient(SETTINGS) as client:
        assert client.json(f"{server.url}/a") == 0
    assert server.requests == {"/a": 3}


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, Absent), (422, Absent), (403, Unusable), (500, Unusable), (429, Unusable)],
)
def test_absent_busy_and_refused_are_different_errors(server, status, error):
    server.fail("/a", *[Fault(status=status)] * 3)
    with HttpClient(SETTINGS) as client, pytest.raises(error, match=f"HTTP {status}"):
        client.json(f"{server.url}/a")
    assert server.requests["/a"] == (3 if status in (500, 429) else 1), (
        "only what may pass is retried"
    )


def test_questions_are_posted(server):
    with HttpClient(SETTINGS) as client:
        assert client.json(f"{server.url}/question", {"x": 1}) == {"x": 1}
        server.answers["/question"] = lambda body: (204, b"")
        assert client.json(f"{server.url}/question", {"x": 1}) is None
        server.answers["/question"] = lambda body: (400, b"no such attribute")
        with pytest.raises(Unusable, match="HTTP 400: no such attribute"):
            client.json(f"{server.url}/question", {"x": 1})


def test_a_file_is_saved_with_size_and_digest(server, tmp_path):
    server.files["/a"] = b"abc"
    saved = save(server, tmp_path)
    assert (saved.path.read_bytes(), saved.bytes) == (b"abc", 3)
    assert saved.sha256.startswith("ba7816bf")


def test_what_the_check_refuses_is_not_kept(server, tmp_path):
    with HttpClient(SETTINGS) as client, pytest.raises(Unusable, match="wrong, in the last of 3"):
        client.save(f"{server.url}/a", tmp_path / "a", lambda path, name: f"{name} is wrong")
    assert not list(tmp_path.iterdir())


def test_a_silent_server_is_tried_again(server, tmp_path):
    # More attempts than hangs: on a busy machine a good answer may also come too late.
    server.fail("/a", *[Fault(hang=60.0)] * 2)
    save(server, tmp_path, settings(timeout=0.3, attempts=6))
    assert server.requests["/a"] >= 3


def test_an_attempt_ends_at_the_deadline(server, tmp_path):
    server.files["/a"] = b"a" * 100
    server.fail("/a", *[Fault(drip=0.05)] * 2)
    with pytest.raises(Unusable, match=r"not complete after 0\.2 s, in the last of 2 attempts"):
        save(server, tmp_path, settings(deadline=0.2, attempts=2))
    assert not list(tmp_path.iterdir())


def test_an_answer_that_is_too_large_is_refused(server, tmp_path):
    server.files["/a"] = b"a" * 100
    with pytest.raises(Unusable, match="more than 99 bytes"):
        save(server, tmp_path, settings(largest=99))
    assert server.requests == {"/a": 1}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_not_cut_short(server, tmp_path, as_date):
    # A date has whole seconds, so two seconds ahead is one at least.
    moment = datetime.now(UTC) + timedelta(seconds=2)
    value = format_datetime(moment, usegmt=True) if as_date else "1"
    server.fail("/a", Fault(status=429, headers={"Retry-After": value}))
    save(server, tmp_path, settings(longest_wait=0.01))
    (first, _), (second, _) = server.times
    assert second - first >= 0.9


def test_a_rest_that_is_too_long_ends_the_download_and_names_the_time(server, tmp_path):
    server.fail("/a", Fault(status=429, headers={"Retry-After": "4"}))
    assert RemoteSettings().longest_rest == 3600
    moment = datetime.now(UTC) + timedelta(seconds=4)
    with pytest.raises(DownloadError, match=r"asks to wait until .* UTC \(4 s\)") as caught:
        save(server, tmp_path, settings(longest_rest=3.0))
    assert f"{moment:%Y-%m-%d}" in str(caught.value)
    assert server.requests == {"/a": 1}


def test_rests_are_counted_apart_from_failures(server, tmp_path):
    busy = Fault(status=429, headers={"Retry-After": "0"})
    quick = settings(longest_wait=0.02, attempts=2, rests=6)
    server.fail("/a", *[busy] * 5)
    save(server, tmp_path, quick)
    server.fail("/a", *[busy] * 6)
    with pytest.raises(Unusable, match="in the last of 6 attempts"):
        save(server, tmp_path, quick)


def test_waits_double_and_differ_whatever_is_demanded():
    patient, generator = settings(first_wait=1.0, longest_wait=6.0), random.Random(0)
    for demanded in (None, 0.0):
        for number, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 6.0), (9, 6.0), (5000, 6.0)):
            waits = [wait_before(number, demanded, patient, generator) for _ in range(50)]
            assert longest / 2 <= min(waits) < max(waits) <= longest
    assert wait_before(1, 100.0, patient, generator) == 100.0


def test_threads_of_a_client_rest_together(server, tmp_path):
    server.fail("/a", Fault(status=429, headers={"Retry-After": "1"}))
    with HttpClient(SETTINGS) as client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(client.json, f"{server.url}/a")
        stop = time.monotonic() + 20
        while not client.rest_until and time.monotonic() < stop:
            time.sleep(0.005)
        assert client.rest_until, "the client has no rest"
        others = [pool.submit(client.json, f"{server.url}/{name}") for name in "bcd"]
        assert [each.result() for each in (first, *others)] == [0, 1, 2, 3]
    (first_time, path), *later = server.times
    assert path == "/a"
    assert sorted(name for _, name in later) == ["/a", "/b", "/c", "/d"]
    assert all(moment - first_time >= 0.99 for moment, _ in later)


def test_a_stopped_client_ends_its_waits(server):
    server.fail("/a", Fault(status=429, headers={"Retry-After": "600"}))
    with HttpClient(SETTINGS) as client:
        threading.Timer(0.2, client.stop).start()
        with pytest.raises(Stopped):
            client.json(f"{server.url}/a")


def test_a_server_that_fails_again_and_again_is_avoided(server, tmp_path):
    url = f"{server.url}/models/x"
    with HttpClient(settings(attempts=1)) as client:
        for number in range(10):
            assert client.avoidance(url) is None
            server.fail(f"/models/{number}", Fault(status=500))
            with pytest.raises(Unusable):
                client.save(f"{server.url}/models/{number}", tmp_path / "x", lambda *_: None)
        assert client.avoidance(url) == "not used after 10 failures in a row"
        assert client.avoidance(f"{server.url}/files/x") is None


def test_an_error_of_tls_is_not_a_full_disk(server, tmp_path, monkeypatch):
    real, calls = httpx.Response.iter_bytes, []

    def broken(response: httpx.Response, *arguments: object) -> Iterator[bytes]:
        calls.append(response)
        if len(calls) == 1:
            raise ssl.SSLError(1, "bad record mac")
        return real(response)

    monkeypatch.setattr(httpx.Response, "iter_bytes", broken)
    save(server, tmp_path)
    assert server.requests == {"/a": 2}


def test_addresses_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("DEBYE_MODELS_URL", "http://mirror.example/")
    monkeypatch.delenv("DEBYE_FILES_URL", raising=False)
    found = RemoteSettings.from_environment(attempts=2)
    assert found.address("models", "https://models.rcsb.org") == "http://mirror.example"
    assert found.address("files", "https://files.rcsb.org") == "https://files.rcsb.org"
    assert found.attempts == 2


def test_retry_after_in_the_past_means_now():
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)) == 0
