"""The table of archives, and how identifiers and lists of them are read.

To add an archive, add a row; :func:`debye.testing.check_archive` says whether it is right.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from debye.archives.archive import Archive, Identifier, templates
from debye.archives.http import Absent, HttpClient, Unusable
from debye.errors import ConfigError, DownloadError
from debye.plugins import Catalog

PDB_ID = re.compile(r"(?:pdb_0000)?([0-9][a-z0-9]{3})", re.IGNORECASE)
UNIPROT = r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9](?:[A-Z][A-Z0-9]{2}[0-9]){1,2}"
"""Accession numbers of UniProt, https://www.uniprot.org/help/accession_numbers."""
ALPHAFOLD_ID = re.compile(
    rf"(?:AF-)?({UNIPROT})((?:-[0-9]+)?)(?:-F([0-9]+)(?:-model_v[0-9]+)?)?", re.IGNORECASE
)


def _pdb_name(text: str) -> str | None:
    match = PDB_ID.fullmatch(text)
    return match[1].lower() if match else None


def pdb_successors(archive: Archive, name: str, client: HttpClient) -> list[str] | None:
    """Return what replaced an obsolete PDB entry; None if it is not known as one."""
    url = f"{archive.address('data', client)}/rest/v1/holdings/removed/{name.upper()}"
    try:
        document = client.json(url)
    except Absent:
        return None
    removed = document.get("rcsb_repository_holdings_removed") if isinstance(document, dict) else {}
    named = (removed or {}).get("id_codes_replaced_by") or ()
    found = [_pdb_name(str(each)) for each in named]
    if None in found:
        raise Unusable(f"{url}: {named!r} are not PDB identifiers")
    return [each for each in found if each]


def _alphafold_name(text: str) -> str | None:
    match = ALPHAFOLD_ID.fullmatch(text)
    return f"AF-{match[1]}{match[2]}-F{match[3] or 1}".upper() if match else None


def _alphafold_urls(archive: Archive, name: str, client: HttpClient) -> list[str]:
    """Ask AlphaFold DB which models of a protein it has, and where their files are."""
    accession = name.removeprefix("AF-").rsplit("-F", 1)[0]
    listing = f"{archive.address('alphafold', client)}/api/prediction/{accession}"
    models = client.json(listing)
    for model in models if isinstance(models, list) else []:
        if isinstance(model, dict) and model.get("entryId") == name:
            links = [model.get(key) for key in ("bcifUrl", "cifUrl", "pdbUrl")]
            if urls := [link for link in links if isinstance(link, str)]:
                return urls
            raise Unusable(f"{listing} lists no file of {name}")
    raise Absent(f"{listing} lists no model {name}")


PDB = Archive(
    name="pdb",
    title="a PDB identifier (1abc, pdb_00001abc)",
    example="1abc",
    parse=_pdb_name,
    servers={
        "models": "https://models.rcsb.org",
        "files": "https://files.rcsb.org",
        "data": "https://data.rcsb.org",
    },
    urls=templates("{models}/{id}.bcif.gz", "{files}/download/{id}.cif.gz"),
    if_absent="Check the identifier; an obsolete entry has a successor, which rcsb.org names",
    folder=lambda name: name[1:3],
    successors=pdb_successors,
)
ALPHAFOLD = Archive(
    name="alphafold",
    title="a UniProt accession (P00533) or an AlphaFold DB entry (AF-P00533-F1)",
    example="AF-P00533-F1",
    parse=_alphafold_name,
    servers={"alphafold": "https://alphafold.ebi.ac.uk"},
    urls=_alphafold_urls,
    if_absent="Check the accession; AlphaFold DB leaves out some proteins (alphafold.ebi.ac.uk)",
    version="-model_v([0-9]+)",
    is_predicted=True,
)
ARCHIVES = Catalog("archive", "debye.archives", Archive, (PDB, ALPHAFOLD))
"""An identifier belongs to the first archive that can parse it; other packages add rows."""


def find_identifier(text: str) -> Identifier | None:
    """Read an identifier of one of the archives; None if the text is not one.

    Example:
        >>> found = find_identifier("pdb_00001ABC")
        >>> found.archive.name, found.name, find_identifier("1abc.cif")
        ('pdb', '1abc', None)
    """
    for archive in ARCHIVES.values():
        if name := archive.parse(text.strip()):
            return Identifier(archive, name)
    return None


def parse_identifier(text: str) -> Identifier:
    """Read an identifier of one of the archives.

    Example:
        >>> parse_identifier("p00533").name, parse_identifier("AF-P00533-F2-model_v4").name
        ('AF-P00533-F1', 'AF-P00533-F2')

    Raises:
        DownloadError: The text is not an identifier.
    """
    if found := find_identifier(text):
        return found
    titles = ", ".join(archive.title for archive in ARCHIVES.values())
    raise DownloadError(repr(text), NOT_AN_IDENTIFIER, f"Give an existing file, {titles}")


NOT_AN_IDENTIFIER = "neither a file nor an identifier"


def read_ids(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a list of entries, each with at least ``id``; only one row is in memory at a time.

    A list is a CSV file with a column ``id``, or a text file. In a text file, blank lines and what follows a ``#``
    are left out, and several identifiers may share a line, separated by blanks or commas, as web sites copy them.

    Raises:
        ConfigError: The file cannot be read, or is a CSV file without a column ``id``.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file)
                if "id" not in (reader.fieldnames or ()):
                    raise ConfigError(
                        str(path),
                        f"has the columns {', '.join(reader.fieldnames or ('none',))}",
                        "A list in CSV needs a column id; plain lists end in .txt",
                    )
                for row in reader:
                    if (row["id"] or "").strip():
                        yield {name: (text or "").strip() for name, text in row.items() if name}
            else:
                for line in file:
                    for name in line.split("#")[0].replace(",", " ").split():
                        yield {"id": name}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problem = f"cannot be read ({error})"
        raise ConfigError(str(path), problem, "Give a list of identifiers") from error
