"""Every row of the table of archives fulfils the contract of :func:`debye.testing.check_archive`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from servers.archive import ArchiveServer, running
from servers.entry_files import entry_bcif, entry_cif, zipped

from debye.archives.archive import Archive, templates
from debye.archives.catalog import ALPHAFOLD, ARCHIVES, PDB
from debye.archives.http import RemoteSettings
from debye.archives.mirror import fetch_list
from debye.dataset.store.index import find_file, read_index
from debye.testing.rows import check_archive

REDO = Archive(
    name="pdb_redo",
    title="an entry of PDB-REDO (redo-1abc)",
    example="redo-1abc",
    parse=lambda text: (
        f"redo-{name}" if text[:5] == "redo-" and (name := PDB.parse(text[5:])) else None
    ),
    servers={"pdb_redo": "https://pdb-redo.eu"},
    urls=templates("{pdb_redo}/db/{id}/{id}_final.cif"),
    if_absent="PDB-REDO has no entries without structure factors",
    entry_id=lambda name: name.removeprefix("redo-"),
)
"""An archive as another package would add it: one row."""


@pytest.fixture
def server(peptide) -> Iterator[ArchiveServer]:
    with running() as archive:
        archive.add_pdb("1abc", bcif_gz=zipped(entry_bcif(peptide, "1abc")))
        model = entry_bcif(peptide, "AF-P00533-F1")
        archive.add_alphafold("P00533", version=6, bcif=model)
        archive.files["/db/1abc/1abc_final.cif"] = entry_cif(peptide, "1abc")
        yield archive


@pytest.mark.parametrize("archive", [*ARCHIVES.values(), REDO], ids=lambda archive: archive.name)
def test_archive(archive, server, tmp_path):
    check_archive(archive, server.url, tmp_path)


def test_a_new_row_has_one_file_name_whatever_the_address(server, tmp_path):
    check_archive(REDO, server.url, tmp_path)
    assert [path.name for path in (tmp_path / "pdb_redo").iterdir()] == ["redo-1abc.cif"]


def test_a_new_row_is_enough_to_download_a_list_and_to_build_from_it(server, tmp_path, monkeypatch):
    monkeypatch.setitem(ARCHIVES.builtin, "pdb_redo", REDO)
    ids, mirror = tmp_path / "ids.txt", tmp_path / "mirror"
    ids.write_text("redo-1abc 1abc")
    servers = dict.fromkeys(("pdb_redo", "models", "files", "data"), server.url)
    result = fetch_list(ids, mirror, remote=RemoteSettings(servers=servers))
    assert result.statuses["stored"] == 2
    files = [find_file(mirror, row.id) for row in read_index(result.files.index)]
    assert [path.name for path in files] == ["1abc.bcif.gz", "redo-1abc.cif"]


BROKEN: dict[str, dict[str, Any]] = {
    "does not recognize": {"parse": lambda text: None},
    "another name when it is parsed again": {"parse": lambda text: f"x{text}"},
    "not safe": {"parse": lambda text: text},
    "does not show the example": {"title": "an identifier"},
    "not the name of one subfolder": {"folder": lambda name: f"../{name}"},
    "has no address": {"urls": lambda archive, name, client: []},
    "is not an address": {"urls": templates("/1abc.cif")},
    "takes .* for another entry": {"check": lambda path, name, entry: None},
    "is entry '1ABC', not '2abc'": {
        "entry_id": lambda name: "2abc",
        "urls": templates("{models}/1abc.bcif.gz"),
    },
}


@pytest.mark.parametrize(("message", "changes"), BROKEN.items(), ids=BROKEN.keys())
def test_broken_rows_are_noticed(message, changes, server, tmp_path):
    with pytest.raises(Exception, match=message):
        check_archive(replace(PDB, **changes), server.url, tmp_path)


def test_an_address_is_never_a_path():
    for url in (
        "https://x.org/../../etc/passwd",
        "https://x.org/a.cif/..",
        "https://x.org/?a=b.cif",
    ):
        with pytest.raises(Exception, match="not the name of a structure file"):
            PDB.file_name("1abc", url)
    name = ALPHAFOLD.file_name("AF-P00533-F1", "https://x.org/..%2F..%2Fevil-model_v6.cif")
    assert name == "AF-P00533-F1-model_v6.cif"
