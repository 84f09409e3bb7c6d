"""``debye data fetch`` as a user runs it, against a server that fails in every way."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers.archive import ArchiveServer, Fault, running
from servers.entry_files import entry_bcif, entry_cif, zipped
from servers.rcsb import serve
from typer.testing import CliRunner, Result

from debye.archives.check import entry_problem
from debye.cli.main import app
from debye.dataset.store.index import find_file, read_index
from debye.errors import DownloadError

IDS = ("1aaa", "1aab", "2bbb", "3ccc", "4ddd", "5eee")
URLS = ("MODELS", "FILES", "ALPHAFOLD", "SEARCH", "DATA", "CLUSTERS")


@pytest.fixture(scope="module")
def contents(peptide) -> dict[str, bytes]:
    """BinaryCIF of each entry."""
    return {name: zipped(entry_bcif(peptide, name)) for name in IDS}


@pytest.fixture
def server(contents, peptide, monkeypatch) -> Iterator[ArchiveServer]:
    with running() as archive:
        for name, content in contents.items():
            archive.add_pdb(name, bcif_gz=content, cif_gz=zipped(entry_cif(peptide, name)))
        serve(archive, ())
        for address in URLS:
            monkeypatch.setenv(f"DEBYE_{address}_URL", archive.url)
        yield archive


@pytest.fixture
def ids(tmp_path) -> Path:
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(IDS))
    return path


QUICK = ("--longest-wait", 0.05, "--attempts", 4, "--timeout", 3)


def fetch(ids: Path, folder: Path, *arguments: object) -> Result:
    words = ["data", "fetch", ids, "-o", folder, *QUICK, *arguments]
    return CliRunner().invoke(app, [str(word) for word in words])


def mirror(folder: Path) -> dict[str, bytes]:
    """Every file of the mirror layout, by entry."""
    return {path.name.split(".")[0]: path.read_bytes() for path in folder.glob("??/*")}


def report(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "fetch_report.csv", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def leftovers(folder: Path) -> list[Path]:
    return [*(folder / ".fetch" / "partial").iterdir(), *folder.glob("*.part*")]


def assert_complete(folder: Path, contents: dict[str, bytes]) -> None:
    assert mirror(folder) == contents
    assert not leftovers(folder)
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_a_list_is_fetched_once(server, contents, ids, tmp_path):
    result = fetch(ids, tmp_path / "mirror")
    assert result.exit_code == 0, result.output
    assert "6 files fetched" in result.output
    assert (tmp_path / "mirror" / "aa" / "1aaa.bcif.gz").read_bytes() == contents["1aaa"]
    assert_complete(tmp_path / "mirror", contents)
    before = server.requests.copy()
    assert before == {f"/{name}.bcif.gz": 1 for name in IDS}
    again = fetch(ids, tmp_path / "mirror")
    assert again.exit_code == 0
    assert "0 files fetched" in again.output
    assert server.requests == before, "nothing is missing, so nothing is requested"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(hang=0.8),
        Fault(cut_to=200),
        Fault(reset=True),
        Fault(body=b"<!DOCTYPE html><html>busy</html>"),
        Fault(body=b""),
        "truncated",
        "corrupted",
        "another entry",
        "no atoms",
    ],
    ids=lambda fault: fault if isinstance(fault, str) else next(
        name for name in ("status", "hang", "cut_to", "reset", "body") if getattr(fault, name)
        not in (0, 0.0, False, None)
    ),
)  # fmt: skip
def test_faults_of_the_server_are_survived(server, contents, ids, tmp_path, fault, peptide):
    name = "2bbb"
    bodies = {
        "truncated": contents[name][:-40],
        "corrupted": damaged(contents[name]),
        "another entry": contents["3ccc"],
        "no atoms": zipped(entry_bcif(peptide.take([]), name)),
    }
    if isinstance(fault, str):
        fault = Fault(body=bodies[fault])
    server.fail(f"/{name}.bcif.gz", fault, fault)
    result = fetch(ids, tmp_path / "mirror", "--timeout", 0.4 if fault.hang else 3)
    assert result.exit_code == 0, result.output
    assert_complete(tmp_path / "mirror", contents)
    assert server.requests[f"/{name}.bcif.gz"] >= 3
    if not fault.hang:
        assert sum(server.requests.values()) == len(IDS) + 2


def damaged(content: bytes) -> bytes:
    """One byte in the middle is another one; the gzip check value tells."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def test_a_file_that_stays_bad_is_fetched_as_mmcif(server, contents, ids, tmp_path, peptide):
    server.fail("/2bbb.bcif.gz", *[Fault(body=contents["3ccc"])] * 4)
    result = fetch(ids, tmp_path / "mirror")
    assert result.exit_code == 0, result.output
    path = tmp_path / "mirror" / "bb" / "2bbb.cif.gz"
    assert path.read_bytes() == zipped(entry_cif(peptide, "2bbb"))
    assert not path.with_name("2bbb.bcif.gz").exists()
    assert "is entry '3CCC', not '2bbb'" in report(tmp_path / "mirror")["2bbb"]["problem"]


