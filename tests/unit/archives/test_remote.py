"""Downloads against a local server that speaks as the archives do, faults included."""

from __future__ import annotations

import gzip
import random
import ssl
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import msgpack
import pytest
from servers.archive import ArchiveServer, Fault, running

from debye.archives.download import (
    Downloader,
    Pause,
    RemoteSettings,
    body_problem,
    retry_after,
    wait_before,
)
from debye.archives.remote import (
    Identifier,
    fetch,
    find_local,
    parse_identifier,
)
from debye.errors import DebyeWarning, DownloadError

BCIF = msgpack.packb({"version": "0.3.0", "encoder": "test", "dataBlocks": [{"pad": "x" * 2000}]})
BCIF_GZ = gzip.compress(BCIF, mtime=0)
CIF = b"data_1ABC\nloop_\n_atom_site.id\n_atom_site.B_iso_or_equiv\n1 20.0\n"
CIF_GZ = gzip.compress(CIF, mtime=0)
BCIF_PATH, CIF_PATH = "/1abc.bcif.gz", "/download/1abc.cif.gz"
HTML = Fault(body=b"<!DOCTYPE html><html><body>Please log in</body></html>")


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with running() as archive:
        archive.add_pdb("1abc", bcif_gz=BCIF_GZ, cif_gz=CIF_GZ)
        yield archive


@pytest.fixture
def settings(server: ArchiveServer) -> RemoteSettings:
    return RemoteSettings(
        models_url=server.url,
        files_url=server.url + "/",
        alphafold_url=server.url,
        attempts=3,
        timeout=3.0,
        first_wait=0.01,
        longest_wait=0.5,
    )


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]


@pytest.mark.parametrize(
    ("text", "archive", "name"),
    [
        ("1abc", "pdb", "1abc"),
        (" 4HHB ", "pdb", "4hhb"),
        ("PDB_00004HHB", "pdb", "4hhb"),
        ("P00533", "alphafold", "AF-P00533-F1"),
        ("a0a024r1r8", "alphafold", "AF-A0A024R1R8-F1"),
        ("AF-Q9Y6K9-F3", "alphafold", "AF-Q9Y6K9-F3"),
        ("AF-P00533-F1-model_v6", "alphafold", "AF-P00533-F1"),
        ("AF-P00533-2-F1", "alphafold", "AF-P00533-2-F1"),
    ],
)
def test_identifiers_are_recognized(text: str, archive: str, name: str) -> None:
    assert parse_identifier(text) == Identifier(archive, name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "abcd", "1ab", "1abcd", "protein.pdb", "P0053", "pdb_10001abc", "../1abc", "1abc\n2"],
)
def test_other_text_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(DownloadError, match="UniProt accession"):
        parse_identifier(text)


def test_isoforms_are_asked_for_by_their_own_accession() -> None:
    assert parse_identifier("AF-P00533-2-F1").accession == "P00533-2"
    assert parse_identifier("P00533").accession == "P00533"


def test_entry_comes_as_binary_cif_and_is_not_fetched_twice(server, settings, tmp_path) -> None:
    path = fetch("1ABC", tmp_path, settings=settings)
    assert path == tmp_path / "ab" / "1abc.bcif.gz"
    assert path.read_bytes() == BCIF_GZ
    assert path.stat().st_mode & stat.S_IRGRP, "readable for the group, as any new file"
    assert fetch("1abc", tmp_path, settings=settings) == path
    assert server.requests == {BCIF_PATH: 1}
    assert not leftovers(tmp_path)


def test_falls_back_to_mmcif_where_there_is_no_binary_cif(server, settings, tmp_path) -> None:
    del server.files[BCIF_PATH]
    path = fetch("1abc", tmp_path, settings=settings)
    assert path == tmp_path / "ab" / "1abc.cif.gz"
    assert path.read_bytes() == CIF_GZ
    assert server.requests == {BCIF_PATH: 1, CIF_PATH: 1}, "404 must not be tried again"


def test_missing_entry_says_what_to_check(server, settings, tmp_path) -> None:
    with pytest.raises(DownloadError, match=r"no such entry.*HTTP 404.*obsolete"):
        fetch("9zzz", tmp_path, settings=settings)
    assert sum(server.requests.values()) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=503),
        Fault(cut_to=20),
        Fault(reset=True),
        Fault(body=BCIF_GZ[:-9]),
        Fault(body=b""),
        HTML,
    ],
    ids=["500", "503", "cut", "reset", "truncated-gzip", "empty", "html"],
)
def test_two_faults_are_survived(server, settings, tmp_path, fault) -> None:
    server.fail(BCIF_PATH, fault, fault)
    path = fetch("1abc", tmp_path, settings=settings)
    assert path.read_bytes() == BCIF_GZ
    assert server.requests == {BCIF_PATH: 3}
    assert not leftovers(tmp_path)


