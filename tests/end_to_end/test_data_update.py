"""``debye data update`` as a user runs it: a store made by search, fetch and build, and an archive that grows."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import fake_mmseqs
import homologs
import numpy as np
import pytest
from servers.archive import ArchiveServer, Fault, running
from servers.entry_files import entry_bcif, zipped
from servers.rcsb import Protein, ServedEntry, serve
from typer.testing import CliRunner, Result

from debye.cli.main import app
from debye.dataset.store.store import NUMERIC_COLUMNS, TEXT_COLUMNS, Store
from debye.errors import DebyeError
from debye.structure.structure import Structure

QUICK = ("--longest-wait", 0.05, "--attempts", 2, "--timeout", 5)
OLD = (
    homologs.protein("1aaa", homologs.ALPHA),
    homologs.protein("1bbb", homologs.BETA, resolution=2.8),
    homologs.protein("1bbc", homologs.relative(homologs.BETA, 12), resolution=2.7),
    homologs.protein("1ggg", homologs.GAMMA, resolution=2.6),
    homologs.protein("1kin", homologs.relative(homologs.DOMAIN, 15)),
)
NEW = (
    homologs.protein("2aaa", homologs.relative(homologs.ALPHA, 22)),
    homologs.protein("2bbb", homologs.relative(homologs.BETA, 21), resolution=1.2),
    homologs.protein("2con", homologs.random_sequence(9), constant_b=True),
    homologs.protein("2kin", homologs.relative(homologs.DOMAIN, 23)),
    homologs.protein("2two", homologs.ALPHA, homologs.GAMMA),
)
REVISED = homologs.protein("1ggg", homologs.GAMMA, resolution=2.4)
REVISED = replace(REVISED, b_iso=REVISED.b_iso + np.float32(5))
SEARCH_RECIPE = 'name = "mine"\n[choose]\nidentity = 0\n'
BUILD_RECIPE = """\
name = "test"
seed = 3
[family]
sequences = "domain.fasta"
[splits]
validation = 0
test = 1
evaluation_per_group = 2
"""


def served(structure: Structure, day: str, revised: str = "") -> ServedEntry:
    return ServedEntry(
        id=structure.source, resolution=structure.entry.resolution, atoms=len(structure),
        proteins=(Protein(length=90),), released=day, revised=revised or day,
    )  # fmt: skip


def add_file(archive: ArchiveServer, structure: Structure) -> None:
    archive.add_pdb(structure.source, bcif_gz=zipped(entry_bcif(structure, structure.source)))


BEFORE = [served(structure, "2026-01-10") for structure in OLD]
AFTER = [
    *(entry for entry in BEFORE if entry.id != "1ggg"),
    served(REVISED, "2026-01-10", "2026-03-04"),
    *(served(structure, "2026-03-04") for structure in NEW),
]


def debye(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)])


@dataclass(frozen=True)
class Archive:
    """An archive of last January, and the store made of it."""

    server: ArchiveServer
    store: Path

    def release(self) -> None:
        """Let March come."""
        serve(self.server, AFTER, removed={"1bbb": ["2bbb"], "9old": []})
        for structure in (*NEW, REVISED):
            add_file(self.server, structure)

    def asked_for(self) -> dict[str, int]:
        """How often each structure file was asked for."""
        requests = self.server.requests.items()
        return {path[1:5]: n for path, n in requests if path.endswith(".bcif.gz")}


@pytest.fixture(scope="module")
def quick_comparison(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A stand-in for MMseqs2 on PATH, for this process and those that it starts."""
    program = fake_mmseqs.put_on_path(tmp_path_factory.mktemp("program"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def january(quick_comparison: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mirror and the store that three commands made in January."""
    folder = tmp_path_factory.mktemp("january")
    (folder / "search.toml").write_text(SEARCH_RECIPE)
    (folder / "build.toml").write_text(BUILD_RECIPE)
    (folder / "domain.fasta").write_text(f">domain\n{homologs.DOMAIN}\n")
    with running() as archive, pytest.MonkeyPatch.context() as patch:
        point_to(archive, patch)
        serve(archive, BEFORE)
        for structure in OLD:
            add_file(archive, structure)
        for words in (
            ("search", folder / "search.toml", "-o", folder / "list.csv"),
            ("fetch", folder / "list.csv", "-o", folder / "mirror"),
            (
                "build", "--recipe", folder / "build.toml", "--index", folder / "mirror/index.csv",
                "--structures", folder / "mirror", "-o", folder / "store", "--as-of", "2026-01-31",
            ),
        ):  # fmt: skip
            result = debye(*words)
            assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def archive(january: Path, tmp_path: Path, monkeypatch) -> Iterator[Archive]:
    """A copy of the store, and a server where nothing has happened since."""
    shutil.copytree(january / "store", tmp_path / "store")
    with running() as server:
        point_to(server, monkeypatch)
        serve(server, BEFORE)
        for structure in OLD:
            add_file(server, structure)
        yield Archive(server, tmp_path / "store")


def point_to(server: ArchiveServer, patch: pytest.MonkeyPatch) -> None:
    for address in ("MODELS", "FILES", "ALPHAFOLD", "SEARCH", "DATA", "CLUSTERS"):
        patch.setenv(f"DEBYE_{address}_URL", server.url)


def update(store: Path, *more: object) -> Result:
    return debye("update", store, *QUICK, *more)


def table(path: Path) -> dict[str, dict[str, str]]:
    with open(path, newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def splits(store: Path) -> dict[str, str]:
    opened = Store.open(store)
    return {entry.id: split for split in opened.splits for entry in opened.entries(split)}


def arrays(store: Path, name: str) -> dict[str, bytes]:
    """All that a store holds of an entry; text as text, because codes may change."""
    opened = Store.open(store)
    split = splits(store)[name]
    row = opened.row(split, name)
    columns = [*NUMERIC_COLUMNS, "usable", "bond_pairs", "bond_order", "links"]
    found = {column: opened.values(split, row, column).tobytes() for column in columns}
    return found | {c: "|".join(opened.text(split, row, c)).encode() for c in TEXT_COLUMNS}


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a store but those of its updates."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    names = {path.relative_to(folder): path for path in paths}
    return {str(n): p.read_bytes() for n, p in names.items() if n.parts[0] != "update"}


def test_what_is_new_is_appended_and_nothing_moves(archive: Archive, january: Path) -> None:
    before = splits(archive.store)
    assert before == {
        "1aaa": "test", "1bbb": "train", "1bbc": "train", "1ggg": "train", "1kin": "kinase",
    }  # fmt: skip
    archive.release()
    result = update(archive.store)
    assert result.exit_code == 0, result.output
    after = splits(archive.store)
    assert after == before | {"2aaa": "test", "2bbb": "train", "2kin": "kinase"}
    for name in before:
        same = arrays(archive.store, name) == arrays(january / "store", name)
        assert same == (name != "1ggg"), name
    store = Store.open(archive.store)
    entry = store.entries("train")[store.row("train", "1ggg")]
    assert (entry.resolution, entry.columns["revised"]) == (2.4, "2026-03-04")

    report = table(archive.store / "update" / "report.csv")
    assert {name: row["outcome"] for name, row in report.items()} == {
        "2aaa": "added", "2bbb": "added", "2kin": "added", "1ggg": "revised", "2con": "refused",
        "2two": "refused", "1bbb": "obsolete",
    }  # fmt: skip
    assert report["2two"]["reason"] == "links test and train"
    assert report["2con"]["reason"] == "B: one value for most atoms"
    assert report["1bbb"]["reason"] == "replaced by 2bbb"
    assert (report["2aaa"]["split"], report["2con"]["split"]) == ("test", "")
    clusters = table(archive.store / "entries.csv")
    assert clusters["2bbb"]["cluster"] == clusters["1bbb"]["cluster"]
    assert archive.asked_for() == dict.fromkeys((*(s.source for s in NEW), "1ggg"), 1)

    today = str(datetime.now(UTC).date())
    first, second = store.manifest["history"]
    assert (first["date"], second["date"], store.manifest["date"]) == ("2026-01-31", today, today)
    assert store.digest == second["digest"] != first["digest"]
    for text in ("4  train (+1)", "2  kinase (+1)", store.digest, "3 added, 1 revised, 2 refused"):
        assert text in result.output


def test_another_update_does_nothing(archive: Archive) -> None:
    archive.release()
    assert update(archive.store).exit_code == 0
    content, asked = files(archive.store), archive.asked_for()
    for more in ((), ("--since", "2026-01-31")):
        again = update(archive.store, *more)
        assert again.exit_code == 0, again.output
        assert "nothing new since" in again.output
        assert files(archive.store) == content
    assert archive.asked_for() == asked
    outcome = {n: r["outcome"] for n, r in table(archive.store / "update" / "report.csv").items()}
    assert {name for name, what in outcome.items() if what == "unchanged"} == {
        "1ggg", "2aaa", "2bbb", "2con", "2kin", "2two",
    }  # fmt: skip


def test_nothing_released_is_nothing_to_do(archive: Archive) -> None:
    content = files(archive.store)
    result = update(archive.store)
    assert result.exit_code == 0, result.output
    assert "nothing new since 2026-01-31; the store is unchanged" in result.output
    assert files(archive.store) == content


@pytest.mark.parametrize(
    "path", ["/2bbb.bcif.gz", "/rcsbsearch/v2/query", "/graphql", "/rest/v1/holdings/removed/entry_ids"]
)  # fmt: skip
def test_a_failing_server_leaves_the_store_as_it_was(archive: Archive, path: str) -> None:
    archive.release()
    content = files(archive.store)
    archive.server.fail(path, Fault(status=500), Fault(cut_to=5))
    result = update(archive.store)
    assert isinstance(result.exception, DebyeError), result.output
    assert files(archive.store) == content
    asked = archive.asked_for()
    assert update(archive.store).exit_code == 0
    assert splits(archive.store)["2bbb"] == "train"
    if asked:
        more = {name: n - asked.get(name, 0) for name, n in archive.asked_for().items()}
        assert {name for name, n in more.items() if n} == {"2bbb"}, "only what was missing"


def test_the_rest_can_go_on_and_what_failed_is_asked_for_again(archive: Archive) -> None:
    archive.release()
    archive.server.fail("/2bbb.bcif.gz", Fault(body=b"<html>busy"), Fault(body=b""))
    result = update(archive.store, "--skip-failed")
    assert result.exit_code == 1, result.output
    assert "2kin" in splits(archive.store)
    assert "2bbb" not in splits(archive.store)
    assert Store.open(archive.store).manifest["date"] == "2026-01-31"
    asked = archive.asked_for()
    again = update(archive.store)
    assert again.exit_code == 0, again.output
    assert splits(archive.store)["2bbb"] == "train"
    assert Store.open(archive.store).manifest["date"] == str(datetime.now(UTC).date())
    more = {name for name, n in archive.asked_for().items() if n != asked[name]}
    assert more == {"2bbb"}


def test_a_killed_update_resumes(archive: Archive) -> None:
    archive.release()
    content = files(archive.store)
    archive.server.fail("/2two.bcif.gz", Fault(hang=60))
    words = ["data", "update", str(archive.store), "--connections", "2"]
    code = "from debye.cli.main import main; main()"
    job = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    mirror = archive.store / "update" / "mirror"
    deadline = time.monotonic() + 60
    while len(list(mirror.glob("??/*.bcif.gz"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert files(archive.store) == content
    asked = archive.asked_for()
    assert update(archive.store).exit_code == 0
    assert splits(archive.store)["2aaa"] == "test"
    more = {name for name, n in archive.asked_for().items() if n != asked[name]}
    # The last of the five may have been in place, but not yet recorded.
    assert "2two" in more
    assert len(more) <= 2


def test_an_append_that_was_killed_is_finished_first(archive: Archive, monkeypatch) -> None:
    archive.release()
    rename = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target) == archive.store / "entries.csv":
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        update(archive.store)
    assert "2kin" not in table(archive.store / "entries.csv")
    result = update(archive.store, "--since", "2026-01-31")
    assert "nothing new" in result.output
    assert table(archive.store / "entries.csv")["2kin"]["split"] == "kinase"
    assert not (archive.store / "next").exists()


def test_a_mirror_with_an_older_revision_is_refreshed(archive: Archive, january: Path) -> None:
    archive.release()
    mirror = archive.store.parent / "mirror"
    shutil.copytree(january / "mirror", mirror)
    index = (mirror / "index.csv").read_bytes()
    result = update(archive.store, "--mirror", mirror)
    assert result.exit_code == 0, result.output
    store = Store.open(archive.store)
    assert store.entries("train")[store.row("train", "1ggg")].resolution == 2.4
    assert (mirror / "index.csv").read_bytes() == index, "the mirror's own index stays"
    assert not (archive.store / "update" / "mirror").exists()


def test_what_is_gone_between_search_and_download_is_reported(archive: Archive) -> None:
    archive.release()
    archive.server.files.pop("/2aaa.bcif.gz")
    assert update(archive.store).exit_code == 0
    row = table(archive.store / "update" / "report.csv")["2aaa"]
    assert (row["outcome"], row["split"]) == ("unavailable", "")
    assert row["reason"].startswith("absent: ")
    assert "2bbb" in splits(archive.store)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("search", "Give the search recipe (--recipe)"),
        ("date", "(--since 2026-01-31)"),
        ("curation", "Give a build recipe"),
    ],
)
def test_what_a_store_does_not_record_must_be_given(
    archive: Archive, january: Path, lost: str, message: str
) -> None:
    manifest = json.loads((archive.store / "manifest.json").read_text())
    manifest.pop(lost)
    (archive.store / "manifest.json").write_text(json.dumps(manifest))
    archive.release()
    result = update(archive.store)
    assert isinstance(result.exception, DebyeError), result.output
    assert message in str(result.exception)
    given = {
        "search": ("--recipe", january / "search.toml"),
        "date": ("--since", "2026-01-31"),
        "curation": ("--build-recipe", january / "build.toml"),
    }[lost]
    result = update(archive.store, *given)
    assert result.exit_code == 0, result.output
    assert "2bbb" in splits(archive.store)
    again = update(archive.store)
    assert again.exit_code == 0, "now the store records it"


def test_the_search_hands_its_date_on(january: Path, tmp_path: Path) -> None:
    """Without ``--as-of`` a store is as old as the search; a list without a record has neither."""
    index = january / "mirror" / "index.csv"
    words = ("build", "--structures", january / "mirror", "--index")
    assert debye(*words, index, "-o", tmp_path / "store").exit_code == 0
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    record = json.loads((january / "list.json").read_text())
    assert manifest["date"] == record["date"][:10] == manifest["history"][0]["date"]
    assert manifest["search"]["recipe"] == record["recipe"]
    shutil.copy(index, tmp_path / "own.csv")
    assert debye(*words, tmp_path / "own.csv", "-o", tmp_path / "other").exit_code == 0
    other = json.loads((tmp_path / "other" / "manifest.json").read_text())
    assert other["date"] is None
    assert "search" not in other


def test_folders_cannot_be_searched_by_date(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "folder.toml").write_text(
        'name = "folder"\nstructures = "."\n[choose]\nidentity = 0\n'
    )
    result = update(archive.store, "--recipe", tmp_path / "folder.toml")
    assert "have no dates" in str(result.exception)