def test_what_fails_is_reported_and_fetched_by_the_next_run(server, contents, ids, tmp_path):
    for path in ("/2bbb.bcif.gz", "/download/2bbb.cif.gz"):
        server.fail(path, *[Fault(status=500)] * 4)
    result = fetch(ids, tmp_path / "mirror")
    assert result.exit_code == 1
    assert "5 stored" in result.output
    assert "1 failed" in result.output
    assert "HTTP 500, in the last of 4 attempts" in report(tmp_path / "mirror")["2bbb"]["problem"]
    server.requests.clear()
    assert fetch(ids, tmp_path / "mirror").exit_code == 0
    assert server.requests == {"/2bbb.bcif.gz": 1}, "only what is missing"
    assert_complete(tmp_path / "mirror", contents)


def test_all_wait_when_the_server_asks_to(server, ids, tmp_path):
    server.fail("/1aaa.bcif.gz", Fault(status=429, headers={"Retry-After": "1"}))
    result = fetch(ids, tmp_path / "mirror", "--longest-wait", 5, "--connections", 1)
    assert result.exit_code == 0
    (first, path), *others = server.times
    assert path == "/1aaa.bcif.gz"
    assert min(moment for moment, _ in others) - first >= 0.99


def test_obsolete_entries_are_followed_and_reported(server, contents, tmp_path):
    serve(server, (), removed={
        "9zzz": ["8yyy", "2bbb"], "8yyy": ["1aaa"], "7www": [], "6xxx": ["6vvv"], "6vvv": ["6xxx"],
    })  # fmt: skip
    ids = tmp_path / "ids.csv"
    ids.write_text("id,split\n9ZZZ,train\n1aaa,train\n7www,val\n5uuu,val\nnonsense,val\n6xxx,val\n")
    folder = tmp_path / "mirror"
    result = fetch(ids, folder)
    assert result.exit_code == 1
    assert mirror(folder) == {"1aaa": contents["1aaa"]}
    found = report(folder)
    assert {name: row["status"] for name, row in found.items()} == {
        "9zzz": "superseded", "1aaa": "stored", "7www": "withdrawn", "5uuu": "absent",
        "nonsense": "failed", "6xxx": "withdrawn",
    }  # fmt: skip
    assert found["9zzz"]["entry"] == "1aaa"
    assert "replaced by 8yyy, 2bbb" in found["9zzz"]["problem"]
    assert (folder / "index.csv").read_text() == "id,split,asked_for\n1aaa,train,1aaa\n"
    server.requests.clear()
    fetch(ids, folder)
    assert not [path for path in server.requests if "1aaa" in path or "9zzz" in path.lower()]


def test_a_listed_entry_goes_before_an_obsolete_one(server, tmp_path):
    serve(server, (), removed={"9zzz": ["1aaa"], "8yyy": ["2bbb"]})
    ids = tmp_path / "ids.csv"
    ids.write_text(
        "id,split,state\n9zzz,train,apo\n1aaa,kinase,holo\n8yyy,val,apo\n1aab,,apo\n1aab,train,x\n"
    )
    folder = tmp_path / "mirror"
    assert fetch(ids, folder).exit_code == 0
    assert (folder / "index.csv").read_text() == (
        "id,split,state,asked_for\n1aaa,kinase,holo,1aaa\n2bbb,val,,8yyy\n1aab,train,apo,1aab\n"
    )
    said = "left out of the index: the list has 1aaa too, in split kinase, not train"
    assert said in report(folder)["9zzz"]["problem"]