def test_silent_server_is_given_up_and_asked_again(server, settings, tmp_path) -> None:
    # More attempts than hangs: on a busy machine a good answer may also come too late.
    hasty = settings.model_copy(update={"timeout": 0.3, "attempts": 6})
    server.fail(BCIF_PATH, *[Fault(hang=60.0)] * 2)
    start = time.monotonic()
    assert fetch("1abc", tmp_path, settings=hasty).read_bytes() == BCIF_GZ
    assert 0.6 <= time.monotonic() - start < 30
    assert server.requests[BCIF_PATH] >= 3


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honored(server, settings, tmp_path, as_date) -> None:
    patient = settings.model_copy(update={"longest_wait": 5.0})
    moment = datetime.now(UTC) + timedelta(seconds=2)
    value = format_datetime(moment, usegmt=True) if as_date else "1"
    server.fail(BCIF_PATH, Fault(status=429, headers={"Retry-After": value}))
    start = time.monotonic()
    fetch("1abc", tmp_path, settings=patient)
    # A date has whole seconds, so two seconds ahead is one at least.
    assert 0.9 <= time.monotonic() - start < 30


def test_retry_after_is_not_cut_short(server, settings, tmp_path) -> None:
    server.fail(BCIF_PATH, Fault(status=429, headers={"Retry-After": "1"}))
    start = time.monotonic()
    fetch("1abc", tmp_path, settings=settings.model_copy(update={"longest_wait": 0.01}))
    assert time.monotonic() - start >= 1.0


def test_a_rest_that_is_too_long_ends_the_download_and_names_the_time(
    server, settings, tmp_path
) -> None:
    server.fail(BCIF_PATH, Fault(status=429, headers={"Retry-After": "4"}))
    assert settings.longest_rest == 3600
    hasty = settings.model_copy(update={"longest_rest": 3.0})
    moment = datetime.now(UTC) + timedelta(seconds=4)
    with pytest.raises(DownloadError, match=r"asks to wait until .* UTC \(4 s\)") as caught:
        fetch("1abc", tmp_path, settings=hasty)
    assert f"{moment:%Y-%m-%d}" in str(caught.value)
    assert server.requests == {BCIF_PATH: 1}


def test_rests_are_counted_apart_from_failures(server, settings, tmp_path) -> None:
    busy = Fault(status=429, headers={"Retry-After": "0"})
    quick = settings.model_copy(update={"longest_wait": 0.02, "attempts": 2, "rests": 6})
    server.fail(BCIF_PATH, *[busy] * 5)
    assert fetch("1abc", tmp_path / "a", settings=quick).name == "1abc.bcif.gz"
    server.fail(BCIF_PATH, *[busy] * 6)
    assert fetch("1abc", tmp_path / "b", settings=quick).name == "1abc.cif.gz"


def test_waits_double_and_differ_whatever_is_asked_for(settings) -> None:
    patient = settings.model_copy(update={"first_wait": 1.0, "longest_wait": 6.0})
    generator = random.Random(0)
    for asked in (None, 0.0):
        for number, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 6.0), (9, 6.0), (5000, 6.0)):
            waits = [wait_before(number, asked, patient, generator) for _ in range(50)]
            assert longest / 2 <= min(waits) < max(waits) <= longest
    assert wait_before(1, 100.0, patient, generator) == 100.0


def test_a_rest_is_that_of_all_threads_which_then_start_apart(settings) -> None:
    pause = Pause(settings.model_copy(update={"first_wait": 0.4}), random.Random(0))
    assert pause.left() == 0
    pause.extend(10.0)
    pause.extend(1.0)
    waits = [pause.left() for _ in range(20)]
    assert 9.9 < min(waits) < max(waits) - 0.1 < 10.4


def test_threads_of_a_client_rest_together(server, settings) -> None:
    server.files |= {"/slow": b"1", "/fast": b"2"}
    server.fail("/slow", Fault(status=429, headers={"Retry-After": "1"}))
    with Downloader(settings) as downloader, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(downloader.json, f"{server.url}/slow")
        stop = time.monotonic() + 20
        while not downloader.pause.until and time.monotonic() < stop:
            time.sleep(0.005)
        assert downloader.pause.until, "the client was not told to rest"
        assert downloader.json(f"{server.url}/fast") == 2
        assert slow.result() == 1
    (first, _), *others = server.times
    assert all(moment - first >= 0.99 for moment, _ in others)


