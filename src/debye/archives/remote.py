"""Structures by identifier: from a mirror folder, the cache, the PDB archive or AlphaFold DB."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from debye.archives.download import Absent, Downloader, RemoteSettings, Unusable, body_problem
from debye.errors import DebyeWarning, DownloadError

PDB_ID = re.compile(r"(?:pdb_0000)?([0-9][a-z0-9]{3})\Z", re.IGNORECASE)
UNIPROT = r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9](?:[A-Z][A-Z0-9]{2}[0-9]){1,2}"
"""Accession numbers of UniProt, https://www.uniprot.org/help/accession_numbers."""
ALPHAFOLD_ID = re.compile(
    rf"(?:AF-)?({UNIPROT})((?:-[0-9]+)?)(?:-F([0-9]+)(?:-model_v[0-9]+)?)?\Z", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Identifier:
    """An entry of the PDB, or of AlphaFold DB."""

    archive: Literal["pdb", "alphafold"]
    name: str
    """``1abc``, or ``AF-P12345-F1``: lower-case PDB identifier, or AlphaFold DB's entry."""

    @property
    def accession(self) -> str:
        """What AlphaFold DB is asked for: ``P12345`` of ``AF-P12345-F1``."""
        return self.name.removeprefix("AF-").rsplit("-F", 1)[0]

    def __str__(self) -> str:
        return self.name


def parse_identifier(text: str) -> Identifier:
    """Read a PDB identifier or the name of an AlphaFold DB entry.

    Example:
        >>> parse_identifier("1ABC").name, parse_identifier("pdb_00001abc").name
        ('1abc', '1abc')
        >>> parse_identifier("p00533").name, parse_identifier("AF-P00533-F2-model_v4").name
        ('AF-P00533-F1', 'AF-P00533-F2')

    Raises:
        DownloadError: The text is neither.
    """
    text = text.strip()
    if match := PDB_ID.match(text):
        return Identifier("pdb", match[1].lower())
    if match := ALPHAFOLD_ID.match(text):
        return Identifier("alphafold", f"AF-{match[1]}{match[2]}-F{match[3] or 1}".upper())
    raise DownloadError(
        repr(text),
        problem="neither a file nor an identifier",
        remedy="Give an existing file, a PDB identifier (1abc, pdb_00001abc), a UniProt accession "
        "(P00533) or an AlphaFold DB entry (AF-P00533-F1)",
    )


def fetch(
    identifier: str | Identifier,
    cache: Path | str,
    *,
    mirror: Path | str | None = None,
    settings: RemoteSettings | None = None,
) -> Path:
    """Return a local file with the entry, downloading it only if no complete copy is at hand.

    Looked up in this order: the mirror, the cache, the network. PDB entries come as BinaryCIF,
    or as mmCIF where that is not to be had; AlphaFold models in the latest version. Both folders
    are laid out as ``<id[1:3]>/<id>.bcif.gz``, so a cache can serve as a mirror; AlphaFold models
    lie in ``alphafold/``. A file appears only when it is complete and checked.

    Args:
        identifier: See :func:`parse_identifier`.
        cache: Folder for downloads; made if absent.
        mirror: Folder that is read first and never written.
        settings: Addresses and patience; from the environment if not given.

    Raises:
        DownloadError: No such entry, or it could not be fetched after all attempts.
    """
    wanted = parse_identifier(identifier) if isinstance(identifier, str) else identifier
    cache = Path(cache)
    for folder in (mirror, cache):
        if folder is not None and (path := find_local(wanted, folder)):
            return path
    settings = settings or RemoteSettings.from_environment()
    with Downloader(settings) as downloader:
        sources = _sources(wanted, settings, downloader)
        return _first_that_works(wanted, sources, cache / entry_folder(wanted), downloader)


def find_local(identifier: Identifier, folder: Path | str) -> Path | None:
    """Find a complete copy of an entry in a mirror or cache, the latest version first."""
    for path in local_files(identifier, folder):
        problem = body_problem(path)
        if problem is None:
            return path
        warnings.warn(f"{path} is passed over: {problem}", DebyeWarning, stacklevel=3)
    return None


def local_files(identifier: Identifier, folder: Path | str) -> Iterator[Path]:
    """Yield the files of an entry in a mirror or cache, whole or not, the preferred one first."""
    folder = Path(folder) / entry_folder(identifier)
    stems = [identifier.name]
    if identifier.archive == "alphafold":
        stems = _model_stems(identifier, folder)
    for stem in stems:
        for suffix in (".bcif", ".cif", ".pdb"):
            for path in (folder / f"{stem}{suffix}.gz", folder / f"{stem}{suffix}"):
                if path.is_file():
                    yield path


def _model_stems(identifier: Identifier, folder: Path) -> list[str]:
    """Names of the versions of a model in a folder, the latest first; other files do not count."""
    name = re.compile(rf"({re.escape(identifier.name)}-model_v([0-9]+))\.(?:bcif|cif|pdb)(?:\.gz)?")
    found = (name.fullmatch(path.name) for path in folder.glob(f"{identifier.name}-model_v*"))
    versions = {match[1]: int(match[2]) for match in found if match}
    return sorted(versions, key=lambda stem: versions[stem], reverse=True)


def entry_folder(identifier: Identifier) -> str:
    """Return the subfolder of a mirror in which an entry lies."""
    return identifier.name[1:3] if identifier.archive == "pdb" else "alphafold"


def pdb_sources(identifier: Identifier, settings: RemoteSettings) -> list[str]:
    """Return the addresses of a PDB entry, the preferred one first."""
    return [
        f"{settings.models_url.rstrip('/')}/{identifier.name}.bcif.gz",
        f"{settings.files_url.rstrip('/')}/download/{identifier.name}.cif.gz",
    ]


def alphafold_listing(identifier: Identifier, settings: RemoteSettings) -> str:
    """Return the address at which AlphaFold DB lists the models of a protein and their files."""
    return f"{settings.alphafold_url.rstrip('/')}/api/prediction/{identifier.accession}"


def alphafold_sources(identifier: Identifier, models: object) -> list[str]:
    """Return the addresses of a model from AlphaFold DB's listing, the preferred one first.

    Raises:
        Absent: The listing does not have the model.
        Unusable: It has, but names no file.
    """
    for model in models if isinstance(models, list) else []:
        if isinstance(model, dict) and model.get("entryId") == identifier.name:
            links = [model.get(key) for key in ("bcifUrl", "cifUrl", "pdbUrl")]
            if sources := [link for link in links if isinstance(link, str)]:
                return sources
            raise Unusable(f"lists no file of {identifier.name}")
    raise Absent(f"lists no model {identifier.name}")


def _sources(identifier: Identifier, settings: RemoteSettings, downloader: Downloader) -> list[str]:
    if identifier.archive == "pdb":
        return pdb_sources(identifier, settings)
    url = alphafold_listing(identifier, settings)
    try:
        return alphafold_sources(identifier, downloader.json(url))
    except (Absent, Unusable) as error:
        raise _failure(identifier, [(url, error)]) from error


def _first_that_works(
    identifier: Identifier, sources: list[str], folder: Path, downloader: Downloader
) -> Path:
    """Download from the first address that serves the entry."""
    failures: list[tuple[str, Exception]] = []
    for url in sources:
        try:
            return downloader.save(url, folder / url.rsplit("/", 1)[-1])
        except (Absent, Unusable) as error:
            failures.append((url, error))
    raise _failure(identifier, failures) from failures[-1][1]


def _failure(identifier: Identifier, failures: list[tuple[str, Exception]]) -> DownloadError:
    """One error that tells what each address answered."""
    problem = "; ".join(f"{url}: {error}" for url, error in failures)
    if all(isinstance(error, Absent) for _, error in failures):
        remedy = (
            "Check the identifier; an obsolete entry has a successor, which rcsb.org names"
            if identifier.archive == "pdb"
            else "Check the accession; AlphaFold DB leaves out some proteins (alphafold.ebi.ac.uk)"
        )
        return DownloadError(identifier.name, f"no such entry ({problem})", remedy)
    return DownloadError(
        identifier.name,
        problem=f"could not be downloaded ({problem})",
        remedy="Check the network and try again, or give a mirror folder or the file itself",
    )