@pytest.mark.parametrize("rows", [("9zzz", "8yyy"), ("1aaa", "1aaa")])
def test_an_entry_in_two_splits_is_an_error_that_names_both(server, contents, tmp_path, rows):
    serve(server, (), removed={"9zzz": ["1aaa"], "8yyy": ["1aaa"]})
    ids = tmp_path / "ids.csv"
    ids.write_text(f"id,split\n{rows[0]},train\n{rows[1]},kinase\n")
    result = fetch(ids, tmp_path / "mirror")
    message = f"{rows[0]} puts it into split train, {rows[1]} into kinase"
    assert message in str(result.exception)
    assert mirror(tmp_path / "mirror") == {"1aaa": contents["1aaa"]}
    assert report(tmp_path / "mirror").keys() == set(rows)


def test_plain_lists_get_an_index_that_builds(server, tmp_path, peptide):
    server.add_alphafold("P00533", version=6, bcif=entry_bcif(peptide, "AF-P00533-F1"))
    folder, ids = tmp_path / "mirror", ids_of(tmp_path, "1aaa", "P00533", "2bbb")
    assert fetch(ids, folder, "--split", "mine").exit_code == 0
    rows = read_index(folder / "index.csv")
    assert [(row.id, row.split) for row in rows] == [("1aaa", "mine"), ("2bbb", "mine")]
    refused = fetch(folder / "index.csv", folder)
    assert "is both the list and a file that this run writes" in str(refused.exception)
    copy = tmp_path / "copy.csv"
    copy.write_text((folder / "index.csv").read_text().replace("mine,2bbb", "mine,9zzz"))
    assert fetch(copy, folder).exit_code == 0
    assert (folder / "index.csv").read_text() == copy.read_text()


def test_predicted_models_come_from_alphafold(server, tmp_path, peptide):
    server.add_alphafold("P00533", version=6, bcif=entry_bcif(peptide, "AF-P00533-F1"))
    ids = tmp_path / "ids.txt"
    ids.write_text("P00533  # EGFR\n1aaa, AF-Q99999-F1")
    result = fetch(ids, tmp_path / "mirror")
    assert result.exit_code == 1
    assert (tmp_path / "mirror" / "alphafold" / "AF-P00533-F1-model_v6.bcif").is_file()
    assert report(tmp_path / "mirror")["AF-Q99999-F1"]["status"] == "absent"
    server.requests.clear()
    fetch(ids, tmp_path / "mirror")
    assert server.requests == {"/api/prediction/Q99999": 1}


def test_files_that_are_there_are_taken_over_if_they_are_right(server, contents, ids, tmp_path):
    folder = tmp_path / "mirror"
    for name, content in (("1aaa", contents["1aaa"]), ("1aab", contents["1aaa"])):
        path = folder / name[1:3] / f"{name}.bcif.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert fetch(ids, folder).exit_code == 0
    assert server.requests["/1aaa.bcif.gz"] == 0
    assert server.requests["/1aab.bcif.gz"] == 1, "it held another entry"
    assert_complete(folder, contents)


def test_damage_is_found_by_size_and_with_verify_by_checksum(server, contents, ids, tmp_path):
    folder = tmp_path / "mirror"
    fetch(ids, folder)
    server.requests.clear()
    short, changed = folder / "aa" / "1aaa.bcif.gz", folder / "bb" / "2bbb.bcif.gz"
    short.write_bytes(contents["1aaa"][:-1])
    changed.write_bytes(damaged(contents["2bbb"]))
    fetch(ids, folder)
    assert server.requests == {"/1aaa.bcif.gz": 1}
    assert fetch(ids, folder, "--verify").exit_code == 0
    assert server.requests == {"/1aaa.bcif.gz": 1, "/2bbb.bcif.gz": 1}
    assert_complete(folder, contents)


