"""PDB format: its atoms and facts, and a copy with new B-factors in columns 61-66.

The atom records are cut from the bytes in the order of the file. gemmi reads the records before them, but not
the atoms: it puts atoms of one residue together and gives numbers for blank fields.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError
from debye.structure.chemistry import (
    RESIDUE_PROPERTIES,
    SYMBOLS,
    element_of,
    element_of_padded_name,
)
from debye.structure.facts import Header, Partner
from debye.structure.formats.columns import fixed_numbers, fixed_texts, with_line_feeds
from debye.structure.formats.new_text import Edited, check_rows, splice
from debye.structure.records import AtomRecords

LARGEST = 999.99
"""Å²; the largest B that six columns with two decimals can hold."""
SMALLEST = -99.99
WIDTH = 80
_SHORTEST = 54
"""Characters of a record that ends with its coordinates."""
_HYBRID_36 = 10 * 36**3
"""Hybrid-36 residue numbers continue with A000 after 9999."""
_LAST_LINE = b"END" + b" " * (WIDTH - 3) + b"\n"
_USED = slice(12, 66)
"""Columns from atom name to B."""
_ELEMENT = slice(76, 78)
_UPPER = 0xDFDFDFDF
"""Clears the bit that makes ASCII letters lower case (and a space 0)."""
_B = slice(60, 66)
_TEXT_FIELDS = {
    "atom_name": (12, 4), "altloc": (16, 1), "residue_name": (17, 3), "chain": (20, 2), "insertion_code": (26, 1),
}  # fmt: skip
"""First column, from 0, and width."""
_IDENTITY = slice(12, 27)
"""Atom name, altloc, residue name, chain, residue number, insertion code."""
_B_TYPE = re.compile(rb"B VALUE TYPE[^:\n]*:([^\n]*)")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def _record_code(name: bytes) -> int:
    """Return what :attr:`PdbFile.names` has for records that begin with these four letters."""
    return int.from_bytes(name, "little") & _UPPER


_RECORDS = tuple(map(_record_code, (b"ATOM", b"HETA", b"ANIS", b"MODE", b"ENDM", b"END ")))
_ANISOTROPIC = (_record_code(b"ANIS"), _record_code(b"SIGU"))


class PdbFile:
    """The lines of an uncompressed PDB file; ``source`` is named in error messages."""

    def __init__(self, raw: bytes, source: str) -> None:
        self._raw, self.source = raw, source
        raw = with_line_feeds(raw)
        # Padded, so that the columns of a short last line can be cut.
        size = len(raw)
        if not raw.endswith(_LAST_LINE):
            raw = raw.rstrip(b"\r\n") + b"\n" + b" " * WIDTH
            size = len(raw) - WIDTH
        self.bytes = np.frombuffer(raw, np.uint8)
        self.starts, self.lengths = _lines(self.bytes[:size], raw.count(b"\n"))
        self.table = self._table()
        """(lines, 80) characters, filled up with spaces."""
        self.names = np.ascontiguousarray(self.table[:, :4]).view("<u4")[:, 0] & np.uint32(_UPPER)
        """(lines,) the first four letters, see :func:`_record_code`."""
        atom, hetatm = self.names == _RECORDS[0], self.names == _RECORDS[1]
        self.rows = np.flatnonzero(atom | hetatm)
        """(atoms,) line of each atom record."""
        self.is_hetero = hetatm[self.rows]

    @property
    def head(self) -> bytes:
        """The lines before the first atom record, ended by line feeds."""
        size = int(self.starts[self.rows[0]]) if len(self.rows) else len(self._raw)
        return with_line_feeds(self._raw[:size])

    def records(self) -> AtomRecords:
        """Return the atoms and facts; :class:`FormatError` if a record is damaged."""
        header, partners = _facts(self.head)
        return AtomRecords(self._columns(), partners, header)

    def _columns(self) -> dict[str, Any]:
        if len(self.rows) and self.lengths[self.rows].min() < _SHORTEST:
            row = self.rows[np.argmin(self.lengths[self.rows])]
            problem = f"line {row + 1} is an atom record of {self.lengths[row]} characters"
            remedy = f"Repair it: coordinates end at character {_SHORTEST}"
            raise FormatError(self.source, problem, remedy)
        atoms = len(self.rows)
        field = self._turned(_USED)
        position = np.empty((atoms, 3), np.float32)
        for axis, start in enumerate((30, 38, 46)):
            position[:, axis] = fixed_numbers(_field(field, start, 8), 3, _number)
        text = {name: fixed_texts(_field(field, *place)) for name, place in _TEXT_FIELDS.items()}
        number = fixed_numbers(_field(field, 22, 4), 0, self._residue_number)
        return text | {
            "model": self._model(),
            "chain_label": np.zeros(atoms, "U1"),
            "residue_number": number.astype(np.int32),
            "element": self._elements(),
            "position": position,
            "occupancy": fixed_numbers(_field(field, 54, 6), 2, _occupancy).astype(np.float32),
            "b_iso": fixed_numbers(_field(field, 60, 6), 2, _number).astype(np.float32),
            "is_hetero": self.is_hetero,
            "u_aniso": self._u_aniso(),
        }

    def annotated(self, b: NDArray[np.floating]) -> Edited:
        """Return the file with new B-factors in columns 61-66.

        Line ends, trailing blanks and every other record stay as they are. Lines that stop before column 66 are
        padded. ANISOU and SIGUIJ of a replaced atom are dropped. Values beyond what the six columns hold (-99.99
        to 999.99) are clipped and counted. ``b`` (records,) is in file order, Å²; NaN keeps the file's value.
        """
        data, starts, ends = self._raw, self.starts, self.starts + self.lengths
        check_rows(len(self.rows), b, "atom records", self.source)
        new = np.isfinite(b)
        rounded = np.round(b[new].astype(np.float64), 2) + 0.0
        clipped = int(((rounded > LARGEST) | (rounded < SMALLEST)).sum())
        rounded = np.clip(rounded, SMALLEST, LARGEST)
        text = np.frombuffer(("%6.2f" * len(rounded) % tuple(rounded.tolist())).encode(), np.uint8)
        text = text.reshape(-1, 6)
        rows = self.rows[new]
        line, line_end = starts[rows], ends[rows]
        is_long = line_end - line >= _B.stop
        edited = np.frombuffer(data, np.uint8).copy()
        edited[line[is_long, None] + np.arange(_B.start, _B.stop)] = text[is_long]
        short = zip(
            line[~is_long].tolist(), line_end[~is_long].tolist(), text[~is_long], strict=True
        )
        edits = [
            (first, last, data[first:last].ljust(_B.start)[: _B.start] + bytes(new_b))
            for first, last, new_b in short
        ]
        dropped = self._anisotropic_of(new)
        next_line = np.append(starts[1:], _behind_line_end(data, int(ends[-1])))
        edits += [(int(starts[row]), int(next_line[row]), b"") for row in dropped]
        return Edited(
            data=splice(edited.tobytes(), *zip(*edits, strict=True)) if edits else edited.tobytes(),
            replaced=len(rows),
            kept=len(b) - len(rows),
            dropped_anisotropic=len(dropped),
            clipped=clipped,
        )

    def _anisotropic_of(self, new: NDArray[np.bool_]) -> list[int]:
        """Return the lines of the ANISOU and SIGUIJ records whose atom gets a new B."""
        anisotropic = np.flatnonzero(np.isin(self.names, _ANISOTROPIC))
        before = np.searchsorted(self.rows, anisotropic) - 1
        # Some programs collect the ANISOU records at the end of the chain: then the names are compared.
        identities = map(self._identity, self.rows.tolist())
        is_new = dict(zip(identities, new.tolist(), strict=True)) if len(anisotropic) else {}
        dropped = []
        for line, atom in zip(anisotropic.tolist(), before.tolist(), strict=True):
            identity = self._identity(line)
            follows = atom >= 0 and self._identity(int(self.rows[atom])) == identity
            if new[atom] if follows else is_new.get(identity, False):
                dropped.append(line)
        return dropped

    def _identity(self, line: int) -> bytes:
        start = int(self.starts[line])
        return self._raw[start + _IDENTITY.start : start + _IDENTITY.stop]

    def _turned(self, columns: slice) -> NDArray[np.uint8]:
        """(characters, atoms) of the atom records: each character of all atoms lies together."""
        return np.ascontiguousarray(np.take(self.table[:, columns], self.rows, axis=0).T)

    def _model(self) -> NDArray[np.int32]:
        """(atoms,) number of the MODEL; of files without that record, which part up to END or ENDMDL."""
        lines = np.flatnonzero(self.names == _RECORDS[3])
        if len(lines):
            cut = self.table[lines, 5:].tobytes().decode("latin-1")
            fields = [cut[i * 75 : i * 75 + 75].split() for i in range(len(lines))]
            # More than nine digits exceed 32 bits.
            numbers = [
                int(f[0]) if f and f[0].isdecimal() and len(f[0]) < 10 else 0 for f in fields
            ]
            if len(set(numbers)) == len(numbers):
                before = np.searchsorted(lines, self.rows)
                return np.array([numbers[0], *numbers], np.int32)[before]
        else:
            lines = np.flatnonzero((self.names == _RECORDS[4]) | (self.names == _RECORDS[5]))
        before = np.searchsorted(lines, self.rows)
        new = np.diff(before, prepend=before[:1]) > 0
        return (np.cumsum(new) + 1).astype(np.int32)

    def _u_aniso(self) -> NDArray[np.float32] | None:
        """(atoms, 6) from ANISOU records that follow the atom that they name, Å²; None without any."""
        rows = np.flatnonzero(self.names == _RECORDS[2])
        atom = np.searchsorted(self.rows, rows) - 1
        rows, atom = rows[atom >= 0], atom[atom >= 0]
        if len(rows) == 0:
            return None
        record = self.table[rows]
        same = (self.table[self.rows[atom], 6:27] == record[:, 6:27]).all(axis=1)
        values = np.full((len(self.rows), 6), np.nan, np.float32)
        field = np.ascontiguousarray(record[same].T)
        for column in range(6):
            start = 28 + 7 * column
            values[atom[same], column] = fixed_numbers(field[start : start + 7], 0, _number) * 1e-4
        return values

    def _table(self) -> NDArray[np.uint8]:
        if len(self.starts) > 1 and (self.lengths == WIDTH).all():
            step = int(self.starts[1])
            if (np.diff(self.starts) == step).all():  # as the PDB writes them: without a copy
                return self.bytes[: len(self.starts) * step].reshape(-1, step)[:, :WIDTH]
        column = np.arange(WIDTH)
        characters = np.take(self.bytes, self.starts[:, None] + column, mode="clip")
        characters[column >= self.lengths[:, None]] = ord(" ")
        return characters

    def _elements(self) -> NDArray[np.str_]:
        """Return the elements of columns 77-78, or else those of the aligned atom names."""
        first, second = self._turned(_ELEMENT)
        code = np.take(_ELEMENT_CODES, first.astype(np.uint16) * 256 + second)
        element = np.take(SYMBOLS, code)
        unknown = np.flatnonzero(code == 0)
        blank = unknown[(first[unknown] == ord(" ")) & (second[unknown] == ord(" "))]
        if len(blank):
            names = np.ascontiguousarray(self.table[self.rows[blank], 12:20]).view("S8")[:, 0]
            distinct, index = np.unique(names, return_inverse=True)
            found = [_element_of_columns(n.decode("latin-1").ljust(8)) for n in distinct.tolist()]
            element[blank] = np.array(found)[index]
        return element

    def _residue_number(self, text: str) -> int:
        try:
            if text[:1].isalpha() and len(text) == 4:
                return int(text, 36) - _HYBRID_36 + 10_000
            return int(text)
        except ValueError as error:
            problem = f"residue number {text!r} in columns 23-26 of an atom record"
            remedy = "Give an integer, or hybrid-36 above 9999"
            raise FormatError(self.source, problem, remedy) from error


def _facts(head: bytes) -> tuple[Header, list[tuple[Partner, Partner]]]:
    """Return the facts in the records before the atoms."""
    try:
        return _facts_of(_parsed(head), head)
    except UnicodeDecodeError:
        return _facts_of(_parsed(_NOT_ASCII.sub(b"?", head)), head)


def _parsed(records: bytes) -> gemmi.Structure:
    """Read records, without the kinds that gemmi refuses."""
    try:
        return gemmi.read_pdb_string(records)
    except (RuntimeError, ValueError):
        lines = records.splitlines(keepends=True)
    sound = gemmi.Structure()
    kept = b""
    for kind in dict.fromkeys(line[:6] for line in lines):
        more = kept + b"".join(line for line in lines if line[:6] == kind)
        with suppress(RuntimeError, ValueError):
            sound = gemmi.read_pdb_string(more)
            kept = more
    return sound


def _facts_of(
    structure: gemmi.Structure, head: bytes
) -> tuple[Header, list[tuple[Partner, Partner]]]:
    info, meta = structure.info, structure.meta
    programs = [item for item in meta.software if item.classification.name == "Refinement"]
    id, title, method = (
        info[tag] if tag in info else ""  # noqa: SIM401 (the map of gemmi has no get())
        for tag in ("_entry.id", "_struct.title", "_exptl.method")
    )
    b_type = _B_TYPE.search(head)
    header = Header(
        id=id,
        title=title,
        method=method,
        resolution=structure.resolution,
        r_free=next((item.r_free for item in meta.refinement), None),
        program=f"{programs[0].name} {programs[0].version}".strip() if programs else "",
        has_tls=any(len(item.tls_groups) for item in meta.refinement),
        b_type=b_type[1].strip().decode("ascii", "replace") if b_type else "",
        hints=() if "_exptl.method" in info else (head.decode("ascii", "replace"),),
        cell=structure.cell.parameters,
        space_group=structure.spacegroup_hm,
        fractional=_matrix(structure.cell.frac) if structure.cell.explicit_matrices else None,
        ncs=[(operator.given, _matrix(operator.tr)) for operator in structure.ncs],
    )
    partners = [
        (_partner(link.partner1), _partner(link.partner2))
        for link in structure.connections
        if link.type != gemmi.ConnectionType.Hydrog and link.asu != gemmi.Asu.Different
    ]
    return header, partners


def _partner(address: gemmi.AtomAddress) -> Partner:
    residue = address.res_id
    return Partner(
        chain=address.chain_name,
        residue_number=residue.seqid.num or 0,
        insertion_code=residue.seqid.icode.strip(),
        residue_name=residue.name,
        atom_name=address.atom_name,
        altloc=address.altloc.strip("\0"),
    )


def _matrix(transform: gemmi.Transform) -> NDArray[np.float64]:
    return np.column_stack([transform.mat.tolist(), transform.vec.tolist()])


def _behind_line_end(data: bytes, end: int) -> int:
    r"""Return where the next line starts, after ``\n``, ``\r\n`` or ``\r``."""
    return end + (2 if data[end : end + 2] == b"\r\n" else len(data[end : end + 1]))


def _field(used: NDArray[np.uint8], start: int, width: int) -> NDArray[np.uint8]:
    """(characters, atoms) of a field, by its first column, from 0."""
    return used[start - _USED.start : start - _USED.start + width]


def _lines(content: NDArray[np.uint8], newlines: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where lines start and how long they are, line ends excluded."""
    step = WIDTH + 1
    if len(content) % step == 0:
        table = content.reshape(-1, step)
        # 80 columns and a newline a line, as the PDB writes them; no newline elsewhere.
        if newlines == len(table) and (table[:, WIDTH] == ord("\n")).all():
            starts = np.arange(0, len(content), step)
            return starts, np.full(len(starts), WIDTH)
    ends = np.flatnonzero(content == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    returns = content[np.maximum(ends - 1, 0)] == ord("\r")
    return starts, lengths - (returns & (lengths > 0))


def _element_of_columns(text: str) -> str:
    """Return the element by columns 13-20: atom name, altloc, residue name."""
    residue = text[5:].strip().upper()
    # Some programs align all names to the left; no amino acid has the calcium that "CA  " would be.
    if residue in RESIDUE_PROPERTIES:
        return element_of(text[:4], residue)
    return element_of_padded_name(text[:4])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _occupancy(text: str) -> float:
    return _number(text) if text else 1.0


def _element_codes() -> NDArray[np.uint8]:
    """(65536,) gemmi's element number for two characters, 0 if they are not a symbol."""
    codes = np.zeros(1 << 16, np.uint8)
    for number, symbol in enumerate(SYMBOLS.tolist()):
        for text in (symbol, symbol.lower(), symbol.capitalize()):
            for padded in (text.rjust(2), text.ljust(2)):
                codes[ord(padded[0]) * 256 + ord(padded[1])] = number
    return codes


_ELEMENT_CODES = _element_codes()
