"""The atom records of a PDB file → columns.

gemmi would do, but it puts atoms of one residue together, gives numbers for blank fields, and turning its atoms
into arrays costs as much as reading. Here the columns are cut from the bytes, in the order of the file.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debye.errors import FormatError
from debye.structure.chemistry import RESIDUE_PROPERTIES
from debye.structure.element_names import SYMBOLS, element_of, element_of_padded_name
from debye.structure.fixed_width import numbers, texts

WIDTH = 80
_SHORTEST = 54
"""Characters of a record that ends with its coordinates."""
_HYBRID_36 = 10 * 36**3
"""Hybrid-36 residue numbers go on with A000 after 9999."""
_LAST_LINE = b"END" + b" " * (WIDTH - 3) + b"\n"
_MOST_RUNS = 100
_USED = slice(12, 66)
"""Columns from atom name to B."""
_ELEMENT = slice(76, 78)
_UPPER = 0xDFDFDFDF
"""Clears the bit that makes ASCII letters lower case (and a space 0)."""
_LONE_RETURN = re.compile(rb"\r(?!\n)")
_END = re.compile(rb"^END(?![^ \r\n])[^\r\n]*", re.MULTILINE | re.IGNORECASE)
_MODEL = re.compile(rb"^MODE", re.MULTILINE | re.IGNORECASE)


def with_line_feeds(raw: bytes) -> bytes:
    """Return the text with line feeds for carriage returns that end a line alone; no byte moves.

    Example:
        >>> with_line_feeds(b"TITLE\\rTER\\r\\nEND\\r")
        b'TITLE\\nTER\\r\\nEND\\n'
    """
    if b"\r" not in raw or raw.count(b"\r") == raw.count(b"\r\n"):
        return raw
    return _LONE_RETURN.sub(b"\n", raw)


def without_end(raw: bytes) -> bytes:
    """Return the text without END records, at which gemmi would stop, with the models of :class:`PdbLines`.

    Where no MODEL record tells the models, ENDMDL parts them as END does.

    Example:
        >>> without_end(b"ATOM\\nEND\\nATOM\\n")
        b'ATOM\\nENDMDL\\nATOM\\n'
    """
    return _END.sub(b"" if _MODEL.search(raw) else b"ENDMDL", raw)


def record_code(name: bytes) -> int:
    """Return what :attr:`PdbLines.names` has for records that begin with these four letters."""
    return int.from_bytes(name, "little") & _UPPER


_RECORDS = tuple(map(record_code, (b"ATOM", b"HETA", b"ANIS", b"MODE", b"ENDM", b"END ")))


class PdbLines:
    """Where the records of a PDB file lie in its bytes.

    Args:
        raw: The uncompressed file.
        source: Named in error messages.
    """

    def __init__(self, raw: bytes, source: str) -> None:
        self.source = source
        raw = with_line_feeds(raw)
        # Padded, so that the columns of a short last line can be cut.
        size = len(raw)
        if not raw.endswith(_LAST_LINE):
            raw = raw.rstrip(b"\r\n") + b"\n" + b" " * WIDTH
            size = len(raw) - WIDTH
        self.bytes = np.frombuffer(raw, np.uint8)
        self.starts, self.lengths = _lines(self.bytes[:size], raw.count(b"\n"))
        self.table = self._even_lines()
        if self.table is None:
            first = self._cut(self.starts, self.lengths, 0, 4).view("<u4")[:, 0]
        else:
            first = np.ndarray(len(self.starts), "<u4", self.bytes, strides=self.table.strides[:1])
        self.names = first & np.uint32(_UPPER)
        """(lines,) the first four letters, see :func:`record_code`."""
        atom, hetatm = self.names == _RECORDS[0], self.names == _RECORDS[1]
        self.rows = np.flatnonzero(atom | hetatm)
        """(atoms,) line of each atom record."""
        self.is_hetero = hetatm[self.rows]

    @property
    def head(self) -> int:
        """Size of what comes before the first atom record, bytes."""
        return int(self.starts[self.rows[0]]) if len(self.rows) else len(self.bytes)

    def columns(self) -> dict[str, Any]:
        """Return the columns of :class:`Sites`."""
        if len(self.rows) and self.lengths[self.rows].min() < _SHORTEST:
            row = self.rows[np.argmin(self.lengths[self.rows])]
            raise FormatError(
                self.source,
                problem=f"line {row + 1} is an atom record of {self.lengths[row]} characters",
                remedy=f"Repair it: coordinates end at character {_SHORTEST}",
            )
        atoms = len(self.rows)
        field = self.turned(_USED)
        position = np.empty((atoms, 3), np.float32)
        for axis, start in enumerate((30, 38, 46)):
            position[:, axis] = numbers(_field(field, start, 8), 3, _number)
        return {
            "model": self.model(),
            "chain": texts(_field(field, 20, 2)),
            "chain_label": np.zeros(atoms, "U1"),
            "residue_number": numbers(_field(field, 22, 4), 0, self._residue_number).astype(
                np.int32
            ),
            "insertion_code": texts(_field(field, 26, 1)),
            "residue_name": texts(_field(field, 17, 3)),
            "atom_name": texts(_field(field, 12, 4)),
            "altloc": texts(_field(field, 16, 1)),
            "element": self._elements(),
            "position": position,
            "occupancy": numbers(_field(field, 54, 6), 2, _occupancy).astype(np.float32),
            "b_iso": numbers(_field(field, 60, 6), 2, _number).astype(np.float32),
            "is_hetero": self.is_hetero,
            "u_aniso": self.u_aniso(),
        }

    def turned(self, columns: slice) -> NDArray[np.uint8]:
        """(characters, atoms) of the atom records: each character of all atoms lies together."""
        breaks = np.flatnonzero(np.diff(self.rows) != 1) + 1
        if self.table is None or len(breaks) > _MOST_RUNS:
            return np.ascontiguousarray(self.cut(self.rows)[:, columns].T)
        turned = np.empty((columns.stop - columns.start, len(self.rows)), np.uint8)
        for a, b in zip([0, *breaks.tolist()], [*breaks.tolist(), len(self.rows)], strict=True):
            if b > a:
                turned[:, a:b] = self.table[self.rows[a] : self.rows[b - 1] + 1, columns].T
        return turned

    def cut(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """(rows, 80) characters of some lines, filled up with spaces."""
        if self.table is not None:
            return np.take(self.table, rows, axis=0)[:, :WIDTH]
        return self._cut(self.starts[rows], self.lengths[rows], 0, WIDTH)

    def model(self) -> NDArray[np.int32]:
        """(atoms,) number of the MODEL; of files without that record, which part up to END or ENDMDL."""
        lines = np.flatnonzero(self.names == _RECORDS[3])
        if len(lines):
            cut = self.cut(lines)[:, 5:].tobytes().decode("latin-1")
            fields = [cut[i * 75 : i * 75 + 75].split() for i in range(len(lines))]
            # What has more than nine digits is no number of a model, and no 32-bit integer.
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

    def u_aniso(self) -> NDArray[np.float32] | None:
        """(atoms, 6) from ANISOU records that follow the atom that they name, Å²; None without any."""
        rows = np.flatnonzero(self.names == _RECORDS[2])
        atom = np.searchsorted(self.rows, rows) - 1
        rows, atom = rows[atom >= 0], atom[atom >= 0]
        if len(rows) == 0:
            return None
        record = self.cut(rows)
        same = (self.cut(self.rows[atom])[:, 6:27] == record[:, 6:27]).all(axis=1)
        values = np.full((len(self.rows), 6), np.nan, np.float32)
        field = np.ascontiguousarray(record[same].T)
        for column in range(6):
            start = 28 + 7 * column
            values[atom[same], column] = numbers(field[start : start + 7], 0, _number) * 1e-4
        return values

    def _even_lines(self) -> NDArray[np.uint8] | None:
        """(lines, 81 or 82) characters, without a copy, where all lines are as long as the PDB writes them."""
        if len(self.starts) < 2 or (self.lengths != WIDTH).any():
            return None
        step = int(self.starts[1])
        if (np.diff(self.starts) != step).any():
            return None
        return self.bytes[: len(self.starts) * step].reshape(-1, step)

    def _cut(
        self, starts: NDArray[np.intp], lengths: NDArray[np.intp], first: int, last: int
    ) -> NDArray[np.uint8]:
        characters = self.bytes[starts[:, None] + np.arange(first, last)]
        if len(lengths) and lengths.min() < last:
            characters[np.arange(first, last) >= lengths[:, None]] = ord(" ")
        return characters

    def _elements(self) -> NDArray[np.str_]:
        """Return the elements of columns 77-78, or else those that the aligned atom names tell."""
        first, second = self.turned(_ELEMENT)
        code = np.take(_ELEMENT_CODES, first.astype(np.uint16) * 256 + second)
        element = np.take(SYMBOLS, code)
        unknown = np.flatnonzero(code == 0)
        blank = unknown[(first[unknown] == ord(" ")) & (second[unknown] == ord(" "))]
        if len(blank):
            names = np.ascontiguousarray(self.cut(self.rows[blank])[:, 12:20]).view("S8")[:, 0]
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
            raise FormatError(
                self.source,
                problem=f"residue number {text!r} in columns 23-26 of an atom record",
                remedy="Give an integer, or hybrid-36 above 9999",
            ) from error


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
    """Return the element that columns 13-20 tell: atom name, altloc, residue name."""
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
    """(65536,) gemmi's element number for two characters, 0 where they are no symbol."""
    codes = np.zeros(1 << 16, np.uint8)
    for number, symbol in enumerate(SYMBOLS.tolist()):
        for text in (symbol, symbol.lower(), symbol.capitalize()):
            for padded in (text.rjust(2), text.ljust(2)):
                codes[ord(padded[0]) * 256 + ord(padded[1])] = number
    return codes


_ELEMENT_CODES = _element_codes()