def test_an_error_of_tls_is_no_full_disk(server, settings, tmp_path, monkeypatch) -> None:
    real, calls = httpx.Response.iter_raw, []

    def broken(response: httpx.Response, *arguments: object) -> Iterator[bytes]:
        calls.append(response)
        if len(calls) == 1:
            raise ssl.SSLError(1, "bad record mac")
        return real(response)

    monkeypatch.setattr(httpx.Response, "iter_raw", broken)
    assert fetch("1abc", tmp_path, settings=settings).read_bytes() == BCIF_GZ
    assert server.requests == {BCIF_PATH: 2}


def test_dripping_server_is_given_up_after_the_deadline(server, settings, tmp_path) -> None:
    hasty = settings.model_copy(update={"deadline": 0.2, "attempts": 2})
    server.fail(BCIF_PATH, *[Fault(drip=0.05)] * 2)
    start = time.monotonic()
    assert fetch("1abc", tmp_path, settings=hasty).name == "1abc.cif.gz"
    assert time.monotonic() - start < 30


def test_persistent_fault_is_one_clear_error(server, settings, tmp_path) -> None:
    server.fail(BCIF_PATH, *[HTML] * 3)
    server.fail(CIF_PATH, *[Fault(status=500)] * 3)
    with pytest.raises(DownloadError) as caught:
        fetch("1abc", tmp_path, settings=settings)
    message = str(caught.value)
    assert "could not be downloaded" in message
    assert "<!doctype html>" in message
    assert "HTTP 500, in the last of 3 attempts" in message
    assert "mirror" in message
    assert server.requests == {BCIF_PATH: 3, CIF_PATH: 3}
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_no_server_is_a_download_error(tmp_path) -> None:
    nowhere = RemoteSettings(
        models_url="http://127.0.0.1:9", files_url="http://127.0.0.1:9", attempts=2, first_wait=0.01
    )
    with pytest.raises(DownloadError, match="ConnectError"):
        fetch("1abc", tmp_path, settings=nowhere)


def test_forbidden_is_not_tried_again(server, settings, tmp_path) -> None:
    server.fail(BCIF_PATH, Fault(status=403))
    assert fetch("1abc", tmp_path, settings=settings).name == "1abc.cif.gz"
    assert server.requests[BCIF_PATH] == 1


