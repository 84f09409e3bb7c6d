"""Is this file a whole structure file, and that of the right entry?"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import gemmi

from debye.errors import FormatError
from debye.structure.facts import CategoryFacts
from debye.structure.formats.bcif import BcifFile


def entry_problem(path: Path, name: str, expected: str) -> str | None:
    """Return the fault of a structure file, or None if it is complete, decodable and the right entry.

    Args:
        path: File to check.
        name: Its later name, which says its format.
        expected: Identifier of the entry, in any case; it is not compared with that of a PDB-format file.
    """
    content, problem = _content(path, name)
    if problem:
        return problem
    suffix = _suffix(name)
    if suffix == ".pdb":
        return None
    try:
        found, atoms = (_in_bcif if suffix == ".bcif" else _in_cif)(content, name)
    except FormatError as error:
        return error.problem
    if not atoms:
        return "has no atoms"
    return None if found.lower() == expected.lower() else f"is entry {found!r}, not {expected!r}"


def body_problem(path: Path, name: str = "") -> str | None:
    """Return the fault of a structure file, or None if it is complete and has the format of its (later) name.

    Its atoms are not decoded.
    """
    return _content(path, name or path.name)[1]


def _content(path: Path, name: str) -> tuple[bytes, str | None]:
    """Return the unpacked content of a file, and what is wrong with it."""
    data = path.read_bytes()
    if not data:
        return data, "the file is empty"
    start = data.lstrip()[:200].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"{", b"[")):
        return data, f"not a structure file but {start[:40].decode(errors='replace')!r}"
    if name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            return data, f"truncated or damaged gzip ({error})"
    suffix = _suffix(name)
    if suffix == ".bcif":
        return data, _bcif_problem(data)
    if suffix == ".cif":
        is_cif = data.startswith(b"data_") or b"\ndata_" in data[:65_536]
        return data, None if is_cif and b"_atom_site." in data else "not an mmCIF file with atoms"
    if suffix == ".pdb":
        is_whole = b"\nEND" in data[-4096:]
        return data, None if is_whole else "not a complete PDB file: END is missing"
    return data, f"unknown suffix {suffix!r}"


def _suffix(name: str) -> str:
    suffix = Path(name.removesuffix(".gz")).suffix
    return {".ent": ".pdb", ".mmcif": ".cif"}.get(suffix, suffix)


def _bcif_problem(data: bytes) -> str | None:
    """BinaryCIF is one whole MessagePack map that has data blocks."""
    import msgpack

    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        if data and 0x80 <= data[0] <= 0x8F and b"dataBlocks" in data:
            unpacker.skip()
            return None
    except msgpack.OutOfData:
        return "truncated BinaryCIF"
    except ValueError as error:
        return f"damaged BinaryCIF ({error})"
    return f"not BinaryCIF: it starts with {data[:16]!r}"


def _in_bcif(content: bytes, name: str) -> tuple[str, int]:
    """Return identifier and number of atoms; every column of the atoms is decoded."""
    file = BcifFile(content, name)
    atoms = file.category("atom_site")
    if len({len(column) for column in atoms.values()}) > 1:
        raise FormatError(name, "columns of atoms differ in length", "Download the file again")
    identifier = CategoryFacts(file).text("entry", "id")
    return identifier, len(next(iter(atoms.values()), ()))


def _in_cif(content: bytes, name: str) -> tuple[str, int]:
    try:
        blocks = gemmi.cif.read_string(content)
    except (ValueError, RuntimeError) as error:
        raise FormatError(name, f"damaged mmCIF ({error})", "Download the file again") from error
    for block in blocks:
        if atoms := len(block.find_values("_atom_site.id")):
            return gemmi.cif.as_string(block.find_value("_entry.id") or block.name), atoms
    return "", 0
