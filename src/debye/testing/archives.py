"""The contract of a row of the table of archives."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from debye.archives.archive import Archive, Identifier
from debye.archives.fetch import download, find_local
from debye.archives.http import HttpClient, RemoteSettings

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
NOT_IDENTIFIERS = (
    "",
    ".",
    "..",
    "../1abc",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a b",
    "1abc\n2abc",
    "x" * 300,
    "%2e%2e",
)


def check_archive(archive: Archive, address: str, folder: Path) -> None:
    """Check names, addresses, download and local files of an archive.

    Args:
        archive: The row.
        address: Base address of a server that has the file of ``archive.example``, for example
            ``http.server`` in a folder; it replaces all servers of the archive.
        folder: Empty folder.

    Raises:
        AssertionError: The row breaks the contract.
    """
    check_names(archive)
    check_download(archive, address, folder)


def check_names(archive: Archive) -> None:
    """Check that identifiers are recognized, have one spelling, and are safe as names of files."""
    name = archive.parse(archive.example)
    assert name, f"{archive.name} does not recognize its example {archive.example!r}"
    assert archive.parse(name) == name, f"{name} has another name when it is parsed again"
    assert archive.example in archive.title, (
        f"the title does not show the example {archive.example}"
    )
    for text in (name, archive.example.upper(), *NOT_IDENTIFIERS):
        found = archive.parse(text)
        is_safe = found is None or (SAFE_NAME.fullmatch(found) and len(found) < 100)
        assert is_safe, f"{text!r} is parsed as {found!r}, which is not safe as the name of a file"
    subfolder = archive.subfolder(name)
    assert SAFE_NAME.fullmatch(subfolder), f"{subfolder!r} is not the name of one subfolder"


def check_download(archive: Archive, address: str, folder: Path) -> None:
    """Check that the example is downloaded, found again, and is not taken for another entry."""
    name = archive.parse(archive.example) or ""
    entry = Identifier(archive, name)
    servers = dict.fromkeys(archive.servers, address)
    with HttpClient(RemoteSettings(servers=servers, attempts=1)) as client:
        urls = archive.urls(archive, name, client)
        assert urls, f"{archive.name} has no address of {name}"
        for url in urls:
            assert urlsplit(url).scheme in ("http", "https"), f"{url} is not an address"
            assert archive.file_name(name, url).startswith(name), (
                f"{url} gives a name without {name}"
            )
        assert find_local(entry, folder) is None, f"{folder} has a file of {name} already"
        path = download(entry, folder, client)[0].path
    assert path.parent == folder / archive.subfolder(name), f"{path} is not in its subfolder"
    assert find_local(entry, folder) == path, f"{path} is not found in the folder"
    assert archive.check(path, path.name, archive.entry_id(name)) is None, f"{path} is refused"
    if not path.name.removesuffix(".gz").endswith(".pdb"):
        other = archive.check(path, path.name, "another entry")
        assert other, f"the check takes {path} for another entry"
    path.write_bytes(path.read_bytes()[:-40])
    assert archive.check(path, path.name, archive.entry_id(name)), (
        f"a truncated {path} is not noticed"
    )
