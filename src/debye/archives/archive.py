"""What an archive of structures is: how its entries are called, where their files are, and how a file is checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from debye.archives.check import entry_problem
from debye.archives.http import HttpClient, Unusable
from debye.files import STRUCTURE_SUFFIXES


def _same(name: str) -> str:
    return name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Archive:
    """One row of the table of archives; :func:`debye.testing.check_archive` checks a row."""

    name: str
    """Lower case; files of the archive lie in the subfolder of this name, unless ``folder`` is given."""
    title: str
    """What its identifiers are, with examples, for messages."""
    example: str
    """Identifier of an entry, for the contract."""
    parse: Callable[[str], str | None]
    """Text → the entry's name in its usual spelling, safe as the name of a file; None if the text is not an
    identifier of this archive."""
    servers: Mapping[str, str]
    """Name → base address; the variable ``DEBYE_<NAME>_URL`` of the environment replaces it."""
    urls: Callable[[Archive, str, HttpClient], Sequence[str]]
    """Entry's name → addresses of its file, the preferred one first. May ask the server, and raises
    :class:`~debye.archives.http.Absent` if there is no such entry. See :func:`templates`."""
    if_absent: str
    """What to do if there is no such entry."""
    entry_id: Callable[[str], str] = _same
    """Entry's name → what the archive and the file itself call it."""
    folder: Callable[[str], str] | None = None
    """Entry's name → subfolder of a mirror."""
    version: str = ""
    """Regular expression of the version in a file name, e.g. ``-model_v([0-9]+)``; the highest number counts."""
    check: Callable[[Path, str, str], str | None] = entry_problem
    """File, its later name, and ``entry_id`` → what is wrong with the file, or None."""
    successors: Callable[[Archive, str, HttpClient], list[str] | None] | None = None
    """Obsolete entry's name → what replaced it, as this archive spells it; None if the entry was never there."""
    is_predicted: bool = False
    """Entries are predicted models, without B-factors to train on."""

    def address(self, server: str, client: HttpClient) -> str:
        """Return the base address of one of its servers."""
        return client.settings.address(server, self.servers[server])

    def subfolder(self, name: str) -> str:
        """Return the subfolder of a mirror in which an entry's files lie."""
        return self.folder(name) if self.folder else self.name

    def file_name(self, name: str, url: str) -> str:
        """Return the name for the file of an entry at an address: its own, with the version and suffix of the address.

        Raises:
            Unusable: The address does not end in a known suffix.
        """
        last = urlsplit(url).path.rsplit("/", 1)[-1]
        suffixes = "|".join(map(re.escape, STRUCTURE_SUFFIXES))
        if match := re.search(rf"(?:{self.version})?(?:{suffixes})\Z", last):
            return f"{name}{match[0]}"
        raise Unusable(f"{url}: not the name of a structure file ({', '.join(STRUCTURE_SUFFIXES)})")


@dataclass(frozen=True, slots=True)
class Identifier:
    """An entry of an archive."""

    archive: Archive
    name: str
    """In the usual spelling, e.g. ``1abc`` or ``AF-P12345-F1``; safe as the name of a file."""

    def __str__(self) -> str:
        return self.name


def templates(*patterns: str) -> Callable[[Archive, str, HttpClient], Sequence[str]]:
    """Return the ``urls`` of an archive with fixed addresses, such as ``{files}/download/{id}.cif.gz``.

    The names of servers and ``id`` stand in braces.
    """

    def urls(archive: Archive, name: str, client: HttpClient) -> list[str]:
        places = {server: archive.address(server, client) for server in archive.servers}
        return [pattern.format(id=archive.entry_id(name), **places) for pattern in patterns]

    return urls