def down(server: ArchiveServer, *names: str, mmcif: bool = True) -> None:
    """Let every attempt to get some entries fail, or only those at the model server."""
    for name in names:
        for path in (f"/{name}.bcif.gz", f"/download/{name}.cif.gz")[: 1 + mmcif]:
            server.fail(path, *[Fault(status=500)] * 4)


def test_a_wrong_file_is_moved_away(server, contents, tmp_path, peptide):
    folder = tmp_path / "mirror"
    path = folder / "aa" / "1aab.bcif.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(contents["1aaa"])
    down(server, "1aab", mmcif=False)
    assert fetch(ids_of(tmp_path, "1aab"), folder).exit_code == 0
    assert find_file(folder, "1aab").read_bytes() == zipped(entry_cif(peptide, "1aab"))
    assert (folder / ".fetch/rejected/aa/1aab.bcif.gz").read_bytes() == contents["1aaa"]


def test_a_revised_entry_in_another_format_replaces_the_old_file(server, tmp_path, peptide):
    folder, ids = tmp_path / "mirror", ids_of(tmp_path, "1aaa")
    fetch(ids, folder)
    down(server, "1aaa", mmcif=False)
    assert fetch(ids, folder, "--refresh").exit_code == 0
    assert list(mirror(folder)) == ["1aaa"]
    assert find_file(folder, "1aaa").read_bytes() == zipped(entry_cif(peptide, "1aaa"))


@pytest.mark.parametrize("successors", [["2bbb"], []], ids=["superseded", "withdrawn"])
def test_files_of_obsolete_entries_go(server, contents, tmp_path, successors):
    folder, ids = tmp_path / "mirror", ids_of(tmp_path, "1aaa")
    fetch(ids, folder)
    del server.files["/1aaa.bcif.gz"], server.files["/download/1aaa.cif.gz"]
    serve(server, (), removed={"1aaa": successors})
    fetch(ids, folder, "--refresh")
    assert mirror(folder) == {name: contents[name] for name in successors}


def test_refresh_replaces_revised_entries(server, contents, ids, tmp_path, peptide):
    folder = tmp_path / "mirror"
    fetch(ids, folder)
    revised = zipped(entry_bcif(peptide, "1aaa") + b"")[:-8] + contents["1aaa"][-8:]
    server.add_pdb("1aaa", bcif_gz=revised)
    assert fetch(ids, folder).exit_code == 0
    assert server.requests["/1aaa.bcif.gz"] == 1
    assert fetch(ids, folder, "--refresh").exit_code == 0
    assert server.requests["/1aaa.bcif.gz"] == 2
    assert mirror(folder)["1aaa"] == revised


def test_a_failed_refresh_keeps_what_is_there_and_says_so(server, contents, tmp_path):
    folder, ids = tmp_path / "mirror", ids_of(tmp_path, "1aaa", "2bbb")
    fetch(ids, folder)
    del server.files["/2bbb.bcif.gz"], server.files["/download/2bbb.cif.gz"]
    down(server, "1aaa")
    result = fetch(ids, folder, "--refresh")
    assert result.exit_code == 1
    assert "2 stale" in result.output
    assert "could not be refreshed: http" in report(folder)["1aaa"]["problem"]
    assert "could not be refreshed: http" in report(folder)["2bbb"]["problem"]
    assert_complete(folder, {name: contents[name] for name in ("1aaa", "2bbb")})
    assert len((folder / "SHA256SUMS").read_text().splitlines()) == 2
    assert "1aaa" in (folder / "index.csv").read_text()
    server.requests.clear()
    fetch(ids, folder)
    assert server.requests["/1aaa.bcif.gz"] == 1, "every run tries again what is stale"
    assert report(folder)["1aaa"]["status"] == "stored"