def test_damaged_cache_file_is_replaced(server, settings, tmp_path) -> None:
    path = fetch("1abc", tmp_path, settings=settings)
    path.write_bytes(BCIF_GZ[: len(BCIF_GZ) // 2])
    with pytest.warns(DebyeWarning, match="passed over: truncated or damaged gzip"):
        assert fetch("1abc", tmp_path, settings=settings).read_bytes() == BCIF_GZ
    assert server.requests[BCIF_PATH] == 2


def test_mirror_is_read_first_and_never_written(server, settings, tmp_path) -> None:
    mirror, cache = tmp_path / "mirror", tmp_path / "cache"
    (mirror / "ab").mkdir(parents=True)
    (mirror / "ab" / "1abc.bcif.gz").write_bytes(BCIF_GZ)
    path = fetch("pdb_00001abc", cache, mirror=mirror, settings=settings)
    assert path == mirror / "ab" / "1abc.bcif.gz"
    server.add_pdb("2xyz", bcif_gz=BCIF_GZ)
    assert fetch("2xyz", cache, mirror=mirror, settings=settings) == cache / "xy" / "2xyz.bcif.gz"
    assert sorted(path.name for path in mirror.rglob("*.gz")) == ["1abc.bcif.gz"]
    assert server.requests == {"/2xyz.bcif.gz": 1}


def test_cache_serves_as_a_mirror(server, settings, tmp_path) -> None:
    path = fetch("1abc", tmp_path / "first", settings=settings)
    again = fetch("1abc", tmp_path / "second", mirror=tmp_path / "first", settings=settings)
    assert again == path


def test_full_disk_is_a_download_error_and_leaves_nothing(
    server, settings, tmp_path, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DownloadError, match=r"No space left on device.*another cache folder"):
        fetch("1abc", tmp_path, settings=settings)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_alphafold_model_comes_through_its_interface(server, settings, tmp_path) -> None:
    server.add_alphafold("P00533", version=6, fragments=2, bcif=BCIF, cif=CIF)
    path = fetch("AF-P00533-F2", tmp_path, settings=settings)
    assert path == tmp_path / "alphafold" / "AF-P00533-F2-model_v6.bcif"
    assert path.read_bytes() == BCIF
    assert fetch("AF-P00533-F2", tmp_path, settings=settings) == path
    assert server.requests == {
        "/api/prediction/P00533": 1,
        "/files/AF-P00533-F2-model_v6.bcif": 1,
    }


def test_alphafold_falls_back_to_what_is_listed(server, settings, tmp_path) -> None:
    server.add_alphafold("P00533", version=4, cif=CIF)
    assert fetch("p00533", tmp_path, settings=settings).name == "AF-P00533-F1-model_v4.cif"


def test_alphafold_interface_faults_are_survived(server, settings, tmp_path) -> None:
    server.add_alphafold("P00533", version=6, bcif=BCIF)
    server.fail("/api/prediction/P00533", Fault(status=429), Fault(body=b"<html>busy</html>"))
    assert fetch("P00533", tmp_path, settings=settings).is_file()


@pytest.mark.parametrize("answer", [None, b"[]", b"{}", b'[{"entryId": "AF-P00533-F9"}]'])
def test_absent_alphafold_model_is_a_clear_error(server, settings, tmp_path, answer) -> None:
    if answer is not None:
        server.files["/api/prediction/P00533"] = answer
    with pytest.raises(DownloadError, match=r"no such entry.*AlphaFold DB leaves out"):
        fetch("P00533", tmp_path, settings=settings)


def test_model_that_is_listed_without_files_is_a_clear_error(server, settings, tmp_path) -> None:
    server.files["/api/prediction/P00533"] = b'[{"entryId": "AF-P00533-F1"}]'
    with pytest.raises(DownloadError, match=r"lists no file of AF-P00533-F1"):
        fetch("P00533", tmp_path, settings=settings)


def test_stray_copies_of_models_are_ignored(tmp_path) -> None:
    folder = tmp_path / "alphafold"
    folder.mkdir()
    wanted = parse_identifier("P00533")
    for name in ("AF-P00533-F1-model_v4 (1).cif", "AF-P00533-F1-model_v5_old.cif"):
        (folder / name).write_bytes(CIF)
    assert find_local(wanted, tmp_path) is None
    (folder / "AF-P00533-F1-model_v3.cif").write_bytes(CIF)
    found = find_local(wanted, tmp_path)
    assert found is not None
    assert found.name == "AF-P00533-F1-model_v3.cif"


def test_latest_local_version_wins(tmp_path) -> None:
    folder = tmp_path / "alphafold"
    folder.mkdir()
    for version in (9, 10):
        (folder / f"AF-P00533-F1-model_v{version}.cif").write_bytes(CIF)
    found = find_local(parse_identifier("P00533"), tmp_path)
    assert found is not None
    assert found.name == "AF-P00533-F1-model_v10.cif"


def test_gzip_that_the_server_calls_an_encoding_is_stored_as_it_is(
    server, settings, tmp_path
) -> None:
    server.fail(BCIF_PATH, Fault(body=BCIF_GZ, headers={"Content-Encoding": "gzip"}))
    assert fetch("1abc", tmp_path, settings=settings).read_bytes() == BCIF_GZ
    assert server.headers[BCIF_PATH]["Accept-Encoding"] == "identity"


def test_addresses_come_from_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("DEBYE_MODELS_URL", "http://mirror.example")
    monkeypatch.delenv("DEBYE_FILES_URL", raising=False)
    settings = RemoteSettings.from_environment()
    assert settings.models_url == "http://mirror.example"
    assert settings.files_url == "https://files.rcsb.org"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.bcif", BCIF, None),
        ("a.bcif", BCIF[:-5], "truncated"),
        ("a.bcif", CIF, "no BinaryCIF"),
        ("a.cif", CIF, None),
        ("a.cif", b"data_x\n", "no mmCIF file with atoms"),
        ("a.cif.gz", gzip.compress(b"<html>", mtime=0), "no mmCIF"),
        ("a.pdb", b"ATOM\nEND\n", None),
        ("a.pdb", b"ATOM\n", "END is missing"),
        ("a.txt", b"ATOM", "unknown suffix"),
        ("a.cif", b'{"detail": "busy"}', "no structure file"),
        ("a.bcif.gz", BCIF_GZ[:-4] + b"\0\1\2\3", "damaged gzip"),
    ],
)
def test_body_is_checked(tmp_path, name, content, problem) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = body_problem(path)
    assert found is None if problem is None else problem in (found or "")


def test_retry_after_in_the_past_means_now() -> None:
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)) == 0
