"""Entries by identifier, from a local server with faults, a mirror and a cache."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.archive import ArchiveServer, Fault, running
from servers.entry_files import entry_bcif, entry_cif, zipped

from debye.archives.catalog import parse_identifier
from debye.archives.fetch import fetch, find_local
from debye.archives.http import RemoteSettings
from debye.errors import DebyeWarning, DownloadError
from debye.testing.peptide import build_peptide, torsions

PEPTIDE = build_peptide("MKWHEF", *torsions("HHHHHH"), source="peptide")
BCIF, CIF = entry_bcif(PEPTIDE, "1abc"), entry_cif(PEPTIDE, "1abc")
BCIF_GZ, CIF_GZ = zipped(BCIF), zipped(CIF)
BCIF_PATH, CIF_PATH = "/1abc.bcif.gz", "/download/1abc.cif.gz"
HTML = Fault(body=b"<!DOCTYPE html><html><body>Please log in</body></html>")


def model(number: int = 1) -> tuple[bytes, bytes]:
    """Return BinaryCIF and mmCIF of a model of P00533."""
    name = f"AF-P00533-F{number}"
    return entry_bcif(PEPTIDE, name), entry_cif(PEPTIDE, name)


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with running() as archive:
        archive.add_pdb("1abc", bcif_gz=BCIF_GZ, cif_gz=CIF_GZ)
        yield archive


@pytest.fixture
def settings(server: ArchiveServer) -> RemoteSettings:
    servers = {"models": server.url, "files": server.url + "/", "alphafold": server.url}
    return RemoteSettings(
        servers=servers, attempts=3, timeout=3.0, first_wait=0.01, longest_wait=0.5
    )


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_entry_comes_as_binary_cif_and_is_not_fetched_twice(server, settings, tmp_path) -> None:
    path = fetch("1ABC", tmp_path, settings=settings)
    assert path == tmp_path / "ab" / "1abc.bcif.gz"
    assert path.read_bytes() == BCIF_GZ
    assert path.stat().st_mode & stat.S_IRGRP, "readable for the group, as any new file"
    assert fetch("1abc", tmp_path, settings=settings) == path
    assert server.requests == {BCIF_PATH: 1}
    assert files_in(tmp_path) == [path]


def test_without_binary_cif_mmcif_is_downloaded(server, settings, tmp_path) -> None:
    del server.files[BCIF_PATH]
    path = fetch("1abc", tmp_path, settings=settings)
    assert path == tmp_path / "ab" / "1abc.cif.gz"
    assert path.read_bytes() == CIF_GZ
    assert server.requests == {BCIF_PATH: 1, CIF_PATH: 1}, "404 must not be tried again"


def test_missing_entry_says_what_to_check(server, settings, tmp_path) -> None:
    with pytest.raises(DownloadError, match=r"no such entry.*HTTP 404.*obsolete"):
        fetch("9zzz", tmp_path, settings=settings)
    assert sum(server.requests.values()) == 2
    assert not files_in(tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=503),
        Fault(cut_to=20),
        Fault(reset=True),
        Fault(body=BCIF_GZ[:-9]),
        Fault(body=b""),
        Fault(body=zipped(entry_bcif(PEPTIDE, "2abc"))),
        HTML,
    ],
    ids=["500", "503", "cut", "reset", "truncated-gzip", "empty", "another-entry", "html"],
)
def test_two_faults_are_survived(server, settings, tmp_path, fault) -> None:
    server.fail(BCIF_PATH, fault, fault)
    path = fetch("1abc", tmp_path, settings=settings)
    assert path.read_bytes() == BCIF_GZ
    assert server.requests == {BCIF_PATH: 3}
    assert files_in(tmp_path) == [path]


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
    assert not files_in(tmp_path)


def test_an_unreachable_server_is_a_download_error(tmp_path) -> None:
    nowhere = RemoteSettings(
        servers=dict.fromkeys(("models", "files"), "http://127.0.0.1:9"),
        attempts=2,
        first_wait=0.01,
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
    server.add_pdb("2xyz", bcif_gz=zipped(entry_bcif(PEPTIDE, "2xyz")))
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
    with pytest.raises(DownloadError, match=r"No space left on device.*free space"):
        fetch("1abc", tmp_path, settings=settings)
    assert not files_in(tmp_path)


def test_alphafold_model_comes_through_its_interface(server, settings, tmp_path) -> None:
    bcif, cif = model(2)
    server.add_alphafold("P00533", version=6, fragments=2, bcif=bcif, cif=cif)
    path = fetch("AF-P00533-F2", tmp_path, settings=settings)
    assert path == tmp_path / "alphafold" / "AF-P00533-F2-model_v6.bcif"
    assert path.read_bytes() == bcif
    assert fetch("AF-P00533-F2", tmp_path, settings=settings) == path
    assert server.requests == {
        "/api/prediction/P00533": 1,
        "/files/AF-P00533-F2-model_v6.bcif": 1,
    }


def test_alphafold_falls_back_to_what_is_listed(server, settings, tmp_path) -> None:
    server.add_alphafold("P00533", version=4, cif=model()[1])
    assert fetch("p00533", tmp_path, settings=settings).name == "AF-P00533-F1-model_v4.cif"


def test_alphafold_interface_faults_are_survived(server, settings, tmp_path) -> None:
    server.add_alphafold("P00533", version=6, bcif=model()[0])
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