def test_a_stopped_refresh_resumes(server, ids, tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    fetch(ids, folder)
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert fetch(ids, folder, "--refresh", "--connections", 1).exception
    server.requests.clear()
    assert fetch(ids, folder, "--refresh").exit_code == 0
    assert server.requests == {f"/{name}.bcif.gz": 1 for name in IDS[2:]}
    server.requests.clear()
    assert fetch(ids, folder, "--refresh").exit_code == 0
    assert len(server.requests) == len(IDS), "the one before was complete"


def test_verify_looks_at_what_replaced_an_obsolete_entry(server, contents, tmp_path):
    serve(server, (), removed={"9zzz": ["1aaa"]})
    folder, ids = tmp_path / "mirror", ids_of(tmp_path, "9zzz")
    fetch(ids, folder)
    (folder / "aa" / "1aaa.bcif.gz").write_bytes(damaged(contents["1aaa"]))
    server.requests.clear()
    assert fetch(ids, folder, "--verify").exit_code == 0
    assert server.requests["/1aaa.bcif.gz"] == 1
    assert mirror(folder) == {"1aaa": contents["1aaa"]}


def test_a_file_that_cannot_be_read_is_one_failure(server, contents, ids, tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    path = folder / "aa" / "1aab.bcif.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(contents["1aab"])
    real = Path.read_bytes

    def closed(read: Path) -> bytes:
        if read == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(read))
        return real(read)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", closed)
        result = fetch(ids, folder)
    assert result.exit_code == 1
    assert "5 stored" in result.output
    assert "1aab.bcif.gz cannot be used (Permission denied)" in report(folder)["1aab"]["problem"]


def test_a_full_disk_ends_the_run_and_loses_nothing(server, contents, ids, tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = fetch(ids, folder, "--connections", 1)
    assert isinstance(result.exception, DownloadError)
    assert "No space left on device). Check the folder's permissions and the free space" in str(
        result.exception
    )
    assert len(mirror(folder)) == 2
    assert not leftovers(folder)
    assert len((folder / "SHA256SUMS").read_text().splitlines()) == 2, (
        "reported in spite of the error"
    )
    server.requests.clear()
    assert fetch(ids, folder).exit_code == 0
    assert len(server.requests) == 4
    assert_complete(folder, contents)


def test_a_really_full_disk(server, contents, ids, tmp_path):
    with small_disk(tmp_path / "disk", 1024) as disk:
        folder, padding = disk / "mirror", disk / "padding"
        fetch(ids_of(tmp_path, "1aaa"), folder)
        usage = os.statvfs(disk)
        # Room for the journal, and for two or three of the five entries.
        room = 64 * 1024 + 5 * len(contents["1aab"]) // 2
        padding.write_bytes(bytes(usage.f_bavail * usage.f_bsize - room))
        result = fetch(ids, folder)
        assert isinstance(result.exception, DownloadError), result.output
        assert "free space" in str(result.exception) or "Free some space" in str(result.exception)
        for name, content in mirror(folder).items():
            assert content == contents[name]
        padding.unlink()
        server.requests.clear()
        missing = contents.keys() - mirror(folder).keys()
        assert fetch(ids, folder).exit_code == 0
        assert server.requests == {f"/{name}.bcif.gz": 1 for name in missing}
        assert_complete(folder, contents)


def ids_of(folder: Path, *names: str) -> Path:
    path = folder / "few.txt"
    path.write_text("\n".join(names))
    return path


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A file system in memory, where the system lets the user mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, timeout=10)
    except OSError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("mounting needs an administrator")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


def test_kill_9_in_the_middle_loses_nothing(server, contents, ids, tmp_path):
    folder = tmp_path / "mirror"
    # Two entries are served, the third comes byte by byte: there the process is killed.
    server.fail("/2bbb.bcif.gz", Fault(drip=0.01))
    process = subprocess.Popen(
        command("data", "fetch", ids, "-o", folder, "--connections", 1, *QUICK),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        wait_for(lambda: any((folder / ".fetch" / "partial").glob("*2bbb*")))
        time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
    assert mirror(folder) == {name: contents[name] for name in ("1aaa", "1aab")}
    assert leftovers(folder), "it was killed in the middle of a file"
    server.requests.clear()
    result = fetch(ids, folder)
    assert result.exit_code == 0, result.output
    assert server.requests == {f"/{name}.bcif.gz": 1 for name in IDS[2:]}
    assert_complete(folder, contents)


def test_an_interrupted_run_reports_and_the_next_one_resumes(server, contents, ids, tmp_path):
    folder = tmp_path / "mirror"
    server.fail("/2bbb.bcif.gz", Fault(drip=0.01))
    process = subprocess.Popen(
        command("data", "fetch", ids, "-o", folder, "--connections", 1, *QUICK),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for(lambda: any((folder / ".fetch" / "partial").glob("*2bbb*")))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert not leftovers(folder)
    assert {name: row["status"] for name, row in report(folder).items()} == {
        name: "stored" if name in ("1aaa", "1aab") else "failed" for name in IDS
    }
    server.requests.clear()
    assert fetch(ids, folder).exit_code == 0
    assert server.requests == {f"/{name}.bcif.gz": 1 for name in IDS[2:]}


def test_two_runs_do_not_share_a_folder(server, contents, ids, tmp_path):
    folder = tmp_path / "mirror"
    server.fail("/1aaa.bcif.gz", Fault(drip=0.01))
    process = subprocess.Popen(command("data", "fetch", ids, "-o", folder, *QUICK))
    try:
        wait_for(lambda: any((folder / ".fetch" / "partial").glob("*1aaa*")))
        result = fetch(ids, folder)
        assert "another run downloads into this folder" in str(result.exception)
    finally:
        process.kill()
        process.wait(20)


def test_servers_that_are_down_end_the_run(server, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(f"1{number:03d}" for number in range(200)))
    for number in range(200):
        for path in (f"/1{number:03d}.bcif.gz", f"/download/1{number:03d}.cif.gz"):
            server.fail(path, *[Fault(status=503)] * 2)
    result = fetch(ids, tmp_path / "mirror", "--attempts", 1)
    assert isinstance(result.exception, DownloadError)
    assert "50 entries in a row could not be downloaded" in str(result.exception)
    assert sum(server.requests.values()) < 150


def test_a_model_server_that_is_down_is_left_alone(server, tmp_path, peptide):
    names = [f"1{number:03d}" for number in range(16)]
    for name in names:
        server.add_pdb(name, cif_gz=zipped(entry_cif(peptide, name)))
        server.fail(f"/{name}.bcif.gz", *[Fault(status=503)] * 2)
    folder = tmp_path / "mirror"
    result = fetch(ids_of(tmp_path, *names), folder, "--connections", 1, "--attempts", 2)
    assert result.exit_code == 0
    assert sum(server.requests[f"/{name}.bcif.gz"] for name in names) == 20, "of ten entries"
    assert "not used after 10 failures in a row" in report(folder)["1015"]["problem"]


def test_a_list_without_ids_is_refused(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("name,split\n1abc,train\n")
    result = fetch(path, tmp_path / "mirror")
    assert "needs a column id" in str(result.exception)


def test_entries_of_the_benchmark_are_fetched_through_faults(
    server, benchmark_data, tmp_path, peptide
):
    """Real entries; one after the other meets one fault of each kind."""
    files = sorted((benchmark_data / "structures").glob("*/*.bcif.gz"))[::150]
    contents = {path.name.split(".")[0]: path.read_bytes() for path in files}
    faults = [
        Fault(status=429, headers={"Retry-After": "0"}), Fault(status=500), Fault(cut_to=5000),
        Fault(reset=True), Fault(body=b"<html></html>"),
    ]  # fmt: skip
    for number, (name, content) in enumerate(contents.items()):
        server.add_pdb(name, bcif_gz=content)
        kinds = [*faults, Fault(body=content[:-100]), Fault(body=damaged(content))]
        server.fail(f"/{name}.bcif.gz", kinds[number % len(kinds)])
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(contents))
    result = fetch(ids, tmp_path / "mirror")
    assert result.exit_code == 0, result.output
    assert_complete(tmp_path / "mirror", contents)
    assert server.requests == {f"/{name}.bcif.gz": 2 for name in contents}
    for name in contents:
        path = tmp_path / "mirror" / name[1:3] / f"{name}.bcif.gz"
        assert entry_problem(path, path.name, name) is None


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "debye", *map(str, arguments)]


def wait_for(condition, seconds: float = 30.0) -> None:
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop, "waited too long"
        time.sleep(0.02)
