"""A structure by its identifier: from a mirror folder, the cache, or its archive."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from debye.archives.archive import Identifier
from debye.archives.catalog import parse_identifier
from debye.archives.check import body_problem
from debye.archives.http import Absent, HttpClient, RemoteSettings, SavedFile, Unusable
from debye.errors import DebyeWarning, DownloadError
from debye.files import STRUCTURE_SUFFIXES


def fetch(
    identifier: str | Identifier,
    cache: Path | str,
    *,
    mirror: Path | str | None = None,
    settings: RemoteSettings | None = None,
) -> Path:
    """Return a local file of an entry, downloaded only if there is no complete copy.

    The mirror is searched first, then the cache, then the archive. PDB entries come as BinaryCIF, or as mmCIF if that
    is not available; AlphaFold models in the latest version. Both folders have the layout ``<id[1:3]>/<id>.bcif.gz``,
    so a cache can serve as a mirror; files of other archives lie in a folder of the archive's name (``alphafold/``).
    A file appears only when it is complete and checked.

    Args:
        identifier: See :func:`~debye.archives.catalog.parse_identifier`.
        cache: Folder for downloads; made if absent.
        mirror: Folder that is read first and never written.
        settings: Addresses and patience; from the environment if not given.

    Raises:
        DownloadError: No such entry, or no attempt to download it succeeded.
    """
    wanted = parse_identifier(identifier) if isinstance(identifier, str) else identifier
    for folder in (mirror, cache):
        if folder is not None and (path := find_local(wanted, folder)):
            return path
    with HttpClient(settings) as client:
        try:
            return download(wanted, Path(cache), client)[0].path
        except Absent as error:
            remedy = wanted.archive.if_absent
            raise DownloadError(wanted.name, f"no such entry ({error})", remedy) from error
        except Unusable as error:
            raise DownloadError(
                wanted.name,
                f"could not be downloaded ({error})",
                "Check the network and try again, or give a mirror folder or the file itself",
            ) from error


def download(
    identifier: Identifier, folder: Path, client: HttpClient, partial_folder: Path | None = None
) -> tuple[SavedFile, str]:
    """Store an entry in a mirror or cache, from the first address that delivers it.

    Returns:
        The file, and why addresses before its own did not deliver.

    Raises:
        Absent: No address has it.
        Unusable: One might have it, but did not deliver.
        DownloadError: The file cannot be stored, or a server demands too long a rest.
    """
    archive, name = identifier.archive, identifier.name
    urls = archive.urls(archive, name, client)
    problems: list[str] = []
    is_absent = True
    for url in urls:
        try:
            # The last address is tried in any case.
            if url != urls[-1] and (problem := client.avoidance(url)):
                raise Unusable(problem)
            saved = client.save(
                url,
                folder / archive.subfolder(name) / archive.file_name(name, url),
                lambda path, later: archive.check(path, later, archive.entry_id(name)),
                partial_folder,
            )
            return saved, "; ".join(problems)
        except (Absent, Unusable) as error:
            problems.append(f"{url}: {error}")
            is_absent = is_absent and isinstance(error, Absent)
    raise (Absent if is_absent else Unusable)("; ".join(problems))


def find_local(identifier: Identifier, folder: Path | str) -> Path | None:
    """Find a complete copy of an entry in a mirror or cache, the latest version first."""
    for path in local_files(identifier, folder):
        problem = body_problem(path)
        if problem is None:
            return path
        warnings.warn(f"{path} is passed over: {problem}", DebyeWarning, stacklevel=3)
    return None


def local_files(identifier: Identifier, folder: Path | str) -> Iterator[Path]:
    """Yield the files of an entry in a mirror or cache, complete or not, the preferred one first."""
    archive, name = identifier.archive, identifier.name
    folder = Path(folder) / archive.subfolder(name)
    stems = [name]
    if archive.version:
        suffixes = "|".join(map(re.escape, STRUCTURE_SUFFIXES))
        pattern = re.compile(rf"({re.escape(name)}{archive.version})(?:{suffixes})")
        found = (pattern.fullmatch(path.name) for path in folder.glob(f"{name}*"))
        version_of = {match[1]: int(match[2]) for match in found if match}
        stems = sorted(version_of, key=lambda stem: version_of[stem], reverse=True)
    for stem in stems:
        yield from filter(
            Path.is_file, (folder / f"{stem}{suffix}" for suffix in STRUCTURE_SUFFIXES)
        )
