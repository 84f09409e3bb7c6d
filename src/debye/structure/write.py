"""Structure → new mmCIF or PDB file; and copies of files in which only the B-factors are new."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError, StructureError
from debye.files import is_same_file, write_bytes
from debye.structure.facts import CELL_ITEMS, OPERATOR_ITEMS
from debye.structure.formats.new_text import Edited, check_rows
from debye.structure.formats.pdb import LARGEST, SMALLEST, PdbFile
from debye.structure.read import SourceFile, read_source
from debye.structure.structure import EntityKind, Structure

TARGET_FORMATS: dict[str, Literal["cif", "pdb"]] = {
    ".cif": "cif",
    ".mmcif": "cif",
    ".pdb": "pdb",
    ".ent": "pdb",
}
_TENSOR = ("U[1][1]", "U[2][2]", "U[3][3]", "U[1][2]", "U[1][3]", "U[2][3]")
_MOST_SERIALS = 99_999
"""Serial numbers of PDB files have five columns; TER records take some of them."""
_WIDTHS = {
    "chain": (1, "one letter"),
    "residue_name": (3, "three letters"),
    "atom_name": (4, "four letters"),
    "altloc": (1, "one letter"),
    "insertion_code": (1, "one letter"),
    "element": (2, "two letters"),
}
_RANGES = {
    "residue_number": (-999, 9_999, "four columns"),
    "position": (-999.9995, 9_999.9994, "eight columns (Å)"),
    "b_iso": (-99.994, 999.994, "six columns (Å²)"),
    "occupancy": (-99.994, 999.994, "six columns"),
}
"""Lowest and highest value that the columns of a PDB file can hold."""


def write_structure(structure: Structure, target: Path | str) -> Path:
    """Write a structure to a new mmCIF or PDB file and return its path.

    Coordinates get three decimals, occupancies and B-factors two; an unknown value is ``?`` in mmCIF and blank
    in PDB. The same structure always gives the same bytes.

    Args:
        structure: All its atoms are written, in order.
        target: ``.cif``, ``.pdb`` or ``.ent``, also with ``.gz``; an existing file is replaced.

    Raises:
        FormatError: The suffix names another format, or the PDB format cannot hold the structure.
    """
    target = Path(target)
    kind = Path(target.name.removesuffix(".gz")).suffix
    writers = {".cif": cif_text, ".pdb": pdb_text, ".ent": pdb_text}
    if kind not in writers:
        remedy = f"Name the file {', '.join(writers)}, with or without .gz"
        raise FormatError(str(target), f"cannot write the format {kind!r}", remedy)
    write_bytes(target, _packed(writers[kind](structure).encode(), target))
    return target


def cif_text(structure: Structure) -> str:
    """Return the structure as the text of an mmCIF file."""
    document = gemmi.cif.Document()
    block = document.add_new_block((structure.entry.id or "built").upper())
    _add_entry(block, structure)
    labels = np.where(structure.chain_label == "", structure.chain, structure.chain_label).tolist()
    entities = {label: index for index, label in enumerate(dict.fromkeys(labels), start=1)}
    _add_entities(block, structure, labels, entities)
    columns = _atom_columns(structure, labels, entities)
    loop = block.init_loop("_atom_site.", list(columns))
    loop.set_all_values([[_quoted(value) for value in column] for column in columns.values()])
    tensors = structure.u_aniso
    if tensors is not None and len(rows := np.flatnonzero(np.isfinite(tensors).all(axis=1))):
        loop = block.init_loop("_atom_site_anisotrop.", ["id", "type_symbol", *_TENSOR])
        values = [_numbers(column, 4) for column in tensors[rows].T]
        identifiers = [str(row + 1) for row in rows.tolist()]
        loop.set_all_values([identifiers, structure.element[rows].tolist(), *values])
    _add_links(block, structure, labels)
    return document.as_string()


def _quoted(value: str) -> str:
    return value if value in (".", "?") else gemmi.cif.quote(value)


def _numbers(values: Iterable[float], decimals: int) -> list[str]:
    return ["?" if np.isnan(value) else f"{value:.{decimals}f}" for value in values]


def _atom_columns(
    structure: Structure, labels: list[str], entities: dict[str, int]
) -> dict[str, list[str]]:
    """Return the texts of the atoms by item of _atom_site."""
    numbers = zip(_sequence_numbers(structure, labels), structure.is_polymer, strict=True)
    xyz = zip("xyz", structure.position.T, strict=True)
    return {
        "group_PDB": ["HETATM" if hetero else "ATOM" for hetero in structure.is_hetero],
        "id": [str(row) for row in range(1, len(structure) + 1)],
        "type_symbol": structure.element.tolist(),
        "label_atom_id": structure.atom_name.tolist(),
        "label_alt_id": [altloc or "." for altloc in structure.altloc.tolist()],
        "label_comp_id": structure.residue_name.tolist(),
        "label_asym_id": labels,
        "label_entity_id": [str(entities[label]) for label in labels],
        "label_seq_id": [str(n) if is_polymer else "." for n, is_polymer in numbers],
        "pdbx_PDB_ins_code": [code or "?" for code in structure.insertion_code.tolist()],
        **{f"Cartn_{axis}": _numbers(column, 3) for axis, column in xyz},
        "occupancy": _numbers(structure.occupancy, 2),
        "B_iso_or_equiv": _numbers(structure.b_iso, 2),
        "auth_seq_id": [str(number) for number in structure.residue_number],
        "auth_asym_id": structure.chain.tolist(),
        "pdbx_PDB_model_num": [str(number) for number in structure.model],
    }


def _sequence_numbers(structure: Structure, labels: list[str]) -> list[int]:
    """Count the residues of every chain from 1, as label_seq_id does."""
    seen: dict[tuple[int, str], dict[int, int]] = {}
    numbers = []
    columns = (structure.model.tolist(), labels, structure.residue_index.tolist())
    for model, label, residue in zip(*columns, strict=True):
        chain = seen.setdefault((model, label), {})
        numbers.append(chain.setdefault(residue, len(chain) + 1))
    return numbers


def _add_entry(block: gemmi.cif.Block, structure: Structure) -> None:
    entry = structure.entry
    crystal = structure.crystal
    texts = [
        ("_entry.id", block.name),
        ("_struct.title", entry.title),
        ("_exptl.method", entry.method),
    ]
    if entry.resolution is not None:
        texts.append(("_refine.pdbx_refine_id", entry.method or "unknown"))
    for tag, text in texts:
        if text:
            block.set_pair(tag, gemmi.cif.quote(text))
    if entry.resolution is not None:
        block.set_pair("_refine.ls_d_res_high", f"{entry.resolution:.2f}")
    if crystal is None or crystal.nonstandard_frame:  # the matrix of the frame is not known here
        return
    for name, value in zip(CELL_ITEMS, crystal.cell, strict=True):
        block.set_pair(f"_cell.{name}", f"{value:.3f}")
    block.set_pair("_symmetry.space_group_name_H-M", gemmi.cif.quote(crystal.space_group))
    if len(crystal.ncs_operators):
        loop = block.init_loop("_struct_ncs_oper.", ["id", "code", *OPERATOR_ITEMS])
        for number, operator in enumerate(crystal.ncs_operators, start=1):
            loop.add_row([str(number), "generate", *(f"{value:.8f}" for value in operator.ravel())])


def _add_entities(
    block: gemmi.cif.Block, structure: Structure, labels: list[str], entities: dict[str, int]
) -> None:
    loop = block.init_loop("_entity.", ["id", "type"])
    first_row = {label: row for row, label in reversed(list(enumerate(labels)))}
    for label, entity in entities.items():
        kind = EntityKind(int(structure.entity_kind[first_row[label]]))
        other = "water" if kind == EntityKind.WATER else "non-polymer"
        loop.add_row([str(entity), "polymer" if kind.is_polymer else other])


def _add_links(block: gemmi.cif.Block, structure: Structure, labels: list[str]) -> None:
    if not len(structure.links):
        return
    partner = ("label_asym_id", "label_comp_id", "label_atom_id", "auth_asym_id", "auth_seq_id")
    tags = [f"ptnr{side}_{name}" for side in (1, 2) for name in partner]
    loop = block.init_loop("_struct_conn.", ["id", "conn_type_id", *tags, "pdbx_dist_value"])
    for number, (first, second) in enumerate(structure.links.tolist(), start=1):
        ion = EntityKind.ION in (structure.entity_kind[first], structure.entity_kind[second])
        row = [f"link{number}", "metalc" if ion else "covale"]
        for atom in (first, second):
            row += [labels[atom], str(structure.residue_name[atom]), str(structure.atom_name[atom])]
            row += [str(structure.chain[atom]), str(structure.residue_number[atom])]
        distance = np.linalg.norm(structure.position[first] - structure.position[second])
        loop.add_row([_quoted(value) for value in row] + [f"{distance:.3f}"])


def pdb_text(structure: Structure) -> str:
    """Return the structure as the text of a PDB file; :class:`FormatError` if a field is too wide for its columns."""
    last = _chain_ends(structure)
    problem = _pdb_problem(structure, last)
    if problem:
        problem = f"does not fit a PDB file: {problem}"
        remedy = "Write mmCIF instead (--format cif), which has no such limit"
        raise FormatError(structure.source, problem, remedy)
    models = np.unique(structure.model)
    serials = np.zeros(len(structure), np.int64)
    for model in models:
        rows = np.flatnonzero(structure.model == model)
        serials[rows] = np.arange(1, len(rows) + 1) + np.cumsum(last[rows]) - last[rows]
    atoms = _pdb_atoms(structure, serials.tolist())
    lines = [*_pdb_header(structure), *_pdb_links(structure, atoms)]
    for model in models:
        if len(models) > 1:
            lines.append(f"MODEL     {model:4d}")
        for row in np.flatnonzero(structure.model == model).tolist():
            lines.append(atoms[row])
            if structure.u_aniso is not None and np.isfinite(structure.u_aniso[row]).all():
                tensor = "".join(f"{value * 1e4:7.0f}" for value in structure.u_aniso[row])
                lines.append(f"ANISOU{atoms[row][6:27]} {tensor}{'':6}{atoms[row][76:78]}")
            if last[row]:
                lines.append(f"TER   {serials[row] + 1:5d}      {atoms[row][17:27]}")
        if len(models) > 1:
            lines.append("ENDMDL")
    return "\n".join(line.ljust(80) for line in [*lines, "END"]) + "\n"


def _chain_ends(structure: Structure) -> np.ndarray:
    """(atoms,) True for the last polymer atom of each chain of each model: a TER record follows."""
    last = np.zeros(len(structure), bool)
    rows = np.flatnonzero(structure.is_polymer)
    columns = (structure.model, structure.chain, structure.chain_label)
    places = zip(*(column[rows].tolist() for column in columns), strict=True)
    last[list(dict(zip(places, rows.tolist(), strict=True)).values())] = True
    return last


def _pdb_problem(structure: Structure, last: np.ndarray) -> str | None:
    """Return which limit of the PDB format a structure exceeds; None: it fits."""
    _, model = np.unique(structure.model, return_inverse=True)
    serials = int((np.bincount(model) + np.bincount(model, last)).max(initial=0))
    if serials > _MOST_SERIALS:
        return f"{serials} atom and TER records in one model, of at most {_MOST_SERIALS}"
    for name, (width, limit) in _WIDTHS.items():
        column = getattr(structure, name)
        long = np.flatnonzero(np.char.str_len(column) > width)
        if len(long):
            what = "chain name" if name == "chain" else name.removesuffix("_code").replace("_", " ")
            return f"{what} {str(column[long[0]])!r} has more than {limit}"
    for name, (low, high, limit) in _RANGES.items():
        column = getattr(structure, name)
        outside = np.argwhere((column < low) | (column > high))
        if len(outside):
            value = column[tuple(outside[0])]
            return f"{name.replace('_', ' ')} {value:g} is outside the {limit}"
    return None


def _pdb_header(structure: Structure) -> Iterator[str]:
    entry, crystal = structure.entry, structure.crystal
    if entry.id:
        yield f"HEADER{'':56}{entry.id.upper()[:4]}"
    if entry.title:
        yield f"TITLE     {entry.title[:70]}"
    if entry.method:
        yield f"EXPDTA    {entry.method}"
    if entry.resolution is not None:
        yield f"REMARK   2 RESOLUTION. {entry.resolution:7.2f} ANGSTROMS."
    if crystal is None or crystal.nonstandard_frame:  # the matrix of the frame is not known here
        return
    a, b, c, alpha, beta, gamma = crystal.cell
    cell = f"CRYST1{a:9.3f}{b:9.3f}{c:9.3f}{alpha:7.2f}{beta:7.2f}{gamma:7.2f}"
    yield f"{cell} {crystal.space_group:<11}"
    for number, operator in enumerate(crystal.ncs_operators, start=1):
        for axis, (*rotation, shift) in enumerate(operator.tolist(), start=1):
            turned = "".join(f"{value:10.6f}" for value in rotation)
            yield f"MTRIX{axis} {number:3d}{turned}{'':5}{shift:10.5f}"


def _pdb_links(structure: Structure, atoms: list[str]) -> Iterator[str]:
    """Yield a record for each link of the structure; those of disulfides name residues only."""
    written: set[tuple[str, str]] = set()
    for first, second in structure.links.tolist():
        a, b = atoms[first], atoms[second]
        distance = np.linalg.norm(structure.position[first] - structure.position[second])
        operators = f"{1555:>6} {1555:>6} {distance:5.2f}"
        if a[12:16] == b[12:16] == " SG ":
            if (a[17:27], b[17:27]) not in written:
                written.add((a[17:27], b[17:27]))
                ends = f"{a[17:21]}{a[21]} {a[22:27]}{'':3}{b[17:21]}{b[21]} {b[22:27]}"
                yield f"SSBOND {len(written):3d} {ends}{'':23}{operators}"
        else:
            yield f"LINK        {a[12:27]}{'':15}{b[12:27]}  {operators}"


def _pdb_atoms(structure: Structure, serials: Sequence[int]) -> list[str]:
    """Return the atom records, 78 columns each."""
    names = zip(structure.atom_name.tolist(), structure.element.tolist(), strict=True)
    columns = (
        ["HETATM" if hetero else "ATOM  " for hetero in structure.is_hetero.tolist()],
        serials,
        # The element symbol ends in column 14, unless the name needs all four columns.
        [f" {n:<3}" if len(e) == 1 and len(n) < 4 else f"{n:<4}" for n, e in names],
        structure.altloc.tolist(),
        structure.residue_name.tolist(),
        structure.chain.tolist(),
        structure.residue_number.tolist(),
        structure.insertion_code.tolist(),
        *(_fixed(structure.position[:, axis], 8, 3) for axis in range(3)),
        _fixed(structure.occupancy, 6, 2),
        _fixed(structure.b_iso, 6, 2),
        structure.element.tolist(),
    )
    line = "%s%5d %s%1s%3s %1s%4d%1s   %s%s%s%s%s          %2s"
    return [line % row for row in zip(*columns, strict=True)]


def _fixed(values: np.ndarray, width: int, decimals: int) -> list[str]:
    """Return numbers in columns of a width, blank for NaN."""
    texts = (f"{value:{width}.{decimals}f}" for value in values.tolist())
    return [" " * width if "nan" in text else text for text in texts]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """What a written copy contains."""

    target: Path
    atoms: int
    """Atom records in the file, all models."""
    replaced: int
    """As the counts of :class:`~debye.structure.formats.new_text.Edited`, also the next three."""
    kept: int
    dropped_anisotropic: int
    clipped: int

    def __str__(self) -> str:
        counts = (
            (self.kept, "atoms keep their value"),
            (self.dropped_anisotropic, "anisotropic records dropped"),
            (self.clipped, "values clipped to the PDB columns"),
        )
        extras = [f"{count} {what}" for count, what in counts if count]
        return ", ".join([f"{self.target}: {self.replaced} B-factors replaced", *extras])


def write_with_b(
    source: SourceFile | Path | str, target: Path | str, b: NDArray[np.floating]
) -> WriteReport:
    """Write a copy of a structure file with new B-factors.

    The suffix of ``target`` chooses the format: ``.cif``, ``.mmcif``, ``.pdb`` or ``.ent``, each also with
    ``.gz``. Within a format nothing but B changes: mmCIF keeps its layout byte by byte, PDB every byte outside
    columns 61-66. BinaryCIF becomes mmCIF text with every category. Between PDB and mmCIF the structure is
    written anew; what does not fit a PDB file is refused. Anisotropic records of replaced atoms are dropped
    and counted, in every format. The file appears complete or not at all.

    Args:
        source: File to copy: mmCIF, BinaryCIF or PDB, each also gzipped; already read, or a path.
        target: File to write; its folder is made.
        b: (records,) new B-factors, Å², by :attr:`~debye.structure.Structure.record`, all models;
            NaN keeps the value of the file.

    Raises:
        StructureError: The number of values differs from the file's, a value is infinite, the
            entry does not fit the format, or the target is the source or cannot be written.
    """
    target = Path(target)
    target_format = _target_format(target)
    if not isinstance(source, SourceFile):
        source = read_source(source)
    refuse_to_replace(source.path, target)
    edited = annotated(source, b, target_format)
    write_bytes(target, _packed(edited.data, target, level=6), StructureError)
    return WriteReport(
        target=target,
        atoms=len(b),
        replaced=edited.replaced,
        kept=edited.kept,
        dropped_anisotropic=edited.dropped_anisotropic,
        clipped=edited.clipped,
    )


def _packed(data: bytes, target: Path, level: int = 9) -> bytes:
    # Without the time stamp the same input gives the same file.
    return gzip.compress(data, level, mtime=0) if target.name.endswith(".gz") else data


def annotated(
    source: SourceFile, b: NDArray[np.floating], target_format: Literal["cif", "pdb"]
) -> Edited:
    """Return the content of a copy; arguments and errors as in :func:`write_with_b`."""
    b = np.asarray(b)
    if np.isinf(b).any():
        problem = f"{int(np.isinf(b).sum())} of {len(b)} new B-factors are infinite"
        remedy = "Give finite values, or NaN to keep the file's value"
        raise StructureError(source.structure.source, problem, remedy)
    if isinstance(source.content, PdbFile) == (target_format == "pdb"):
        return source.content.annotated(b)
    return _converted(source, b, target_format)


def refuse_to_replace(source: Path | None, target: Path) -> None:
    """Raise :class:`StructureError` if a file to write is the file that was read."""
    if is_same_file(source, target):
        problem = "the output would replace the input"
        raise StructureError(str(target), problem, "Choose another folder or name")


def _converted(
    source: SourceFile, b: NDArray[np.floating], target_format: Literal["cif", "pdb"]
) -> Edited:
    """Write the structure of a file in the other format."""
    structure = source.structure
    check_rows(len(structure), b, "atom records", structure.source)
    new, clipped, dropped = np.isfinite(b), 0, 0
    if target_format == "pdb":
        clipped = int(((b > LARGEST + 0.005) | (b < SMALLEST - 0.005)).sum())
        b = np.clip(b, SMALLEST, LARGEST)
    tensors = structure.u_aniso
    if tensors is not None:
        dropped = int((np.isfinite(tensors).all(axis=1) & new).sum())
        tensors = np.where(new[:, None], np.float32(np.nan), tensors)
    copy = replace(structure, b_iso=np.where(new, b, structure.b_iso), u_aniso=tensors)
    text = pdb_text(copy) if target_format == "pdb" else cif_text(copy)
    return Edited(text.encode(), int(new.sum()), int((~new).sum()), dropped, clipped)


def _target_format(target: Path) -> Literal["cif", "pdb"]:
    suffix = Path(target.name.removesuffix(".gz")).suffix.lower()
    if suffix in TARGET_FORMATS:
        return TARGET_FORMATS[suffix]
    problem = f"debye does not write files that end in {suffix!r}"
    remedy = f"Use one of {', '.join(TARGET_FORMATS)}, each also with .gz"
    raise StructureError(str(target), problem, remedy)
