"""File → :class:`SourceFile` → :class:`Structure`; the content tells the format, never the name."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from debye.errors import FormatError
from debye.structure.formats.bcif import BcifFile
from debye.structure.formats.mmcif import MmcifFile
from debye.structure.formats.pdb import PdbFile
from debye.structure.records import structure_from
from debye.structure.structure import Structure

_FORMATS = {"mmcif": MmcifFile, "bcif": BcifFile, "pdb": PdbFile}
_GZIP = b"\x1f\x8b"
_OTHER_CONTENT = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"(\xb5/\xfd", "compressed by Zstandard"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)
_TEXTS = (
    (rb"<(!doctype\s+html|html|head|body)", "HTML"),
    (rb"<", "XML"),
    (rb"[{\[]", "JSON"),
    (rb"", "of unknown content"),
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CIF = re.compile(rb"(?:\s|#[^\n]*\n)*data_", re.IGNORECASE)
_PDB = re.compile(
    rb"(?:^|\r)(?:HEADER|TITLE |COMPND|REMARK|CRYST1|MODEL |ATOM  |HETATM|SEQRES|EXPDTA|AUTHOR|DBREF|HELIX |SHEET |USER  )",
    re.MULTILINE | re.IGNORECASE,
)
_REMEDY = "Give a structure as mmCIF, BinaryCIF or PDB, with or without gzip"


@dataclass(frozen=True, slots=True, eq=False)
class SourceFile:
    """A structure file that was read, with its content, which :func:`~debye.structure.write.write_with_b` copies."""

    path: Path | None
    """None if the content does not come from a file."""
    content: MmcifFile | BcifFile | PdbFile
    structure: Structure
    """All atoms, in the order of the file."""


def read_source(path: str | Path) -> SourceFile:
    """Read a file once, for its structure and for copies of it.

    mmCIF, BinaryCIF and PDB, each also gzipped, are distinguished by their content.

    Args:
        path: The file; ``~`` is the home folder.

    Raises:
        FormatError: The file is in none of these formats, or is damaged.
        StructureError: It has no atoms, or no coordinates.
        OSError: The file cannot be opened.
    """
    place = Path(path).expanduser()
    return source_from_bytes(place.read_bytes(), str(path), place)


def source_from_bytes(content: bytes, source: str, path: Path | None = None) -> SourceFile:
    """Read the content of a file, gzipped or not, see :func:`read_source`.

    ``source`` is kept in the structure and named in error messages.
    """
    raw = uncompressed(content, source)
    parsed = _FORMATS[file_format(raw, source)](raw, source)
    return SourceFile(path, parsed, structure_from(parsed.records(), source))


def read_structure(path: str | Path) -> Structure:
    """Read all atoms of a file, in the order of the file; see :func:`read_source`.

    All models, altlocs, hydrogens and waters are kept; :func:`~debye.structure.select.select_atoms` chooses
    among them. ``source`` is the path as given.
    """
    return read_source(path).structure


def uncompressed(content: bytes, source: str) -> bytes:
    """Return the content of a file, unpacked if it is gzipped; :class:`FormatError` if that is damaged.

    Example:
        >>> uncompressed(gzip.compress(b"data_x"), "x.cif.gz")
        b'data_x'
    """
    try:
        raw = gzip.decompress(content) if content.startswith(_GZIP) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problem = f"truncated or damaged gzip data ({len(content):,} bytes: {error})"
        raise FormatError(source, problem, "Download or copy the file again") from error
    # removeprefix alone copies megabytes where there is no mark.
    return raw.removeprefix(_BYTE_ORDER_MARK) if raw.startswith(_BYTE_ORDER_MARK) else raw


def file_format(raw: bytes, source: str) -> str:
    """Return the format of an uncompressed file: ``mmcif``, ``bcif`` or ``pdb``, else :class:`FormatError`.

    Example:
        >>> file_format(b"# comment\\ndata_1ABC\\n", "1abc.pdb")
        'mmcif'
    """
    if not raw[:4096].strip() and not raw.strip():
        raise FormatError(source, "the file is empty", _REMEDY)
    if raw[0] & 0xF0 == 0x80 or raw[0] in (0xDE, 0xDF):  # a MessagePack map
        if b"dataBlocks" in raw:
            return "bcif"
        raise FormatError(source, "MessagePack, but not BinaryCIF", _REMEDY)
    if _CIF.match(raw):
        return "mmcif"
    head = raw[:100_000]
    if not head.lstrip().startswith(b"<") and b"\0" not in head and _PDB.search(raw):
        return "pdb"
    raise FormatError(source, f"the file is {_content(head)}, not a structure", _REMEDY)


def _content(head: bytes) -> str:
    """Describe the content of a file that is not a structure."""
    for start, content in _OTHER_CONTENT:
        if head.startswith(start):
            return content
    text = head.lstrip()
    kind = next(name for start, name in _TEXTS if re.match(start, text, re.IGNORECASE))
    return f"{kind} ({text[:40].decode('ascii', 'replace')!r})"
